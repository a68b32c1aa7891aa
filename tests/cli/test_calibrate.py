"""`levit calibrate`: recorded rejection, and unknown predictions."""

import json

import numpy as np
import pytest
from PIL import Image

from levit.runtime.classifier import Classifier
from tests.runtime.small_model import LABELS


@pytest.fixture
def photos(tmp_path):
    generator = np.random.default_rng(0)
    for index in range(20):
        file = tmp_path / "photos" / LABELS[index % len(LABELS)] / f"{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (32, 32, 3), np.uint8)).save(file)
    return tmp_path / "photos"


@pytest.fixture
def exported(console, model, tmp_path):
    assert console("export", model, tmp_path / "fruit.onnx").code == 0
    return tmp_path / "fruit.onnx"


def test_predict_prints_unknown_below_the_threshold(console, exported, photos):
    before = [prediction.top(1)[0] for prediction in Classifier(exported).stream(sorted(photos.rglob("*.png")))]
    result = console("calibrate", exported, photos, "--coverage", "0.5", "--json")
    assert (result.code, result.err) == (0, "")
    rejection = json.loads(result.out)
    assert (rejection["images"], rejection["is_in_sample"]) == (20, False)
    predictions = list(Classifier(exported).stream(sorted(photos.rglob("*.png"))))
    num_unknown = sum(prediction.is_unknown for prediction in predictions)
    assert 8 <= num_unknown <= 10  # random weights give scores that are almost equal
    assert [prediction.top(1)[0].name for prediction in predictions] == [label.name for label in before]
    lines = console("predict", *sorted(photos.rglob("*.png")), "--model", exported, "--json", "--top-k", "2").out
    printed = [json.loads(line)["labels"] for line in lines.splitlines()]
    unknown = [labels for labels in printed if labels[0]["name"] == "unknown"]
    assert len(unknown) == num_unknown
    assert all((len(labels), labels[0]["index"]) == (2, -1) for labels in unknown)
    info = console("info", exported)
    coverage, precision = (f"{100 * rejection[name]:.1f} %" for name in ("coverage", "precision"))
    expected = f"; coverage {coverage}, precision {precision} (cross-validated on 20 images of photos)"
    assert expected in " ".join(info.out.split())
    assert json.loads(console("info", exported, "--json").out)["rejection"] == pytest.approx(rejection)


def test_invalid_options_are_named_as_flags(console, exported, photos):
    result = console("calibrate", exported, photos, "--coverage", "2")
    assert (result.code, result.out) == (2, "")
    assert result.err == "levit: --coverage is 2.0: give a fraction above 0 and at most 1\n"
    result = console("calibrate", exported, photos, "--coverage", "0.5", "--target-precision", "0.5")
    assert result.err == "levit: --coverage and --target-precision exclude each other: give one of them\n"


@pytest.mark.parametrize("command", [["calibrate"], ["evaluate", "--save-accuracy"]])
def test_only_the_metadata_of_an_exported_onnx_file_can_be_updated(console, model, photos, tmp_path, command):
    result = console(*command, model, photos)
    assert (result.code, result.out) == (2, "")
    assert result.err == f"levit: {model} is not an exported file: export the checkpoint first\n"
    file = tmp_path / "fruit.xml"
    assert console("export", model, file).code == 0
    result = console(*command, file, photos)
    assert (result.code, result.out) == (2, "")
    reason = "is in OpenVINO's format, whose metadata cannot be updated: give the .onnx file"
    assert result.err == f"levit: {file} {reason}\n"
