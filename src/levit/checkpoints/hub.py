"""Download of checkpoints from the Hugging Face Hub."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

from levit.checkpoints.transformers_configuration import CONFIG_FILE, PREPROCESSOR_FILE
from levit.checkpoints.weight_names import WEIGHT_FILES, is_weight_file, list_some
from levit.errors import CheckpointError

_RESPONSE_SECONDS = 3.0  # within which the hub responds to one small request, where it can be reached


def download_from_hub(hub_id: str, revision: str | None) -> Path:
    """Download the weights of a model, and its configuration into the same folder of the hub's cache.

    Args:
        hub_id: owner and name of the model.
        revision: branch, tag or commit, or None for the default branch.

    Returns:
        The file of weights, the safetensors one if there are several.

    Raises:
        CheckpointError: there is no such model, it has no weights, or the download fails.
    """
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    folder = Path()
    try:
        for weights in WEIGHT_FILES:
            folder = _download_snapshot(hub_id, revision, [CONFIG_FILE, PREPROCESSOR_FILE, weights])
            if (folder / weights).is_file():
                return folder / weights
    except RepositoryNotFoundError as error:
        raise CheckpointError(
            "no such file or folder, and no such model on the Hugging Face Hub",
            source=hub_id,
            hint="if it is private, run `hf auth login`",
        ) from error
    except RevisionNotFoundError as error:
        raise CheckpointError(f"has no revision {revision!r} on the Hugging Face Hub", source=hub_id) from error
    except (OSError, HFValidationError) as error:
        raise CheckpointError(
            "no such file or folder, and it cannot be downloaded from the Hugging Face Hub",
            source=f"{hub_id} at {revision}" if revision else hub_id,
            hint="check the network (and HF_HUB_OFFLINE), or download the model elsewhere and give its folder",
        ) from error
    raise _missing_weights(hub_id, revision, folder)


def cached_file(hub_id: str, name: str, revision: str | None) -> Path | None:
    """File of a model in the hub's cache, or None if it is not there.

    Args:
        hub_id: owner and name of the model; None is returned for a string that cannot be one.
        name: name of the file.
        revision: branch, tag or commit, or None for the default branch.
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        file = try_to_load_from_cache(hub_id, name, revision=revision)
    except HFValidationError:
        return None
    return Path(file) if isinstance(file, str) else None


def is_reachable(hub_id: str, *, seconds: float = _RESPONSE_SECONDS) -> bool:
    """Return whether the hub responds to a request for a model, once and without the retries of a download.

    Args:
        hub_id: owner and name of the model.
        seconds: how long to wait for the response.
    """
    has_responded = threading.Event()

    def ask() -> None:
        from huggingface_hub import HfApi

        with suppress(Exception):  # the types of the HTTP library, of the hub, and those of damaged responses
            HfApi().model_info(hub_id, timeout=seconds)
            has_responded.set()
        is_done.set()

    # In a thread, because no timeout of the HTTP library applies to the lookup of the host's name.
    is_done = threading.Event()
    threading.Thread(target=ask, daemon=True).start()
    is_done.wait(seconds)
    return has_responded.is_set()


def _download_snapshot(hub_id: str, revision: str | None, files: list[str]) -> Path:
    """Folder of a model in the hub's cache, updated if the hub can be reached."""
    from huggingface_hub import snapshot_download

    with suppress(OSError):  # it is not in the cache
        cached = Path(snapshot_download(hub_id, revision=revision, allow_patterns=files, local_files_only=True))
        if not is_reachable(hub_id):  # otherwise the retries of huggingface_hub would take up to a minute
            return cached
    try:
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=files))
    except Exception as error:
        # Without a network, huggingface_hub 1.x fails even for a commit that is in the cache.
        with suppress(OSError):
            return Path(snapshot_download(hub_id, revision=revision, allow_patterns=files, local_files_only=True))
        if isinstance(error, OSError | ValueError):
            raise
        raise ConnectionError(str(error)) from error  # instead of the types of the HTTP library


def _missing_weights(hub_id: str, revision: str | None, folder: Path) -> CheckpointError:
    """Error for a model without a weight file of a standard name."""
    from huggingface_hub import HfApi

    try:
        location, names = "on the hub", sorted(HfApi().list_repo_files(hub_id, revision=revision))
    except OSError:  # no network
        location, names = "in the hub's cache", sorted(file.name for file in folder.iterdir())
    weights = next(filter(is_weight_file, names), None)
    return CheckpointError(
        f"no {' or '.join(WEIGHT_FILES)} {location}, {list_some(names)}",
        source=hub_id,
        hint=f"run `hf download {hub_id} {weights}` and give that file" if weights else "give another model",
    )
