import io
import itertools
import sys

import pytest

from levit.cli.inputs import NoImages, expand
from levit.errors import DataError


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The current folder, with files of all kinds."""
    monkeypatch.chdir(tmp_path)
    for name in ("b.jpg", "A.PNG", "notes.txt", "sub/c.webp", "sub/deep/d.Tiff", "sub/data.csv", "bare/readme.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    return tmp_path


def test_a_file_is_itself_whatever_it_is_and_whether_it_is_there(files):
    names = ["b.jpg", "./b.jpg", "notes.txt", "missing.jpg", "", "https://example.com/x.jpg"]
    assert list(expand(names)) == names


def test_a_folder_is_all_images_below_it_in_order(files):
    assert list(expand(["."])) == ["./A.PNG", "./b.jpg", "./sub/c.webp", "./sub/deep/d.Tiff"]
    assert list(expand(["sub/"])) == ["sub/c.webp", "sub/deep/d.Tiff"]


def test_a_folder_without_images_is_told(files):
    assert list(expand(["bare", "b.jpg"])) == [NoImages("bare", "no images in this folder"), "b.jpg"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.jpg", ["b.jpg"]),
        ("[b-c].*", ["b.jpg"]),
        ("*", ["A.PNG", "b.jpg", "notes.txt", "sub/c.webp", "sub/deep/d.Tiff"]),
        ("sub/**/*.Tiff", ["sub/deep/d.Tiff"]),
        ("s?b", ["sub/c.webp", "sub/deep/d.Tiff"]),
    ],
)
def test_a_pattern_is_its_matches_and_the_images_below_them(files, pattern, found):
    assert list(expand([pattern])) == found


def test_a_pattern_that_matches_a_folder_and_what_is_in_it_names_each_file_once(files):
    assert sorted(expand(["sub/**"])) == ["sub/c.webp", "sub/deep/d.Tiff"]


def test_a_pattern_does_not_follow_links_in_circles(files):
    (files / "sub" / "up").symlink_to("..")
    (files / "sub" / "self").symlink_to(".")
    assert list(expand(["**/*.webp"])) == ["sub/c.webp"]
    assert list(expand(["sub/**"])) == ["sub/c.webp", "sub/deep/d.Tiff"]
    assert list(expand(["sub"])) == ["sub/c.webp", "sub/deep/d.Tiff"]


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="this Python takes ** for * there")
def test_stars_that_pathlib_does_not_take_are_told(files):
    assert list(expand(["sub/**.webp"])) == [
        NoImages("sub/**.webp", "** stands for folders, between slashes: **/*.jpg")
    ]


def test_a_pattern_without_matches_is_told(files):
    assert list(expand(["*.gif", "bar?"])) == [
        NoImages("*.gif", "no file matches this pattern"),
        NoImages("bar?", "no file matches this pattern"),
    ]


def test_a_file_that_looks_like_a_pattern_is_itself(files):
    (files / "b[1].jpg").touch()
    (files / "b1.jpg").touch()
    assert list(expand(["b[1].jpg"])) == ["b[1].jpg"]


def test_a_dash_is_the_lines_of_standard_input(files, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("b.jpg\n\nsub\r\nwith space.jpg \n*.jpg"))
    found = ["A.PNG", "b.jpg", "sub/c.webp", "sub/deep/d.Tiff", "with space.jpg ", "*.jpg"]
    assert list(expand(["A.PNG", "-"])) == found


def test_a_list_may_begin_with_a_byte_order_mark(files, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("\ufeffb.jpg\n  \nA.PNG\n"))
    assert list(expand(["-"])) == ["b.jpg", "A.PNG"]


def test_an_empty_list_is_told(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert list(expand(["-"])) == [NoImages("-", "no file names on standard input")]


def test_a_closed_standard_input_is_an_empty_list(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    assert list(expand(["-"])) == [NoImages("-", "no file names on standard input")]


def test_an_image_on_standard_input_is_told_from_a_list(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("\xff\xd8\0\n"))
    with pytest.raises(DataError, match="no list of file names"):
        list(expand(["-"]))


def test_nothing_is_looked_at_before_it_is_needed(files):
    names = expand(itertools.chain(["b.jpg"], itertools.repeat("A.PNG")))
    assert list(itertools.islice(names, 3)) == ["b.jpg", "A.PNG", "A.PNG"]
    lazy = expand(["b.jpg", "bare"])
    next(lazy)
    (files / "bare" / "late.jpg").touch()
    assert list(lazy) == ["bare/late.jpg"]
