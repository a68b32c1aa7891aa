"""Text of the model card of a run."""

import re
from dataclasses import replace

import pytest
from huggingface_hub import ModelCard

from levit.training.card_sources import DataSource
from levit.training.model_card import CardWeights, code, write_model_card
from levit.training.options import TrainingOptions
from tests.training.card_facts import FACTS, ROW

WEIGHTS = CardWeights(
    epoch=1, kind="average", is_best=True, history=[ROW, {**ROW, "epoch": 2, "ema_top1": 0.55}], is_complete=True,
    num_classes=3,
)  # fmt: skip


def write(facts=FACTS, weights=WEIGHTS, **values):
    return write_model_card(replace(facts, **values), weights)


def test_the_hub_reads_its_metadata_and_results():
    data = ModelCard(write()).data
    assert (data.library_name, data.pipeline_tag, data.license) == (
        "transformers",
        "image-classification",
        "apache-2.0",
    )
    assert (data.base_model, data.tags, data.metrics) == ("facebook/levit-128S", ["levit"], ["accuracy", "f1"])
    assert data.model_name == "pets"
    results = {result.metric_name: (result.metric_type, result.metric_value) for result in data.eval_results}
    assert results == {"top-1 accuracy": ("accuracy", 0.6), "macro F1": ("f1", 0.45)}
    assert {(result.dataset_name, result.dataset_split) for result in data.eval_results} == {("pets", "validation")}
    assert data.get("datasets") is None


def test_a_levit_that_transformers_does_not_compute_has_no_program_of_transformers():
    assert "from transformers import pipeline" in write()
    text = write(is_stock=False)
    assert ModelCard(text).data.library_name == "levit"
    assert 'levit.Classifier("path/to/this/folder")' in text
    assert "pipeline(" not in text
    assert "transformers" not in text


def test_data_of_the_hub_and_other_licenses_are_metadata():
    data = ModelCard(write(data=DataSource("ann/pets", "ann/pets", "ann/pets"), license=None, base_model=None)).data
    assert data.datasets == ["ann/pets"]
    assert data.get("license") is None
    assert data.get("base_model") is None
    assert "Not stated, because it depends on the licenses of the training images and of the weights" in write(
        license=None
    )


def test_weights_in_the_package_are_named_as_such():
    start = "The training started from the weights in the package levit."
    assert start in write(options=TrainingOptions.from_flat(data="pets", out="run", model="embedded", epochs=2))
    assert start not in write()


def test_it_has_the_sections_of_a_card():
    headings = re.findall(r"^(#+ .*)$", write(), re.MULTILINE)
    sections = ("How to use it", "Intended use", "Limits", "Training data", "Training", "Results", "License")
    assert headings == ["# pets", *(f"## {name}" for name in sections)]


def test_results_are_those_of_both_networks_in_the_chosen_epoch():
    text = write()
    assert "After epoch 1 of 2, the best one by top-1 accuracy, as the mean of 3 epochs:" in text
    assert "| validation | network | moving average (these weights) |" in text
    assert "| top-1 accuracy | 50.00 % | 60.00 % |" in text
    assert "| cross-entropy | 1.0000 | 0.9000 |" in text
    assert "curves.png" in text


def test_top_5_accuracy_needs_more_than_five_classes():
    assert "top-5" not in write()
    assert "| top-5 accuracy | 90.00 % | 95.00 % |" in write(weights=replace(WEIGHTS, num_classes=6))


def test_the_last_average_is_not_called_the_best():
    text = write(weights=replace(WEIGHTS, epoch=2, is_best=False))
    assert "After epoch 2 of 2, the last one:" in text
    assert "chosen by the validation images" not in text
    assert "curves.png" not in text


def test_without_an_average_there_is_one_column():
    row = {name: value for name, value in ROW.items() if not name.startswith("ema_")}
    options = TrainingOptions.from_flat(data="pets", out="run")
    text = write(weights=replace(WEIGHTS, kind="network", history=[row]), options=options)
    assert "After epoch 1 of 1, the best one by top-1 accuracy:" in text
    assert "| validation | network |\n| --- | --- |\n| top-1 accuracy | 50.00 % |" in text


def test_a_run_that_goes_on_says_so():
    assert "**Training is not complete:** these are the weights after epoch 1 of 2." in write(
        weights=replace(WEIGHTS, is_complete=False)
    )
    assert "not complete" not in write()


def test_names_of_classes_cannot_change_the_page():
    text = write()
    assert "`a\\|b 'c'\\n# d` 7" in text
    assert "\n# d" not in text
    assert code("x\n`y`") == "`x\\n'y'`"


def test_many_classes_are_folded_and_rare_ones_are_named():
    names = tuple(f"class {number}" for number in range(30))
    text = write(classes=names, counts=tuple(range(30)), num_validation=5000)
    assert "<details>\n<summary>Classes, with their numbers of training images</summary>\n\n`class 0` 0, " in text
    assert "fewer than 20 training images with labels: `class 0` (0), `class 1` (1)" in text
    assert "`class 29` (29)" not in text
    assert "validation images: one image is" not in text


@pytest.mark.parametrize(("distillation", "target"), [("hard", "class"), ("soft", "scores at temperature 2")])
def test_the_teacher_is_named_without_its_folder(distillation, target):
    values = {"tau": 2.0} if distillation == "soft" else {}
    options = TrainingOptions.from_flat(data="p", out="r", teacher="/runs/big", distillation=distillation, **values)
    text = write(options=options, num_unlabeled=9, num_outliers=1234)
    assert f"trained on the predictions of `big` (the teacher's {target}, with a weight of 0.5)" in text
    assert "/runs" not in text
    assert "| training, without labels | 9 | trained on the predictions of the teacher alone |" in text
    assert "| training, out-of-distribution | 1,234 | trained to have equal scores of all classes |" in text


def test_several_labels_and_networks_of_timm_are_described_as_such():
    row = {"epoch": 1, "loss": 0.3, "map": 0.7, "f1": 0.5, "seconds": 1.0}
    weights = replace(WEIGHTS, kind="network", history=[row])
    options = TrainingOptions.from_flat(data="pets", out="run", metric="map")
    text = write(weights=weights, is_multi_label=True, is_levit=False, options=options)
    assert "any of 3 classes" in text
    assert "the best one by mean average precision" in text
    assert "no class for anything else" not in text
    assert 'timm.create_model("local-dir:path/to/this/folder"' in text
    assert ModelCard(text).data.library_name == "timm"
