"""The command `levit video`."""

import json

import pytest

from levit.images.video import read_frames
from levit.runtime.classifier import Classifier
from tests.cli.console import start
from tests.images.videos import write_video

pytest.importorskip("cv2")


def test_each_frame_is_a_line_with_its_time(console, model, photos):
    write_video("clip.avi")
    result = console("video", "clip.avi", "-m", model, "--every", 3, "-k", 2, "--json", "--batch-size", 2)
    records = [json.loads(line) for line in result.out.splitlines()]
    classify = Classifier(model)
    assert [(record["frame"], record["seconds"]) for record in records] == [(0, 0), (3, 0.375), (6, 0.75), (9, 1.125)]
    for record, frame in zip(records, read_frames("clip.avi", every=3), strict=True):
        expected = classify(frame.pixels).to_dict(2)["labels"]
        assert [label["name"] for label in record["labels"]] == [label["name"] for label in expected]
        assert (record["file"], record["error"]) == ("clip.avi", None)
    assert (result.code, result.err) == (0, "")


def test_lines_for_people_have_time_and_label(console, model, photos):
    write_video("clip.avi", frames=4)
    lines = console("video", "clip.avi", "-m", model).out.splitlines()
    assert [line.split()[:2] for line in lines] == [["0.000", "s"], ["0.125", "s"], ["0.250", "s"], ["0.375", "s"]]


def test_the_exit_code_is_one_if_frames_have_errors(console, model, photos, monkeypatch):
    write_video("clip.avi", frames=2)
    monkeypatch.setattr("levit.images.decoding.MAX_PIXELS", 1000)  # of which a frame has 3072
    result = console("video", "clip.avi", "-m", model, "--json")
    records = [json.loads(line) for line in result.out.splitlines()]
    assert [(record["frame"], record["labels"]) for record in records] == [(0, []), (1, [])]
    assert all("pixels are more than the limit" in record["error"] for record in records)
    assert result.code == 1


def test_a_file_that_is_no_video_is_an_error_of_one_line(model, photos):
    (photos / "clip.mp4").write_text("no video")
    process = start("video", "clip.mp4", "--model", model)  # in which OpenCV was not imported before
    assert (process.returncode, process.stdout) == (2, b"")
    assert process.stderr == b"levit: clip.mp4: not a video of a supported format\n"
