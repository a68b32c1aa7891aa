import os

import platformdirs
import pytest

from levit.checkpoints.cache import cache_folder, keep


def test_the_variable_moves_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LEVIT_CACHE", str(tmp_path / "here"))
    assert cache_folder("folded") == tmp_path / "here" / "folded"
    assert (tmp_path / "here" / "folded").is_dir()


def test_an_empty_variable_means_no_cache(monkeypatch):
    monkeypatch.setenv("LEVIT_CACHE", "")
    assert cache_folder("folded") is None


def test_without_the_variable_the_cache_is_the_users(tmp_path, monkeypatch):
    monkeypatch.delenv("LEVIT_CACHE")
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name, **_: tmp_path / name)
    assert cache_folder("folded") == tmp_path / "levit" / "folded"


def test_where_no_folder_can_be_made_there_is_no_cache(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LEVIT_CACHE", str(tmp_path / "file"))
    assert cache_folder("folded") is None


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_no_cache(tmp_path, monkeypatch):
    (tmp_path / "folded").mkdir(mode=0o500)
    monkeypatch.setenv("LEVIT_CACHE", str(tmp_path))
    assert cache_folder("folded") is None


def test_what_is_kept_is_complete_and_alone(tmp_path):
    file = tmp_path / "model.onnx"
    file.write_bytes(b"old")
    assert keep(b"new", file)
    assert file.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [file]


def test_what_cannot_be_kept_leaves_nothing_behind(tmp_path):
    assert not keep(b"new", tmp_path / "missing" / "model.onnx")
    (tmp_path / "folder").mkdir()
    assert not keep(b"new", tmp_path / "folder")
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]
