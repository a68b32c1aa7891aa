"""Image processors for LeViT, compatible with those of transformers."""
