"""Selection of the weights of one network in the content of a training checkpoint."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from levit.errors import CheckpointError

# Entries of a training checkpoint that contain the weights, the most likely first.
_TRAINED = ("model", "state_dict", "model_state_dict")
_AVERAGED = ("model_ema", "state_dict_ema", "ema_state_dict")  # facebook, timm, many scripts

# Prefixes of all keys by data-parallel training, torch.compile, averaging and Lightning's modules.
_WRAPPERS = re.compile(r"(?:(?:module|_orig_mod|model|net|model_ema|ema_model|ema|_ema_weights)\.)*")

_MINDSPORE_AVERAGE = "_ema_weights."
_MINDSPORE_STATISTIC = ".moving_mean"  # a name of each batch norm of MindSpore, and of no other library


def select_weights(content: object, name: str, *, use_ema: bool = False) -> dict[str, Any]:
    """Select the weights of one network, and remove the prefixes that training adds to their keys.

    Without `use_ema` these are the trained weights. They are the moving average if the file has nothing else, or if the
    library stores the average as the weights (`state_dict` in files of mmengine and Lightning with averaging).

    Args:
        content: content of a file: weights, or a mapping with weights among its entries.
        name: source of the error.
        use_ema: select the moving average of the weights.

    Returns:
        Key of the network's library -> tensor or array.

    Raises:
        CheckpointError: the content has no weights, or no moving average although `use_ema` is set.

    Examples:
        >>> select_weights({"model": {"module.head.bias": 1}, "model_ema": {"head.bias": 2}}, "file", use_ema=True)
        {'head.bias': 2}
    """
    if not isinstance(content, Mapping):
        raise CheckpointError(f"contains a {type(content).__name__}, not the weights of a network", source=name)
    weights, is_average = _weights_entry(content, use_ema=use_ema)
    weights = {str(key): value for key, value in weights.items()}
    if any(key.endswith(_MINDSPORE_STATISTIC) for key in weights):
        weights = _mindspore_entries(weights, use_ema=use_ema)
    network, prefix = _largest_group(weights, use_ema=use_ema)
    if use_ema and not (is_average or "n_averaged" in weights or "ema" in prefix):
        raise CheckpointError(
            f"no moving average of the weights (none of {', '.join(_AVERAGED)})", source=name, hint="omit `use_ema`"
        )
    return network


def strip_prefixes(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Weights of a network without the prefixes that training adds to their keys, and without other entries."""
    return _largest_group(weights, use_ema=False)[0]


def class_names(content: object) -> tuple[str, ...] | None:
    """Class names that mmpretrain or mmcls stores next to the weights, or None."""
    meta = content.get("meta") if isinstance(content, Mapping) else None
    if not isinstance(meta, Mapping):
        return None
    dataset = meta.get("dataset_meta")
    names = meta.get("CLASSES")
    if isinstance(dataset, Mapping):
        names = dataset.get("classes", dataset.get("CLASSES"))  # in capitals in files of the last versions of mmcls
    if isinstance(names, list | tuple) and names and all(isinstance(name, str) for name in names):
        return tuple(names)
    return None


def _weights_entry(content: Mapping[Any, Any], *, use_ema: bool) -> tuple[Mapping[Any, Any], bool]:
    """Entry that contains the weights, or the whole content; and whether it is a moving average by its name."""
    entries = [key for key in (*_TRAINED, *_AVERAGED) if isinstance(content.get(key), Mapping)]
    if "state_dict" in entries and _state_dict_is_average(content):
        return content["state_dict"], True
    if use_ema:
        entries.sort(key=lambda key: key not in _AVERAGED)
    return (content[entries[0]], entries[0] in _AVERAGED) if entries else (content, False)


def _state_dict_is_average(content: Mapping[Any, Any]) -> bool:
    """Return whether `state_dict` is the moving average, and the trained weights are in another entry for resuming."""
    trained = content.get("ema_state_dict")
    is_mmengine = isinstance(trained, Mapping) and "steps" in trained
    return is_mmengine or isinstance(content.get("current_model_state"), Mapping)


def _mindspore_entries(content: Mapping[str, Any], *, use_ema: bool) -> Mapping[str, Any]:
    """Entries of a network in a training checkpoint of MindSpore, which has no levels: weights, or their average.

    The state of an optimizer has the name of its weight with a prefix (`adam_m.head.linear.bias`), and other values of
    training are named without a dot (`global_step`). An average lacks what is not trained, the statistics.
    """
    average = {key: value for key, value in content.items() if key.startswith(_MINDSPORE_AVERAGE)}
    others = content.keys() - average
    weights = {
        key: value for key, value in content.items() if key in others and "." in key and not _suffixes(key) & others
    }
    if not average or (weights and not use_ema):
        return weights
    return {f"{_MINDSPORE_AVERAGE}{key}": value for key, value in weights.items()} | average


def _suffixes(key: str) -> set[str]:
    """All names that follow a prefix in a key."""
    parts = key.split(".")
    return {".".join(parts[start:]) for start in range(1, len(parts))}


def _largest_group(weights: Mapping[str, Any], *, use_ema: bool) -> tuple[dict[str, Any], str]:
    """Largest group of weights with the same prefixes of wrappers, without them; and these prefixes."""
    groups: dict[str, dict[str, Any]] = {}
    for key, value in weights.items():
        prefix = _WRAPPERS.match(key)[0]  # type: ignore[index]  # it matches the empty string, too
        groups.setdefault(prefix, {})[key[len(prefix) :]] = value
    largest = max(map(len, groups.values()), default=0)
    # Much smaller groups are not networks but the counters of an average, or a loss with weights.
    networks = [prefix for prefix, group in groups.items() if 2 * len(group) >= largest]
    networks.sort(key=lambda prefix: (("ema" in prefix) != use_ema, -len(groups[prefix])))
    return (groups[networks[0]], networks[0]) if networks else ({}, "")
