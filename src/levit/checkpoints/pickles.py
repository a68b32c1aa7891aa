"""Files that torch wrote -> what is in them, read as data alone: no code in them is ever run."""

from __future__ import annotations

import pickle
import tarfile
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path
from threading import Lock
from typing import Any

from levit.errors import CheckpointError

PICKLE_SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".pth.tar")

_LOCK = Lock()  # what torch admits while a file is read, it admits in every thread


def is_pickle(path: Path) -> bool:
    """Whether a file's name is that of a file of torch."""
    return path.name.endswith(PICKLE_SUFFIXES)


def read_pickle(file: Path) -> Any:
    """What torch saved: tensors, containers and numbers as they are, and a stand-in for what else training leaves.

    Raises:
        CheckpointError: torch is not installed, or the file is damaged, of another format, or holds code.
    """
    try:
        import torch
    except ImportError as error:
        raise CheckpointError(
            f'{file}: reading a {file.suffix} file needs torch: pip install "levit[torch]", or convert it to '
            "safetensors where torch is installed"
        ) from error
    try:
        _check_format(file)
        with _LOCK, torch.serialization.safe_globals(_STAND_INS), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that an old file has another pickle protocol
            return torch.load(file, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{file}: {_reason(str(error))}") from None
    except PermissionError as error:
        raise CheckpointError(f"{file}: cannot be read ({error.strerror or error})") from None
    except RuntimeError as error:
        text = " ".join(str(error).partition(". ")[0].split())
        raise CheckpointError(f"{file}: not a complete file of torch ({text}): fetch it again") from None
    except Exception:  # a damaged file makes torch raise almost anything
        raise CheckpointError(f"{file}: {_reason('')}") from None


def _check_format(file: Path) -> None:
    """Raise for what torch also writes, or wrote once, and what holds more than weights."""
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                raise CheckpointError(
                    f"{file}: a TorchScript archive, which holds code and not only weights: where you trust it, open "
                    "it with torch.jit.load and torch.save its state_dict()"
                )
    elif tarfile.is_tarfile(file):
        raise CheckpointError(
            f"{file}: a tar archive, not a file of weights: unpack it (or, if a torch of 2016 wrote it, open it where "
            "you trust it and torch.save it anew)"
        )


def _reason(message: str) -> str:
    """What to say of a pickle that torch refuses, in place of its many lines."""
    named = message.partition("GLOBAL ")[2].split(" ")[0]
    if named or any(attempt in message for attempt in ("Trying to call", "Can only")):
        return (
            f"refused, because it holds code and not only weights ({named or 'objects of its own'}): where you trust "
            "it, open it in the program that wrote it, and torch.save the network's state_dict() alone"
        )
    return "not a file of torch, or an incomplete one: fetch it again"


class _Unread:
    """Stands where a file has an object that nobody asks for: it takes any arguments, and does nothing with them."""

    def __new__(cls, *arguments: object) -> _Unread:
        return super().__new__(cls)

    def __init__(self, *arguments: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


class _UnreadMapping:
    """The same for a mapping; the loader fills only mappings of the standard library."""

    def __new__(cls, *arguments: object) -> OrderedDict[Any, Any]:  # type: ignore[misc]
        return OrderedDict()


class _UnreadList:
    """The same for a sequence."""

    def __new__(cls, *arguments: object) -> list[Any]:  # type: ignore[misc]
        return []


_PATHS = ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")
_ARRAYS = ("scalar", "_reconstruct")
_NUMBERS = ("bool", "bool_", "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16")
# What training leaves beside the weights, by module. No class of such a name is ever looked up, so that the modules
# need not even be installed: all of them are the stand-ins above. Whatever is not named here is refused.
_UNREAD: dict[str, tuple[str, ...]] = {
    "argparse": ("Namespace",),
    # The last is how mmengine's history of losses names its methods.
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
_UNREAD_MAPPINGS = {
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
_STAND_INS: list[Any] = [
    (stand_in, f"{module}.{name}")
    for stand_in, table in ((_Unread, _UNREAD), (_UnreadMapping, _UNREAD_MAPPINGS))
    for module, names in table.items()
    for name in names
] + [(_UnreadList, "collections.deque")]
