"""The HTTP service: predictions of one or several models, the Open Inference Protocol, metrics (no torch)."""
