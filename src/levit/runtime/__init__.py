"""Inference without torch: engines, and the classifier of images that uses them."""
