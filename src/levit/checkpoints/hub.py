"""Names -> files: local paths, the hub of Hugging Face, and the addresses of facebook and OpenMMLab."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from levit.checkpoints.pickles import is_pickle
from levit.checkpoints.transformers_configuration import CONFIG_FILE, PREPROCESSOR_FILE
from levit.errors import CheckpointError

SAFETENSORS_FILE = "model.safetensors"
WEIGHTS_FILES = (SAFETENSORS_FILE, "pytorch_model.bin")

# Published names and where they are. The last eight digits of a file's name begin the SHA-256 of its content.
HUB_NAMES = {
    "levit-128s": "facebook/levit-128S",
    "levit-128": "facebook/levit-128",
    "levit-192": "facebook/levit-192",
    "levit-256": "facebook/levit-256",
    "levit-384": "facebook/levit-384",
}
_FACEBOOK = "https://dl.fbaipublicfiles.com/LeViT"
_OPENMMLAB = "https://download.openmmlab.com/mmclassification/v0/levit"
ADDRESSES = {
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
_NAMED_IN_ERRORS = 5  # files


def find_weights(path_or_id: str | Path, *, revision: str | None = None) -> Path:
    """The file of weights that a path, name or address means; fetched where it is not here yet.

    Args:
        path_or_id: as for `levit.read_checkpoint`.
        revision: branch, tag or commit, for a name on the hub.

    Raises:
        CheckpointError: there is no such thing, it cannot be fetched, or it is not on the hub and has no revisions; the
            message says what to do.
    """
    path, name = Path(path_or_id), str(path_or_id)
    if _exists(path):
        check_no_revision(revision, name, "a local file or folder")
        return _weights_in(path)
    address = ADDRESSES.get(name, name)
    if address.startswith(("http://", "https://")):
        check_no_revision(revision, name, "an address")
        from levit.checkpoints.download import fetch  # urllib, which local files do without

        return fetch(address)
    hub_id = HUB_NAMES.get(name.lower(), name)
    if isinstance(path_or_id, str) and _HUB_ID.fullmatch(hub_id):
        return _fetch_from_hub(hub_id, revision)
    raise CheckpointError(f"{name}: no such file or folder, and no name that is known ({', '.join(HUB_NAMES)}, …)")


def check_no_revision(revision: str | None, name: str, kind: str) -> None:
    """Raise if a revision is given for something that has none.

    Raises:
        CheckpointError: there is one.
    """
    if revision is not None:
        raise CheckpointError(f"{name}: {kind} has no revision {revision!r}: give a name on the hub, or no revision")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name too long for a file
        return False


def _weights_in(path: Path) -> Path:
    if not path.is_dir():
        return path
    for name in WEIGHTS_FILES:
        if (path / name).is_file():
            return path / name
    names = sorted(file.name for file in path.iterdir())
    if f"{SAFETENSORS_FILE}.index.json" in names:
        raise CheckpointError(
            f"{path}: these weights are in several files: save them in one, save_pretrained(…, max_shard_size='1GB')"
        )
    found = [path / name for name in names if _holds_weights(name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise CheckpointError(
            f"{path}: {len(found)} files of weights in this folder: name one, {found[0]} for instance"
        )
    raise CheckpointError(f"{path}: no {' or '.join(WEIGHTS_FILES)} in this folder, {_only(names)}")


def _holds_weights(name: str) -> bool:
    return name.endswith(".safetensors") or is_pickle(Path(name))


def _only(names: list[str]) -> str:
    some = ", ".join(names[:_NAMED_IN_ERRORS]) + (", …" if len(names) > _NAMED_IN_ERRORS else "")
    return f"only {some}" if names else "which is empty"


def _fetch_from_hub(hub_id: str, revision: str | None) -> Path:
    """The weights of a model on the hub, beside its configuration in the hub's cache: safetensors, or what else it has.

    Raises:
        CheckpointError: there is no such model, it has no weights, or it cannot be fetched.
    """
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    folder = Path()
    try:
        for weights in WEIGHTS_FILES:
            wanted = [CONFIG_FILE, PREPROCESSOR_FILE, weights]
            folder = _fetch_snapshot(hub_id, revision, wanted)
            if (folder / weights).is_file():
                return folder / weights
    except RepositoryNotFoundError as error:
        raise CheckpointError(
            f"{hub_id}: no such file or folder, and no such model on the hub (or a private one: run `hf auth login`)"
        ) from error
    except RevisionNotFoundError as error:
        raise CheckpointError(f"{hub_id}: the hub has no revision {revision!r} of it") from error
    except (OSError, HFValidationError) as error:
        raise CheckpointError(
            f"{hub_id}{f' at {revision}' if revision else ''}: no such file or folder, and it cannot be fetched from "
            "the hub: check the network (and HF_HUB_OFFLINE), or download the model elsewhere and give its folder"
        ) from error
    raise _without_weights(hub_id, revision, folder)


def _fetch_snapshot(hub_id: str, revision: str | None, wanted: list[str]) -> Path:
    """The folder of a model in the hub's cache, brought up to date where the hub can be reached."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=wanted))
    except Exception as error:
        # huggingface_hub 1.x asks the hub even for a commit that is in the cache, and fails where it cannot.
        with suppress(OSError):
            return Path(snapshot_download(hub_id, revision=revision, allow_patterns=wanted, local_files_only=True))
        if isinstance(error, OSError | ValueError):
            raise
        raise ConnectionError(str(error)) from error  # of the library below, which has several


def _without_weights(hub_id: str, revision: str | None, folder: Path) -> CheckpointError:
    """What to say of a model without a file of weights by a usual name."""
    from huggingface_hub import HfApi

    try:
        place, names = "on the hub", sorted(HfApi().list_repo_files(hub_id, revision=revision))
    except OSError:  # no network
        place, names = "in the hub's cache", sorted(file.name for file in folder.iterdir())
    found = [name for name in names if _holds_weights(name)]
    advice = f"run `hf download {hub_id} {found[0]}` and give that file" if found else "name another model"
    return CheckpointError(f"{hub_id}: no {' or '.join(WEIGHTS_FILES)} {place}, {_only(names)}: {advice}")
