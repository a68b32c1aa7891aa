"""configs/adapt_teacher.py gives a teacher of timm the classes of a data set."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch

from levit.spec.preprocessing import Preprocessing
from levit.training.timm_networks import ClassificationNetwork, load_timm_network, write_timm_config
from tests.conftest import ROOT
from tests.training.runs import COLORS

SIZE = 64
PROGRAM = ROOT / "configs" / "adapt_teacher.py"


@pytest.mark.slow
def test_a_teacher_gets_a_classifier_of_the_classes_and_keeps_its_features(colors: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = timm.create_model("test_resnet", num_classes=7).eval()
    (tmp_path / "teacher").mkdir()
    preprocessing = Preprocessing.for_image_size((SIZE, SIZE))
    teacher = ClassificationNetwork(network, preprocessing, tuple("abcdefg"))
    write_timm_config(teacher, tmp_path / "teacher", (SIZE, SIZE), is_multi_label=False)
    command = [sys.executable, str(PROGRAM), str(tmp_path / "teacher")]
    options = ["--image-size", "32", "--teacher-size", str(SIZE), "--out", str(tmp_path / "adapted")]
    data = [str(colors), "--val", str(colors)]  # their own splits
    done = subprocess.run([*command, *data, *options], capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    assert "the teacher does not know all classes" in done.stdout
    assert len(re.findall(r"^epoch \d: top1 [\d.]+%, loss \d", done.stdout, re.MULTILINE)) == 8
    adapted = load_timm_network(str(tmp_path / "adapted"))
    assert adapted.labels == COLORS
    assert adapted.preprocessing.mean == preprocessing.mean
    images = torch.randn(2, 3, SIZE, SIZE)
    with torch.no_grad():
        features, expected = (model.forward_features(images) for model in (adapted.network.eval(), network))
        assert adapted.network(images).shape == (2, len(COLORS))
    torch.testing.assert_close(features, expected)


def test_the_classifier_starts_from_the_weights_of_the_classes_that_the_teacher_knows() -> None:
    initial_classifier = runpy.run_path(str(PROGRAM))["initial_classifier"]
    network = timm.create_model("test_resnet", num_classes=5)
    preprocessing = Preprocessing.for_image_size((SIZE, SIZE))
    teacher = ClassificationNetwork(network, preprocessing, ("cat", "dog", "crane", "bird", "fish"))
    classifier = initial_classifier(teacher, ("fish", "dog"))
    own = network.get_classifier()
    torch.testing.assert_close(classifier.weight, own.weight[[4, 1]], rtol=0, atol=0)
    torch.testing.assert_close(classifier.bias, own.bias[[4, 1]], rtol=0, atol=0)
