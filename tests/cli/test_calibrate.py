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


def test_predict_says_unknown_below_the_threshold(console, exported, photos):
    before = [prediction.top(1)[0] for prediction in Classifier(exported).stream(sorted(photos.rglob("*.png")))]
    answer = console("calibrate", exported, photos, "--coverage", "0.5", "--json")
    assert (answer.code, answer.err) == (0, "")
    found = json.loads(answer.out)
    unanswered = 20 - round(found["coverage"] / 5)
    assert 8 <= unanswered <= 10  # random weights give scores that are almost the same
    assert found["images"] == 20
    predictions = list(Classifier(exported).stream(sorted(photos.rglob("*.png"))))
    assert sum(prediction.is_unknown for prediction in predictions) == unanswered
    assert [prediction.top(1)[0].name for prediction in predictions] == [label.name for label in before]
    lines = console("predict", *sorted(photos.rglob("*.png")), "--model", exported, "--json", "--top-k", "2").out
    answers = [json.loads(line)["labels"] for line in lines.splitlines()]
    unknown = [labels for labels in answers if labels[0]["name"] == "unknown"]
    assert len(unknown) == unanswered
    assert all((len(labels), labels[0]["index"]) == (2, -1) for labels in answers if labels in unknown)
    info = console("info", exported)
    assert f"{found['coverage']:.1f} % are answered" in " ".join(info.out.split())
    assert json.loads(console("info", exported, "--json").out)["rejection"] == found


def test_only_an_exported_file_can_be_calibrated(console, model, photos):
    answer = console("calibrate", model, photos)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == f"levit: {model}: no exported file: export the checkpoint first\n"
