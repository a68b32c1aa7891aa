"""Images without a label in the training set: unlabeled ones, further ones, and outliers."""

import numpy as np
import pytest

from levit.errors import ConfigError, DataError, LevitWarning
from levit.training.datasets import count_labels, hash_images, open_training_data
from levit.training.option_groups import DataOptions, TeacherOptions
from tests.data.datasets_on_disk import write_images, write_parquet
from tests.training.image_stores import names

LABELED = [f"{name}/{number}.png" for name in ("cat", "dog") for number in range(3)]


@pytest.mark.parametrize("folder", ["unlabeled", "unlabelled", "none"])
def test_images_in_a_folder_for_unlabeled_ones_are_trained_on_and_never_validated_on(tmp_path, load, folder):
    data = write_images(tmp_path / "pets", *LABELED, *(f"{folder}/{number}.png" for number in range(5)))
    if folder == "none":
        train, _ = load(data, val_share=0.34)  # an ordinary name is that of a class
        assert (train.classes, count_labels(train).tolist()) == (("cat", "dog", "none"), [2, 2, 3])
        return
    train, validation = load(data, val_share=0.34, keeps_unlabeled=True)
    assert (train.num_unlabeled, validation.num_unlabeled) == (5, 0)
    assert (len(train), len(validation)) == (4 + 5, 2)
    assert count_labels(train).tolist() == [2, 2]
    with pytest.warns(LevitWarning, match="left out without a label: 5 of 11 images"):
        train, _ = load(data, val_share=0.34)
    assert (len(train), train.num_unlabeled) == (4, 0)


def test_the_folder_of_unlabeled_images_may_be_beside_the_splits(tmp_path, load):
    files = [f"{split}/{name}" for split in ("train", "val") for name in LABELED]
    data = write_images(tmp_path / "pets", *files, "unlabeled/a/1.png", "unlabeled/2.png")
    with pytest.raises(DataError, match="next to folders of images"):
        load(data, keeps_unlabeled=True)
    (data / "unlabeled" / "2.png").rename(data / "unlabeled" / "a" / "2.png")
    train, validation = load(data, keeps_unlabeled=True)
    assert (len(train), train.num_unlabeled, len(validation)) == (8, 2, 6)


@pytest.mark.parametrize("label", [-1, None])
def test_rows_of_parquet_files_without_a_label_are_trained_on(tmp_path, load, label):
    data = write_parquet(tmp_path / "pets.parquet", labels=(0, 0, 0, 1, 1, 1, label, label))
    train, validation = load(data, val_share=0.34, keeps_unlabeled=True)
    assert (len(train), train.num_unlabeled, len(validation)) == (4 + 2, 2, 2)
    assert validation.num_unlabeled == 0


@pytest.fixture(params=["folder", "parquet"])
def birds(request, tmp_path):
    """Three images of two further classes."""
    if request.param == "folder":
        return write_images(tmp_path / "birds", "jay/1.png", "emu/2.png", "emu/3.png")
    return write_parquet(tmp_path / "birds.parquet", names=("jay", "emu"), labels=(1, 0, 1))


def test_labels_of_further_images_are_ignored(photos, load, birds):
    train, validation = load(photos, unlabeled=birds, keeps_unlabeled=True)
    alone, same = load(photos)
    assert (len(train), train.num_unlabeled) == (len(alone) + 3, 3)
    assert names(train)[: len(alone)] == names(alone)
    assert names(validation) == names(same)
    selected = train.select(np.array([0, len(alone), len(alone) + 2]))
    assert selected.num_unlabeled == 2
    assert [selected.labels(index) for index in (1, 2)] == [(), ()]
    content = selected.image(2)
    assert (content if isinstance(content, bytes) else content.read_bytes())[:4] == b"\x89PNG"


def test_outliers_have_no_label_and_are_not_validated_on(tmp_path, photos, load, birds):
    more = write_images(tmp_path / "more", "x/1.png")
    train, validation = load(photos, unlabeled=more, outliers=birds, keeps_unlabeled=True)
    alone, same = load(photos)
    assert (len(train), train.num_unlabeled, train.num_outliers) == (len(alone) + 4, 1, 3)
    assert (names(validation), validation.num_outliers) == (names(same), 0)
    are_outliers = [train.is_outlier(index) for index in range(len(train))]
    assert are_outliers == [False] * (len(alone) + 1) + [True] * 3
    assert {train.labels(index) for index in np.flatnonzero(are_outliers)} == {()}
    np.testing.assert_array_equal(count_labels(train), count_labels(alone))
    selected = train.select(np.array([0, len(train) - 1]))
    assert [selected.is_outlier(index) for index in (0, 1)] == [False, True]


def test_further_images_with_splits_are_those_of_the_train_split(tmp_path, photos, load):
    splits = write_images(tmp_path / "more", "train/x/1.png", "train/x/2.png", "test/x/3.png", "val/x/4.png")
    train, _ = load(photos, outliers=splits, unlabeled=splits, keeps_unlabeled=True)
    assert names(train)[-4:] == ["x/1.png", "x/2.png"] * 2
    assert (train.num_unlabeled, train.num_outliers) == (2, 2)
    options = DataOptions(data=str(photos), outliers=str(splits), unlabeled=str(splits))
    assert open_training_data(options).train_splits == {"outliers": str(splits)}
    train, _ = load(photos, outliers=splits / "test")
    assert names(train)[-1] == "x/3.png"


def test_further_images_without_a_train_split_are_an_error(tmp_path, photos):
    splits = write_images(tmp_path / "more", "test/x/3.png", "val/x/4.png")
    with pytest.raises(DataError, match=r"more: no train split$"):
        open_training_data(DataOptions(data=str(photos), outliers=str(splits)))


def test_only_what_is_used_is_opened(tmp_path, photos):
    files = [f"{split}/{name}" for split in ("train", "val") for name in LABELED]
    data = write_images(tmp_path / "pets", *files, "val/stray.png", "unlabeled/a/1.png", "unlabeled/stray.png")
    for options, keeps_unlabeled in (({}, False), ({"val": str(photos)}, True)):
        with pytest.raises(DataError, match=r"stray\.png is next to folders of images"):
            open_training_data(DataOptions(data=str(data), **options), keeps_unlabeled=keeps_unlabeled)
    opened = open_training_data(DataOptions(data=str(data), val=str(photos)))
    assert (len(opened.train), len(opened.datasets)) == (6, 2)


def test_outliers_change_the_hash_of_the_images(tmp_path, photos, load):
    more = write_images(tmp_path / "more", "x/1.png")
    runs = [load(photos, keeps_unlabeled=True, **{name: more})[0] for name in ("unlabeled", "outliers")]
    assert len({hash_images(images) for images in [*runs, load(photos)[0]]}) == 3


def test_images_without_labels_are_used_by_the_loss_of_a_teacher_only():
    options = [TeacherOptions(), TeacherOptions(teacher="run"), TeacherOptions(teacher="run", alpha=0.0)]
    assert [one.uses_unlabeled for one in options] == [False, True, False]


def test_multi_label_data_has_no_outliers(tmp_path, photos):
    data = write_parquet(tmp_path / "pets.parquet", labels=((0,), (0, 1), ()), column="labels")
    with pytest.raises(ConfigError, match=r"^outliers is .*any number of labels: add the images to the data"):
        open_training_data(DataOptions(data=str(data), outliers=str(photos)))


def test_multi_label_data_has_no_further_images_without_labels(tmp_path, photos):
    data = write_parquet(tmp_path / "pets.parquet", labels=((0,), (0, 1), ()), column="labels")
    with pytest.raises(ConfigError, match=r"^unlabeled is .*any number of labels: leave it out"):
        open_training_data(DataOptions(data=str(data), unlabeled=str(photos)), keeps_unlabeled=True)
