"""Lookup of the weight file that a path, a published name or a URL refers to."""

from __future__ import annotations

import re
from contextlib import suppress
from os import PathLike, fspath
from pathlib import Path

from levit.checkpoints.cache import cache_folder
from levit.checkpoints.weight_names import SAFETENSORS_FILE, WEIGHT_FILES, is_weight_file, list_some
from levit.errors import CheckpointError
from levit.files import check_regular_file

# Published names. The last eight digits in the name of a file are the first ones of the SHA-256 of its content.
HUB_NAMES = {
    "levit-128s": "facebook/levit-128S",
    "levit-128": "facebook/levit-128",
    "levit-192": "facebook/levit-192",
    "levit-256": "facebook/levit-256",
    "levit-384": "facebook/levit-384",
}
EMBEDDED_WEIGHTS = "embedded"
"""Name of the weights inside the package, from which the embedded model was exported."""

_FACEBOOK = "https://dl.fbaipublicfiles.com/LeViT"
_OPENMMLAB = "https://download.openmmlab.com/mmclassification/v0/levit"
URLS = {
    "LeViT-128S.pth": f"{_FACEBOOK}/LeViT-128S-96703c44.pth",
    "LeViT-128.pth": f"{_FACEBOOK}/LeViT-128-b88c2750.pth",
    "LeViT-192.pth": f"{_FACEBOOK}/LeViT-192-92712e41.pth",
    "LeViT-256.pth": f"{_FACEBOOK}/LeViT-256-13b5763e.pth",
    "LeViT-384.pth": f"{_FACEBOOK}/LeViT-384-9bdaf2e2.pth",
    "levit-128s_3rdparty_in1k": f"{_OPENMMLAB}/levit-128s_3rdparty_in1k_20230117-e9fbd209.pth",
    "levit-128_3rdparty_in1k": f"{_OPENMMLAB}/levit-128_3rdparty_in1k_20230117-3be02a02.pth",
    "levit-192_3rdparty_in1k": f"{_OPENMMLAB}/levit-192_3rdparty_in1k_20230117-8217a0f9.pth",
    "levit-256_3rdparty_in1k": f"{_OPENMMLAB}/levit-256_3rdparty_in1k_20230117-5ae2ce7d.pth",
    "levit-384_3rdparty_in1k": f"{_OPENMMLAB}/levit-384_3rdparty_in1k_20230117-f3539cce.pth",
}

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def find_weights(path_or_id: str | PathLike[str], *, revision: str | None = None) -> Path:
    """Find a weight file, and download it if it is neither local nor in a cache.

    Args:
        path_or_id: as in `levit.read_checkpoint`.
        revision: branch, tag or commit of a model on the Hugging Face Hub.

    Raises:
        CheckpointError: there is no such file or name, it is not a regular file, the download fails, or a revision is
            given for something that is not on the hub.
    """
    path, name = Path(path_or_id), fspath(path_or_id)
    if _exists(path):
        check_no_revision(revision, name, "a local file or folder")
        file = _find_in_folder(path) if path.is_dir() else path
        check_regular_file(file, CheckpointError)
        return file
    if name == EMBEDDED_WEIGHTS:
        check_no_revision(revision, name, "a model inside the package")
        return Path(__file__).with_name("embedded") / SAFETENSORS_FILE
    url = URLS.get(name, name)
    if url.startswith(("http://", "https://")):
        check_no_revision(revision, name, "a URL")
        from levit.checkpoints.download import download_verified  # imports urllib, which local files do not need

        return download_verified(url)
    hub_id = HUB_NAMES.get(name.lower(), name)
    if isinstance(path_or_id, str) and _HUB_ID.fullmatch(hub_id):
        from levit.checkpoints.hub import download_from_hub

        return download_from_hub(hub_id, revision)
    raise CheckpointError("no such file, folder or known model name", source=name, hint="see `levit models`")


def is_cached(name: str) -> bool:
    """Return whether the weights of a published name were downloaded before.

    Args:
        name: one of `HUB_NAMES` or `URLS`.
    """
    if name in URLS:
        folder = cache_folder("downloads")
        return folder is not None and (folder / URLS[name].rpartition("/")[2]).is_file()
    from huggingface_hub import try_to_load_from_cache

    return any(isinstance(try_to_load_from_cache(HUB_NAMES[name], file), str) for file in WEIGHT_FILES)


def check_no_revision(revision: str | None, name: str, kind: str) -> None:
    """Check that no revision is given for a model that is not on the hub.

    Args:
        revision: the revision, or None.
        name: source of the error.
        kind: kind of the model, for the error.

    Raises:
        CheckpointError: a revision is given.
    """
    if revision is not None:
        hint = "give a model ID on the Hugging Face Hub, or no revision"
        raise CheckpointError(f"{kind} has no revision {revision!r}", source=name, hint=hint)


def check_is_not_source(source: str | PathLike[str], *targets: Path) -> None:
    """Check that none of the files to write is the weight file of the source.

    Args:
        source: path, name or URL, as in `levit.read_checkpoint`.
        targets: the files to write.

    Raises:
        CheckpointError: one of them is.
    """
    if not _exists(Path(source)):
        return
    with suppress(OSError):  # a path that cannot be resolved
        weights = find_weights(source).resolve()
        for target in targets:
            if target.resolve() == weights:
                raise CheckpointError("the target is the source", source=target, hint="give another target")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # the name is too long for a file, or contains NUL
        return False


def _find_in_folder(folder: Path) -> Path:
    for name in WEIGHT_FILES:
        if (folder / name).is_file():
            return folder / name
    names = sorted(file.name for file in folder.iterdir())
    if any(f"{name}.index.json" in names for name in WEIGHT_FILES):
        raise CheckpointError(
            "these weights are in several files",
            source=folder,
            hint="save them in one, save_pretrained(…, max_shard_size='1GB')",
        )
    weights = [folder / name for name in names if is_weight_file(name) and not (folder / name).is_dir()]
    if len(weights) == 1:
        return weights[0]
    if weights:
        raise CheckpointError(
            f"{len(weights)} files of weights in this folder", source=folder, hint=f"name one, such as {weights[0]}"
        )
    raise CheckpointError(f"no {' or '.join(WEIGHT_FILES)} in this folder, {list_some(names)}", source=folder)
