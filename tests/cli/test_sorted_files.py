"""Files sorted into folders of their labels."""

import os
from contextlib import nullcontext
from pathlib import Path

import pytest

from levit.cli.sorted_files import SortedFiles, check_is_apart
from levit.errors import DataError, ImageError
from tests.cli.predictions import failed, predicted
from tests.marks import needs_links


@pytest.fixture
def photo(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "photo.jpg").write_bytes(b"cat")
    return tmp_path / "in" / "photo.jpg"


def tree(folder) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_files_are_copied_by_label_and_unknown_ones_apart(photo, tmp_path):
    files = SortedFiles(tmp_path / "out", ["cat", "dog"])
    files.write(predicted(str(photo), cat=0.75, dog=0.25))
    files.write(predicted(str(photo), threshold=0.9, cat=0.25, dog=0.75))
    files.write(failed(ImageError("no such file", source="b.jpg")))
    assert tree(tmp_path / "out") == {"cat/photo.jpg": b"cat", "unknown/photo.jpg": b"cat"}
    assert files.describe() == f"{tmp_path / 'out'}: 2 files: 1 cat, 1 unknown"
    assert photo.stat().st_mtime == (tmp_path / "out" / "cat" / "photo.jpg").stat().st_mtime


def test_nothing_is_overwritten_and_a_second_run_changes_nothing(photo, tmp_path):
    other = tmp_path / "photo.jpg"
    other.write_bytes(b"another cat")
    for _ in range(2):
        files = SortedFiles(tmp_path / "out", ["cat"])
        for source in (photo, other):
            files.write(predicted(str(source), cat=1))
        assert tree(tmp_path / "out") == {"cat/photo.jpg": b"cat", "cat/photo-2.jpg": b"another cat"}


def test_files_of_one_name_are_recognized_by_their_contents_in_any_order(tmp_path):
    photos = []
    for number in range(1, 4):
        (tmp_path / str(number)).mkdir()
        photos.append(tmp_path / str(number) / "photo.jpg")
        photos[-1].write_bytes(b"cat %d" % number)
    for order in (photos, [*reversed(photos), *photos]):
        files = SortedFiles(tmp_path / "out", ["cat"])
        for source in order:
            files.write(predicted(str(source), cat=1))
        assert tree(tmp_path / "out") == {
            "cat/photo.jpg": b"cat 1", "cat/photo-2.jpg": b"cat 2", "cat/photo-3.jpg": b"cat 3",
        }  # fmt: skip
        assert files.counts == {"cat": len(order)}


def test_the_steps_for_a_file_do_not_grow_with_the_number_of_files_of_its_name(tmp_path, monkeypatch):
    checked = []
    exists = os.path.lexists
    monkeypatch.setattr("os.path.lexists", lambda path: checked.append(path) or exists(path))
    for _ in range(2):
        checked.clear()
        files = SortedFiles(tmp_path / "out", ["cat"])
        for number in range(100):
            source = tmp_path / str(number) / "photo.jpg"
            source.parent.mkdir(exist_ok=True)
            source.write_bytes(b"cat %d" % number)
            files.write(predicted(str(source), cat=1))
        assert len([*(tmp_path / "out" / "cat").iterdir()]) == 100
        assert len(checked) < 400


@pytest.mark.skipif(os.name == "nt", reason="names of Windows are measured in other units")
@pytest.mark.parametrize("stem", [251 * "a", 83 * "猫" + "ab"])
def test_a_name_of_the_largest_length_is_shortened_for_a_number(stem, photo, tmp_path):
    assert len(f"{stem}.jpg".encode()) == 255
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{stem}.jpg").write_bytes(folder.encode())
    for _ in range(2):
        files = SortedFiles(tmp_path / "out", ["cat"])
        for folder in ("first", "second"):
            files.write(predicted(str(tmp_path / folder / f"{stem}.jpg"), cat=1))
        copies = tree(tmp_path / "out" / "cat")
        assert copies == {f"{stem}.jpg": b"first", f"{stem[:-2]}-2.jpg": b"second"}


def test_a_class_named_unknown_is_counted_apart_from_rejected_images(photo, tmp_path):
    files = SortedFiles(tmp_path / "out", ["unknown", "cat"])
    for threshold in (0.0, 0.0, 0.9):
        files.write(predicted(str(photo), threshold=threshold, unknown=0.75, cat=0.25))
    assert files.describe() == f"{tmp_path / 'out'}: 3 files: 2 unknown_2, 1 unknown"
    assert tree(tmp_path / "out") == {"unknown_2/photo.jpg": b"cat", "unknown/photo.jpg": b"cat"}


@needs_links
def test_links_lead_to_the_files(photo, tmp_path, monkeypatch):
    monkeypatch.chdir(photo.parent)
    for _ in range(2):
        SortedFiles(tmp_path / "out", ["cat"], is_linked=True).write(predicted("photo.jpg", cat=1))
    (link,) = (tmp_path / "out" / "cat").iterdir()
    assert link.is_symlink()
    assert link.resolve() == photo.resolve()


@needs_links
def test_a_broken_link_is_not_overwritten(photo, tmp_path):
    (tmp_path / "out" / "cat").mkdir(parents=True)
    (tmp_path / "out" / "cat" / "photo.jpg").symlink_to("nowhere")
    SortedFiles(tmp_path / "out", ["cat"]).write(predicted(str(photo), cat=1))
    assert os.readlink(tmp_path / "out" / "cat" / "photo.jpg") == "nowhere"  # noqa: PTH115
    assert (tmp_path / "out" / "cat" / "photo-2.jpg").read_bytes() == b"cat"


def test_only_files_below_a_score_are_copied(photo, tmp_path):
    files = SortedFiles(tmp_path / "out", ["cat", "dog"], below=0.8)
    files.write(predicted(str(photo), cat=0.75, dog=0.25))
    files.write(predicted(str(photo), cat=0.1, dog=0.9))
    assert tree(tmp_path / "out") == {"cat/photo.jpg": b"cat"}


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["AC/DC", "AC_DC", "ac:dc"], ["AC_DC", "AC_DC_2", "ac_dc_3"]),
        (["..", "", " . "], ["_", "__2", "__3"]),
        (["unknown", "CON", "a" * 300], ["unknown_2", "CON_", "a" * 100]),
        (["con.txt", "nul", "console"], ["con_.txt", "nul_", "console"]),
        (["crane, bird", "crane\x1b\n"], ["crane, bird", "crane__"]),
        (["猫" * 90, "猫" * 91], ["猫" * 81, "猫" * 81 + "_2"]),
    ],
)
def test_labels_become_different_names_of_folders(labels, names, photo, tmp_path):
    files = SortedFiles(tmp_path / "out", labels)
    for label in labels:
        scores = {other: 0.6 if other == label else 0.4 / max(1, len(labels) - 1) for other in labels}
        files.write(predicted(str(photo), **scores))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(names)


def test_a_folder_that_is_searched_is_refused(tmp_path):
    (tmp_path / "photos").mkdir()
    for folder in (tmp_path / "photos", tmp_path / "photos" / "sorted"):
        with pytest.raises(DataError, match=r"is inside .*photos, which is searched for images"):
            check_is_apart(folder, [str(tmp_path / "photos")])
    check_is_apart(tmp_path / "sorted", [str(tmp_path / "photos"), "-", "*.jpg", "", "a\0b"])


@pytest.mark.parametrize(
    ("pattern", "is_refused"),
    [
        ("photos/*", True),
        ("photos/**/*.jpg", True),
        ("photos/**", True),
        ("**/*.jpg", True),
        ("p*/sort?d/*/*.jpg", True),
        ("photos/[r-t]orted", True),
        ("*", True),
        ("photos/*.jpg", False),
        ("*.jpg", False),
        ("photos/2*/*.jpg", False),
        ("photos/*/*/*/*.jpg", False),
        ("other/**/*.jpg", False),
        ("photos/sorted/cat/*.jpg", False),
    ],
)
def test_a_folder_that_a_pattern_searches_is_refused(tmp_path, monkeypatch, pattern, is_refused):
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    for argument in (pattern, str(tmp_path / pattern)):
        with pytest.raises(DataError, match="which is searched for images") if is_refused else nullcontext():
            check_is_apart(Path("photos", "sorted"), [argument])


def test_a_file_is_no_folder(photo):
    with pytest.raises(DataError, match="a file, not a folder"):
        SortedFiles(photo, ["cat"])
