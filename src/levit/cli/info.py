"""The command `levit info`: describe a model."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from levit.cli.shared_options import RevisionOption, named_model
from levit.errors import first_few

if TYPE_CHECKING:
    from levit.spec.artifact import Artifact


def info(
    model: Annotated[
        str | None,
        typer.Argument(
            callback=named_model,
            metavar="[MODEL]",
            help="Exported file, checkpoint or model name (see `levit models`); default: the embedded model (-).",
        ),
    ] = None,
    revision: RevisionOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, with all labels.")] = False,
) -> None:
    """Show the size, input, labels, source and measured accuracy of a model."""
    from levit.cli.json_output import print_json
    from levit.cli.output import print_fields
    from levit.runtime.model_info import describe
    from levit.runtime.model_resolution import find_model_file, is_artifact

    description, num_bytes = describe(model, revision=revision)
    file = find_model_file(model) if model is None or is_artifact(model) else None
    values = _values(description, num_bytes, file)
    if as_json:
        print_json(values)
        return
    print_fields(_fields(description, values, model))


def _values(artifact: Artifact, num_bytes: int, file: Path | None) -> dict[str, Any]:
    from levit.runtime.model_info import default_execution, native_engine
    from levit.spec.network import count_flops, count_parameters

    height, width = artifact.architecture.image_height_width
    metadata = {name.removeprefix("levit."): json.loads(value) for name, value in artifact.to_metadata().items()}
    return {
        "source": metadata["source"],
        "parameters": count_parameters(artifact.architecture),
        "flops": count_flops(artifact.architecture),
        "input": [artifact.architecture.num_channels, height, width],
        "precision": artifact.precision,
        "bytes": num_bytes,
        "accuracy": asdict(artifact.accuracy) if artifact.accuracy else None,
        "quantization": asdict(artifact.quantization) if artifact.quantization else None,
        "rejection": asdict(artifact.rejection) if artifact.rejection else None,
        "preprocessing": metadata["preprocessing"],
        "architecture": metadata["architecture"],
        "labels": metadata["labels"],
        "is_multi_label": artifact.is_multi_label,
        "producer": artifact.producer,
        "runs_in": dict(zip(("engine", "precision", "reason"), default_execution(artifact, file), strict=True)),
        "native_engine": native_engine(),
    }


def _fields(artifact: Artifact, values: dict[str, Any], model: str | None) -> dict[str, str]:
    from levit.cli.output import accuracy_fields

    architecture = artifact.architecture
    labels = first_few(artifact.labels, 4)
    several = " (any number of them in an image)" if artifact.is_multi_label else ""
    return {
        "model": f"{artifact.source.name} ({artifact.source.dialect})",
        "input": "x".join(map(str, values["input"])),
        "stages": " - ".join(map(str, architecture.hidden_sizes)) + f" wide, {list(architecture.depths)} deep",
        "parameters": f"{values['parameters']:,}",
        "multiply-adds": f"{values['flops'] / 1e6:,.0f} M",
        "classes": f"{len(artifact.labels)}: {labels}{several}",
        "weights": f"{artifact.precision}, {values['bytes'] / 1e6:.1f} MB",
        **(accuracy_fields(artifact) or _validation_accuracy(Path(model or ""))),
        "runs in": "{}, {} ({})".format(*values["runs_in"].values()),
        "native engine": values["native_engine"],
        "sha256": artifact.source.sha256 or "unknown",
    }


def _validation_accuracy(run: Path) -> dict[str, str]:
    from levit.cli.training_summary import validation_accuracy

    metric, value = validation_accuracy(run) or ("top-1", "not recorded")
    return {"accuracy" if metric == "top-1" else metric: value}
