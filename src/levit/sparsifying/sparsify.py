"""`levit.sparsify`: masks of a network by its average attention over images, with a report."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from levit.checkpoints.attention_masks import MASKS_FILE, Masks, with_masks, write_masks
from levit.checkpoints.checkpoint import Checkpoint
from levit.checkpoints.levit_folder import write_levit_folder
from levit.checkpoints.reading import read_checkpoint
from levit.checkpoints.vitcod_files import write_vitcod_masks
from levit.checkpoints.weight_lookup import check_is_not_source
from levit.checkpoints.weight_names import WEIGHT_FILES
from levit.data.labeled_images import LabeledDataset
from levit.data.open_data import open_data, open_split
from levit.data.subsets import Subset, evenly_spaced
from levit.errors import ConfigError, DataError
from levit.files import remove, updating_folder
from levit.sparsifying.accuracies import Accuracies, measure_accuracies
from levit.sparsifying.average_attention import average_attention
from levit.sparsifying.mask_selection import find_mass, select_by_mass
from levit.sparsifying.polarization import order_keys
from levit.sparsifying.report_page import report_page
from levit.sparsifying.savings import Savings, count_savings
from levit.spec.blocks import MASK

CHECKPOINT_FOLDER = "checkpoint"
REPORT_FILE = "report.html"
SUMMARY_FILE = "sparsity.json"
POLARIZATION_FILE = "polarization.safetensors"
VITCOD_FOLDER = "vitcod"

_MAX_DIFFERENCE = 1e-3  # share of the entries of masks that other processors may choose differently


@dataclass(frozen=True, kw_only=True)
class Sparsification:
    """Result of `levit.sparsify`.

    Attributes:
        folder: the output folder.
        attention_mass: share of its average attention that each query keeps at least, in [0, 1].
        images: number of images over which the attention was averaged.
        savings: what the masks remove, layer by layer.
        accuracies: before and after masking, and after fine-tuning; None if not measured.
    """

    folder: Path
    attention_mass: float
    images: int
    savings: Savings
    accuracies: Accuracies | None

    def to_dict(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        before, masked, fine_tuned = self.accuracies or (None, None, None)
        return {
            "attention_mass": self.attention_mass,
            "images": self.images,
            "accuracy_before": asdict(before) if before else None,
            "accuracy_masked": asdict(masked) if masked else None,
            "accuracy_fine_tuned": asdict(fine_tuned) if fine_tuned else None,
            **self.savings.to_dict(),
        }


def sparsify(
    checkpoint: str | PathLike[str] | Checkpoint,
    data: str | PathLike[str] | LabeledDataset,
    out: str | PathLike[str],
    *,
    attention_mass: float | None = None,
    sparsity: float | None = None,
    images: int | None = None,
    evaluation: str | PathLike[str] | LabeledDataset | None = None,
    fine_tuned: str | PathLike[str] | Checkpoint | None = None,
    polarize: float | None = None,
    vitcod: bool = False,
    split: str | None = None,
    class_map: Mapping[str, str] | None = None,
    allow_outside: bool = False,
) -> Sparsification:
    """Choose masks for the attention of a network, by its average over images (ViTCoD, arXiv 2210.09573).

    Each query of each head keeps the fewest keys that have a share of its average attention, and one more. Keys that
    masks of the checkpoint have removed before stay removed. The output folder then contains `masks.safetensors`;
    `checkpoint/`, the network with the masks, which `levit train` fine-tunes and `levit export` exports; `report.html`;
    and `sparsity.json`.

    Args:
        checkpoint: path or name, as for `levit.read_checkpoint`; or a checkpoint that was read.
        data: images of the training set: a path or name as for `levit.open_data`, or a data set.
        out: folder to write; an existing one keeps its other files.
        attention_mass: share of the attention to keep, in (0, 1].
        sparsity: share of all entries to remove, in (0, 1), instead of `attention_mass`.
        images: number of images to average over, spread evenly over the data; None for all.
        evaluation: labeled images on which the accuracy before and after is measured; None to leave it out.
        fine_tuned: network that was fine-tuned with these masks, whose accuracy is measured too; None without one.
        polarize: write `polarization.safetensors`, an order of the keys in which those that more than this share
            of the queries keep come first, in [0, 1] (see `levit.sparsifying.polarization`).
        vitcod: write the masks as files of ViTCoD, too, into `vitcod/`.
        split: name of the split, where the data has several; None for train, or all data without it.
        class_map: with `evaluation`: label of the network for classes of these images whose names differ from it.
        allow_outside: whether a table of images may name files outside its folder.

    Raises:
        CheckpointError: the checkpoint cannot be read, the folder cannot be written, or a file of the checkpoint or of
            `fine_tuned` would be replaced.
        ConfigError: not exactly one of `attention_mass` and `sparsity` is given, a value is out of its range, or
            `fine_tuned` has other masks, or it or `class_map` is given without `evaluation`.
        DataError: the images cannot be used.
        ExportError: the network has no head.
        ImageError: no image can be read.

    Examples:
        >>> import levit, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     result = sparsify("tests/golden/tiny/transformers", "examples", folder, sparsity=0.8)
        ...     levit.read_checkpoint(f"{folder}/checkpoint").architecture.has_attention_masks
        True
        >>> 0.8 <= result.savings.sparsity < 0.85
        True
    """
    _check(attention_mass, sparsity, images, polarize)
    if evaluation is None:
        _check_unused(fine_tuned=fine_tuned, class_map=class_map)
    _check_is_not_source(Path(out), checkpoint, fine_tuned)
    source, tuned = _read(checkpoint), None if fine_tuned is None else _read(fine_tuned)
    if tuned is not None and not tuned.architecture.has_attention_masks:
        raise ConfigError(f"{tuned.source.name} has no attention masks", source="fine_tuned", hint="train with masks")
    chosen = _choose_images(_open(data, split, allow_outside=allow_outside), images)
    attention = average_attention(source, chosen)
    present = _own_masks(source, attention)
    mass = attention_mass if attention_mass is not None else find_mass(attention, sparsity or 0.0, present)
    masks: Masks = {f"{key}.{MASK}": select_by_mass(array, mass, present.get(key)) for key, array in attention.items()}
    masked = with_masks(source, masks)
    if tuned is not None:
        _check_same_masks(tuned, masks)
    result = Sparsification(
        folder=Path(out), attention_mass=mass, images=len(chosen),
        savings=count_savings(source.architecture, masks),
        accuracies=None if evaluation is None else measure_accuracies(
            source, masked, tuned, evaluation, class_map=class_map, allow_outside=allow_outside
        ),
    )  # fmt: skip
    _write(result, masks, masked, polarize=polarize, vitcod=vitcod)
    return result


def _check(mass: float | None, sparsity: float | None, images: int | None, polarize: float | None) -> None:
    if (mass is None) == (sparsity is None):
        raise ConfigError("give either `attention_mass` or `sparsity`", hint="such as `sparsity=0.8`")
    if mass is not None and not 0 < mass <= 1:
        raise ConfigError(f"is {mass:g}", source="attention_mass", hint="use a number above 0, to 1")
    if sparsity is not None and not 0 < sparsity < 1:
        raise ConfigError(f"is {sparsity:g}", source="sparsity", hint="use a number above 0 and below 1")
    if images is not None and images < 1:
        raise ConfigError(f"is {images}", source="images", hint="use at least 1")
    if polarize is not None and not 0 <= polarize <= 1:
        raise ConfigError(f"is {polarize:g}", source="polarize", hint="use a number from 0 to 1")


def _check_unused(**options: object) -> None:
    for name, value in options.items():
        if value is not None:
            raise ConfigError("has no effect without `evaluation`", source=name, hint="give labeled images")


def _check_is_not_source(folder: Path, *sources: str | PathLike[str] | Checkpoint | None) -> None:
    """Raise an error if the weights of a network are one of the files to write."""
    targets = [
        *(folder / CHECKPOINT_FOLDER / name for name in WEIGHT_FILES), folder / MASKS_FILE, folder / POLARIZATION_FILE,
    ]  # fmt: skip
    for source in sources:
        if isinstance(source, str | PathLike):
            check_is_not_source(source, *targets)


def _own_masks(checkpoint: Checkpoint, keys: Iterable[str]) -> Masks:
    """Key of each attention -> its mask; empty if the network has none."""
    if not checkpoint.architecture.has_attention_masks:
        return {}
    return {key: np.asarray(checkpoint.weights[f"{key}.{MASK}"], bool) for key in keys}


def _read(checkpoint: str | PathLike[str] | Checkpoint) -> Checkpoint:
    return checkpoint if isinstance(checkpoint, Checkpoint) else read_checkpoint(checkpoint)


def _check_same_masks(fine_tuned: Checkpoint, masks: Masks) -> None:
    """Raise an error unless a network has these masks, up to keys at the threshold, which depend on rounding."""
    own = {name: fine_tuned.weights.get(name, np.empty(0)) for name in masks}
    sizes = sum(mask.size for mask in masks.values())
    if (
        any(own[name].shape != mask.shape for name, mask in masks.items())
        or sum(np.count_nonzero(own[name] != mask) for name, mask in masks.items()) > _MAX_DIFFERENCE * sizes
    ):
        raise ConfigError(
            f"{fine_tuned.source.name} does not have the masks that these options choose",
            source="fine_tuned",
            hint="repeat the checkpoint, the data and the options with which its masks were chosen",
        )


def _open(data: str | PathLike[str] | LabeledDataset, split: str | None, *, allow_outside: bool) -> LabeledDataset:
    """The images of the split; without a name of one, those of the training split, or all of them."""
    if not isinstance(data, str | PathLike):
        return data
    if split is None:
        return open_split(data, "train", allow_outside=allow_outside)
    return open_data(data, split=split, allow_outside=allow_outside)


def _choose_images(data: LabeledDataset, count: int | None) -> LabeledDataset:
    """Spread a number of images evenly over the data."""
    if not len(data):
        raise DataError("has no images", source=data.name)
    if count is None or count >= len(data):
        return data
    return Subset(data, evenly_spaced(len(data), count))


def _write(result: Sparsification, masks: Masks, masked: Checkpoint, *, polarize: float | None, vitcod: bool) -> None:
    """Write all files; the summary last."""
    folder, name = result.folder, masked.source.name
    is_repeated = (folder / SUMMARY_FILE).exists()  # the files of the earlier run have other masks
    html = report_page(
        name, result.savings, masks, attention_mass=result.attention_mass, num_images=result.images,
        accuracies=result.accuracies,
    )  # fmt: skip
    write_levit_folder(masked, folder / CHECKPOINT_FOLDER)
    if vitcod:
        write_vitcod_masks(folder / VITCOD_FOLDER, masks, masked.architecture)
    elif is_repeated:
        remove(folder / VITCOD_FOLDER)
    if polarize is None and is_repeated:
        remove(folder / POLARIZATION_FILE)
    with updating_folder(folder, last=(SUMMARY_FILE,)) as partial:
        write_masks(partial / MASKS_FILE, masks)
        (partial / REPORT_FILE).write_text(html, encoding="utf-8", errors="backslashreplace")
        summary = {"checkpoint": name, "sha256": masked.source.sha256, **result.to_dict()}
        (partial / SUMMARY_FILE).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
        if polarize is not None:
            orders = {key.removesuffix(f".{MASK}"): order_keys(mask, polarize) for key, mask in masks.items()}
            arrays = {
                f"{key}.{field}": array for key, order in orders.items() for field, array in order._asdict().items()
            }
            (partial / POLARIZATION_FILE).write_bytes(save(arrays))
