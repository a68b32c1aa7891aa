"""Evaluation, comparison and calibration read each file once."""

import json
import subprocess
import sys

from tests.conftest import ROOT
from tests.data.datasets_on_disk import write_images

PROGRAM = """
import json, sys
from collections import Counter

import levit
from levit.evaluation.rejection import find_rejection
from tests.runtime.small_model import color_classifier

opened = Counter()

def count(event, arguments):
    if event == "open" and str(arguments[0]).endswith(".png"):
        opened[str(arguments[0])[len(sys.argv[1]) + 1:]] += 1

sys.addaudithook(count)
model = color_classifier()
counts = []
for run in (
    lambda: levit.evaluate(model, sys.argv[1]),
    lambda: levit.evaluate(model, sys.argv[1], compare=color_classifier()),
    lambda: find_rejection(model, levit.open_data(sys.argv[1])),
):
    opened.clear()
    run()
    counts.append(dict(opened))
print(json.dumps(counts))
"""


def test_each_file_is_opened_once(tmp_path):
    names = [f"{color}/{number}.png" for color in ("blue", "green", "red") for number in range(30)]
    write_images(tmp_path / "photos", *names)
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(tmp_path / "photos")]
    output = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert json.loads(output) == [dict.fromkeys(names, 1)] * 3
