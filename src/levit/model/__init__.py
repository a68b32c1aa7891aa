"""The network, in torch, on transformers' `PreTrainedModel`."""
