"""A split is a new folder that other commands read, with the files of the data and their labels."""

import csv
import json
from pathlib import Path

import pytest
from PIL import Image, ImageFilter

import levit
from levit.errors import ConfigError, DataError, LevitWarning
from tests.conftest import EXAMPLES
from tests.data.datasets_on_disk import names_and_labels, write_images, write_parquet
from tests.marks import needs_links


@pytest.fixture
def pets(tmp_path):
    """Twenty different pictures of two classes, one of them twice."""
    for name, color in (("cat", (200, 80, 20)), ("dog", (20, 80, 200))):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(10):
            Image.new("RGB", (20 + number, 20), color).save(tmp_path / "pets" / name / f"{number}.png")
    (tmp_path / "pets" / "cat" / "again.png").write_bytes((tmp_path / "pets" / "cat" / "3.png").read_bytes())
    return tmp_path / "pets"


def files_below(folder):
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


def split_without_features(data, out, **options):
    return levit.split_data(data, out, **{"similarity": None} | options)


def test_every_file_is_in_one_part_with_its_class(pets, tmp_path):
    report = split_without_features(pets, tmp_path / "out")
    assert report.num_images == {"train": 15, "val": 2, "test": 4}
    assert (report.num_classes, report.num_copies, report.num_similar) == (2, 1, 0)
    assert report.missing_classes == {}
    files = files_below(tmp_path / "out") - {"split.csv"}
    assert {name.partition("/")[2] for name in files} == files_below(pets)
    assert len(files) == 21
    for part, name in (("train", "train"), ("val", "validation"), ("test", "test")):
        data = levit.open_data(tmp_path / "out", split=name)
        assert data.classes == ("cat", "dog")
        assert len(data) == report.num_images[part]
        assert {(file, (file.partition("/")[0],)) for file, _ in names_and_labels(data)} == {*names_and_labels(data)}


def test_the_list_names_part_source_and_duplicates(pets, tmp_path):
    report = split_without_features(pets, tmp_path / "out")
    with report.list_file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 21
    for row in rows:
        assert row["file"].startswith(f"{row['part']}/{row['label']}/")
        assert (tmp_path / "out" / row["file"]).read_bytes() == Path(row["source"]).read_bytes()
    pair = [row for row in rows if row["duplicates"]]
    assert {Path(row["source"]).name for row in pair} == {"3.png", "again.png"}
    assert len({row["part"] for row in pair}) == 1


def test_copies_and_edited_photos_stay_together(pets, tmp_path):
    with Image.open(EXAMPLES / "cat.jpg") as photo:
        photo.save(pets / "cat" / "photo.jpg")
        photo.filter(ImageFilter.GaussianBlur(1)).save(pets / "cat" / "softer.jpg", quality=50)
    report = levit.split_data(pets, tmp_path / "out", test=0.4)
    assert report.num_similar >= 1
    parts = {name.rpartition("/")[2]: name.partition("/")[0] for name in files_below(tmp_path / "out")}
    assert parts["photo.jpg"] == parts["softer.jpg"]
    assert parts["3.png"] == parts["again.png"]


@needs_links
def test_links_lead_to_the_files_from_any_folder(pets, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    split_without_features("pets", "deep/er/out", link=True)
    images = list((tmp_path / "deep/er/out").rglob("*.png"))
    assert len(images) == 21
    assert all(file.is_symlink() and file.resolve().is_relative_to(pets) for file in images)
    assert len(levit.open_data("deep/er/out", split="test")) == 4


def test_the_files_of_a_list_and_their_copies_are_held_out(pets, tmp_path):
    (tmp_path / "held-out.txt").write_text(f"dog/1.png\n\n{pets / 'cat' / '3.png'}\n")
    message = r"^pets: 1 image is held out because of duplicates in a list: .* trained on them \(cat/again\.png\)$"
    with pytest.warns(LevitWarning, match=message):
        report = split_without_features(pets, tmp_path / "out", test_files=tmp_path / "held-out.txt")
    assert report.num_images == {"train": 18, "test": 3}
    names = {"test/dog/1.png", "test/cat/3.png", "test/cat/again.png"}
    assert {name for name in files_below(tmp_path / "out") if name.startswith("test/")} == names


def test_a_table_of_an_earlier_split_is_a_list(pets, tmp_path):
    (tmp_path / "val.csv").write_text("label,file\ndog,dog/1.png\n")
    report = split_without_features(pets, tmp_path / "out", val_files=tmp_path / "val.csv", test=0.2)
    assert report.num_images == {"train": 16, "val": 1, "test": 4}
    assert (tmp_path / "out/val/dog/1.png").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("dog/99.png\n", "lists dog/99.png, which is not among the images of pets"),
        ("\n", "lists no files"),
    ],
)
def test_a_list_that_does_not_fit_is_an_error(pets, tmp_path, content, message):
    (tmp_path / "list.txt").write_text(content)
    with pytest.raises(DataError, match=message):
        split_without_features(pets, tmp_path / "out", test_files=tmp_path / "list.txt")
    assert not (tmp_path / "out").exists()


def test_a_file_in_both_lists_is_an_error_and_a_duplicate_in_both_a_warning(pets, tmp_path):
    (tmp_path / "val.txt").write_text("dog/1.png\ncat/again.png\n")
    (tmp_path / "test.txt").write_text("dog/2.png\ncat/3.png\n")
    lists = {"val_files": tmp_path / "val.txt", "test_files": tmp_path / "test.txt"}
    message = (
        r"^pets: 1 image is in test/ instead of val/, because of duplicates in the list of test/ \(cat/again\.png\)$"
    )
    with pytest.warns(LevitWarning, match=message):
        report = split_without_features(pets, tmp_path / "out", **lists)
    assert report.num_images == {"train": 17, "val": 1, "test": 3}
    (tmp_path / "test.txt").write_text("cat/again.png\n")
    with pytest.raises(DataError, match=r"val\.txt: lists cat/again\.png, which is also in .*test\.txt: leave it out"):
        split_without_features(pets, tmp_path / "other", **lists)


def test_a_table_with_several_labels_keeps_them(tmp_path):
    write_images(tmp_path / "data", *(f"images/{number}.png" for number in range(10)))
    rows = [{"file_name": f"images/{number}.png", "labels": ["a/b", "c"][: number % 3]} for number in range(10)]
    (tmp_path / "data" / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = split_without_features(tmp_path / "data", tmp_path / "out", test=0.3, val=0)
    assert sum(report.num_images.values()) == 10
    labels = {}
    for part in report.num_images:
        data = levit.open_data(tmp_path / "out", split=part)
        assert data.is_multi_label
        labels |= {name.rpartition("/")[2]: names for name, names in names_and_labels(data)}
    assert labels == {f"{number}.png": ("a/b", "c")[: number % 3] for number in range(10)}


@pytest.mark.parametrize("name", ["x/y", "unlabeled", "x.", "con", "NUL", "com1.old", 256 * "x"])
def test_classes_that_cannot_be_folders_are_written_as_a_table(tmp_path, name):
    write_images(tmp_path / "data", "1.png", "22.png", "333.png", "4444.png")
    (tmp_path / "data" / "metadata.csv").write_text(
        f"file_name,label\n1.png,cat\n22.png,cat\n333.png,{name}\n4444.png,{name}\n"
    )
    split_without_features(tmp_path / "data", tmp_path / "out", test=0.5, val=0)
    for part in ("train", "test"):
        data = levit.open_data(tmp_path / "out", split=part)
        assert {*data.classes} == {"cat", name}
        assert {names for _, names in names_and_labels(data)} == {("cat",), (name,)}
    assert (tmp_path / "out" / "metadata.jsonl").exists()


@pytest.mark.parametrize(
    "name", ["images/{}", "images/{}.data", ".thumbs/{}.png", "a/@eaDir/{}.png", "images/._{}.png", "images/.png/{}"]
)
@pytest.mark.parametrize("is_outside", [False, True])
def test_images_whose_names_are_not_found_in_a_folder_are_written_as_a_table(tmp_path, name, is_outside):
    files = [(tmp_path / "outside" if is_outside else tmp_path / "data") / name.format(number) for number in range(8)]
    (tmp_path / "data").mkdir()
    for number, file in enumerate(files):
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8 + number, 8)).save(file, "PNG")
    rows = [{"file_name": str(file), "label": ["cat", "dog"][number % 2]} for number, file in enumerate(files)]
    rows[-1]["label"] = None
    (tmp_path / "data" / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = split_without_features(tmp_path / "data", tmp_path / "out", test=0.3, val=0.3, allow_outside=is_outside)
    counts = {}
    for part in report.num_images:
        data = levit.open_data(tmp_path / "out", split=part)
        assert data.classes == ("cat", "dog")
        assert all(item.image.is_file() for item in data)
        counts[part] = len(data)
    assert counts == report.num_images
    assert sum(counts.values()) == 8
    assert (tmp_path / "out" / "metadata.jsonl").exists()


def test_one_name_that_is_not_found_in_a_folder_is_enough_for_a_table(tmp_path):
    write_images(tmp_path / "data", "cat/1.png", "cat/22.png", "dog/333.png", "dog/4444.png")
    (tmp_path / "data" / "dog" / "4444.png").rename(tmp_path / "data" / "dog" / "4444")
    names = ("cat/1.png", "cat/22.png", "dog/333.png", "dog/4444")
    lines = "".join(f"{name},{name[:3]}\n" for name in names)
    (tmp_path / "data" / "metadata.csv").write_text(f"file_name,label\n{lines}")
    report = split_without_features(tmp_path / "data", tmp_path / "out", test=0.5, val=0)
    assert report.num_images == {"train": 2, "test": 2}
    found = [
        item for part in ("train", "test") for item in names_and_labels(levit.open_data(report.folder, split=part))
    ]
    assert {name.partition("/")[2]: labels for name, labels in found} == {name: (name[:3],) for name in names}


def test_images_without_a_label_are_for_training(pets, tmp_path):
    write_images(pets, "unlabeled/1.png", "unlabeled/22.png")
    split_without_features(pets, tmp_path / "out", test=0.5)
    unlabeled = {name for name in files_below(tmp_path / "out") if "unlabeled" in name}
    assert unlabeled == {"train/unlabeled/1.png", "train/unlabeled/22.png"}
    assert len([item for item in levit.open_data(tmp_path / "out", split="train") if not item.labels]) == 2


def test_classes_without_images_in_a_part_are_named(pets, tmp_path):
    write_images(pets, "bird/1.png")
    missing = {"test": ("bird",), "val": ("bird",)}
    assert split_without_features(pets, tmp_path / "out").missing_classes == missing
    assert split_without_features(pets, tmp_path / "train-only", test=0, val=0).missing_classes == {}


def test_nothing_is_overwritten(pets, tmp_path):
    (tmp_path / "empty").mkdir()
    split_without_features(pets, tmp_path / "empty")
    before = {name: (tmp_path / "empty" / name).stat().st_mtime_ns for name in files_below(tmp_path / "empty")}
    with pytest.raises(DataError, match="exists already, and nothing is overwritten: give a new folder"):
        split_without_features(pets, tmp_path / "empty")
    assert before == {name: (tmp_path / "empty" / name).stat().st_mtime_ns for name in before}
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataError, match="exists already"):
        split_without_features(pets, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_the_current_folder_and_a_linked_folder_are_filled(pets, tmp_path, monkeypatch):
    for name in ("current", "linked"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "linked")
    monkeypatch.chdir(tmp_path / "current")
    for folder in (Path(), tmp_path / "link"):
        assert split_without_features(pets, folder).num_images == {"train": 15, "val": 2, "test": 4}
        assert {entry.name for entry in folder.iterdir()} == {"train", "val", "test", "split.csv"}
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"similarity": 2}, "similarity is 2: give a number above 0, and at most 1"),
        ({"seed": -1}, "seed is -1: give at least 0"),
    ],
)
def test_options_out_of_range_are_refused_before_images_are_read(pets, tmp_path, monkeypatch, options, message):
    monkeypatch.setattr("levit.evaluation.split_data.hash_images", lambda *_: pytest.fail("images were read"))
    with pytest.raises(ConfigError, match=message):
        levit.split_data(pets, tmp_path / "out", **options)


def test_a_file_that_disappears_leaves_no_folder(pets, tmp_path):
    (tmp_path / "list.txt").write_text("pets/cat/1.png 0\npets/cat/2.png 0\npets/gone.png 0\npets/dog/1.png 1\n")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    with pytest.raises(DataError, match=r"gone\.png cannot be copied \(No such file or directory\)"):
        split_without_features(tmp_path / "list.txt", tmp_path / "out")
    assert {entry.name for entry in tmp_path.iterdir()} == {"list.txt", "classes.txt", "pets"}


def test_data_that_cannot_be_split_is_refused(pets, tmp_path):
    write_parquet(tmp_path / "pets.parquet")
    with pytest.raises(DataError, match="its images are inside of other files, and cannot be copied or linked"):
        split_without_features(tmp_path / "pets.parquet", tmp_path / "out")
    write_images(tmp_path / "divided", "train/a/1.png", "val/a/2.png")
    with pytest.raises(DataError, match="has splits already: train and validation: choose one of them by `split`"):
        split_without_features(tmp_path / "divided", tmp_path / "out")
    with pytest.raises(DataError, match=r"is inside .*pets, where every folder is a class of images"):
        split_without_features(pets, pets / "divided")
    for fractions in ({"test": -0.1}, {"val": 1.0}, {"test": 0.5, "val": 0.5}):
        with pytest.raises(ConfigError):
            split_without_features(pets, tmp_path / "out", **fractions)
    assert not (tmp_path / "out").exists()


def test_one_of_several_splits_can_be_divided(tmp_path):
    write_images(tmp_path / "data", *(f"train/a/{'x' * number}.png" for number in range(1, 11)), "val/a/1.png")
    report = split_without_features(tmp_path / "data", tmp_path / "out", split="train")
    assert report.num_images == {"train": 7, "val": 1, "test": 2}
