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
from tests.marks import needs_links


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


def test_bytes_of_a_name_that_are_not_utf_8_are_written_as_escapes(tmp_path):
    write_text(tmp_path / "card.md", b"caf\xe9".decode(errors="surrogateescape"))
    assert (tmp_path / "card.md").read_bytes() == rb"caf\udce9"


@needs_links
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


@pytest.fixture
def events(monkeypatch) -> list[tuple[str, int]]:
    """What is done to which file, by its inode number: "sync" and "rename"."""
    events, sync, rename = [], os.fsync, Path.replace

    def fsync(descriptor):
        events.append(("sync", os.fstat(descriptor).st_ino))
        sync(descriptor)

    def replace(path, target):
        events.append(("rename", path.stat().st_ino))
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(Path, "rename", replace)
    return events


def test_a_file_is_synced_before_it_is_renamed(tmp_path, events):
    with replacing(tmp_path / "a") as partial:
        partial.write_bytes(b"content")
        file = partial.stat().st_ino
        assert not events
    assert events[:2] == [("sync", file), ("rename", file)]


@pytest.mark.parametrize("is_new", [True, False])
def test_the_files_of_a_folder_are_synced_before_they_are_renamed(tmp_path, events, is_new):
    if not is_new:
        (tmp_path / "model").mkdir()
    with updating_folder(tmp_path / "model") as partial:
        for name in ("a", "b"):
            (partial / name).write_bytes(b"content")
        files = {file.stat().st_ino for file in partial.iterdir()}
    assert {kind for kind, _ in events[: len(files)]} == {"sync"}
    assert {number for _, number in events[: len(files)]} == files
    assert [kind for kind, _ in events[len(files) :]].count("rename") == (1 if is_new else len(files))


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


def test_a_folder_with_read_only_files_is_written(tmp_path):
    (tmp_path / "original").write_text("photo")
    (tmp_path / "original").chmod(0o444)
    with replacing(tmp_path / "copies") as partial:
        partial.mkdir()
        shutil.copy2(tmp_path / "original", partial / "copy")
    assert (tmp_path / "copies" / "copy").read_text() == "photo"


@needs_links
def test_a_folder_with_links_is_written(tmp_path):
    (tmp_path / "original").write_text("photo")
    with replacing(tmp_path / "links") as partial:
        partial.mkdir()
        (partial / "link").symlink_to(tmp_path / "original")
        (partial / "broken").symlink_to(tmp_path / "missing")
    assert (tmp_path / "links" / "link").read_text() == "photo"


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
