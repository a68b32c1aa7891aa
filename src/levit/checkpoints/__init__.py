"""Weights as arrays: files of any dialect to canonical weights and back, without torch."""
