"""Labeled images from folders and parquet; no torch."""
