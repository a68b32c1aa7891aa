"""Sparse attention by fixed masks (ViTCoD, arXiv 2210.09573): masks, their files, and what they save. Without torch."""
