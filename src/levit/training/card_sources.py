"""Names of data and models in a model card: without the folders and credentials of the machine that trained."""

from __future__ import annotations

import shlex
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from levit.checkpoints.hub import cached_file
from levit.checkpoints.weight_lookup import EMBEDDED_WEIGHTS, HUB_NAMES
from levit.checkpoints.weight_names import WEIGHT_FILES
from levit.training.automatic_settings import AUTOMATIC_SETTINGS
from levit.training.option_groups import ModelOptions
from levit.training.options import TrainingOptions, option_fields

_PATH_OPTIONS = ("data", "val", "unlabeled", "outliers", "model", "attention_mask", "teacher")
_KINDS = {".parquet": "parquet", ".tar": "webdataset"}  # of the hub's readers, by the end of a file name
_LINE_LENGTH = 100  # of a command
_AUTHORS_LICENSE = "apache-2.0"  # of facebookresearch/LeViT and its weights on the hub
_PACKAGE_LICENSE = "apache-2.0"  # of this package and the weights in it


class DataSource(NamedTuple):
    """Where images come from.

    Attributes:
        name: name of the file or folder, or on the hub.
        kind: the hub's reader of such data: imagefolder, parquet or webdataset; or the name on the hub.
        hub_id: the name on the hub; None if the data is not from there.
    """

    name: str
    kind: str
    hub_id: str | None


def public_name(text: str) -> str:
    """A path without its folders, or an address without credentials; other names as they are.

    Examples:
        >>> public_name("/home/ann/photos/pets"), public_name("facebook/levit-128S"), public_name("examples/cat.jpg")
        ('pets', 'facebook/levit-128S', 'cat.jpg')
        >>> public_name("https://ann:secret@example.org/models/levit.pth?token=1")
        'https://example.org/models/levit.pth'
    """
    parts = urlsplit(text)
    if "://" in text and len(parts.scheme) > 1:  # not a drive of Windows
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    path = Path(text).expanduser()
    if path.is_absolute() or text.startswith(".") or path.exists():
        return path.resolve().name or text
    return text


def command_value(option: str, value: Any) -> str:
    """The value of an option as one writes it in a shell, without folders of this machine.

    Examples:
        >>> command_value("teacher", "/runs/first net,facebook/levit-384"), command_value("lr", 5e-4)
        ("'first net,facebook/levit-384'", '0.0005')
    """
    text = str(value)
    if option == "teacher":
        text = ",".join(public_name(part.strip()) for part in text.split(","))
    elif option == "attention_mask":  # no name on the hub, also where the file no longer exists
        text = public_name(str(Path(text).absolute()))
    elif option in _PATH_OPTIONS:
        text = public_name(text)
    return shlex.quote(text)


def shareable_command(options: TrainingOptions, out: str) -> str:
    """The command of a run, with the options that differ from the defaults and change what is computed, on lines.

    Options that would follow from the number of images are also written where they have their defaults.

    Args:
        options: options of the run.
        out: name of the run directory.

    Examples:
        >>> command = shareable_command(TrainingOptions.from_flat(data="/home/ann/pets", seed=3, workers=0), "run")
        >>> command.startswith("levit train pets --out run "), "--seed 3" in command, "--workers" in command
        (True, True, False)
        >>> "--lr 0.0005" in command  # without it, a run on few images would have another learning rate
        True
    """
    values, known = options.to_flat(), option_fields()
    parts = [f"levit train {command_value('data', values['data'])}", f"--out {shlex.quote(out)}"]
    for name, value in values.items():
        flag = name.replace("_", "-")
        is_chosen = value != known[name].default
        changes_result = known[name].metadata["changes_result"] or name in _PATH_OPTIONS
        if name == "data" or not ((is_chosen and changes_result) or name in AUTOMATIC_SETTINGS):
            continue
        if isinstance(value, bool):
            parts.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            parts.append(f"--{flag} {command_value(name, value)}")
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + len(part) < _LINE_LENGTH:
            lines[-1] += f" {part}"
        else:
            lines.append(f"    {part}")
    return " \\\n".join(lines)


def describe_data(data: str) -> DataSource:
    """Where training images come from, by the option `data`.

    Examples:
        >>> describe_data("examples"), describe_data("ann/flowers")
        (DataSource(name='examples', kind='imagefolder', hub_id=None), DataSource(name='ann/flowers', ...))
    """
    name = public_name(data)
    if "/" in name:
        return DataSource(name, name, name)
    return DataSource(name, _KINDS.get(Path(name).suffix, "imagefolder"), None)


def is_embedded(model: str) -> bool:
    """Return whether a model is that of the weights in this package, and no file or folder of their name.

    Examples:
        >>> is_embedded("embedded"), is_embedded("levit-128s")
        (True, False)
    """
    return model == EMBEDDED_WEIGHTS and not Path(model).exists()


def find_base_model(options: ModelOptions) -> tuple[str | None, str | None]:
    """Name on the hub and license of the weights that a training starts from; None where they are not known.

    Those of a folder are stated by its own model card. A name on the hub is one whose weights are in the hub's cache:
    another one is a path that no longer exists.
    """
    if options.from_scratch:
        return None, None
    if is_embedded(options.model):
        return None, _PACKAGE_LICENSE
    hub_id = HUB_NAMES.get(options.model.lower(), options.model)
    folder = Path(options.model)
    if folder.exists():
        return read_base_model((folder if folder.is_dir() else folder.parent) / "README.md")
    if hub_id in HUB_NAMES.values():
        return hub_id, _AUTHORS_LICENSE
    is_hub_id = hub_id.count("/") == 1 and not hub_id.startswith(("timm/", ".", "/"))
    is_on_hub = is_hub_id and any(cached_file(hub_id, name, None) for name in WEIGHT_FILES)
    return hub_id if is_on_hub else None, None


def read_base_model(card: Path) -> tuple[str | None, str | None]:
    """Name on the hub of the base model, and license, as a model card states them; None where it does not."""
    values = _read_card(card)
    base, license_name = values.get("base_model"), values.get("license")
    return base if isinstance(base, str) else None, license_name if isinstance(license_name, str) else None


def _read_card(card: Path) -> dict[str, Any]:
    """Metadata of a model card; empty if there is none, or if it is malformed."""
    import yaml
    from huggingface_hub import metadata_load

    with suppress(OSError, ValueError, yaml.YAMLError):
        return metadata_load(card) or {}
    return {}
