"""Average the weights of two runs, the second of which started from the weights of the first.

    python configs/average_weights.py RUN FINE_TUNED --out OUT

A network that was fine-tuned on images of another quality is better on them, and worse on the others. The network with
the averaged weights is often better than both on either (WiSE-FT, arXiv 2109.01903); no image is computed. OUT is a
model folder, as RUN is.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import levit
from levit.errors import ConfigError
from levit.model.pretrained import LevitPreTrainedModel

SHARE = 0.5


def main() -> None:
    """Load both models, average their weights, write the model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="trained model")
    parser.add_argument("fine_tuned", help="model that was trained from its weights")
    parser.add_argument("--share", type=float, default=SHARE, help=f"weight of the second model; default: {SHARE}")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    model = levit.load_checkpoint(options.fine_tuned)
    average_weights(model, levit.load_checkpoint(options.run), share=options.share)
    model.save_pretrained(options.out)
    levit.LevitImageProcessor.from_pretrained(options.fine_tuned).save_pretrained(options.out)
    print(f"written to {options.out}")


@torch.no_grad()
def average_weights(model: LevitPreTrainedModel, initial: LevitPreTrainedModel, *, share: float) -> None:
    """Move the weights of a model toward those that it started from.

    Args:
        model: the fine-tuned model, which is changed.
        initial: the model that it started from.
        share: weight of the fine-tuned model in the average, 0 to 1.

    Raises:
        ConfigError: the models have other weights or other classes.
    """
    weights, others = model.state_dict(), initial.state_dict()
    shapes, other_shapes = ({name: tensor.shape for name, tensor in each.items()} for each in (weights, others))
    if shapes != other_shapes or model.config.id2label != initial.config.id2label:
        raise ConfigError(
            "the models have different weights or classes", hint="give a model that started from the first"
        )
    for name, tensor in weights.items():
        if tensor.is_floating_point():
            tensor.lerp_(others[name].to(tensor), 1 - share)


if __name__ == "__main__":
    main()
