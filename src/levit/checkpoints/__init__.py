"""Checkpoints of any library as arrays under canonical names, read and written without torch."""
