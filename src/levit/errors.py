"""The exception tree.

Everything that `levit` raises on purpose is a `LevitError` whose message is one line: the source, the reason and a
hint::

    LevitError
    ├── ConfigError      (also a ValueError)   an invalid option or configuration
    ├── CheckpointError                        weights that cannot be read, or do not fit their configuration
    ├── DataError                              labeled data that is missing, malformed or unusable
    ├── ImageError                             one image that cannot be decoded or is refused
    ├── ExportError                            an artifact that could not be written or failed its verification
    └── EngineError                            an inference engine that is missing or failed

A one-line `LevitWarning` is issued where a result differs from the request.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

AnyError = TypeVar("AnyError", bound="LevitError")

# Control characters, line separators, surrogates, and the controls of the direction of text.
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

# First word of a reason that continues its source as a sentence.
_VERB = re.compile(
    r"(is|are|was|has|have|does|do|can|cannot|could|must|contains|differs|ended|gives|lacks|loses|needs|requires|takes)"
)


def printable(text: str) -> str:
    r"""Escape the characters of a text that could control a terminal or forge a line.

    Names in files (keys, labels, metadata, file names) may contain any character, so everything that is printed for
    people goes through this function.

    Examples:
        >>> print(printable("cat" + chr(27) + "[2J" + chr(10) + "dog"))
        cat\x1b[2J\ndog
    """
    return _CONTROL_CHARACTER.sub(lambda match: ascii(match[0])[1:-1], text)


class LevitError(Exception):
    """Base class of every error that levit raises on purpose.

    The message is `source: reason: hint`, without the parts that are None; there is no colon before a reason that
    begins with a verb, such as "is 0". Parameters of functions are named in backticks in reason and hint, as in
    `` `image_size` ``; the command line shows them as its flags.

    Args:
        reason: description of the problem.
        source: file, model, data set or parameter that caused the error.
        hint: how to solve the problem.

    Attributes:
        source, reason, hint: the arguments.

    Examples:
        >>> error = LevitError("no such file", source="model.onnx", hint="check the path")
        >>> str(error)
        'model.onnx: no such file: check the path'
        >>> error.reason
        'no such file'
    """

    def __init__(self, reason: str, *, source: object = None, hint: str | None = None) -> None:
        self.source = None if source is None else str(source)
        self.reason = reason
        self.hint = hint
        super().__init__(reason)

    def __str__(self) -> str:
        """The message, one line of printable characters."""
        return printable(as_sentence(self.source, self.reason, self.hint))

    def __reduce__(self) -> tuple[object, ...]:
        """Keep source and hint where an exception is pickled, between processes for instance."""
        return _restore, (type(self), self.reason, self.source, self.hint)


class ConfigError(LevitError, ValueError):
    """An option or a configuration is invalid; `source` is the parameter or field."""


class CheckpointError(LevitError):
    """A checkpoint cannot be read or written, or its weights do not fit its configuration."""


class DataError(LevitError):
    """Labeled data is missing, malformed or unusable."""


class ImageError(LevitError):
    """One image cannot be decoded or is refused; `source` is its name."""


class ExportError(LevitError):
    """An artifact could not be written, or its logits differ from those of its checkpoint."""


class EngineError(LevitError):
    """An inference engine is missing, or could not open or run a model."""


class LevitWarning(UserWarning):
    """Warning: the result differs from the request; the message states how."""


@contextmanager
def errors_name(source: object) -> Iterator[None]:
    """Name the source of errors that are raised without one.

    Examples:
        >>> with errors_name("model.onnx"):
        ...     raise CheckpointError("damaged")
        Traceback (most recent call last):
        levit.errors.CheckpointError: model.onnx: damaged
    """
    try:
        yield
    except LevitError as error:
        if error.source is not None:
            raise
        raise type(error)(error.reason, source=source, hint=error.hint) from error


def without_frames(error: AnyError) -> AnyError:
    """Remove the traceback and the cause of an error, whose frames would keep an image in memory; return it.

    The error and the frames refer to each other, so that only the garbage collector would free the image.
    """
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def as_sentence(source: str | None, reason: str, hint: str | None = None) -> str:
    """The parts of an error as one sentence.

    Examples:
        >>> as_sentence("lr", "is -1.0", "must be at least 0")
        'lr is -1.0: must be at least 0'
        >>> as_sentence("cat.jpg", "no such file")
        'cat.jpg: no such file'
    """
    if source and _VERB.fullmatch(reason.partition(" ")[0]):
        source, reason = None, f"{source} {reason}"
    return ": ".join(part for part in (source, reason, hint) if part)


def first_few(texts: Iterable[str], limit: int = 3, separator: str = ", ") -> str:
    """The first of several texts, with an ellipsis if there are more.

    Examples:
        >>> first_few("abc"), first_few("abcd")
        ('a, b, c', 'a, b, c, …')
    """
    texts = list(texts)
    return separator.join([*texts[:limit], *(["…"] if len(texts) > limit else [])])


def first_line(error: BaseException, *, limit: int = 200) -> str:
    """The first line of the message of an exception of another library, shortened to `limit` characters.

    Examples:
        >>> first_line(ValueError("bad magic", 7))
        "('bad magic', 7)"
        >>> first_line(KeyError())
        'KeyError'
    """
    lines = str(error).strip().splitlines()
    text = lines[0].strip() if lines else type(error).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"


def last_line(error: BaseException) -> str:
    """The last line of the message of a C++ exception, whose first lines are locations in C++ sources.

    Examples:
        >>> last_line(RuntimeError("Exception from src/core.cpp:12:"))
        'Exception from src/core.cpp:12:'
    """
    return str(error).strip().rpartition("\n")[2] or type(error).__name__


def _restore(kind: type[LevitError], reason: str, source: str | None, hint: str | None) -> LevitError:
    return kind(reason, source=source, hint=hint)
