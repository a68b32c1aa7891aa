"""Explanations of predictions: which pixels of an image a class depends on."""
