"""Data that is opened by its path for an evaluation: its split, its other splits and its duplicates."""

import pytest

import levit
from levit.evaluation.evaluation_set import open_evaluation_set
from tests.data.datasets_on_disk import png, write_images
from tests.runtime.small_model import color_classifier


@pytest.fixture
def photos(tmp_path):
    write_images(
        tmp_path, *(f"{split}/{color}/{split}.png" for split in ("train", "test") for color in ("red", "blue"))
    )
    for name in ("train/red/copy.png", "test/blue/first.png", "test/red/second.png"):
        (tmp_path / name).write_bytes(png(99))
    return tmp_path


def test_the_split_and_the_duplicates_of_a_path_are_in_the_evaluation(photos):
    evaluation = levit.evaluate(color_classifier(), photos)
    assert (evaluation.split, evaluation.to_dict()["data"]["split"]) == ("test", "test")
    assert (evaluation.duplicates.num_within, evaluation.duplicates.num_across) == (1, 2)
    assert evaluation.duplicates.compared_splits == ("train",)
    assert levit.evaluate(color_classifier(), photos, find_duplicates=False).duplicates is None


def test_of_opened_data_there_are_no_other_splits(photos):
    evaluation = levit.evaluate(color_classifier(), levit.open_data(photos))
    assert (evaluation.split, evaluation.duplicates) == (None, None)


def test_images_that_are_left_out_are_no_duplicates(photos):
    data = open_evaluation_set(photos, split="test")
    assert [item.name for item in data] == ["blue/first.png", "blue/test.png", "red/second.png", "red/test.png"]
    assert (data.find_duplicates(0).num_within, data.find_duplicates(1).num_within) == (1, 0)


def test_the_only_split_is_named(photos):
    for file in (photos / "test").rglob("*.png"):
        file.unlink()
    for folder in ("blue", "red", ""):
        (photos / "test" / folder).rmdir()
    assert open_evaluation_set(photos).split == "train"
    assert open_evaluation_set(photos / "train").split is None


def test_the_speed_is_measured_of_one_model_only(photos):
    alone = levit.evaluate(color_classifier(), photos)
    both = levit.evaluate(color_classifier(), photos, compare=color_classifier())
    assert alone.images_per_second > 0
    assert both.images_per_second is both.comparison.second.images_per_second is both.to_dict()["images_per_second"]
    assert both.images_per_second is None
