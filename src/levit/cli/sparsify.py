"""`levit sparsify`: masks for the attention of a checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from levit.cli.shared_options import AllowOutsideOption, ClassMapOption, JsonOption, read_class_map

if TYPE_CHECKING:
    from levit.sparsifying.sparsify import Sparsification

MassOption = Annotated[
    float | None, typer.Option(help="Fraction of its average attention that each query keeps, such as 0.9.")
]
SparsityOption = Annotated[
    float | None, typer.Option(help="Instead of --attention-mass: fraction of all entries to remove, such as 0.8.")
]
ImagesOption = Annotated[
    int | None, typer.Option(help="Number of images to average over, spread over the data; default: all.")
]
EvaluationOption = Annotated[
    str | None, typer.Option(metavar="DATA", help="Labeled images for the accuracy before and after masking.")
]
FineTunedOption = Annotated[
    str | None,
    typer.Option(metavar="RUN", help="Network that was fine-tuned with these masks, for its accuracy in the report."),
]
PolarizeOption = Annotated[
    float | None,
    typer.Option(
        metavar="FRACTION",
        help="Also write an order of the keys: first those that more than this fraction of queries keep.",
    ),
]


def sparsify(
    checkpoint: Annotated[
        str, typer.Argument(metavar="CHECKPOINT", help="Checkpoint: file, folder or model ID on the Hugging Face Hub.")
    ],
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="Images of the training set, over which the attention is averaged.")
    ],
    out: Annotated[str, typer.Option(metavar="DIR", help="Folder to write.")],
    attention_mass: MassOption = None,
    sparsity: SparsityOption = None,
    images: ImagesOption = None,
    evaluation: EvaluationOption = None,
    fine_tuned: FineTunedOption = None,
    polarize: PolarizeOption = None,
    vitcod: Annotated[bool, typer.Option("--vitcod", help="Also write the masks as ViTCoD's .npy files.")] = False,
    split: Annotated[
        str | None, typer.Option(help="Split of the data; default: train, if the data has splits.")
    ] = None,
    class_map: ClassMapOption = None,
    allow_outside: AllowOutsideOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make attention sparse: choose the keys that each query keeps, the same for all images (ViTCoD).

    Writes masks.safetensors, the masked checkpoint for levit train and levit export, and a report.
    """
    from levit.cli.json_output import print_json
    from levit.cli.output import print_fields
    from levit.sparsifying.sparsify import sparsify as sparsify_checkpoint

    result = sparsify_checkpoint(
        checkpoint, data, out, attention_mass=attention_mass, sparsity=sparsity, images=images,
        evaluation=evaluation, fine_tuned=fine_tuned, polarize=polarize, vitcod=vitcod, split=split,
        class_map=read_class_map(class_map), allow_outside=allow_outside,
    )  # fmt: skip
    if as_json:
        print_json(result.to_dict())
    else:
        print_fields({"written": out} | _fields(result))


def _fields(result: Sparsification) -> dict[str, str]:
    savings = result.savings
    kept, flops, network = (count / 1e6 for count in (savings.total("kept_flops"), savings.total("flops"),
                                                      savings.network_flops))  # fmt: skip
    fields = {
        "removed": f"{savings.sparsity:.1%} of the attention maps, by their average over {result.images:,} images",
        "kept": f"at least {result.attention_mass:.1%} of the average attention of each query",
        "multiply-adds": f"{kept:,.1f} of {flops:,.1f} million in attention; {network:,.0f} million in the network",
    }
    if result.accuracies:
        before, masked, fine_tuned = result.accuracies
        tuned = "" if fine_tuned is None else f", {fine_tuned.top1:.2%} after fine-tuning"
        fields["top-1"] = f"{before.top1:.2%} before, {masked.top1:.2%} with masks{tuned} ({before.images:,} images)"
    return fields
