"""Metrics of models on labeled images."""
