"""The network that all peers serve: LeViT-128S of transformers with the size and classes of the embedded model."""

from typing import Any

import torch
import transformers

from levit.runtime.model_info import describe


def create_pipeline() -> Any:
    """Pipeline of image classification in float32, with random weights, since its speed does not depend on them."""
    artifact, _ = describe(None)
    size = artifact.architecture.image_height_width[0]
    config = transformers.LevitConfig(
        image_size=size,
        hidden_sizes=list(artifact.architecture.hidden_sizes),
        num_attention_heads=list(artifact.architecture.num_attention_heads),
        depths=list(artifact.architecture.depths),
        key_dim=list(artifact.architecture.key_dim),
        num_labels=len(artifact.labels),
    )
    torch.manual_seed(0)
    model = transformers.LevitForImageClassificationWithTeacher(config).eval()
    processor = transformers.LevitImageProcessor(
        size={"shortest_edge": size * 256 // 224}, crop_size={"height": size, "width": size}
    )
    return transformers.pipeline("image-classification", model=model, image_processor=processor, top_k=5)
