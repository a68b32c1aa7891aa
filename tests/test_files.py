"""Atomic writes."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from contextlib import nullcontext
from pathlib import Path

import pytest

from levit.files import remove, remove_partials, replacing, updating_folder, write_text


def test_a_file_is_replaced_when_it_is_complete(tmp_path):
    target = tmp_path / "labels.txt"
    target.write_text("old", encoding="utf-8")
    with replacing(target) as partial:
        partial.write_text("new", encoding="utf-8")
        assert target.read_text(encoding="utf-8") == "old"
    assert target.read_text(encoding="utf-8") == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["labels.txt"]


def test_a_failed_write_leaves_only_the_old_file(tmp_path):
    target = tmp_path / "labels.txt"
    target.write_text("old", encoding="utf-8")
    with pytest.raises(ZeroDivisionError), replacing(target) as partial:  # noqa: PT012
        partial.write_text("half", encoding="utf-8")
        1 / 0  # noqa: B018
    assert target.read_text(encoding="utf-8") == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["labels.txt"]


def test_the_file_that_a_link_leads_to_is_replaced(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "labels.txt").symlink_to(Path("there", "real.txt"))
    for text in ("new", "newer"):  # at first the link leads nowhere
        write_text(tmp_path / "labels.txt", text)
        assert (tmp_path / "labels.txt").is_symlink()
        assert (tmp_path / "there" / "real.txt").read_text() == text
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["labels.txt", "real.txt", "there"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path):
    file = tmp_path / "run" / "labels.txt"
    file.parent.mkdir()
    file.write_text("old")
    file.chmod(0o600)
    write_text(file, "new")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with updating_folder(file.parent) as partial:
        (partial / "labels.txt").write_text("newer")
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("newer", 0o600)


def test_errors_name_the_file_that_was_requested(tmp_path):
    target = tmp_path / "missing" / "labels.txt"
    with pytest.raises(FileNotFoundError) as caught:
        write_text(target, "cat")
    assert str(caught.value) == f"[Errno 2] No such file or directory: {str(target)!r}"
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="folder") as caught:
        write_text(tmp_path / "folder", "cat")
    assert caught.value.filename == str(tmp_path / "folder")
    assert ".partial" not in str(caught.value)
    with pytest.raises(FileNotFoundError) as caught, updating_folder(tmp_path / "folder") as partial:
        (partial / "a" / "b.txt").write_text("cat")
    assert caught.value.filename == str(tmp_path / "folder" / "a" / "b.txt")


def test_a_new_folder_appears_as_a_whole(tmp_path):
    target = tmp_path / "model"
    with updating_folder(target) as partial:
        write_text(partial / "config.json", "{}")
        assert not target.exists()
    assert [path.name for path in target.iterdir()] == ["config.json"]


def test_an_existing_folder_keeps_other_files_and_gets_the_last_ones_last(tmp_path, monkeypatch):
    target = tmp_path / "model"
    target.mkdir()
    (target / "notes.txt").write_text("mine", encoding="utf-8")
    moved = []
    original = type(target).replace
    monkeypatch.setattr(type(target), "replace", lambda path, to: (moved.append(path.name), original(path, to))[1])
    with updating_folder(target, last=["config.json"]) as partial:
        for name in ("config.json", "weights.bin"):
            (partial / name).write_bytes(b"x")
    assert moved == ["weights.bin", "config.json"]
    assert sorted(path.name for path in target.iterdir()) == ["config.json", "notes.txt", "weights.bin"]


def test_a_name_of_the_longest_length_can_be_written(tmp_path):
    target = tmp_path / ("x" * 251 + ".txt")
    write_text(target, "ok")
    assert target.read_text(encoding="utf-8") == "ok"


def test_files_are_synced_before_they_are_renamed(tmp_path, monkeypatch):
    synced = []
    original = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (synced.append(descriptor), original(descriptor))[1])
    with replacing(tmp_path / "a") as partial:
        partial.write_bytes(b"content")
        assert not synced
    assert synced


@pytest.mark.skipif(os.name == "nt", reason="Windows does not sync folders")
@pytest.mark.parametrize(("number", "is_error"), [(errno.EINVAL, False), (errno.ENOSPC, True)])
def test_a_file_system_that_cannot_sync_folders_is_no_error(tmp_path, monkeypatch, number, is_error):
    original = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match=os.strerror(number)) if is_error else nullcontext():
        write_text(tmp_path / "a", "content")
    assert (tmp_path / "a").read_text(encoding="utf-8") == "content"


def test_a_folder_with_read_only_files_and_links_is_written(tmp_path):
    (tmp_path / "original").write_text("photo")
    (tmp_path / "original").chmod(0o444)
    with replacing(tmp_path / "copies") as partial:
        partial.mkdir()
        shutil.copy2(tmp_path / "original", partial / "copy")
        if os.name != "nt":  # where links need a privilege
            (partial / "link").symlink_to(tmp_path / "original")
            (partial / "broken").symlink_to(tmp_path / "missing")
    assert (tmp_path / "copies" / "copy").read_text() == "photo"


def test_read_only_files_are_synced_and_deleted_on_windows(tmp_path, monkeypatch):
    """Windows opens only files without the read-only attribute for writing, and deletes no others."""

    def open_as_windows(file, mode="r", **options):
        if "+" in mode and not file.stat().st_mode & stat.S_IWRITE:
            raise PermissionError(13, "Permission denied", str(file))
        return original(file, mode, **options)

    def delete_as_windows(folder, **options):
        assert all(file.stat().st_mode & stat.S_IWRITE for file in folder.rglob("*"))
        rmtree(folder, **options)

    original, rmtree = Path.open, shutil.rmtree
    monkeypatch.setattr("levit.files._ON_WINDOWS", True)
    monkeypatch.setattr(Path, "open", open_as_windows)
    monkeypatch.setattr("levit.files.shutil.rmtree", delete_as_windows)
    (tmp_path / "photo").write_bytes(b"photo")
    (tmp_path / "photo").chmod(0o444)
    with replacing(tmp_path / "copies") as partial:
        partial.mkdir()
        shutil.copy2(tmp_path / "photo", partial / "photo")
    assert stat.S_IMODE((tmp_path / "copies" / "photo").stat().st_mode) == 0o444
    remove(tmp_path / "copies")
    remove(tmp_path / "photo")
    assert not any(tmp_path.iterdir())


def test_partial_files_of_killed_processes_are_deleted(tmp_path):
    (tmp_path / ".0123456789ab.partial").mkdir()
    (tmp_path / ".0123456789ab.partial" / "half").write_bytes(b"half")
    (tmp_path / ".ba9876543210.partial").write_bytes(b"half")
    (tmp_path / "kept.partial").write_bytes(b"whole")
    remove_partials(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.partial"]
