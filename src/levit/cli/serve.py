"""The command `levit serve`: an HTTP service for one or several models."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from levit.cli.shared_options import (
    EngineOption,
    MaxPixelsOption,
    PrecisionOption,
    ProviderOption,
    RevisionOption,
    ThreadsOption,
    named_model,
)
from levit.spec.choices import EngineName, Precision

if TYPE_CHECKING:
    from levit.serving.options import ServiceOptions
    from levit.serving.served_model import NamedModel

ModelsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME=]MODEL...", help="Exported files, checkpoints or model names; default: the embedded model."
    ),
]
TimeoutOption = Annotated[
    float, typer.Option(metavar="SECONDS", help="Time after which a request gets an error instead of its result.")
]
DrainOption = Annotated[
    float, typer.Option(metavar="SECONDS", help="Seconds to refuse new requests after SIGTERM before shutting down.")
]
QueueOption = Annotated[int, typer.Option("--queue", min=1, help="Maximum number of images queued or in progress.")]
MaxBodyOption = Annotated[float, typer.Option(metavar="MB", help="Maximum request body in MB.")]
KeysOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="File with one API key per line; the environment variable LEVIT_API_KEY is accepted, too."
    ),
]
OriginOption = Annotated[
    list[str] | None,
    typer.Option("--cors", metavar="ORIGIN", help="Origin whose web pages may call the service (CORS); repeatable."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the URL as one JSON object once the service is ready.")]


def serve(
    models: ModelsArgument = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port; 0 for a free one.")] = 8000,
    timeout: TimeoutOption = 30,
    drain: DrainOption = 5,
    capacity: QueueOption = 256,
    max_body: MaxBodyOption = 10,
    max_pixels: MaxPixelsOption = None,
    api_keys: KeysOption = None,
    origins: OriginOption = None,
    engine: EngineOption = "auto",
    precision: PrecisionOption = "auto",
    provider: ProviderOption = None,
    revision: RevisionOption = None,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Serve models over HTTP, with a page, metrics and the Open Inference Protocol.

    SIGTERM finishes the requests that were accepted.
    """
    _check_extra()
    from levit.cli.classifier_opening import raise_pillow_limit
    from levit.serving.options import ServiceOptions
    from levit.serving.security import read_api_keys
    from levit.serving.server import serve as serve_models

    options = ServiceOptions(
        host=host,
        port=port,
        timeout=timeout,
        drain=drain,
        capacity=capacity,
        max_body=_in_bytes(max_body),
        max_pixels=raise_pillow_limit(max_pixels),
        threads=threads,
        api_keys=read_api_keys(api_keys),
        origins=tuple(origins or ()),
    )
    named = _named_models(models or [], engine, precision, provider, revision, threads)
    serve_models(named, options, on_ready=lambda address: _report(address, named, options, as_json=as_json))


def _in_bytes(megabytes: float) -> int:
    """Limit of a body in bytes, at least 1."""
    size = megabytes * 1_000_000
    if not 0 < size < math.inf:
        from levit.errors import ConfigError

        raise ConfigError(f"is {megabytes:g}", source="max_body", hint="give a finite number above 0")
    return max(1, round(size))


def _check_extra() -> None:
    """Name the extra where one of its packages is missing."""
    from levit.cli.classifier_opening import skip_model_converter

    skip_model_converter()
    try:
        import fastapi  # noqa: F401
        import httptools  # noqa: F401
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as error:
        raise ImportError(f'levit serve needs {error.name}: pip install "levit[serve]"') from error


def _named_models(
    models: list[str],
    engine: EngineName,
    precision: Precision,
    provider: str | None,
    revision: str | None,
    threads: int | None,
) -> list[NamedModel]:
    from levit.runtime.opened_model import ModelOptions
    from levit.serving.served_model import EMBEDDED, NamedModel, parse_model

    pairs = [parse_model(model) for model in models or [EMBEDDED]]
    return [
        NamedModel(name, ModelOptions(named_model(model), engine, precision, threads, provider, revision))
        for name, model in pairs
    ]


def _report(address: str, models: list[NamedModel], options: ServiceOptions, *, as_json: bool) -> None:
    """Print the address and the models, after a warning if everyone who reaches the address can use them."""
    from levit.logs import get_logger

    if not options.is_loopback and not options.api_keys:
        reason = f"everyone who reaches {options.host} can use this service: --api-keys FILE restricts it"
        get_logger().warning("%s", reason)
    _print_address(address, models, as_json=as_json)


def _print_address(address: str, models: list[NamedModel], *, as_json: bool) -> None:
    from levit.cli.json_output import print_json

    names = [model.name for model in models]
    if as_json:
        print_json({"url": address, "models": names})
        return
    print(f"{address} serving {', '.join(names)} (docs: {address}/docs; stop with Ctrl-C)", flush=True)
