"""Calls of the classifier that type checkers accept, as users write them."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT

PROGRAM = """
import io
from pathlib import Path
from typing import assert_type

import numpy as np
from PIL import Image

import levit

classify = levit.Classifier()
strings: list[str] = []
paths: list[Path] = []
assert_type(classify("x.jpg"), levit.Prediction)
assert_type(classify(strings), list[levit.Prediction])
assert_type(classify(paths), list[levit.Prediction])
assert_type(classify(tuple(paths)), list[levit.Prediction])
assert_type(classify(["x.jpg", Path("y.jpg")]), list[levit.Prediction])
assert_type(classify([Image.new("RGB", (1, 1))]), list[levit.Prediction])
for source in (io.BytesIO(), bytearray(), memoryview(b""), np.zeros((1, 1), np.uint8)):
    assert_type(classify(source), levit.Prediction)
with open("x.jpg", "rb") as stream:
    assert_type(classify(stream), levit.Prediction)
for prediction in classify.stream(paths):
    assert_type(prediction.top(1)[0].name, str)
classify.embed(strings)
classify.embed(["x.jpg", Path("y.jpg")])
classify.embed((b"",))
classify(7)  # an error
"""


@pytest.mark.slow
def test_mypy_accepts_lists_of_paths_and_every_source_and_refuses_a_number(tmp_path):
    """With the project's configuration and cache, because a check without a cache takes a minute."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    result = subprocess.run([sys.executable, "-m", "mypy", program], cwd=ROOT, capture_output=True, text=True)
    errors = [line for line in result.stdout.splitlines() if "program.py" in line and ": error:" in line]
    assert len(errors) == 1, result.stdout
    assert f"program.py:{PROGRAM.splitlines().index('classify(7)  # an error') + 1}: error:" in errors[0]
