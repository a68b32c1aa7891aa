import os

import platformdirs

from levit.checkpoints import cache
from levit.checkpoints.cache import cache_folder, find_verified, is_writable, write_cached, write_verified
from levit.checkpoints.hashing import hash_file
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
def test_a_folder_that_cannot_be_written_is_read(tmp_path, monkeypatch):
    monkeypatch.setenv("LEVIT_CACHE", str(tmp_path))
    folder = cache_folder("folded")
    file = write_verified(folder, "key", ".onnx", b"model")
    folder.chmod(0o500)
    assert cache_folder("folded", max_bytes=0) == folder
    assert find_verified(folder, "key", ".onnx") == file
    assert write_verified(folder, "another", ".onnx", b"model") is None


@needs_permissions
def test_a_folder_that_cannot_be_read_disables_the_cache(tmp_path, monkeypatch):
    (tmp_path / "folded").mkdir(mode=0o300)
    monkeypatch.setenv("LEVIT_CACHE", str(tmp_path))
    assert cache_folder("folded") is None


def test_files_can_be_created_in_a_folder_that_can_be_created(tmp_path):
    (tmp_path / "file").touch()
    assert is_writable(tmp_path)
    assert is_writable(tmp_path / "new" / "folder")
    assert not is_writable(tmp_path / "file")
    assert not is_writable(tmp_path / "file" / "folder")


@needs_permissions
def test_no_file_can_be_created_in_a_folder_of_another_user(tmp_path):
    (tmp_path / "folder").mkdir(mode=0o500)
    assert not is_writable(tmp_path / "folder")
    assert not is_writable(tmp_path / "folder" / "new")


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
    (tmp_path / "file").touch()
    assert not write_cached(b"new", tmp_path / "file" / "model.onnx")
    (tmp_path / "folder").mkdir()
    assert not write_cached(b"new", tmp_path / "folder")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "folder"]


def test_a_file_is_found_by_its_key_and_suffix_and_marked_as_used(tmp_path):
    folder = tmp_path / "new"
    assert find_verified(folder, "key", ".onnx") is None
    file = write_verified(folder, "key", ".onnx", b"model")
    assert file.read_bytes() == b"model"
    os.utime(file, (0, 0))
    assert find_verified(folder, "key", ".onnx") == file
    assert file.stat().st_mtime > 0
    assert find_verified(folder, "key", ".levit") is None
    assert find_verified(folder, "another", ".onnx") is None
    file.write_bytes(b"Model")
    assert find_verified(folder, "key", ".onnx") is None


def test_a_file_that_another_process_deletes_is_not_found(tmp_path, monkeypatch):
    file = write_verified(tmp_path, "key", ".onnx", b"model")

    def delete_and_hash(found):
        file.unlink()
        return hash_file(found)

    monkeypatch.setattr(cache, "hash_file", delete_and_hash)
    assert find_verified(tmp_path, "key", ".onnx") is None


@needs_permissions
def test_a_file_that_cannot_be_read_is_not_found(tmp_path):
    write_verified(tmp_path, "key", ".onnx", b"model").chmod(0)
    assert find_verified(tmp_path, "key", ".onnx") is None


def test_a_file_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").touch()
    assert write_verified(tmp_path / "file", "key", ".onnx", b"model") is None
