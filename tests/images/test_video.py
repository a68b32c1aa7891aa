"""Frames of video files."""

import os
import sys
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from levit.errors import ConfigError, DataError, ImageError, LevitWarning
from levit.images.video import read_frames
from tests.images.videos import COLORS, write_video

cv2 = pytest.importorskip("cv2")


@pytest.fixture
def clip(tmp_path):
    write_video(tmp_path / "clip.avi")
    return tmp_path / "clip.avi"


def test_frames_are_rgb_with_their_numbers_and_times(clip):
    frames = list(read_frames(clip))
    assert [frame.number for frame in frames] == list(range(12))
    assert [frame.seconds for frame in frames] == [number / 8 for number in range(12)]
    for frame in frames:
        assert (frame.pixels.shape, frame.pixels.dtype) == ((48, 64, 3), np.uint8)
        np.testing.assert_allclose(frame.pixels.mean((0, 1)), COLORS[frame.number // 3], atol=6)


def test_every_nth_frame_keeps_its_number(clip):
    frames = list(read_frames(str(clip), every=5))
    assert [(frame.number, frame.seconds) for frame in frames] == [(0, 0), (5, 0.625), (10, 1.25)]


def test_frames_of_a_variable_rate_have_their_own_times(tmp_path):
    first, *others = (Image.new("RGB", (64, 48), color) for color in COLORS)
    first.save(tmp_path / "clip.gif", save_all=True, append_images=others, duration=[100, 500, 100, 1000])
    assert [frame.seconds for frame in read_frames(tmp_path / "clip.gif")] == pytest.approx([0, 0.1, 0.6, 0.7])
    assert [frame.seconds for frame in read_frames(tmp_path / "clip.gif", every=2)] == pytest.approx([0, 0.6])


@pytest.mark.parametrize("kind", ["avi", "mkv"])
def test_a_file_that_is_cut_off_is_a_warning_after_its_frames(tmp_path, kind):
    write_video(tmp_path / f"clip.{kind}", frames=40)
    content = (tmp_path / f"clip.{kind}").read_bytes()
    (tmp_path / f"clip.{kind}").write_bytes(content[: len(content) * 6 // 10])
    frames = read_frames(tmp_path / f"clip.{kind}", every=2)
    seen = [next(frames)]
    with pytest.warns(LevitWarning, match=rf"clip\.{kind}: \d\d of 40 frames can be read, because the file is incom"):
        seen.extend(frames)
    assert 5 < len(seen) < 15


@pytest.mark.parametrize("kind", ["mkv", "mp4"])
def test_a_complete_file_is_no_warning(tmp_path, kind):
    write_video(tmp_path / f"clip.{kind}", frames=9, codec="mp4v")
    assert len(list(read_frames(tmp_path / f"clip.{kind}"))) == 9


def test_a_frame_that_cannot_be_decoded_is_empty_and_the_others_follow(clip, monkeypatch):
    class Capture:
        """Video whose second frame is damaged."""

        def __init__(self, source: str) -> None:
            self._capture, self._count = cv2_capture(source), 0

        def retrieve(self):
            self._count += 1
            return (False, None) if self._count == 2 else self._capture.retrieve()

        def __getattr__(self, name: str):
            return getattr(self._capture, name)

    cv2_capture = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    frames = list(read_frames(clip))
    assert [frame.number for frame in frames] == list(range(12))
    assert [frame.pixels.shape for frame in frames[:3]] == [(48, 64, 3), (0, 0, 3), (48, 64, 3)]


class FakeCapture:
    """Opened camera or video without a file; its frames are images, or None where they cannot be read."""

    frames: ClassVar[list] = []

    def __init__(self, source) -> None:
        self._left = list(self.frames)

    def isOpened(self) -> bool:  # noqa: N802  # the name is OpenCV's
        return True

    def get(self, field) -> float:
        return 0.0

    def grab(self) -> bool:
        if not self._left:
            return False
        self._frame = self._left.pop(0)
        return True

    def retrieve(self):
        return self._frame is not None, self._frame

    def release(self) -> None:
        pass


def test_a_frame_of_a_camera_that_cannot_be_read_is_left_out_and_counted(monkeypatch):
    image = np.zeros((4, 6, 3), np.uint8)
    monkeypatch.setattr(FakeCapture, "frames", [image, None, image])
    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)
    assert [(frame.number, frame.pixels.shape) for frame in read_frames(0)] == [(0, (4, 6, 3)), (2, (4, 6, 3))]


def test_a_file_or_a_camera_without_a_frame_is_an_error(clip, monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)
    for source, name in ((clip, str(clip)), (3, "camera 3")):
        with pytest.raises(DataError) as caught:
            list(read_frames(source))
        assert str(caught.value) == f"{name}: no frame can be read: give a video, or convert it to MP4"


def test_frames_of_a_list_do_not_share_their_pixels(clip):
    first, *_, last = read_frames(clip)
    assert not np.array_equal(first.pixels, last.pixels)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such file"), (b"", "not a video"), (b"text" * 100, "not a video of a supported format")],
)
def test_files_that_are_no_videos_are_errors_of_one_line(tmp_path, content, message):
    if content is not None:
        (tmp_path / "clip.mp4").write_bytes(content)
    with pytest.raises(DataError, match=f"clip.mp4.*{message}" if content is not None else "cannot be opened"):
        list(read_frames(tmp_path / "clip.mp4"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "clip.mp4")
    with pytest.raises(ImageError, match="not a regular file"):
        list(read_frames(tmp_path / "clip.mp4"))


def test_a_camera_that_does_not_exist_is_an_error():
    with pytest.raises(DataError, match=r"camera 987.*no such camera"):
        list(read_frames(987))


def test_less_than_every_frame_is_an_error(clip):
    with pytest.raises(ConfigError, match="every is 0: give at least 1"):
        read_frames(clip, every=0)


def test_the_extra_is_named_where_it_is_missing(clip, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)  # as if it were not installed
    with pytest.raises(ImportError, match=r'pip install "levit\[video\]"'):
        list(read_frames(clip))
