"""The command `levit explain`: where in an image a class is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from levit.cli.shared_options import (
    EngineOption,
    JsonOption,
    MaxPixelsOption,
    ModelOption,
    PrecisionOption,
    PreprocessingOption,
    ProviderOption,
    RevisionOption,
    ThreadsOption,
)
from levit.spec.choices import ExplanationMethod

if TYPE_CHECKING:
    from levit.explaining.explanation import Explanation


ImageArgument = Annotated[str, typer.Argument(metavar="IMAGE", help="The image.")]
ClassOption = Annotated[
    str | None,
    typer.Option("--class", metavar="NAME", help="Name or index of the class; default: the most probable class."),
]
MethodOption = Annotated[
    ExplanationMethod,
    typer.Option(
        help="How the map is computed; the last two need torch and a checkpoint; rollout is not class-specific."
    ),
]
OutOption = Annotated[
    str | None,
    typer.Option(
        "--out", "-o", metavar="FILE", help="Picture with the map over the image (.png, .jpg, .webp), or .npy."
    ),
]
MasksOption = Annotated[int | None, typer.Option(min=1, help="Number of random masks of --method rise; default: 1000.")]
SeedOption = Annotated[int | None, typer.Option(min=0, help="Seed of these masks; default: 0.")]


def explain(
    image: ImageArgument,
    class_name: ClassOption = None,
    method: MethodOption = "occlusion",
    out: OutOption = None,
    masks: MasksOption = None,
    seed: SeedOption = None,
    as_json: JsonOption = False,
    model: ModelOption = None,
    revision: RevisionOption = None,
    precision: PrecisionOption = "auto",
    engine: EngineOption = "auto",
    provider: ProviderOption = None,
    preprocessing: PreprocessingOption = "fast",
    max_pixels: MaxPixelsOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Show which parts of an image the score of a class depends on.

    Without --out and --json, the map is printed as a small picture of characters.
    """
    from levit.cli.classifier_opening import raise_pillow_limit, skip_model_converter
    from levit.errors import ConfigError
    from levit.explaining.explain import Explainer
    from levit.explaining.explanation import check_target
    from levit.files import is_same_file

    options = _rise_options(method, masks, seed)
    if out is not None:
        check_target(Path(out))
        if is_same_file(out, image):
            raise ConfigError("is the image itself", source="out", hint="give the map another name")
    skip_model_converter()
    explainer = Explainer(
        model,
        engine=engine,
        precision=precision,
        threads=threads,
        max_pixels=raise_pillow_limit(max_pixels),
        preprocessing=preprocessing,
        provider=provider,
        revision=revision,
    )
    _write(explainer(image, class_name=class_name, method=method, **options), out, as_json=as_json)


def _rise_options(method: ExplanationMethod, masks: int | None, seed: int | None) -> dict[str, Any]:
    """The options of RISE that are given; other methods have none."""
    given = {name: value for name, value in (("masks", masks), ("seed", seed)) if value is not None}
    if given and method != "rise":
        raise typer.BadParameter("--masks and --seed are options of --method rise: leave them out")
    return given


def _write(explanation: Explanation, out: str | None, *, as_json: bool) -> None:
    from levit.cli.json_output import print_json

    if out is not None:
        explanation.save(out)
    if as_json:
        print_json(explanation.to_dict() | {"out": out})
    else:
        _print(explanation, out)


def _print(explanation: Explanation, out: str | None) -> None:
    from levit.errors import printable

    print(printable(f"{explanation.source}: {explanation.describe()}"))
    if out is not None:
        print(printable(f"written to {out}"))
    else:
        print(_characters(explanation))


def _characters(explanation: Explanation) -> str:
    """The map as rows of characters, two for each value, from nothing to a full block."""
    shades = " ·░▒▓█"
    rows = explanation.relative.tolist()
    return "\n".join("".join(2 * shades[round(value * (len(shades) - 1))] for value in row) for row in rows)
