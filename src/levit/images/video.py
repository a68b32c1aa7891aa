"""Frames of video files and cameras, read with OpenCV."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import PathLike, fspath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from levit.errors import ConfigError, DataError, LevitWarning
from levit.images.opening import check_is_regular

_MIN_SHARE = 0.95  # of the frames that a file states, because some containers state only about how many
_MAX_DEVIATION = 2  # frames by which the times of a constant rate may be rounded


class Frame(NamedTuple):
    """Frame of a video.

    Attributes:
        number: number of the frame, from 0; skipped frames count.
        seconds: its time from the first frame of a file, or since a camera was opened.
        pixels: uint8 [height, width, 3], RGB; [0, 0, 3] for a frame of a file that cannot be decoded.
    """

    number: int
    seconds: float
    pixels: NDArray[np.uint8]


def read_frames(source: str | PathLike[str] | int, *, every: int = 1) -> Iterator[Frame]:
    """Yield the frames of a video file, or those of a camera until the iterator is closed.

    A file that ends before the number of frames that it states is a `LevitWarning`.

    Args:
        source: a video file of any format that OpenCV reads, or the index of a camera, from 0.
        every: 1 for all frames, `n` for every n-th.

    Raises:
        ConfigError: `every` is less than 1.
        DataError: the file does not exist or is not a video, or there is no such camera.
        ImageError: the file is not a regular file.
        ImportError: OpenCV is not installed.
    """
    if every < 1:
        raise ConfigError(f"is {every}", source="every", hint="give at least 1")
    return _read(source, every)


def _read(source: str | PathLike[str] | int, every: int) -> Iterator[Frame]:
    cv2 = _import_opencv()
    with _opened(cv2, source) as capture:
        clock = _camera_time() if isinstance(source, int) else _file_time(cv2, capture)
        number, seconds = 0, 0.0
        while capture.grab():
            seconds = clock(number)
            if number % every == 0:
                is_read, pixels = capture.retrieve()
                if is_read:
                    yield Frame(number, seconds, np.ascontiguousarray(pixels[..., ::-1]))
                elif not isinstance(source, int):
                    yield Frame(number, seconds, np.empty((0, 0, 3), np.uint8))
            number += 1
        if number and not isinstance(source, int):
            _warn_if_incomplete(cv2, capture, fspath(source), number, seconds)
    if not number:
        raise DataError("no frame can be read", source=_name(source), hint="give a video, or convert it to MP4")


def _camera_time() -> Callable[[int], float]:
    start = time.monotonic()
    return lambda _: time.monotonic() - start


def _file_time(cv2: Any, capture: Any) -> Callable[[int], float]:
    """Function from the number of the grabbed frame to its time, also where the frame rate varies.

    Some readers of OpenCV give the time at which a frame ends, so times are differences from that of the first frame.
    Files without times have those of a constant rate.
    """
    rate, first = capture.get(cv2.CAP_PROP_FPS), 0.0

    def seconds(number: int) -> float:
        nonlocal first
        position = capture.get(cv2.CAP_PROP_POS_MSEC)
        if number == 0:
            first = position
            return 0.0
        if position > first:
            return float(position - first) / 1000
        return number / rate if rate > 0 else 0.0

    return seconds


def _warn_if_incomplete(cv2: Any, capture: Any, name: str, number: int, seconds: float) -> None:
    """Warn about a file of a constant rate that has far fewer frames than it states.

    Of a file whose rate varies, OpenCV may estimate their number by a rate that is not the average one.
    """
    count, rate = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), capture.get(cv2.CAP_PROP_FPS)
    is_constant = rate > 0 and abs(seconds * rate - (number - 1)) <= _MAX_DEVIATION
    if is_constant and number < _MIN_SHARE * count:
        reason = f"{number:,} of {count:,} frames can be read, because the file is incomplete or damaged"
        warnings.warn(f"{name}: {reason}", LevitWarning, stacklevel=3)


@contextmanager
def _opened(cv2: Any, source: str | PathLike[str] | int) -> Iterator[Any]:
    """Open a video file or a camera, and close it at the end."""
    if not isinstance(source, int):
        try:
            check_is_regular(source, fspath(source))
        except OSError as error:
            raise DataError(f"cannot be opened ({error.strerror})", source=source) from error
    capture = cv2.VideoCapture(source if isinstance(source, int) else fspath(source))
    try:
        if not capture.isOpened():
            reason = "no such camera" if isinstance(source, int) else "not a video of a supported format"
            raise DataError(reason, source=_name(source))
        yield capture
    finally:
        capture.release()


def _name(source: str | PathLike[str] | int) -> str:
    return f"camera {source}" if isinstance(source, int) else fspath(source)


def _import_opencv() -> Any:
    os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")  # its messages would be more than one line
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    try:
        import cv2
    except ImportError as error:
        raise ImportError('videos and cameras need OpenCV: pip install "levit[video]"') from error
    return cv2
