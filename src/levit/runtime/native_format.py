"""Packed files of the native engine: a model file, and behind it the metadata of the exported file."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping

from levit.errors import EngineError
from levit.spec.architecture import Architecture

FORMAT_VERSION = 3  # of the model file, see native/model_file.h

_MAX_CHANNELS = 4  # of the input image
_TAIL = "<Q"  # length of the metadata, at the end of the file


class OtherFormError(EngineError):
    """The native engine cannot compute a network of this form."""


class WrongLogitsError(OtherFormError):
    """The native engine computes other logits than the reference."""


def unsupported_layers(architecture: Architecture) -> str | None:
    """Name what the native engine does not support of a network; None if it computes all of it."""
    if architecture.num_channels > _MAX_CHANNELS:
        return f"an input of more than {_MAX_CHANNELS} channels"
    if not isinstance(architecture.padding, int):
        return "padding that differs between the sides of an image"
    if architecture.has_attention_masks:
        return "attention with masks"
    return None


def join_metadata(model_file: bytes, metadata: Mapping[str, str]) -> bytes:
    """Append the metadata of the exported file to a model file."""
    tail = json.dumps(dict(metadata)).encode()
    return model_file + tail + struct.pack(_TAIL, len(tail))


def split_metadata(content: memoryview) -> tuple[int, Mapping[str, str]]:
    """Length of the model file in a packed file, and the metadata behind it.

    Raises:
        EngineError: the file is incomplete.
    """
    size = struct.calcsize(_TAIL)
    (length,) = struct.unpack(_TAIL, content[-size:]) if len(content) >= size else (len(content),)
    end = len(content) - size - length
    if end < 0:
        raise EngineError("the packed model is incomplete")
    metadata: dict[str, str] = json.loads(bytes(content[end : len(content) - size]))
    return end, metadata
