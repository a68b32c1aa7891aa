"""Scores and labels of a prediction."""

import json
import pickle
from array import array
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from levit.errors import ConfigError, ImageError
from levit.runtime.prediction import Label, Prediction


def prediction_of(*logits: float) -> Prediction:
    return Prediction("image", np.array(logits, np.float32), tuple("abcdefgh"[: len(logits)]))


def test_scores_are_probabilities_even_of_huge_logits():
    for logits in ([1, 2, 3], [1000, 0, -1000], [-5000, -5000.5, -6000]):
        scores = prediction_of(*logits).scores
        assert scores.dtype == np.float32
        assert scores.sum() == pytest.approx(1)
        assert scores.argmax() == np.argmax(logits)
    np.testing.assert_allclose(prediction_of(0, np.log(3)).scores, [0.25, 0.75], rtol=1e-6)


def test_scores_of_a_multi_label_model_are_sigmoids():
    logits = np.float32([-1000, -np.log(3), 0, 1000])
    prediction = Prediction("image", logits, tuple("abcd"), is_multi_label=True)
    np.testing.assert_allclose(prediction.scores, [0, 0.25, 0.5, 1], rtol=1e-6)
    assert [label.name for label in prediction.top(2)] == ["d", "c"]


def test_top_sorts_by_score_and_equal_scores_by_index():
    top = prediction_of(0, 2, 1, 2, 2).top(4)
    assert [(label.name, label.index) for label in top] == [("b", 1), ("d", 3), ("e", 4), ("c", 2)]
    assert top[0] == Label("b", 1, top[1].score)
    assert all(isinstance(label.index, int) and isinstance(label.score, float) for label in top)


def test_top_returns_at_most_as_many_labels_as_classes():
    prediction = prediction_of(3, 1, 2)
    assert [label.name for label in prediction.top(100)] == ["a", "c", "b"]
    assert sum(label.score for label in prediction.top(100)) == pytest.approx(1)
    assert len(prediction.top()) == 3
    assert len(prediction.top(2)) == 2


def test_predictions_are_compared_by_identity():
    first, second = prediction_of(1, 2), prediction_of(1, 2)
    assert [second, first].index(first) == 1
    assert len({first, second}) == 2


def test_a_row_without_numpy_is_read_as_an_array():
    row = array("f", [0, 2, 1])
    prediction = Prediction("image", row, ("a", "b", "c"), pixels=Image.new("RGB", (3, 2), "red"))
    assert [label.name for label in prediction.top()] == ["b", "c", "a"]
    assert vars(prediction)["logits"] is row
    np.testing.assert_array_equal(prediction.logits, np.float32(row), strict=True)
    np.testing.assert_array_equal(prediction.pixels, np.full((2, 3, 3), [255, 0, 0], np.uint8), strict=True)


def test_an_image_of_unknown_class_is_rejected_without_numpy():
    prediction = Prediction("image", array("f", [0, 0.1]), ("a", "b"), threshold=0.6)
    assert prediction.is_unknown
    assert [label.name for label in prediction.top_or_unknown()] == ["unknown", "b", "a"]
    changed = replace(prediction, threshold=0.0)
    assert not changed.is_unknown
    assert changed.logits.tolist() == prediction.logits.tolist()


def test_a_pickled_prediction_has_arrays_and_no_metadata_of_the_photo():
    image = Image.new("RGB", (3, 2), "red")
    image.info["exif"] = b"at home"
    content = pickle.dumps(Prediction("image", array("f", [0, 2]), ("a", "b"), pixels=image))
    assert b"at home" not in content
    copy = pickle.loads(content)
    assert vars(copy)["logits"].tolist() == [0, 2]
    assert vars(copy)["pixels"].shape == (2, 3, 3)


def test_less_than_one_label_is_an_error():
    with pytest.raises(ConfigError, match="k is 0: give at least 1"):
        prediction_of(1, 2).top(0)


def rejected(*scores: float) -> Prediction:
    logits = np.log(np.float32(scores))
    return Prediction("a.jpg", logits, tuple("abcdefgh"[: len(scores)]), threshold=0.9)


def test_repr_has_the_best_labels_with_their_scores():
    assert repr(prediction_of(*np.log([0.2, 0.5, 0.06, 0.24]))) == "Prediction('image': b 50.0 %, d 24.0 %, a 20.0 %)"


def test_repr_of_a_rejected_image_says_unknown_and_the_best_guess():
    assert repr(rejected(0.25, 0.75)) == "Prediction('a.jpg': unknown, perhaps b 75.0 %, a 25.0 %)"


def test_repr_of_an_error_is_its_reason_on_one_line():
    error = ImageError("cut\noff", source="a\x1b.jpg", hint="repair it")
    failed = Prediction("a\x1b.jpg", np.empty(0, np.float32), ("a",), error=error)
    assert repr(failed) == "Prediction('a\\x1b.jpg': cut\\noff)"


def test_to_dict_is_what_json_stores():
    values = prediction_of(*np.log([0.25, 0.75])).to_dict()
    assert json.loads(json.dumps(values)) == values
    assert list(values) == ["file", "labels", "error"]
    assert values["labels"][0] == {"name": "b", "index": 1, "score": pytest.approx(0.75)}
    assert len(prediction_of(1, 2, 3).to_dict(2)["labels"]) == 2


def test_to_dict_of_a_rejected_image_begins_with_unknown():
    labels = rejected(0.25, 0.75).to_dict(2)["labels"]
    assert [(label["name"], label["index"]) for label in labels] == [("unknown", -1), ("b", 1)]
    assert labels[0]["score"] == labels[1]["score"]
    assert len(rejected(0.25, 0.75).to_dict(1)["labels"]) == 1


def test_to_dict_of_an_error_has_its_message():
    error = ImageError("no such file", source="a.jpg")
    failed = Prediction("a.jpg", np.empty(0, np.float32), ("a",), error=error)
    assert failed.to_dict() == {"file": "a.jpg", "labels": [], "error": "a.jpg: no such file"}
