"""Training and validation set: opening, indexing and splitting."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levit.errors import ConfigError, DataError, LevitWarning
from levit.training.datasets import (
    IMAGE_COPIES,
    check_output_outside_data,
    count_labels,
    hash_images,
    open_training_data,
    split_validation,
)
from levit.training.option_groups import DataOptions
from tests.data.datasets_on_disk import write_images, write_parquet
from tests.training.image_stores import labeled_images, labels, names
from tests.training.tiny import CLASSES


@given(st.lists(st.integers(2, 40), min_size=1, max_size=6), st.floats(0.01, 0.9), st.integers(0, 9))
def test_the_validation_set_is_a_fraction_of_every_class(counts, fraction, seed):
    in_order = [(label,) for label, count in enumerate(counts) for _ in range(count)]
    shuffled = [in_order[index] for index in np.random.default_rng(0).permutation(len(in_order))]
    images = labeled_images(shuffled, tuple(map(str, range(len(counts)))))
    train, validation = split_validation(images, fraction, seed)
    assert sorted(names(train) + names(validation)) == sorted(names(images))
    for count, in_validation, in_train in zip(counts, count_labels(validation), count_labels(train), strict=True):
        assert in_validation + in_train == count
        assert in_validation >= 1
        assert in_train >= 1
        assert in_validation == 1 or in_train == 1 or abs(in_validation - fraction * count) <= 0.5
    again = split_validation(images, fraction, seed)
    assert (names(again[0]), names(again[1])) == (names(train), names(validation))


def test_each_seed_chooses_other_validation_images():
    images = labeled_images([(0,)] * 50, ("cat",))
    assert len({tuple(names(split_validation(images, 0.2, seed)[1])) for seed in range(5)}) == 5


def test_the_only_image_of_a_class_is_a_training_image():
    train, validation = split_validation(labeled_images([(0,), (1,), (1,)], ("cat", "dog")), 0.9, 0)
    assert (count_labels(train).tolist(), count_labels(validation).tolist()) == ([1, 1], [0, 1])


def test_the_fraction_of_multi_label_images_is_one_of_all_images():
    images = labeled_images([(0, 1), (), (2,), (1,)] * 5, is_multi_label=True)
    train, validation = split_validation(images, 0.25, 0)
    assert (len(train), len(validation)) == (15, 5)


@given(st.lists(st.sets(st.integers(0, 5)), min_size=1, max_size=40), st.floats(0.05, 0.9), st.integers(0, 9))
def test_every_label_of_multi_label_images_keeps_a_training_image(label_sets, fraction, seed):
    of_images = [tuple(sorted(chosen)) for chosen in [*label_sets, set(), set()]]
    images = labeled_images(of_images, tuple("abcdef"), is_multi_label=True)
    train, validation = split_validation(images, fraction, seed)
    assert sorted(names(train) + names(validation)) == sorted(names(images))
    np.testing.assert_array_equal(count_labels(train) > 0, count_labels(images) > 0)
    assert 1 <= len(validation) <= max(1, round(fraction * len(images)))


def test_an_empty_validation_set_is_an_error():
    with pytest.raises(DataError, match=r"give `val`, or a larger `val_share`$"):
        split_validation(labeled_images([(0,), (0,)]), 0.0, 0)


def test_one_image_of_each_class_leaves_none_for_validation_whatever_the_share():
    with pytest.raises(DataError, match=r"no class has two images: give `val`, a validation set, or add images"):
        split_validation(labeled_images([(0,), (1,)]), 0.5, 0)


def test_labels_are_counted():
    assert count_labels(labeled_images([(0,), (2,), (2, 0), ()])).tolist() == [2, 0, 2]


def test_the_hash_depends_on_names_labels_and_order():
    images = labeled_images([(0,), (1,), (2,)])
    others = [
        (images.select(np.array([0, 2, 1])),),
        (images.select(np.array([0, 1])),),
        (labeled_images([(0,), (1,), (1,)]),),
        (images.select(np.array([0, 1])), images.select(np.array([2]))),
    ]
    assert hash_images(images) == hash_images(labeled_images([(0,), (1,), (2,)]))
    assert len({hash_images(images), *(hash_images(*datasets) for datasets in others)}) == 5


def test_a_folder_without_splits_is_split(photos, load):
    train, validation = load(photos, val_share=0.25)
    assert not {*names(train)} & {*names(validation)}
    assert count_labels(validation).tolist() == [2, 2, 1]
    assert count_labels(train).tolist() == [6, 4, 3]


def test_a_parquet_file_is_split_like_its_folder(photos, parquet, load, tmp_path):
    for files, copied in zip(load(photos), load(parquet), strict=True):
        assert names(files) == names(copied)
        contents = [files.image(index).read_bytes() for index in range(len(files))]
        assert contents == [copied.image(index) for index in range(len(copied))]
    copies = (tmp_path / "run" / IMAGE_COPIES).iterdir()
    assert sorted(path.name for path in copies) == ["train", "train.index"]


@pytest.mark.parametrize("run", ["", "run", "cat/run"])
def test_a_run_directory_inside_a_folder_of_classes_is_an_error(tmp_path, run):
    write_images(tmp_path / "pets", "cat/1.png", "dog/2.png")
    data = open_training_data(DataOptions(data=str(tmp_path / "pets")))
    with pytest.raises(ConfigError, match=r"^out is .*inside .*pets, where every folder is a class of images"):
        check_output_outside_data(data, tmp_path / "pets" / run)
    check_output_outside_data(data, tmp_path / "pets-run")


def test_a_run_directory_may_be_beside_the_splits_of_the_data(tmp_path, parquet):
    write_images(tmp_path / "pets", "train/cat/1.png", "train/dog/2.png", "val/cat/3.png")
    pets = open_training_data(DataOptions(data=str(tmp_path / "pets")))
    check_output_outside_data(pets, tmp_path / "pets" / "run")
    check_output_outside_data(open_training_data(DataOptions(data=str(parquet))), parquet.parent / "run")


def test_a_process_that_does_not_write_has_the_same_images(parquet, load):
    written, read = load(parquet, val=parquet), load(parquet, val=parquet, writes=False)
    for one, other in zip(written, read, strict=True):
        assert [one.image(index) for index in range(len(one))] == [other.image(index) for index in range(len(other))]


def test_the_validation_split_is_the_validation_set(tmp_path, load):
    files = ("train/cat/1.png", "train/dog/2.png", "val/cat/3.png", "val/dog/4.png", "test/dog/5.png")
    train, validation = load(write_images(tmp_path / "pets", *files))
    assert (names(train), names(validation)) == (["cat/1.png", "dog/2.png"], ["cat/3.png", "dog/4.png"])


def test_the_test_split_is_not_used_where_there_is_no_validation_split(tmp_path, load):
    files = [f"train/{name}/{number}.png" for name in ("cat", "dog") for number in "1234"]
    train, validation = load(write_images(tmp_path / "pets", *files, "test/dog/5.png"), val_share=0.25)
    assert Counter(name[:3] for name in names(train) + names(validation)) == {"cat": 4, "dog": 4}
    assert len(validation) == 2


def test_val_takes_precedence_over_a_validation_split(tmp_path, load, photos):
    files = [f"{split}/{name}/1.png" for split in ("train", "val") for name in CLASSES]
    train, validation = load(write_images(tmp_path / "pets", *files), val=photos)
    assert (len(train), len(validation)) == (3, 18)


def test_a_single_train_split_is_split(tmp_path, load):
    files = [f"train/{name}/{number}.png" for name in CLASSES for number in range(4)]
    train, validation = load(write_images(tmp_path / "pets", *files))
    assert (count_labels(train).tolist(), count_labels(validation).tolist()) == ([3] * 3, [1] * 3)


def test_the_classes_of_training_and_validation_set_are_matched_by_name(tmp_path, load):
    write_parquet(tmp_path / "train.parquet", names=("cat", "dog"), labels=(0, 1))
    write_parquet(tmp_path / "val.parquet", names=("Dog", "cat"), labels=(0, 1, 1))
    train, validation = load(tmp_path / "train.parquet", val=tmp_path / "val.parquet", classes=("dog", "cat"))
    assert labels(train) == [(1,), (0,)]
    assert labels(validation) == [(0,), (1,), (1,)]


def test_multi_label_data_stays_multi_label(tmp_path, load):
    for split, count in (("train", 8), ("val", 3)):
        folder = write_images(tmp_path / "pets" / split, *(f"{number}.png" for number in range(count)))
        lines = [f"{number}.png,{('cat|dog', 'dog', '')[number % 3]}" for number in range(count)]
        (folder / "metadata.csv").write_text("\n".join(["file_name,labels", *lines]) + "\n")
    train, validation = load(tmp_path / "pets")
    assert train.is_multi_label
    assert validation.is_multi_label
    assert labels(validation) == [(0, 1), (1,), ()]
    assert len(train) == 8


def test_single_label_and_multi_label_data_cannot_be_combined(tmp_path, photos):
    write_images(tmp_path / "several", "1.png")
    (tmp_path / "several" / "metadata.csv").write_text("file_name,labels\n1.png,cat|dog\n")
    with pytest.raises(DataError, match=r"^several: several labels per image, but one label in pets"):
        open_training_data(DataOptions(data=str(photos), val=str(tmp_path / "several")))


@pytest.mark.parametrize("is_validation", [False, True])
def test_data_where_any_of_several_labels_is_correct_is_refused(tmp_path, photos, is_validation):
    write_images(tmp_path / "val", *(f"ILSVRC2012_val_{number:08}.JPEG" for number in (1, 2)))
    (tmp_path / "real.json").write_text("[[1, 2], []]")
    real = str(tmp_path / "real.json")
    options = DataOptions(data=str(photos), val=real) if is_validation else DataOptions(data=real)
    with pytest.raises(DataError, match=r"any of several labels counts as correct"):
        open_training_data(options)


def test_data_without_a_train_split_is_an_error(tmp_path):
    write_images(tmp_path / "pets", "test/cat/1.png", "val/cat/1.png")
    with pytest.raises(DataError, match=r"pets: no train split$"):
        open_training_data(DataOptions(data=str(tmp_path / "pets")))


def test_images_without_labels_are_an_error(tmp_path):
    write_images(tmp_path / "heap", "1.png", "2.png")
    with pytest.raises(DataError, match=r"no labels: put the images into one folder for each class"):
        open_training_data(DataOptions(data=str(tmp_path / "heap")))


def test_a_class_without_training_images_is_an_error(tmp_path, load):
    write_images(tmp_path / "pets", "train/cat/1.png", "val/cat/3.png")
    (tmp_path / "pets" / "train" / "dog").mkdir()
    with pytest.raises(DataError, match=r"^train: no training image of 'dog': leave out the empty classes"):
        load(tmp_path / "pets")


def test_a_network_may_have_more_classes_than_the_data(tmp_path, load):
    """Those of a teacher, in its order; images of the validation set may have them, too."""
    write_images(tmp_path / "pets", "train/dog/1.png", "train/cat/2.png", "val/emu/3.png", "val/cat/4.png")
    (tmp_path / "pets" / "train" / "bear").mkdir()
    network = ("emu", "fox", "dog", "bear", "cat")
    with pytest.raises(DataError, match=r"^train: no training image of 'bear': leave out the empty classes"):
        load(tmp_path / "pets", classes=network)
    (tmp_path / "pets" / "train" / "bear").rmdir()
    with pytest.warns(LevitWarning, match=r"^val: no image of 'dog': the accuracy"):
        train, validation = load(tmp_path / "pets", classes=network)
    assert dict(zip(names(train), labels(train), strict=True)) == {"dog/1.png": (2,), "cat/2.png": (4,)}
    assert dict(zip(names(validation), labels(validation), strict=True)) == {"cat/4.png": (4,), "emu/3.png": (0,)}
    assert (train.classes, train.class_indices) == (network, (4, 2))


def test_many_classes_without_an_image_are_counted(tmp_path, load):
    write_images(tmp_path / "pets", "train/cat/1.png", "val/cat/3.png")
    for number in range(8):
        (tmp_path / "pets" / "train" / f"empty{number}").mkdir()
    with pytest.raises(DataError, match=r"'empty0', 'empty1', 'empty2', 'empty3', 'empty4' and 3 more"):
        load(tmp_path / "pets")


def test_a_class_without_validation_images_is_a_warning(tmp_path, load, photos):
    write_images(tmp_path / "few", "cat/1.png")
    with pytest.warns(LevitWarning, match=r"^few: no image of 'bear', 'dog'"):
        load(photos, val=tmp_path / "few")


def test_data_of_one_class_is_an_error(tmp_path, load):
    write_images(tmp_path / "alone", "cat/1.png", "cat/2.png")
    with pytest.raises(DataError, match=r"alone: 'cat' is the only class: use at least two classes"):
        load(tmp_path / "alone")


def test_a_folder_around_the_folders_of_classes_is_an_error_that_names_the_right_one(tmp_path, load):
    write_images(tmp_path / "download", "photos/cat/1.png", "photos/dog/2.png")
    with pytest.raises(DataError, match=r"'photos' is the only class: if its folders are the classes, give ") as caught:
        load(tmp_path / "download")
    assert str(caught.value).endswith(str(tmp_path / "download" / "photos"))


def test_a_validation_class_that_is_not_trained_is_an_error(tmp_path, load, photos):
    write_images(tmp_path / "more", *(f"{name}/1.png" for name in (*CLASSES, "emu")))
    with pytest.raises(DataError, match=r"^more: .*'emu'.*: rename the classes, or leave out") as caught:
        load(photos, val=tmp_path / "more")
    assert "class_map" not in str(caught.value)  # training has no such option
    assert "--class-map" not in str(caught.value)
