"""Text of the model card of a run: `README.md` as the Hugging Face Hub expects it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from levit.errors import printable
from levit.evaluation.accumulator import TOP_K
from levit.spec.architecture import Grid
from levit.training.card_sources import DataSource, is_embedded, public_name, shareable_command
from levit.training.options import TrainingOptions
from levit.training.progress import DEFAULT_WINDOW, EMA_PREFIX, BestWeights, Metrics
from levit.training.progress_display import format_duration
from levit.training.results_table import CURVES_FILE

METRIC_NAMES = {
    "top1": "top-1 accuracy", "top5": "top-5 accuracy", "f1": "macro F1", "map": "mean average precision",
    "loss": "cross-entropy",
}  # fmt: skip

_REPOSITORY = "https://github.com/levit-developers/levit"
_HUB_METRICS = {"top1": "accuracy", "top5": "accuracy", "f1": "f1", "map": "mean_average_precision"}
_FEW_IMAGES = 20  # a class with fewer training images is named among the limits
_MAX_LISTED = 20  # classes in the text; more are folded
_HEADINGS = {"network": "network", "average": "moving average"}


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """What a model card says about a run, apart from its progress.

    Attributes:
        options: options of the run, without open choices.
        name: name of the model.
        classes: labels of the network.
        counts: training images of each label.
        num_training: training images with labels.
        num_unlabeled: training images without labels.
        num_outliers: out-of-distribution training images.
        num_validation: validation images.
        data: where the training images come from.
        validation: where the validation images come from, in words.
        is_multi_label: whether an image may have any number of labels.
        is_levit: whether the network is a LeViT, and not one of timm.
        is_stock: whether it is a LeViT that stock transformers computes correctly.
        parameters: number of parameters.
        image_size: height and width of the input in pixels.
        hardware: devices and precision, in words.
        versions: packages with their versions, in words.
        base_model: model ID on the hub of the weights that the training starts from; None if there is none.
        license: license of those weights, by its name on the hub; None if it is not known.
    """

    options: TrainingOptions
    name: str
    classes: tuple[str, ...]
    counts: tuple[int, ...]
    num_training: int
    num_unlabeled: int
    num_outliers: int
    num_validation: int
    data: DataSource
    validation: str
    is_multi_label: bool
    is_levit: bool
    is_stock: bool
    parameters: int
    image_size: Grid
    hardware: str
    versions: str
    base_model: str | None
    license: str | None


@dataclass(frozen=True, kw_only=True)
class CardWeights:
    """The weights that a model card describes.

    Attributes:
        epoch: the epoch after which they were saved, from 1.
        kind: those of the network, or their moving average.
        is_best: whether they are those in the run directory; otherwise they are the last ones of another kind.
        history: metrics of all completed epochs.
        is_complete: whether the run is complete.
        num_classes: number of classes.
    """

    epoch: int
    kind: BestWeights
    is_best: bool
    history: list[Metrics]
    is_complete: bool
    num_classes: int

    def metrics(self, kind: BestWeights | None = None) -> Metrics:
        """Validation metrics of the epoch, by their names without prefix: of these weights, or of another kind.

        Top-5 accuracy is left out where there are at most five classes.
        """
        prefix = EMA_PREFIX if (kind or self.kind) == "average" else ""
        row = self.history[self.epoch - 1]
        names = [name for name in METRIC_NAMES if name != "top5" or self.num_classes > TOP_K]
        return {name: row[prefix + name] for name in names if prefix + name in row}


def write_model_card(facts: CardFacts, weights: CardWeights) -> str:
    """Write a model card: metadata in YAML, and the text in Markdown.

    Args:
        facts: what the card says about the run.
        weights: the weights that it describes.
    """
    from huggingface_hub import ModelCardData

    library = ("transformers" if facts.is_stock else "levit") if facts.is_levit else "timm"
    data = ModelCardData(
        model_name=facts.name, library_name=library,
        pipeline_tag="image-classification", license=facts.license, base_model=facts.base_model,
        tags=["levit"] if facts.is_levit else ["levit", "timm"],
        datasets=[facts.data.hub_id] if facts.data.hub_id else None,
        metrics=sorted({_HUB_METRICS[name] for name in weights.metrics() if name in _HUB_METRICS}),
        eval_results=_evaluation_results(facts, weights),
    )  # fmt: skip
    sections = [
        f"# {printable(facts.name)}", _summary(facts, weights), "## How to use it", _usage(facts),
        "## Intended use", _intended_use(facts), "## Limits", _limits(facts, weights),
        "## Training data", _training_data(facts), "## Training", _training(facts, weights),
        "## Results", _results(facts, weights), "## License", _license(facts),
    ]  # fmt: skip
    return f"---\n{data.to_yaml().strip()}\n---\n\n" + "\n\n".join(sections) + "\n"


def code(text: str) -> str:
    r"""A text as code in Markdown, on one line, also within a table.

    Examples:
        >>> code("a|b `c`")
        "`a\\|b 'c'`"
    """
    return "`" + printable(text).replace("`", "'").replace("|", "\\|") + "`"


def _evaluation_results(facts: CardFacts, weights: CardWeights) -> list[Any]:
    """Metrics as the hub shows them; fractions."""
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type="image-classification", dataset_type=facts.data.kind, dataset_name=facts.data.name,
            dataset_split="validation", metric_type=_HUB_METRICS[name], metric_name=METRIC_NAMES[name],
            metric_value=round(value, 4),
        )
        for name, value in weights.metrics().items()
        if name in _HUB_METRICS
    ]  # fmt: skip


def _summary(facts: CardFacts, weights: CardWeights) -> str:
    height, width = facts.image_size
    outputs = "any of" if facts.is_multi_label else "one of"
    size = f"{facts.parameters / 1e6:.1f} million" if facts.parameters >= 1e6 else f"{facts.parameters:,}"
    kind = "A LeViT" if facts.is_levit else "A network of timm"
    text = (
        f"{kind} with {size} parameters, which resizes photos to {height} by {width} pixels and gives them {outputs} "
        f"{len(facts.classes):,} classes. It was trained by [levit]({_REPOSITORY}) on {code(facts.data.name)}."
    )
    if weights.kind == "average":
        text += " The weights are a moving average of those of the training steps."
    if not weights.is_complete:
        total = facts.options.schedule.total_epochs
        text += f"\n\n**Training is not complete:** these are the weights after epoch {weights.epoch} of {total}."
    return text


def _usage(facts: CardFacts) -> str:
    """Programs that classify a photo; the path stands for the folder of the card, or its model ID on the hub."""
    if not facts.is_levit:
        return (
            "```python\nimport timm\n\n"
            'network = timm.create_model("local-dir:path/to/this/folder", pretrained=True).eval()\n'
            "transform = timm.data.create_transform(**timm.data.resolve_model_data_config(network))\n```"
        )
    text = '```python\nimport levit\n\nprint(levit.Classifier("path/to/this/folder")("photo.jpg").top(5))\n```'
    if facts.is_stock:
        text += (
            "\n\nor, without this package:\n\n```python\nfrom transformers import pipeline\n\n"
            'print(pipeline("image-classification", model="path/to/this/folder")("photo.jpg"))\n```'
        )
    return text


def _intended_use(facts: CardFacts) -> str:
    each = "any number of them on each photo" if facts.is_multi_label else "one of them on each photo"
    return (
        f"Recognizing the {len(facts.classes):,} classes below, {each}, in photos like those of the training data. "
        "Measure the accuracy on photos of your own before you rely on it (`levit evaluate`), and do not let it decide "
        "about people alone."
    )


def _limits(facts: CardFacts, weights: CardWeights) -> str:
    items = []
    if not facts.is_multi_label:
        items.append(
            "There is no class for anything else: every image gets one of the classes. `levit calibrate` sets a "
            'threshold below which an exported model predicts "unknown".'
        )
    items.append("Its scores are not calibrated: they are not the probabilities of being right.")
    if weights.is_best and facts.options.run.select == "best":
        items.append(
            "The epoch was chosen by the validation images, so that its metrics are slightly too high: measure them on "
            "images that were not used at all."
        )
    rare = [(name, count) for name, count in zip(facts.classes, facts.counts, strict=True) if count < _FEW_IMAGES]
    if rare:
        listed = ", ".join(f"{code(name)} ({count})" for name, count in rare[:_MAX_LISTED])
        more = f" and {len(rare) - _MAX_LISTED} more" if len(rare) > _MAX_LISTED else ""
        items.append(f"Classes with fewer than {_FEW_IMAGES} training images with labels: {listed}{more}.")
    if facts.num_validation < 1000:
        items.append(
            f"There are {facts.num_validation} validation images: one image is "
            f"{100 / max(1, facts.num_validation):.1f} % of their accuracy."
        )
    items.append("Other cameras, drawings, damaged images and the metrics of single classes were not examined.")
    return "\n".join(f"- {item}" for item in items)


def _training_data(facts: CardFacts) -> str:
    rows = [("training", f"{facts.num_training:,}", code(facts.data.name))]
    if facts.num_unlabeled:
        rows.append(
            ("training, without labels", f"{facts.num_unlabeled:,}", "trained on the predictions of the teacher alone")
        )
    if facts.num_outliers:
        purpose = "trained to have equal scores of all classes"
        rows.append(("training, out-of-distribution", f"{facts.num_outliers:,}", purpose))
    rows.append(("validation", f"{facts.num_validation:,}", facts.validation))
    table = "\n".join(f"| {name} | {count} | {source} |" for name, count, source in rows)
    classes = ", ".join(f"{code(name)} {count:,}" for name, count in zip(facts.classes, facts.counts, strict=True))
    title = "Classes, with their numbers of training images"
    listed = f"{title}: {classes}."
    if len(facts.classes) > _MAX_LISTED:
        listed = f"<details>\n<summary>{title}</summary>\n\n{classes}\n\n</details>"
    return f"| images | number | from |\n| --- | --- | --- |\n{table}\n\n{listed}"


def _training(facts: CardFacts, weights: CardWeights) -> str:
    options, teacher = facts.options, facts.options.teacher
    start = f"the weights of {code(public_name(options.model.model))}"
    if options.model.from_scratch:
        start = "random weights"
    elif is_embedded(options.model.model):
        start = "the weights in the package levit"
    text = f"The training started from {start}."
    if teacher.has_teacher:
        names = " and ".join(code(public_name(name)) for name in teacher.names)
        target = "class" if teacher.distillation == "hard" else f"scores at temperature {teacher.tau:g}"
        text += (
            f" The distillation head was trained on the predictions of {names} (the teacher's {target}, with a weight "
            f"of {teacher.alpha:g}); the teacher is not part of the model."
        )
    duration = format_duration(sum(row["seconds"] for row in weights.history))
    cost = f"{len(weights.history)} epochs took {duration} without validation, on {facts.hardware}."
    command = f"```console\n$ {shareable_command(options, facts.name)}\n```"
    return f"{text}\n\n{command}\n\n{cost} Versions: {facts.versions}."


def _results(facts: CardFacts, weights: CardWeights) -> str:
    """Table of the metrics of the network and, if there is one, of its moving average."""
    row = weights.history[weights.epoch - 1]
    kinds: list[BestWeights] = ["network", "average"] if EMA_PREFIX + "loss" in row else ["network"]
    marks = {weights.kind: " (these weights)"} if len(kinds) > 1 else {}
    header = " | ".join(f"{_HEADINGS[kind]}{marks.get(kind, '')}" for kind in kinds)
    lines = [f"| validation | {header} |", "| --- |" + " --- |" * len(kinds)]
    for name in weights.metrics("network"):
        values = [weights.metrics(kind)[name] for kind in kinds]
        cells = " | ".join(f"{value:.4f}" if name == "loss" else f"{100 * value:.2f} %" for value in values)
        lines.append(f"| {METRIC_NAMES[name]} | {cells} |")
    metric, window = METRIC_NAMES[facts.options.run.metric], facts.options.run.best_window
    if window is None:
        window = DEFAULT_WINDOW if len(kinds) > 1 else 1
    chosen = f"the best one by {metric}{f', as the mean of {window} epochs' if window > 1 else ''}"
    is_chosen = weights.is_best and facts.options.run.select == "best"
    text = f"After epoch {weights.epoch} of {len(weights.history)}, {chosen if is_chosen else 'the last one'}:"
    curves = f"\n\n![Losses, accuracy and learning rate of the epochs]({CURVES_FILE})" if weights.is_best else ""
    return f"{text}\n\n" + "\n".join(lines) + curves


def _license(facts: CardFacts) -> str:
    start = "the weights from which the training started"
    if facts.license:
        return f"{code(facts.license)}, that of {start}. The training images have licenses of their own."
    sources = "the training images" + ("" if facts.options.model.from_scratch else f" and of {start}")
    return (
        f"Not stated, because it depends on the licenses of {sources}. Before you publish the model, state it here and "
        "as `license` in the first lines."
    )
