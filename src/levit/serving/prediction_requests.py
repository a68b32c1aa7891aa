"""Bodies of prediction requests: the content of an image, a form with files, or JSON with base64."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from levit.errors import ImageError
from levit.serving.errors import RequestError, too_many_images
from levit.serving.image_work import RequestImage

RAW_TYPES = re.compile(r"image/.+|application/octet-stream|application/x-www-form-urlencoded|")
"""Types of a body that is an image itself; curl --data-binary says that it sends a form, other programs say nothing."""

FORM_TYPE, JSON_TYPE = "multipart/form-data", "application/json"

_DATA_URL = re.compile(r"data:[^,]{0,200};base64,")
_JSON_FIELDS = {"image", "images", "top_k"}


@dataclass(frozen=True)
class PredictionRequest:
    """Images of a request.

    Attributes:
        images: the images, at least one.
        is_list: whether the response is a list, also for one image.
        top_k: number of labels of each image, at least 1; None where the body does not contain it.
    """

    images: list[RequestImage]
    is_list: bool
    top_k: int | None = None


def media_type(content_type: str) -> str:
    """Type of a body from its header Content-Type, in lower case, without parameters.

    Raises:
        RequestError: the type is none of those that contain an image, 415.

    Examples:
        >>> media_type("Multipart/Form-Data; boundary=x")
        'multipart/form-data'
    """
    kind = _kind(content_type)
    if kind not in (FORM_TYPE, JSON_TYPE) and not RAW_TYPES.fullmatch(kind):
        raise RequestError(415, f"the type {kind!r} is not supported: send an image, {FORM_TYPE} or {JSON_TYPE}")
    return kind


def is_raw_type(content_type: str) -> bool:
    """Return whether a body is an image itself, by its header Content-Type.

    Examples:
        >>> is_raw_type("image/jpeg"), is_raw_type(""), is_raw_type("application/json")
        (True, True, False)
    """
    return RAW_TYPES.fullmatch(_kind(content_type)) is not None


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def check_encoding(content_encoding: str) -> None:
    """Raise an error if a body is compressed, by its header Content-Encoding.

    Raises:
        RequestError: it is, 415.
    """
    if content_encoding.lower() not in ("", "identity"):
        raise RequestError(415, "compressed bodies are not supported")


def parse_body(body: bytes, content_type: str, *, max_images: int, check: Callable[[], None]) -> PredictionRequest:
    """Read the images of a form, or of JSON; called by a thread.

    Args:
        body: the body.
        content_type: its header Content-Type.
        max_images: largest number of images, and of parts of a form.
        check: function that raises an error if the result is not needed any more; called before each part of a form.

    Raises:
        RequestError: the body is damaged (400), has too many images (413), or no image or another field (422).
    """
    if media_type(content_type) == FORM_TYPE:
        return PredictionRequest(_form_files(body, content_type, _FileCollector(max_images, check)), is_list=True)
    return _parse_json(body, max_images)


def _parse_json(body: bytes, max_images: int) -> PredictionRequest:
    values = load_json(body)
    if not isinstance(values, dict):
        raise RequestError(422, "the body must be a JSON object")
    if unknown := sorted(set(values) - _JSON_FIELDS):
        raise RequestError(422, f"unknown field {unknown[0]!r}: give image, images or top_k")
    if ("image" in values) == ("images" in values):
        raise RequestError(422, "give image or images, not both")
    top_k = values.get("top_k")
    if top_k is not None and (not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 1):
        raise RequestError(422, f"top_k is {json.dumps(top_k)[:80]}: give a whole number of at least 1")
    if "image" in values:
        return PredictionRequest([_decode_base64(values["image"], "image")], is_list=False, top_k=top_k)
    images = values["images"]
    if not isinstance(images, list) or not images:
        raise RequestError(422, "images must be a list with at least one image")
    if len(images) > max_images:
        raise too_many_images(len(images), max_images)
    decoded = [_decode_base64(image, f"images[{index}]") for index, image in enumerate(images)]
    return PredictionRequest(decoded, is_list=True, top_k=top_k)


def load_json(body: bytes | memoryview) -> Any:
    """Parse a JSON text.

    Raises:
        RequestError: it is not JSON, 400.
    """
    try:
        return json.loads(bytes(body))
    except (ValueError, RecursionError) as error:
        raise RequestError(400, "the body is not JSON") from error


def _decode_base64(text: object, name: str) -> RequestImage:
    """An image from base64, with or without the prefix of a data URL; a damaged one has its error."""
    if not isinstance(text, str):
        raise RequestError(422, f"{name} must be a string in base64")
    if match := _DATA_URL.match(text):
        text = text[match.end() :]
    try:
        return RequestImage(base64.b64decode(text, validate=True), name)
    except (binascii.Error, ValueError):
        return RequestImage(b"", name, ImageError("not base64", source=name))


def _form_files(body: bytes, content_type: str, collector: _FileCollector) -> list[RequestImage]:
    """Files of a form, in its order."""
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary:
        raise RequestError(400, "the form has no boundary")
    try:
        parser = MultipartParser(boundary, collector.callbacks(), max_size=len(body) + 1)  # type: ignore[arg-type]
        parser.write(body)
        parser.finalize()
    except (FormParserError, ValueError) as error:
        raise RequestError(400, "the form is damaged") from error
    if not collector.is_complete:
        raise RequestError(400, "the form is incomplete")
    if not collector.files:
        raise RequestError(422, "the form has no file: send each image as a file")
    return collector.files


class _FileCollector:
    """Callbacks of the parser of forms, which keep the files.

    The parser takes microseconds for each part, and a large body has room for 100,000 of them.
    """

    def __init__(self, max_parts: int, check: Callable[[], None]) -> None:
        self.files: list[RequestImage] = []
        self.is_complete = False
        self._count, self._max_parts, self._check = 0, max_parts, check
        self._headers: dict[str, str] = {}
        self._name, self._value = bytearray(), bytearray()
        self._parts: list[bytes] = []

    def callbacks(self) -> Mapping[str, Any]:
        """Functions by the names that the parser knows."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_part_data": lambda data, start, end: self._parts.append(data[start:end]),
            "on_part_end": self._end,
            "on_end": self._complete,
        }

    def _begin(self) -> None:
        self._check()
        self._count += 1
        if self._count > self._max_parts:
            raise RequestError(413, f"the form has more parts than the service takes images at once, {self._max_parts}")
        self._headers, self._parts = {}, []

    def _end_header(self) -> None:
        self._headers[self._name.decode("latin-1").lower()] = self._value.decode("latin-1")
        self._name.clear()
        self._value.clear()

    def _end(self) -> None:
        _, options = parse_options_header(self._headers.get("content-disposition", ""))
        if b"filename" not in options:
            field = options.get(b"name", b"").decode("utf-8", "replace")[:80]
            raise RequestError(422, f"the field {field!r} of the form is no file: send options as ?top_k=3")
        name = options[b"filename"].decode("utf-8", "replace")
        self.files.append(RequestImage(b"".join(self._parts), name or f"files[{len(self.files)}]"))

    def _complete(self) -> None:
        self.is_complete = True
