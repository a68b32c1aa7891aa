"""Files, folders, patterns and standard input expand to image files, lazily and in order."""

import io
import itertools
import sys
import threading

import pytest

from levit.cli import inputs
from levit.cli.inputs import ImageInput, MissingInput, Pause
from levit.cli.skipped_files import SkippedFileCounter
from levit.errors import DataError, LevitWarning
from tests.marks import needs_links


def iterate_inputs(arguments):
    return inputs.iterate_inputs(arguments, SkippedFileCounter())


def images(*paths):
    return [ImageInput(path) for path in paths]


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The current folder, with images and other files."""
    monkeypatch.chdir(tmp_path)
    for name in ("b.jpg", "A.PNG", "notes.txt", "sub/c.webp", "sub/deep/d.Tiff", "sub/data.csv", "bare/readme.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    return tmp_path


def test_a_file_is_kept_whether_or_not_it_is_an_image_or_exists(files):
    names = ["b.jpg", "./b.jpg", "notes.txt", "missing.jpg", "", "https://example.com/x.jpg"]
    assert list(iterate_inputs(names)) == images(*names)


@pytest.mark.parametrize("name", ["names.txt", "NAMES.LST"])
def test_a_list_of_files_that_is_given_as_an_image_is_reported_with_the_way_to_read_it(files, name):
    (files / name).write_text("b.jpg\nA.PNG\n")
    (missing,) = iterate_inputs([name])
    assert missing == MissingInput(name, "a list of files, which is read from standard input: give - and < LIST")
    (files / name).write_bytes(b"\xff\xd8\0not a name")
    assert list(iterate_inputs([name])) == images(name)


def test_a_folder_gives_all_images_below_it_in_order(files):
    assert list(iterate_inputs(["."])) == images("./A.PNG", "./b.jpg", "./sub/c.webp", "./sub/deep/d.Tiff")
    assert list(iterate_inputs(["sub/"])) == images("sub/c.webp", "sub/deep/d.Tiff")


def test_a_folder_without_images_is_reported_in_its_position(files):
    expected = [*images("b.jpg"), MissingInput("bare", "no images in this folder"), *images("A.PNG")]
    assert list(iterate_inputs(["b.jpg", "bare", "A.PNG"])) == expected


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("*.jpg", ["b.jpg"]),
        ("[b-c].*", ["b.jpg"]),
        ("*", ["A.PNG", "b.jpg", "notes.txt", "sub/c.webp", "sub/deep/d.Tiff"]),
        ("sub/**/*.Tiff", ["sub/deep/d.Tiff"]),
        ("s?b", ["sub/c.webp", "sub/deep/d.Tiff"]),
    ],
)
def test_a_pattern_gives_its_matches_and_the_images_below_matching_folders(files, pattern, paths):
    assert list(iterate_inputs([pattern])) == images(*paths)


def test_a_pattern_that_matches_a_folder_and_its_content_gives_each_file_once(files):
    paths = [item.path for item in iterate_inputs(["sub/**"])]
    assert sorted(paths) == ["sub/c.webp", "sub/deep/d.Tiff"]


@needs_links
def test_a_pattern_does_not_follow_cyclic_links(files):
    (files / "sub" / "up").symlink_to("..")
    (files / "sub" / "self").symlink_to(".")
    assert list(iterate_inputs(["**/*.webp"])) == images("sub/c.webp")
    assert list(iterate_inputs(["sub/**"])) == images("sub/c.webp", "sub/deep/d.Tiff")
    assert list(iterate_inputs(["sub"])) == images("sub/c.webp", "sub/deep/d.Tiff")


@needs_links
def test_linked_folders_are_read_and_links_to_a_folder_that_contains_them_are_not(files):
    (files / "other").mkdir()
    (files / "other" / "e.jpg").touch()
    (files / "sub" / "linked").symlink_to("../other")
    (files / "sub" / "up").symlink_to("..")
    (files / "other" / "back").symlink_to("../sub")
    (files / "sub" / "itself").symlink_to("itself")
    assert list(iterate_inputs(["sub"])) == images("sub/c.webp", "sub/deep/d.Tiff", "sub/linked/e.jpg")


def test_folders_of_operating_systems_and_editors_are_not_read(files):
    for name in ("@eaDir", ".ipynb_checkpoints", "__MACOSX", ".Trash-1000"):
        (files / "sub" / name).mkdir()
        (files / "sub" / name / "x.jpg").touch()
    assert list(iterate_inputs(["sub"])) == images("sub/c.webp", "sub/deep/d.Tiff")
    assert list(iterate_inputs(["sub/@eaDir/x.jpg"])) == images("sub/@eaDir/x.jpg")


def test_hidden_files_are_read_only_by_their_names(files):
    for name in (".hidden.jpg", "sub/._c.webp", "sub/.cache/x.jpg"):
        (files / name).parent.mkdir(exist_ok=True)
        (files / name).touch()
    assert list(iterate_inputs(["."])) == images("./A.PNG", "./b.jpg", "./sub/c.webp", "./sub/deep/d.Tiff")
    assert list(iterate_inputs(["*.jpg", "./*.jpg"])) == images("b.jpg", "b.jpg")
    assert list(iterate_inputs(["**/*.webp"])) == images("sub/c.webp")
    assert list(iterate_inputs(["**/*.jpg"])) == images("b.jpg")
    assert list(iterate_inputs([".*.jpg", ".hidden.jpg"])) == images(".hidden.jpg", ".hidden.jpg")
    assert list(iterate_inputs(["sub/.cache/*"])) == images("sub/.cache/x.jpg")
    assert list(iterate_inputs([f"../{files.name}/*.jpg"])) == images(f"../{files.name}/b.jpg")


def test_files_that_are_not_images_are_counted(files, monkeypatch):
    monkeypatch.setattr("levit.spec.image_files.has_heif", lambda: False)
    for name in ("1.HEIC", "2.heic", "3.mov", "no-suffix", ".DS_Store", "Thumbs.db"):
        (files / "sub" / name).touch()
    for arguments in (["sub"], ["sub/**"], ["sub", "./sub", "sub/**"]):
        skipped = SkippedFileCounter()
        paths = {item.path for item in inputs.iterate_inputs(arguments, skipped)}
        assert {"sub/c.webp", "sub/deep/d.Tiff"} <= paths
        assert skipped.describe() == (
            '5 files skipped: 2 .heic, 1 .csv, 1 .mov, 1 without suffix: for HEIC files, pip install "levit[heif]"'
        )
        with pytest.warns(LevitWarning, match="^5 files skipped: 2 .heic, "):
            skipped.warn()
    assert list(iterate_inputs(["sub/1.HEIC"])) == images("sub/1.HEIC")


def test_many_suffixes_are_summed_up():
    skipped = SkippedFileCounter()
    for number in range(20):
        skipped.add(f"a.{number:02d}")
    assert skipped.describe().startswith("20 files skipped: 1 .00, 1 .01, ")
    assert skipped.describe().endswith(", 12 others")


def test_heic_files_are_read_where_the_package_is_installed(files, monkeypatch):
    monkeypatch.setattr("levit.spec.image_files.has_heif", lambda: True)
    (files / "sub" / "1.HEIC").touch()
    assert images("sub/1.HEIC", "sub/c.webp") == list(iterate_inputs(["sub"]))[:2]


@needs_links
def test_broken_links_and_pipes_are_given_so_that_reading_them_raises_the_error(files):
    (files / "bare" / "broken.jpg").symlink_to("nowhere.jpg")
    assert list(iterate_inputs(["bare"])) == images("bare/broken.jpg")


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="Python 3.13 accepts ** as * there")
def test_a_pattern_that_pathlib_refuses_is_reported(files):
    reason = "** stands for folders, between slashes: **/*.jpg"
    assert list(iterate_inputs(["sub/**.webp"])) == [MissingInput("sub/**.webp", reason)]


def test_a_pattern_without_matches_is_reported(files):
    reason = "no file matches this pattern"
    assert list(iterate_inputs(["*.gif", "bar?"])) == [MissingInput("*.gif", reason), MissingInput("bar?", reason)]


def test_an_existing_file_with_the_characters_of_a_pattern_is_a_file(files):
    (files / "b[1].jpg").touch()
    (files / "b1.jpg").touch()
    assert list(iterate_inputs(["b[1].jpg"])) == images("b[1].jpg")


def test_a_dash_gives_the_lines_of_standard_input(files, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("b.jpg\n\nsub\r\nwith space.jpg \n*.jpg"))
    paths = ["A.PNG", "b.jpg", "sub/c.webp", "sub/deep/d.Tiff", "with space.jpg ", "*.jpg"]
    assert list(iterate_inputs(["A.PNG", "-"])) == images(*paths)


def test_standard_input_may_begin_with_a_byte_order_mark(files, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("\ufeffb.jpg\n  \nA.PNG\n"))
    assert list(iterate_inputs(["-"])) == images("b.jpg", "A.PNG")


@pytest.mark.parametrize("stdin", [io.StringIO(""), None], ids=["empty", "closed"])
def test_standard_input_without_lines_is_reported(monkeypatch, stdin):
    monkeypatch.setattr("sys.stdin", stdin)
    assert list(iterate_inputs(["-"])) == [MissingInput("-", "no file names on standard input")]


def test_an_image_on_standard_input_is_an_error(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("\xff\xd8\0\n"))
    with pytest.raises(
        DataError, match=r"^standard input: not a list of file names, one per line: give an image by its path$"
    ):
        list(iterate_inputs(["-"]))


def test_inputs_are_expanded_lazily(files):
    inputs = iterate_inputs(itertools.chain(["b.jpg"], itertools.repeat("A.PNG")))
    assert list(itertools.islice(inputs, 3)) == images("b.jpg", "A.PNG", "A.PNG")
    lazy = iterate_inputs(["b.jpg", "bare"])
    next(lazy)
    (files / "bare" / "late.jpg").touch()
    assert list(lazy) == images("bare/late.jpg")


class Lines(io.TextIOBase):
    """Standard input whose reader waits where a line is an event."""

    def __init__(self, *lines):
        self._lines = lines

    def __iter__(self):
        for line in self._lines:
            if isinstance(line, threading.Event):
                assert line.wait(60)
            elif isinstance(line, Exception):
                raise line
            else:
                yield line


def test_a_pause_is_where_no_further_line_is_waiting(files, monkeypatch):
    first, second = threading.Event(), threading.Event()
    monkeypatch.setattr("sys.stdin", Lines("b.jpg\n", "A.PNG\n", first, "\n", second, "sub\n"))
    items = iterate_inputs(["-"])
    *before, pause = itertools.islice(items, 3)
    assert before == images("b.jpg", "A.PNG")
    assert isinstance(pause, Pause)
    first.set()
    threading.Timer(0.1, second.set).start()  # the empty line is followed by no other pause
    assert list(items) == images("sub/c.webp", "sub/deep/d.Tiff")


def test_an_error_of_standard_input_is_raised(monkeypatch):
    monkeypatch.setattr("sys.stdin", Lines("b.jpg\n", OSError(5, "Input/output error")))
    with pytest.raises(OSError, match="Input/output error"):
        list(iterate_inputs(["-"]))
