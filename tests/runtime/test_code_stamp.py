"""Stamps of code, by which caches distinguish versions of a clone."""

import os

import pytest

from levit.runtime.code_stamp import code_stamp


@pytest.fixture
def code(tmp_path):
    """Folder with one file of code, changed at the time 0."""
    (tmp_path / "code.py").write_text("first")
    os.utime(tmp_path / "code.py", (0, 0))
    return tmp_path


def stamp(*paths) -> str:
    """The stamp in another process."""
    code_stamp.cache_clear()
    return code_stamp(*paths)


@pytest.mark.parametrize("is_folder", [True, False])
def test_a_file_of_another_size_or_time_gives_another_stamp(code, is_folder):
    path = code if is_folder else code / "code.py"
    stamps = [stamp(path)]
    (code / "code.py").write_text("other")
    stamps.append(stamp(path))
    (code / "code.py").write_text("longer")
    os.utime(code / "code.py", (0, 0))
    stamps.append(stamp(path))
    assert len(set(stamps)) == 3
    assert stamp(path) == stamps[-1]


def test_files_below_a_folder_and_missing_ones_do_not_count(code):
    first = stamp(code)
    (code / "__pycache__").mkdir()
    (code / "__pycache__" / "code.pyc").touch()
    assert stamp(code) == stamp(code, code / "missing.py") == first


def test_the_stamp_stays_that_of_the_code_that_a_process_has_loaded(code):
    first = stamp(code)
    (code / "code.py").write_text("updated")
    assert code_stamp(code) == first
