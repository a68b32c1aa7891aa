"""Decoding and preprocessing of images with Pillow."""
