"""Atomic writes: a file or folder appears under its name only when it is complete and on the disk; checks of files."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path
from uuid import uuid4

_ON_WINDOWS = os.name == "nt"
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_CANNOT_SYNC_FOLDERS = (errno.EACCES, errno.EBADF, errno.EINVAL, errno.ENOTSUP)


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Write a file or a new folder under a temporary name, sync it to the disk, and rename it to `target`.

    Until the rename, an existing `target` is unchanged. If the block raises, the temporary path is deleted. Of a link,
    the file that it leads to is replaced. A file that is replaced keeps its permissions.

    Args:
        target: the file to create or replace; or a folder that does not exist yet.

    Yields:
        A path in the same folder that does not exist yet: write a file to it, or create a folder there.

    Raises:
        OSError: the file system refuses; the error names `target`.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with replacing(Path(folder, "labels.txt")) as partial:
        ...         size = partial.write_text("cat")
        ...     Path(folder, "labels.txt").read_text()
        'cat'
    """
    file = Path(os.path.realpath(target)) if target.is_symlink() else target
    partial = temporary_path(file.parent)
    try:
        with _errors_name(target, partial):
            yield partial
            _keep_permissions(file, partial)
            sync(partial)
            partial.replace(file)
            _sync_entry(file.parent)
    finally:
        remove(partial)


@contextmanager
def updating_folder(target: Path, *, last: Collection[str] = ()) -> Iterator[Path]:
    """Write files into a temporary folder, then move them into `target`, which keeps its other files.

    If `target` does not exist, the temporary folder is renamed to it. If it exists, the files are moved into it one by
    one, because it may be a mount point, a link or the current folder.

    Args:
        target: the folder.
        last: names of files that are moved after all other files, such as a configuration that refers to them.

    Yields:
        An empty folder on the same file system.

    Raises:
        OSError: the file system refuses; the error names a path in `target`.
    """
    is_new = not target.exists()
    partial = temporary_path(target.parent if is_new else target)
    try:
        with _errors_name(target, partial):
            partial.mkdir(parents=True)
            yield partial
            sync(partial)
            if is_new:
                partial.rename(target)
                _sync_entry(target.parent)
            else:
                for path in sorted(partial.iterdir(), key=lambda path: (path.name in last, path.name)):
                    _keep_permissions(target / path.name, path)
                    path.replace(target / path.name)
                _sync_entry(target)
    finally:
        remove(partial)


def write_text(target: Path, text: str) -> None:
    """Create or replace a UTF-8 text file atomically; newlines are written as they are.

    The surrogates that Python has for bytes of file names that are not UTF-8 are written as escapes.
    """
    write_bytes(target, text.encode("utf-8", "backslashreplace"))


def write_bytes(target: Path, content: bytes) -> None:
    """Create or replace a file atomically."""
    with replacing(target) as partial:
        partial.write_bytes(content)


def is_same_file(first: str | PathLike[str], second: str | PathLike[str]) -> bool:
    """Return whether two paths lead to the same existing file."""
    return Path(first).exists() and Path(second).exists() and Path(first).samefile(second)


def check_regular_file(file: Path, error: Callable[..., Exception]) -> None:
    """Check that a path is a regular file, or a link to one, without opening it; a pipe or device could wait forever.

    Args:
        file: path that should be a file.
        error: class of the error to raise, a `LevitError`.

    Raises:
        LevitError: it does not exist, cannot be examined, or is of another kind.
    """
    try:
        mode = file.stat().st_mode
    except (OSError, ValueError) as cause:  # ValueError: a NUL character
        raise error(f"cannot be read ({getattr(cause, 'strerror', None) or cause})", source=file) from None
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "of an unknown kind")
        raise error(f"{kind}, not a regular file", source=file, hint="give a file")


def temporary_path(folder: Path) -> Path:
    """A new hidden path in `folder`, shorter than most names, so that a long name does not become too long."""
    return folder / f".{uuid4().hex[:12]}.partial"


def remove_partials(folder: Path) -> None:
    """Delete the temporary paths that killed processes left in a folder; no process may be writing into it."""
    for path in folder.glob(f".{'[0-9a-f]' * 12}.partial"):
        remove(path)


def sync(path: Path) -> None:
    """Flush a file, or every file below a folder, to the disk; links are left alone, as are the files they lead to.

    Read-only files, such as copies of read-only photos, are synced on Windows, too, and stay read-only.
    """
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    for file in files:
        if not file.is_symlink():
            mode = file.stat().st_mode
            if _ON_WINDOWS:
                file.chmod(mode | stat.S_IWRITE)
            try:
                with file.open("r+b" if _ON_WINDOWS else "rb") as stream:
                    os.fsync(stream.fileno())
            finally:
                if _ON_WINDOWS:
                    file.chmod(mode)


def remove(path: Path) -> None:
    """Delete a file or a folder, if it exists, also a read-only one."""
    for file in (path, *path.rglob("*")) if _ON_WINDOWS else ():  # which refuses to delete read-only files
        if not file.is_symlink():
            with suppress(OSError):
                file.chmod(stat.S_IRWXU)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _errors_name(target: Path, partial: Path) -> Iterator[None]:
    """Let errors of the file system name `target`, or a path in it, in place of the temporary one."""
    try:
        yield
    except OSError as error:
        name = error.filename
        if isinstance(name, str | PathLike) and Path(name).is_relative_to(partial):
            error.filename = str(target / Path(name).relative_to(partial))
            del error.filename2
        raise


def _keep_permissions(target: Path, partial: Path) -> None:
    """Give a new file the permissions of the one that it will replace."""
    if target.is_file() and not target.is_symlink():
        with suppress(OSError):  # a file system without permissions
            shutil.copymode(target, partial)


def _sync_entry(folder: Path) -> None:
    """Flush the names in a folder to the disk; Windows does so by itself, and cannot open folders.

    Folders that may not be read, and file systems that cannot flush folders, are left alone: the files are complete.
    """
    if _ON_WINDOWS:
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC_FOLDERS:
            raise
