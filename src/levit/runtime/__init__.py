"""Inference without torch: images in, labels out."""
