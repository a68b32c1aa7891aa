"""What training saved -> the weights that are meant, under the network's own names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from levit.errors import CheckpointError

# Under which entries a training checkpoint keeps the weights, the likeliest first.
_TRAINED = ("model", "state_dict", "model_state_dict")
_AVERAGED = ("model_ema", "state_dict_ema", "ema_state_dict")  # facebook's, timm's, that of many scripts

# What data-parallel training, torch.compile, averages and Lightning's modules put before the name of every weight.
_WRAPPERS = re.compile(r"(?:(?:module|_orig_mod|model|net|model_ema|ema_model|ema)\.)*")


def select_weights(content: object, name: str, *, use_ema: bool = False) -> dict[str, Any]:
    """The weights of one network among all that training saved, under the network's own names.

    Without `use_ema` these are the trained weights, or their moving average where there is nothing else, or where the
    library puts it in their place: `state_dict` is the average in the files of mmengine's and Lightning's averaging.

    Args:
        content: what a file holds: weights, or a mapping with weights among its entries.
        name: what to call the file in an error.
        use_ema: take the moving average of the weights.

    Raises:
        CheckpointError: it holds no weights, or no moving average where one is asked for.

    Examples:
        >>> select_weights({"model": {"module.head.bias": 1}, "model_ema": {"head.bias": 2}}, "file", use_ema=True)
        {'head.bias': 2}
    """
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{name}: holds a {type(content).__name__}, not the weights of a network")
    weights, is_average = _entry(content, use_ema=use_ema)
    unwrapped, prefix = _unwrap(weights, use_ema=use_ema)
    if use_ema and not (is_average or "n_averaged" in weights or "ema" in prefix):
        raise CheckpointError(
            f"{name}: holds no moving average of the weights (none of {', '.join(_AVERAGED)}): leave out use_ema"
        )
    return unwrapped


def unwrap(weights: Mapping[str, Any]) -> dict[str, Any]:
    """The weights under the network's own names, without what was put before them and what stands beside them."""
    return _unwrap(weights, use_ema=False)[0]


def class_names(content: object) -> tuple[str, ...] | None:
    """The class names that mmpretrain keeps beside the weights, or mmcls kept; None where there are none."""
    meta = content.get("meta") if isinstance(content, Mapping) else None
    if not isinstance(meta, Mapping):
        return None
    dataset = meta.get("dataset_meta")
    names = meta.get("CLASSES")
    if isinstance(dataset, Mapping):
        names = dataset.get("classes", dataset.get("CLASSES"))  # in capitals in the files of mmcls's last versions
    if isinstance(names, list | tuple) and names and all(isinstance(one, str) for one in names):
        return tuple(names)
    return None


def _entry(content: Mapping[Any, Any], *, use_ema: bool) -> tuple[Mapping[Any, Any], bool]:
    """The entry that holds the weights, or everything where there is none; and whether it is said to be an average."""
    found = [key for key in (*_TRAINED, *_AVERAGED) if isinstance(content.get(key), Mapping)]
    if "state_dict" in found and _keeps_average_first(content):
        return content["state_dict"], True
    if use_ema:
        found.sort(key=lambda key: key not in _AVERAGED)
    return (content[found[0]], found[0] in _AVERAGED) if found else (content, False)


def _keeps_average_first(content: Mapping[Any, Any]) -> bool:
    """Whether `state_dict` is the average and the trained weights are elsewhere, for resuming."""
    elsewhere = content.get("ema_state_dict")
    is_mmengine = isinstance(elsewhere, Mapping) and "steps" in elsewhere
    return is_mmengine or isinstance(content.get("current_model_state"), Mapping)


def _unwrap(weights: Mapping[Any, Any], *, use_ema: bool) -> tuple[dict[str, Any], str]:
    """The largest group of weights with the same wrappers before their names, and these wrappers."""
    groups: dict[str, dict[str, Any]] = {}
    for key, value in weights.items():
        prefix = _WRAPPERS.match(str(key))[0]  # type: ignore[index]  # it matches nothing, too
        groups.setdefault(prefix, {})[str(key)[len(prefix) :]] = value
    largest = max(map(len, groups.values()), default=0)
    # A group much smaller than another is no network: counters of an average, a loss with weights of its own.
    networks = [prefix for prefix, group in groups.items() if 2 * len(group) >= largest]
    networks.sort(key=lambda prefix: (("ema" in prefix) != use_ema, -len(groups[prefix])))
    return (groups[networks[0]], networks[0]) if networks else ({}, "")
