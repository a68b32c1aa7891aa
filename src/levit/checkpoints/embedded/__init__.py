"""Training weights of the embedded model, in half precision."""
