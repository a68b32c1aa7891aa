"""What is learned from and what the best epoch is chosen by."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levit.errors import ConfigError, DataError, LevitWarning
from levit.training.datasets import (
    check_output_outside_data,
    count_labels,
    divide,
    index_training_data,
    open_training_data,
)
from levit.training.options import TrainingOptions
from tests.data.test_labeled_images import png, write_parquet
from tests.data.test_layouts import write
from tests.training.tiny import CLASSES


class Labels:
    """As many images as there are labels, and nothing in them."""

    def __init__(self, labels, classes=CLASSES, is_multi_label=False):
        self._labels, self.classes, self.is_multi_label = labels, classes, is_multi_label

    def __len__(self):
        return len(self._labels)

    def image(self, index):
        return png(index)

    def labels(self, index):
        return self._labels[index]

    def name(self, index):
        return str(index)


def names(images):
    return [images.name(index) for index in range(len(images))]


def read(options, *, classes=None, writes=True):
    sources = open_training_data(options)
    return index_training_data(sources, options, classes or sources.learned.classes, writes=writes)


@given(st.lists(st.integers(2, 40), min_size=1, max_size=6), st.floats(0.01, 0.9), st.integers(0, 9))
def test_a_share_of_every_class_is_kept_to_choose_by(counts, share, seed):
    classes = tuple(map(str, range(len(counts))))
    labels = [(label,) for label, count in enumerate(counts) for _ in range(count)]
    images = Labels([labels[place] for place in np.random.default_rng(0).permutation(len(labels))], classes)
    learned, judged = divide(images, share, seed)
    assert sorted(names(learned) + names(judged), key=int) == list(map(str, range(len(images))))
    for count, kept, others in zip(counts, count_labels(judged), count_labels(learned), strict=True):
        assert kept + others == count
        assert kept >= 1
        assert others >= 1
        assert kept == 1 or others == 1 or abs(kept - share * count) <= 0.5
    again = divide(images, share, seed)
    assert (names(again[0]), names(again[1])) == (names(learned), names(judged))


def test_another_seed_is_another_share():
    images = Labels([(0,)] * 50, ("cat",))
    assert len({tuple(names(divide(images, 0.2, seed)[1])) for seed in range(5)}) == 5


def test_the_only_image_of_a_class_is_learned_from():
    learned, judged = divide(Labels([(0,), (1,), (1,)], ("cat", "dog")), 0.9, 0)
    assert (count_labels(learned).tolist(), count_labels(judged).tolist()) == ([1, 1], [0, 1])


def test_of_several_labels_the_share_is_of_all_images():
    images = Labels([(0, 1), (), (2,), (1,)] * 5, is_multi_label=True)
    learned, judged = divide(images, 0.25, 0)
    assert (len(learned), len(judged)) == (15, 5)


@given(st.lists(st.sets(st.integers(0, 5)), min_size=1, max_size=40), st.floats(0.05, 0.9), st.integers(0, 9))
def test_of_several_labels_none_is_left_with_nothing_to_learn_from(labels, share, seed):
    images = Labels([tuple(sorted(one)) for one in [*labels, (), ()]], tuple("abcdef"), is_multi_label=True)
    learned, judged = divide(images, share, seed)
    assert sorted(names(learned) + names(judged), key=int) == list(map(str, range(len(images))))
    np.testing.assert_array_equal(count_labels(learned) > 0, count_labels(images) > 0)
    assert 1 <= len(judged) <= max(1, round(share * len(images)))


@pytest.mark.parametrize(("labels", "share"), [([(0,), (0,)], 0.0), ([(0,), (1,)], 0.5)])
def test_nothing_to_choose_by_is_an_error(labels, share):
    with pytest.raises(DataError, match=r"give --val, or a larger --val-share"):
        divide(Labels(labels), share, 0)


def test_labels_are_counted():
    assert count_labels(Labels([(0,), (2,), (2, 0), ()])).tolist() == [2, 0, 2]


def test_a_folder_without_parts_gives_a_share(photos, options):
    learned, judged = read(options(data=str(photos), val_share=0.25))
    assert not {*names(learned)} & {*names(judged)}
    assert count_labels(judged).tolist() == [2, 2, 1]
    assert count_labels(learned).tolist() == [6, 4, 3]


def test_a_parquet_file_gives_the_same_share_as_its_folder(photos, parquet, options, tmp_path):
    of_files = read(options(data=str(photos)))
    copied = read(options(data=str(parquet)))
    for files, bytes_ in zip(of_files, copied, strict=True):
        assert names(files) == names(bytes_)
        assert [files.image(index).read_bytes() for index in range(len(files))] == [
            bytes_.image(index) for index in range(len(bytes_))
        ]
    assert [path.name for path in (tmp_path / "run" / ".images").iterdir()] == ["learned"]


@pytest.mark.parametrize("run", ["", "run", "cat/run"])
def test_a_run_is_no_class_of_the_images(tmp_path, options, run):
    write(tmp_path / "pets", "cat/1.png", "dog/2.png")
    sources = open_training_data(options(data=str(tmp_path / "pets")))
    with pytest.raises(ConfigError, match=r"^--out .*: it is in .*pets, where every folder is a class of images"):
        check_output_outside_data(sources, tmp_path / "pets" / run)
    check_output_outside_data(sources, tmp_path / "pets-run")


def test_a_run_may_be_beside_the_parts_of_the_data(tmp_path, options, parquet):
    write(tmp_path / "pets", "train/cat/1.png", "train/dog/2.png", "val/cat/3.png")
    check_output_outside_data(open_training_data(options(data=str(tmp_path / "pets"))), tmp_path / "pets" / "run")
    check_output_outside_data(open_training_data(options(data=str(parquet))), parquet.parent / "run")


def test_a_process_that_does_not_write_has_the_same_images(parquet, options):
    chosen = options(data=str(parquet), val=str(parquet))
    for mine, theirs in zip(read(chosen), read(chosen, writes=False), strict=True):
        assert [mine.image(index) for index in range(len(mine))] == [theirs.image(i) for i in range(len(theirs))]


def test_the_validation_part_is_what_is_chosen_by(tmp_path, options):
    write(tmp_path / "pets", "train/cat/1.png", "train/dog/2.png", "val/cat/3.png", "val/dog/4.png", "test/dog/5.png")
    learned, judged = read(options(data=str(tmp_path / "pets")))
    assert (names(learned), names(judged)) == (["cat/1.png", "dog/2.png"], ["cat/3.png", "dog/4.png"])


def test_without_a_validation_part_the_test_part_is_not_touched(tmp_path, options):
    write(tmp_path / "pets", *(f"train/{name}/{n}.png" for name in ("cat", "dog") for n in "1234"), "test/dog/5.png")
    learned, judged = read(options(data=str(tmp_path / "pets"), val_share=0.25))
    assert Counter(name[:3] for name in names(learned) + names(judged)) == {"cat": 4, "dog": 4}
    assert len(judged) == 2


def test_val_is_taken_before_any_part(tmp_path, options, photos):
    write(tmp_path / "pets", *(f"{part}/{name}/1.png" for part in ("train", "val") for name in CLASSES))
    learned, judged = read(options(data=str(tmp_path / "pets"), val=str(photos)))
    assert (len(learned), len(judged)) == (3, 18)


def test_only_a_part_to_learn_from_gives_a_share(tmp_path, options):
    write(tmp_path / "pets", *(f"train/{name}/{number}.png" for name in CLASSES for number in range(4)))
    learned, judged = read(options(data=str(tmp_path / "pets")))
    assert (count_labels(learned).tolist(), count_labels(judged).tolist()) == ([3] * 3, [1] * 3)


def test_the_classes_of_both_are_matched_by_name(tmp_path, options):
    write_parquet(tmp_path / "train.parquet", names=("cat", "dog"), labels=(0, 1))
    write_parquet(tmp_path / "val.parquet", names=("Dog", "cat"), labels=(0, 1, 1))
    learned, judged = read(
        options(data=str(tmp_path / "train.parquet"), val=str(tmp_path / "val.parquet")), classes=("dog", "cat")
    )
    assert [learned.labels(index) for index in range(2)] == [(1,), (0,)]
    assert [judged.labels(index) for index in range(3)] == [(0,), (1,), (1,)]


def test_several_labels_are_learned_and_judged(tmp_path, options):
    for part, count in (("train", 8), ("val", 3)):
        write(tmp_path / "pets" / part, *(f"{number}.png" for number in range(count)))
        lines = [f"{number}.png,{('cat|dog', 'dog', '')[number % 3]}" for number in range(count)]
        (tmp_path / "pets" / part / "metadata.csv").write_text("\n".join(["file_name,labels", *lines]) + "\n")
    learned, judged = read(options(data=str(tmp_path / "pets")))
    assert learned.is_multi_label
    assert judged.is_multi_label
    assert [judged.labels(index) for index in range(3)] == [(0, 1), (1,), ()]
    assert len(learned) == 8


def test_one_label_here_and_several_there_is_an_error(tmp_path, photos):
    write(tmp_path / "several", "1.png")
    (tmp_path / "several" / "metadata.csv").write_text("file_name,labels\n1.png,cat|dog\n")
    with pytest.raises(DataError, match=r"^several: one label an image here, and several in pets"):
        open_training_data(TrainingOptions.from_flat(data=str(photos), val=str(tmp_path / "several")))


@pytest.mark.parametrize("as_val", [False, True])
def test_where_any_of_several_labels_is_right_nothing_can_be_learned_or_chosen(tmp_path, photos, as_val):
    write(tmp_path / "val", *(f"ILSVRC2012_val_{number:08}.JPEG" for number in (1, 2)))
    (tmp_path / "real.json").write_text("[[1, 2], []]")
    real = str(tmp_path / "real.json")
    chosen = TrainingOptions.from_flat(data=str(photos), val=real) if as_val else TrainingOptions.from_flat(data=real)
    with pytest.raises(DataError, match=r"any of several labels is right"):
        open_training_data(chosen)


def test_data_to_judge_only_is_an_error(tmp_path):
    write(tmp_path / "pets", "test/cat/1.png", "val/cat/1.png")
    with pytest.raises(DataError, match=r"there is no train part in it"):
        open_training_data(TrainingOptions.from_flat(data=str(tmp_path / "pets")))


def test_images_without_labels_are_an_error(tmp_path):
    write(tmp_path / "heap", "1.png", "2.png")
    with pytest.raises(DataError, match=r"no labels: put the images into one folder for each class"):
        open_training_data(TrainingOptions.from_flat(data=str(tmp_path / "heap")))


def test_a_class_without_an_image_to_learn_from_is_an_error(tmp_path, options):
    write(tmp_path / "pets", "train/cat/1.png", "val/cat/3.png")
    (tmp_path / "pets" / "train" / "dog").mkdir()
    with pytest.raises(DataError, match=r"^train: no image to learn from for 'dog'"):
        read(options(data=str(tmp_path / "pets")))


def test_many_classes_without_an_image_are_counted(tmp_path, options):
    write(tmp_path / "pets", "train/cat/1.png", "val/cat/3.png")
    for number in range(8):
        (tmp_path / "pets" / "train" / f"empty{number}").mkdir()
    with pytest.raises(DataError, match=r"'empty0', 'empty1', 'empty2', 'empty3', 'empty4' and 3 more"):
        read(options(data=str(tmp_path / "pets")))


def test_a_class_without_an_image_to_choose_by_is_a_warning(tmp_path, options, photos):
    write(tmp_path / "few", "cat/1.png")
    with pytest.warns(LevitWarning, match=r"^few: no image of 'bear', 'dog'"):
        read(options(data=str(photos), val=str(tmp_path / "few")))


def test_one_class_alone_is_an_error(tmp_path, options):
    write(tmp_path / "alone", "cat/1.png", "cat/2.png")
    with pytest.raises(DataError, match=r"alone: all are 'cat': there is nothing to tell apart"):
        read(options(data=str(tmp_path / "alone")))


def test_a_class_to_choose_by_that_is_not_learned_is_an_error(tmp_path, options, photos):
    write(tmp_path / "more", *(f"{name}/1.png" for name in (*CLASSES, "emu")))
    with pytest.raises(DataError, match=r"^--val .*more: .*'emu'.*: rename or leave out") as caught:
        read(options(data=str(photos), val=str(tmp_path / "more")))
    assert "--class-map" not in str(caught.value)  # levit train has no such option
