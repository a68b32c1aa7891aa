"""Files in a tar archive, read sequentially; a damaged or incomplete archive is an error, never a shorter one."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, Self

from levit.errors import DataError, first_line
from levit.files import check_regular_file

_MAX_COMPRESSION = 10_000  # a member larger than this multiple of the archive's size cannot be in it
_CHUNK_BYTES = 1 << 20
_MAGIC, _MAGIC_START = b"ustar", 257


def iterate_members(archive: Path, is_needed: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Read the name and content of each regular file in an archive, compressed or not.

    In an archive that is not compressed, content that is not needed is skipped without reading it.

    Args:
        archive: tar file.
        is_needed: whether the content of a file of this name is needed; otherwise it is empty.

    Raises:
        DataError: the file is not a tar file, a header is damaged, or the end of the archive is missing.
    """
    check_regular_file(archive, DataError)
    try:
        with tarfile.open(archive, _mode(archive), tarinfo=_CheckedHeader) as stream:
            max_size = _MAX_COMPRESSION * archive.stat().st_size
            for member in stream:
                if member.size > max_size:
                    raise tarfile.ReadError(f"{member.name} would be larger than the archive")
                if not member.isfile():
                    continue
                if member.issparse():
                    raise tarfile.ReadError(f"{member.name} is a sparse file")
                content = stream.extractfile(member) if is_needed(member.name) else None
                yield member.name, content.read() if content is not None else b""
            _check_end(stream, archive)
    except DataError:
        raise
    # A damaged archive makes tarfile and the decompressors raise errors of many types.
    except Exception as error:
        raise DataError(f"not a tar file, or incomplete ({first_line(error)})", source=archive) from error


def _mode(archive: Path) -> Literal["r:", "r|*"]:
    """Mode of `tarfile`: with seeks where the archive is not compressed; otherwise a stream of any format."""
    with archive.open("rb") as stream:
        start = stream.read(_MAGIC_START + len(_MAGIC))
    return "r:" if start.endswith(_MAGIC) else "r|*"


class _CheckedHeader(tarfile.TarInfo):
    """Header of a member; a damaged one is an error, where `tarfile` would end the archive without one."""

    @classmethod
    def fromtarfile(cls, archive: Any) -> Self:
        try:
            header = super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except Exception as error:
            raise tarfile.ReadError(_describe_damage(archive, error)) from error
        if header.size < 0:
            raise tarfile.ReadError(f"{header.name} has a negative size")
        return header


def _describe_damage(archive: Any, error: Exception) -> str:
    size = Path(archive.name).stat().st_size if archive.name else 0
    left = size - archive.offset
    place = f"at byte {archive.offset:,}"
    if left > 0:  # not compressed, or not much
        place += f" of {size:,}"
    if type(error).__name__ in ("EmptyHeaderError", "TruncatedHeaderError"):
        return f"it ends {place} without an end marker"
    return f"damaged header {place}: {left:,} bytes were left" if left > 0 else f"damaged header {place}"


def _check_end(stream: Any, archive: Path) -> None:
    """Check that only zeros follow the end marker."""
    left = 0
    while chunk := stream.fileobj.read(_CHUNK_BYTES):
        left += len(chunk.rstrip(b"\0"))
    if left:
        hint = "it may be several archives in one file: unpack it with tar --ignore-zeros, and pack it again"
        raise DataError(f"{left:,} bytes after the end of the archive", source=archive, hint=hint)
