"""Builders of a network that folds and compiles fast, and of a classifier without a network."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from levit.checkpoints.transformers_configuration import config_from_architecture
from levit.runtime.classifier import Classifier
from levit.spec.architecture import Architecture
from levit.spec.artifact import Artifact, Source
from levit.spec.preprocessing import Preprocessing
from tests.conftest import random_weights
from tests.runtime.fake_engine import FakeEngine

LABELS = ("apple", "pear", "plum", "fig", "café")
SMALL = Architecture(
    image_size=32,
    hidden_sizes=(16, 24, 32),
    depths=(1, 1, 1),
    num_attention_heads=(1, 2, 2),
    key_dim=(8, 8, 8),
    num_labels=len(LABELS),
)


def write_checkpoint(folder: Path, architecture: Architecture = SMALL, *, seed: int = 0) -> Path:
    """Write a checkpoint of random weights in the layout of transformers."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(random_weights(architecture, seed), folder / "model.safetensors")
    config = config_from_architecture(architecture) | {"id2label": dict(enumerate(LABELS)), "model_type": "levit"}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def color_artifact(names: tuple[str, ...] = ("red", "green", "blue"), size: int = 16) -> Artifact:
    """Description of a model whose classes are colors, for images of `size` pixels without normalization."""
    return Artifact(
        architecture=Architecture(image_size=size, num_labels=len(names)),
        preprocessing=Preprocessing(resize=(size, size), crop=None, mean=(0, 0, 0), std=(1, 1, 1)),
        labels=names,
        precision="fp32",
        source=Source(name="colors", dialect="none"),
    )


def color_classifier(**options) -> Classifier:
    """Classifier of the dominant color: the logits are the mean of each channel, in [0, 1]."""
    return Classifier(FakeEngine(color_artifact(), lambda batch: batch.mean((2, 3))), **options)


def uniform_image(red: int, green: int, blue: int, size: tuple[int, int] = (20, 30)) -> np.ndarray:
    """Image of one color, uint8 [height, width, 3]."""
    return np.full((*size, 3), (red, green, blue), np.uint8)
