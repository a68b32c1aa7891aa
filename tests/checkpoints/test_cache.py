import os

import platformdirs

from levit.checkpoints.cache import cache_folder, write_cached
from tests.marks import needs_permissions


def test_the_environment_variable_moves_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LEVIT_CACHE", str(tmp_path / "here"))
    assert cache_folder("folded") == tmp_path / "here" / "folded"
    assert (tmp_path / "here" / "folded").is_dir()


def test_an_empty_environment_variable_disables_the_cache(monkeypatch):
    monkeypatch.setenv("LEVIT_CACHE", "")
    assert cache_folder("folded") is None


def test_the_default_is_the_cache_folder_of_the_user(tmp_path, monkeypatch):
    monkeypatch.delenv("LEVIT_CACHE")
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name, **_: tmp_path / name)
    assert cache_folder("folded") == tmp_path / "levit" / "folded"


def test_a_folder_that_cannot_be_created_disables_the_cache(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LEVIT_CACHE", str(tmp_path / "file"))
    assert cache_folder("folded") is None


@needs_permissions
def test_a_folder_that_cannot_be_written_disables_the_cache(tmp_path, monkeypatch):
    (tmp_path / "folded").mkdir(mode=0o500)
    monkeypatch.setenv("LEVIT_CACHE", str(tmp_path))
    assert cache_folder("folded") is None


def test_the_oldest_files_above_the_total_size_are_deleted(tmp_path, monkeypatch):
    monkeypatch.setenv("LEVIT_CACHE", str(tmp_path))
    folder = cache_folder("folded")
    for age, name in enumerate(["new", "old", "oldest"]):
        (folder / name).write_bytes(bytes(10))
        os.utime(folder / name, (1000 - age, 1000 - age))
    assert cache_folder("folded", max_bytes=20) == folder
    assert sorted(file.name for file in folder.iterdir()) == ["new", "old"]


def test_a_cached_file_is_replaced_and_no_other_file_is_left(tmp_path):
    file = tmp_path / "model.onnx"
    file.write_bytes(b"old")
    assert write_cached(b"new", file)
    assert file.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [file]


def test_a_cached_file_that_cannot_be_written_leaves_no_file(tmp_path):
    assert not write_cached(b"new", tmp_path / "missing" / "model.onnx")
    (tmp_path / "folder").mkdir()
    assert not write_cached(b"new", tmp_path / "folder")
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]
