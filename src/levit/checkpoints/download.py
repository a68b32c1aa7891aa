"""An address whose name carries its hash -> a checked file in the cache."""

from __future__ import annotations

import atexit
import hashlib
import http.client
import re
import sys
import tempfile
import urllib.error
import urllib.request
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

from levit.checkpoints.cache import cache_folder
from levit.checkpoints.weight_files import hash_file
from levit.errors import CheckpointError

# At the end of a file's name the first digits of its SHA-256, which are no date such as 20230117.
HASH = re.compile(r"-(?!(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\.)([0-9a-f]{8,64})\.\w+$")

_CHUNK = 1 << 20
_TIMEOUT = 30  # seconds without an answer


def fetch(address: str) -> Path:
    """The file at an address, from the cache where it is there and whole.

    Raises:
        CheckpointError: its name carries no hash, it cannot be fetched, or it has another hash.
    """
    name = Path(urlsplit(address).path).name
    digits = HASH.search(name)
    if digits is None:
        raise CheckpointError(
            f"{address}: the name does not end in a hash, so the file could not be checked: download it"
        )
    folder = cache_folder("downloads") or _temporary_folder()
    file = folder / name
    if file.is_file() and hash_file(file).startswith(digits[1]):
        return file
    partial = folder / f".{uuid4().hex}.partial"  # of this download alone: another may be under way
    try:
        found = _download(address, partial)
        if not found.startswith(digits[1]):
            raise CheckpointError(f"{address}: the file has the hash {found[:8]}…, not {digits[1]}: try again later")
        partial.replace(file)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise CheckpointError(
            f"{address}: cannot be fetched ({' '.join(str(error).split())}): check the network, or download it "
            f"elsewhere and give the file (or put it at {file})"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return file


@cache
def _temporary_folder() -> Path:
    """Where downloads go without a cache: one folder, which is deleted when the program ends."""
    folder = tempfile.TemporaryDirectory(prefix="levit-")
    atexit.register(folder.cleanup)
    return Path(folder.name)


def _open(address: str) -> http.client.HTTPResponse:
    opener = urllib.request.OpenerDirector()
    # The usual handlers but those of files and ftp, to which a server might send us on.
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    try:
        response: http.client.HTTPResponse = opener.open(address, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()  # it is a response, too
        raise
    return response


def _download(address: str, file: Path) -> str:
    """Write what is at an address to a file, with a progress bar on a terminal; its SHA-256."""
    from tqdm.auto import tqdm

    digest = hashlib.sha256()
    with (
        _open(address) as response,
        file.open("wb") as stream,
        tqdm(
            total=int(response.headers.get("Content-Length") or 0) or None,
            unit="B",
            unit_scale=True,
            desc=Path(address).name,
            disable=not sys.stderr.isatty(),
        ) as progress,
    ):
        while chunk := response.read(_CHUNK):
            digest.update(chunk)
            stream.write(chunk)
            progress.update(len(chunk))
    return digest.hexdigest()
