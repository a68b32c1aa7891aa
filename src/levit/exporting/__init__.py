"""Checkpoint in, verified artifact out."""
