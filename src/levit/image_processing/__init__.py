"""The image processors of transformers for LeViT."""
