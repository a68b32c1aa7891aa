"""Reading of files that torch wrote, as data only: no code in them is run."""

from __future__ import annotations

import pickle
import tarfile
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

from levit.checkpoints.stored_sizes import check_archive_sizes
from levit.errors import CheckpointError, first_line
from levit.fork_safe_lock import ForkSafeLock

_LOCK = ForkSafeLock()  # torch's list of safe globals is shared by all threads


def read_pickle(file: Path) -> Any:
    """Read a file that torch wrote.

    Returns:
        The saved object. Tensors, containers and numbers are as they were saved; a placeholder replaces other objects
        that training scripts save.

    Raises:
        CheckpointError: torch is not installed, or the file is damaged, of another format, or contains code.
    """
    try:
        import torch
    except ImportError as error:
        raise CheckpointError(
            f"reading a {file.suffix} file needs torch",
            source=file,
            hint='pip install "levit[torch]", or convert it to safetensors where torch is installed',
        ) from error
    try:
        _check_format(file)
        with _LOCK, torch.serialization.safe_globals(_PLACEHOLDERS), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about the pickle protocol of old files
            return torch.load(file, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:
        raise _refusal(file, str(error)) from None
    except PermissionError as error:
        raise CheckpointError(f"cannot be read ({error.strerror or error})", source=file) from None
    except RuntimeError as error:
        raise CheckpointError(
            f"not a PyTorch file, or truncated ({first_line(error)})", source=file, hint="download it again"
        ) from None
    except Exception:  # torch raises exceptions of many types for damaged files
        raise _refusal(file, "") from None


def _check_format(file: Path) -> None:
    """Check that the file is not an archive of another kind (TorchScript; tar, by old versions of torch), nor huge."""
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            check_archive_sizes(file, archive)
            if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                raise CheckpointError(
                    "a TorchScript archive, which contains code and not only weights",
                    source=file,
                    hint="if you trust it, open it with torch.jit.load and torch.save its state_dict()",
                )
    elif tarfile.is_tarfile(file):
        raise CheckpointError(
            "a tar archive, not a file of weights",
            source=file,
            hint="unpack it (or, if torch wrote it in 2016 and you trust it, open it and torch.save it again)",
        )


def _refusal(file: Path, message: str) -> CheckpointError:
    """One-line error for a file that torch refuses with a message of many lines."""
    name = message.partition("GLOBAL ")[2].split(" ")[0]
    if name or any(attempt in message for attempt in ("Trying to call", "Can only")):
        return CheckpointError(
            f"refused, because it contains code and not only weights ({name or 'unknown objects'})",
            source=file,
            hint="if you trust it, open it in the program that wrote it, and torch.save its state_dict() alone",
        )
    return CheckpointError("not a PyTorch file, or truncated", source=file, hint="download it again")


class _Placeholder:
    """Placeholder of an object that is not a weight; it accepts any arguments and ignores them."""

    def __new__(cls, *arguments: object) -> _Placeholder:
        return super().__new__(cls)

    def __init__(self, *arguments: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


class _MappingPlaceholder:
    """Placeholder of a mapping: an OrderedDict, because torch fills only mappings of the standard library."""

    def __new__(cls, *arguments: object) -> OrderedDict[Any, Any]:  # type: ignore[misc]
        return OrderedDict()


class _ListPlaceholder:
    """Placeholder of a sequence."""

    def __new__(cls, *arguments: object) -> list[Any]:  # type: ignore[misc]
        return []


_PATHS = ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")
_ARRAYS = ("scalar", "_reconstruct")
_NUMBERS = ("bool", "bool_", "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16")
# Names of harmless objects that training scripts save, by module. They are never imported, so the modules need not be
# installed: the placeholders above replace them. A file with any other name is refused.
_OBJECTS: dict[str, tuple[str, ...]] = {
    "argparse": ("Namespace",),
    # getattr: mmengine's history of losses refers to its methods by it.
    "builtins": ("bool", "bytes", "dict", "float", "frozenset", "int", "list", "range", "slice", "str", "getattr"),
    "datetime": ("date", "datetime", "time", "timedelta", "timezone"),
    "pathlib": _PATHS,
    "pathlib._local": _PATHS,
    "types": ("SimpleNamespace",),
    "typing": ("Any",),
    "numpy": ("dtype", "ndarray", *_NUMBERS),
    "numpy.core.multiarray": _ARRAYS,
    "numpy._core.multiarray": _ARRAYS,
    "torch.torch_version": ("TorchVersion",),
    "mmengine.logging.history_buffer": ("HistoryBuffer",),
    "omegaconf.base": ("ContainerMetadata", "Metadata"),
    "omegaconf.dictconfig": ("DictConfig",),
    "omegaconf.listconfig": ("ListConfig",),
    "omegaconf.nodes": ("AnyNode",),
}
_MAPPINGS = {
    "collections": ("defaultdict",),
    "addict.addict": ("Dict",),
    "easydict": ("EasyDict",),
    "lightning.fabric.utilities.data": ("AttributeDict",),
    "lightning_fabric.utilities.data": ("AttributeDict",),
    "pytorch_lightning.utilities.parsing": ("AttributeDict",),
    "mmcv.utils.config": ("ConfigDict",),
    "mmengine.config.config": ("ConfigDict",),
    "yacs.config": ("CfgNode",),
}
_PLACEHOLDERS: list[Any] = [
    (placeholder, f"{module}.{name}")
    for placeholder, table in ((_Placeholder, _OBJECTS), (_MappingPlaceholder, _MAPPINGS))
    for module, names in table.items()
    for name in names
] + [(_ListPlaceholder, "collections.deque")]
