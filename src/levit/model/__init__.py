"""LeViT networks in torch, based on transformers' `PreTrainedModel`."""
