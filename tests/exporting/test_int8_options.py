"""Options of int8 exports: which are refused, which images they name, and the allowed loss of accuracy."""

import shutil
from types import SimpleNamespace

import numpy as np
import onnx
import pytest

import levit.exporting.export as export_module
from levit.errors import ConfigError, DataError
from levit.evaluation import prepared_images
from levit.exporting.export import export
from levit.exporting.int8 import Candidate
from tests.conftest import EXAMPLES


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": "int8"}, "int8 requires quantization images: give `quantization_data`"),
        ({"weights": "int4"}, "^weights is 'int4': use one of fp32, fp16, int8"),
        (
            {"weights": "int8", "quantization_data": EXAMPLES, "quantization_images": 0},
            "^quantization_images is 0: use at least 1",
        ),
        ({"weights": "fp16", "quantization_data": "x"}, "do not apply to weights in fp16"),
        (
            {"weights": "int8", "quantization_data": EXAMPLES, "max_drop": 1.0},
            "^max_drop has no effect without `evaluation`: give labeled images",
        ),
        (
            {"weights": "int8", "quantization_data": EXAMPLES, "class_map": {"cat": "tabby"}},
            "^class_map has no effect without `evaluation`: give labeled images",
        ),
        *(
            (
                {"weights": "int8", "quantization_data": EXAMPLES, "evaluation": EXAMPLES, "max_drop": max_drop},
                f"^max_drop is {max_drop:g}: use a finite number of at least 0",
            )
            for max_drop in (np.nan, np.inf, -1)
        ),
    ],
    ids=str,
)
def test_options_that_exclude_each_other_are_errors(tmp_path, untrained, options, message):
    with pytest.raises(ConfigError, match=message):
        export(untrained, tmp_path / "x.onnx", **options)


def test_images_without_labels_are_refused_for_evaluation(tmp_path, untrained):
    with pytest.raises(DataError, match=r"^examples: no labels: put the images into one folder for each class"):
        export(untrained, tmp_path / "x.onnx", weights="int8", quantization_data=EXAMPLES, evaluation=EXAMPLES,
               quantization_images=2)  # fmt: skip


def test_the_same_images_for_both_options_are_refused_before_they_are_decoded(tmp_path, untrained, monkeypatch):
    monkeypatch.setattr(prepared_images, "read_and_preprocess", lambda *_: pytest.fail("an image was decoded"))
    message = (
        r"has no images for `evaluation` but the 4 quantization images: lower `quantization_images`, or give other "
        r"images as `evaluation`"
    )
    with pytest.raises(DataError, match=message):
        export(untrained, tmp_path / "x.onnx", weights="int8", quantization_data=EXAMPLES, evaluation=EXAMPLES)


def test_ranges_are_determined_on_the_training_images_and_accuracy_on_the_others(tmp_path, untrained, monkeypatch):
    for split, photo in (("train", "cat.jpg"), ("val", "rocket.jpg")):
        (tmp_path / split).mkdir()
        shutil.copy(EXAMPLES / photo, tmp_path / split)
    names = {}

    def record(model, *, quantization_data, evaluation, **_):
        names.update(quantization=[item.name for item in quantization_data], evaluation=[i.name for i in evaluation])
        return model, None

    monkeypatch.setattr(export_module, "make_int8", record)
    export(untrained, tmp_path / "x.onnx", weights="int8", quantization_data=tmp_path, evaluation=tmp_path)
    assert names == {"quantization": ["cat.jpg"], "evaluation": ["rocket.jpg"]}


@pytest.mark.parametrize(("top1", "is_allowed"), [(0.599, True), (0.598, False)])
def test_a_loss_of_exactly_the_limit_is_allowed_despite_rounding(top1, is_allowed):
    before, after = (
        Candidate(onnx.ModelProto(), np.empty((0, 0), np.float32), SimpleNamespace(top1=value)) for value in (0.6, top1)
    )
    assert before.drop_to(after) > 0.1
    assert before.allows(after, 0.1) is is_allowed
