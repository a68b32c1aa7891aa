"""Cache of compiled networks, whose files are verified before OpenVINO reads them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from levit.checkpoints.cache import mark_as_used, write_cached
from levit.checkpoints.hashing import hash_file

_HASHES = "sha256.json"  # name of a compiled file -> its hash


@contextmanager
def verified_cache(folder: Path, *key: object) -> Iterator[Path | None]:
    """Give OpenVINO a folder for one compiled network.

    OpenVINO does not notice changed bits in a compiled file, and computes other logits. So the hash of each file is
    kept beside it, and a file with another hash is deleted. OpenVINO names its files by a hash of the network; the
    folder only separates them, so that few files are verified.

    Args:
        folder: folder of all compiled networks.
        key: what distinguishes this network from most others.

    Yields:
        The folder to compile with; None if it cannot be written.
    """
    own = folder / hashlib.sha256(repr(key).encode()).hexdigest()[:32]
    try:
        own.mkdir(parents=True, exist_ok=True)
        verified = _delete_damaged(own)
    except OSError:
        yield None
        return
    yield own
    with suppress(OSError):
        hashes = {file.name: verified.get(file.name) or hash_file(file) for file in own.glob("*.blob")}
        if hashes != verified:
            write_cached(json.dumps(hashes).encode(), own / _HASHES)


def _delete_damaged(folder: Path) -> dict[str, str]:
    """Delete the files that differ from their hash or have none, and return the hashes of the others."""
    expected: object = None
    with suppress(OSError, ValueError):
        expected = json.loads((folder / _HASHES).read_bytes())
    verified = {}
    for file in folder.glob("*.blob"):
        sha256 = hash_file(file)
        if isinstance(expected, dict) and expected.get(file.name) == sha256:
            verified[file.name] = sha256
            mark_as_used(file)
        else:
            file.unlink(missing_ok=True)
    if verified:
        mark_as_used(folder / _HASHES)
    return verified
