"""Subfolders with images are the classes, and folders with the names of splits are the splits."""

import os
import unicodedata

import pytest

from levit.data.image_folder import describe_splits
from levit.data.labeled_images import NoSplitError
from levit.data.open_data import open_data
from levit.errors import DataError, LevitWarning
from levit.spec import image_files
from tests.data.datasets_on_disk import names_and_labels, png, write_images
from tests.marks import needs_links


@pytest.fixture
def without_heif(monkeypatch):
    """An environment without `pillow-heif`, which may be installed here."""
    monkeypatch.setattr(image_files, "has_heif", lambda: False)


@pytest.fixture
def folder(tmp_path):
    write_images(tmp_path / "pets", "zebra/1.PNG", "ant/deep/2.png", "ant/1.png")
    (tmp_path / "pets" / "ant" / "notes.txt").touch()
    return tmp_path / "pets"


def test_subfolders_with_images_are_the_classes(folder):
    data = open_data(folder)
    assert (data.name, data.classes, len(data)) == ("pets", ("ant", "zebra"), 3)
    items = [(item.image.relative_to(folder).as_posix(), item.labels, item.name) for item in data]
    expected = [("ant/1.png", 0), ("ant/deep/2.png", 0), ("zebra/1.PNG", 1)]
    assert items == [(name, (label,), name) for name, label in expected]
    assert list(data) == list(data)


@pytest.mark.usefixtures("without_heif")
@pytest.mark.parametrize(("file", "found"), [("notes.txt", ""), ("1.heic", r": not read: 1 \.heic files")])
def test_a_subfolder_without_images_is_ignored_with_a_warning(folder, file, found):
    (folder / "bee").mkdir()
    (folder / "bee" / file).touch()
    with pytest.warns(LevitWarning, match=rf"pets: ignored folders without images: bee{found}"):
        assert open_data(folder).classes == ("ant", "zebra")


def test_an_empty_subfolder_is_a_class_without_images(tmp_path):
    write_images(tmp_path, "cat/1.png", "dog/2.png")
    (tmp_path / "bird").mkdir()
    (tmp_path / "emu").mkdir()
    (tmp_path / "emu" / ".keep").touch()
    (tmp_path / ".hidden").mkdir()
    data = open_data(tmp_path)
    assert data.classes == ("bird", "cat", "dog", "emu")
    assert [item.labels for item in data] == [(1,), (2,)]


def test_images_without_subfolders_have_no_labels(folder):
    data = open_data(folder / "zebra")
    assert data.classes == ()
    assert [item.labels for item in data] == [()]


def test_images_next_to_folders_of_images_are_an_error(folder):
    (folder / "stray.png").write_bytes(png(1))
    with pytest.raises(
        DataError, match=r"stray\.png is next to folders of images: put it into the folder of its class"
    ):
        open_data(folder)


def test_resource_forks_of_macos_are_not_images(tmp_path):
    write_images(tmp_path, "cat/1.png", "dog/2.png")
    (tmp_path / "cat" / "._1.png").write_bytes(b"Mac OS X")
    assert [item.name for item in open_data(tmp_path)] == ["cat/1.png", "dog/2.png"]


def test_every_image_format_is_recognized_by_its_suffix(tmp_path):
    write_images(tmp_path, "cat/1.jfif", "dog/2.JPE", "emu/3.pbm")
    assert open_data(tmp_path).classes == ("cat", "dog", "emu")


def test_the_hash_depends_on_names_and_contents(folder):
    original = open_data(folder).sha256()
    assert original == open_data(folder).sha256()
    (folder / "zebra/1.PNG").rename(folder / "zebra/2.png")
    renamed = open_data(folder).sha256()
    (folder / "zebra/2.png").write_bytes(png(99))
    assert len({original, renamed, open_data(folder).sha256()}) == 3


def test_the_validation_split_is_the_default_and_any_split_can_be_opened(tmp_path):
    write_images(tmp_path, "train/cat/1.png", "train/dog/2.png", "val/cat/3.png", "test/dog/4.png", "extra/dog/5.png")
    assert names_and_labels(open_data(tmp_path)) == [("cat/3.png", ("cat",))]
    for split, expected in (("validation", "cat/3.png"), ("val", "cat/3.png"), ("test", "dog/4.png")):
        assert names_and_labels(open_data(tmp_path, split=split))[0][0] == expected
    assert len(open_data(tmp_path, split="train")) == 2
    assert names_and_labels(open_data(tmp_path, split="extra")) == [("dog/5.png", ("dog",))]
    with pytest.raises(NoSplitError, match=r"no split 'holdout' \(available: test, train, val\)"):
        open_data(tmp_path, split="holdout")


def test_a_split_is_found_by_any_of_its_names(tmp_path):
    write_images(tmp_path, "training/cat/1.png", "valid/cat/2.png")
    names = [names_and_labels(open_data(tmp_path, split=split))[0][0] for split in ("val", "train")]
    assert names == ["cat/2.png", "cat/1.png"]


def test_a_class_name_may_begin_with_the_name_of_a_split(tmp_path):
    write_images(tmp_path, "tester/1.png", "trainers/2.png")
    assert open_data(tmp_path).classes == ("tester", "trainers")


@pytest.mark.parametrize("split", [None, "train"])
def test_a_folder_train_next_to_other_classes_is_a_class(tmp_path, split):
    write_images(tmp_path, "bus/1.png", "car/2.png", "train/3.png")
    if split is not None:
        with pytest.raises(NoSplitError, match=r"no split 'train' \(available: none\)"):
            open_data(tmp_path, split=split)
    else:
        assert open_data(tmp_path).classes == ("bus", "car", "train")


@pytest.mark.parametrize(
    "name", [".ipynb_checkpoints", ".Trash-1000", "@eaDir", "#recycle", "__pycache__", "__MACOSX", "$RECYCLE.BIN"]
)
def test_folders_of_systems_and_editors_are_no_classes(tmp_path, name):
    write_images(tmp_path, "cat/1.png", "dog/2.png", f"{name}/3.png", f"cat/{name}/4.png")
    data = open_data(tmp_path)
    assert names_and_labels(data) == [("cat/1.png", ("cat",)), ("dog/2.png", ("dog",))]
    assert open_data(tmp_path / name).classes == ()  # given by name, its images are read


@pytest.mark.parametrize(
    ("folders", "split", "expected"),
    [
        (("Train", "Test"), None, "Test"),
        (("Train", "Test"), "train", "Train"),
        (("TRAIN", "Dev"), "validation", "Dev"),
        (("train", "dev"), None, "dev"),
        (("train", "evaluation"), "test", "evaluation"),
        (("Training", "Extra"), "extra", "Extra"),
    ],
)
def test_splits_are_found_in_any_spelling(tmp_path, folders, split, expected):
    for folder in folders:
        write_images(tmp_path, f"{folder}/cat/1.png", f"{folder}/dog/2.png")
    data = open_data(tmp_path, split=split)
    assert (data.name, data.classes) == (expected, ("cat", "dog"))


def test_folders_are_described_by_the_split_that_they_are_taken_for(tmp_path):
    for folder in ("Train", "dev", "extra"):
        write_images(tmp_path, f"{folder}/cat/1.png")
    assert describe_splits(tmp_path) == "Train/ is train, dev/ is validation; other folders: extra/"
    assert describe_splits(tmp_path / "Train") == ""


def test_two_folders_of_one_split_are_named_in_a_warning(tmp_path):
    write_images(tmp_path, "val/cat/1.png", "dev/cat/2.png", "dev/cat/3.png")
    with pytest.warns(LevitWarning, match="validation is read from val/ only, not from dev"):
        assert len(open_data(tmp_path)) == 1


def test_class_names_in_both_forms_of_unicode_are_one_class(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))
    write_images(tmp_path, f"{composed}/1.png", f"{decomposed}/2.png", "zebra/3.png")
    data = open_data(tmp_path)
    assert data.classes == (composed, "zebra")
    assert [item.labels for item in data if item.image.is_file()] == [(0,), (0,), (1,)]


@needs_links
@pytest.mark.usefixtures("without_heif")
def test_linked_folders_are_read_loops_end_and_skipped_files_are_named(tmp_path):
    root = write_images(tmp_path / "photos", "cat/1.png")
    (root / "dog").symlink_to(write_images(tmp_path / "elsewhere", "2.png"))
    (root / "cat" / "loop").symlink_to(root)
    (root / "cat" / "self").symlink_to("self")
    (root / "cat" / "gone.png").symlink_to("nowhere.png")
    (root / "cat" / "self.png").symlink_to("self.png")
    (root / "cat" / "3.heic").touch()
    os.mkfifo(root / "cat" / "pipe.png")
    with pytest.warns(LevitWarning) as caught:
        data = open_data(root)
    assert names_and_labels(data) == [("cat/1.png", ("cat",)), ("dog/2.png", ("dog",))]
    (message,) = (str(warning.message) for warning in caught)
    for part in (
        "photos: not read: ", "1 .heic files (cat/3.heic)", "2 broken links (cat/gone.png)",
        'pip install "levit[heif]"',
        "1 links to a folder that contains them (cat/loop)", "1 files that are not regular (cat/pipe.png)",
    ):  # fmt: skip
        assert part in message


@pytest.mark.usefixtures("without_heif")
def test_a_folder_of_heic_files_only_is_an_error_that_names_them(tmp_path):
    (tmp_path / "1.heic").touch()
    with pytest.raises(
        DataError, match=r"no images in it \(.*\): not read: 1 \.heic files \(1\.heic\), which needs pip"
    ):
        open_data(tmp_path)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a folder that cannot be listed")
def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path):
    write_images(tmp_path, "cat/1.png", "dog/2.png")
    (tmp_path / "dog").chmod(0)
    with pytest.raises(DataError, match=r"dog cannot be listed \(Permission denied\)"):
        open_data(tmp_path)
