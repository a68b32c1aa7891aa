"""Download of weight files whose names contain their hash, into the cache."""

from __future__ import annotations

import atexit
import hashlib
import http.client
import re
import sys
import tempfile
import urllib.error
import urllib.request
from contextlib import suppress
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from levit.checkpoints.cache import cache_folder, is_writable, mark_as_used
from levit.checkpoints.hashing import hash_file
from levit.errors import CheckpointError, first_line
from levit.files import replacing
from levit.logs import is_quiet

# First digits of the SHA-256 of a file, at the end of its name; a date such as 20230117 does not match.
HASH_SUFFIX = re.compile(r"-(?!(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\.)([0-9a-f]{8,64})\.\w+$")

_HASH_DIGITS = 64
_CHUNK = 1 << 20  # bytes
_TIMEOUT = 30  # seconds without data


def download_verified(url: str) -> Path:
    """Download a file whose name contains its hash, unless it is in the cache and undamaged.

    Args:
        url: https URL; http, too, if the name contains all digits of the hash. Fewer digits are a check against
            accidents only, such as an incomplete file.

    Returns:
        The file in the cache, or in a temporary folder if there is no cache or it cannot be written.

    Raises:
        CheckpointError: the name contains no hash, or not all of it for http; the download fails; or the file has
            another hash.
    """
    name = Path(urlsplit(url).path).name
    suffix = HASH_SUFFIX.search(name)
    if suffix is None:
        raise CheckpointError(
            "the name does not end in a hash, so the file could not be verified",
            source=url,
            hint="download it yourself and give the file",
        )
    has_full_hash = len(suffix[1]) == _HASH_DIGITS
    if not (has_full_hash or url.startswith("https://")):
        raise CheckpointError(
            f"the {len(suffix[1])} digits of the hash in the name detect accidents, not a file that was exchanged on "
            "the way",
            source=url,
            hint=f"use https, or a file whose name has all {_HASH_DIGITS} digits",
        )
    folder = cache_folder("downloads")
    if folder is not None and _is_intact(folder / name, suffix[1]):
        mark_as_used(folder / name)
        return folder / name
    file = (folder if folder is not None and is_writable(folder) else _temporary_folder()) / name
    if _is_intact(file, suffix[1]):
        return file
    try:
        with replacing(file) as partial:
            sha256 = _download(url, partial, allows_http=has_full_hash)
            if not sha256.startswith(suffix[1]):
                raise CheckpointError(
                    f"the file has the hash {sha256[:8]}…, not {suffix[1]}", source=url, hint="try again later"
                )
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise CheckpointError(
            f"cannot be downloaded ({first_line(error)})",
            source=url,
            hint=f"check the network, or download it elsewhere and give the file (or put it at {file})",
        ) from error
    return file


def _is_intact(file: Path, digits: str) -> bool:
    """Whether a file exists, can be read, and has a hash that begins with these digits."""
    with suppress(OSError):
        return file.is_file() and hash_file(file).startswith(digits)
    return False


@cache
def _temporary_folder() -> Path:
    """Folder of downloads without a cache, deleted when the program ends."""
    folder = tempfile.TemporaryDirectory(prefix="levit-")
    atexit.register(folder.cleanup)
    return Path(folder.name)


def _open(url: str, *, allows_http: bool) -> http.client.HTTPResponse:
    opener = urllib.request.OpenerDirector()
    # The default handlers without those of files and ftp, and usually http, to which a server could redirect.
    for handler in (
        *((urllib.request.HTTPHandler,) if allows_http else ()),
        urllib.request.ProxyHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    try:
        response: http.client.HTTPResponse = opener.open(url, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()  # the error is an open response
        raise
    return response


def _download(url: str, file: Path, *, allows_http: bool) -> str:
    """Write the content of a URL to a file, with a progress bar on a terminal, and compute its SHA-256."""
    from tqdm.auto import tqdm

    digest = hashlib.sha256()
    with (
        _open(url, allows_http=allows_http) as response,
        file.open("wb") as stream,
        tqdm(
            total=int(response.headers.get("Content-Length") or 0) or None,
            unit="B",
            unit_scale=True,
            desc=Path(url).name,
            disable=not sys.stderr.isatty() or is_quiet(),
        ) as progress,
    ):
        while chunk := response.read(_CHUNK):
            digest.update(chunk)
            stream.write(chunk)
            progress.update(len(chunk))
    return digest.hexdigest()
