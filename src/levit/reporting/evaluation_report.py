"""Report of an evaluation with one label per image, as one HTML page."""

from __future__ import annotations

import numpy as np

from levit.evaluation.comparison import Comparison, Disagreement
from levit.evaluation.diagnostics import Mistake
from levit.evaluation.metrics import Estimate
from levit.evaluation.shown_names import shown_names
from levit.evaluation.single_label_pass import Evaluation
from levit.images.decoding import ImageSource
from levit.reporting import confusion_table, html_page
from levit.reporting.charts import draw_confusion_matrix, draw_reliability
from levit.reporting.html_page import html_text
from levit.spec.labels import has_top5

_MANY_IMAGES = 100  # with fewer, the calibration error is mostly chance, and the speed that of the start


def evaluation_report(evaluation: Evaluation) -> str:
    """HTML page with metrics, mistakes, confusion matrix, calibration, problems of the data, and every class."""
    sections = [
        _header(evaluation),
        _cards(evaluation),
        _comparison(evaluation.comparison) if evaluation.comparison is not None else "",
        _mistakes(evaluation),
        _confusion(evaluation),
        _calibration(evaluation),
        html_page.bad_images(evaluation.bad_images),
        html_page.empty_classes(evaluation.empty_classes),
        html_page.duplicates(evaluation.duplicates),
        _classes(evaluation),
    ]
    return html_page.page(f"{evaluation.model} on {evaluation.data}", sections, confusion_table.STYLE)


def _header(evaluation: Evaluation) -> str:
    matched = ", ".join(f"{count} by {rule}" for rule, count in evaluation.matched.items())
    restriction = (
        f" The model chose among these {len(evaluation.candidates):,} of its {len(evaluation.labels):,} classes only."
        if evaluation.data_classes_only
        else ""
    )
    return (
        f"<h1>{html_text(evaluation.model)}</h1>\n<p>evaluated on {evaluation.num_evaluated:,} images of "
        f"<b>{html_text(evaluation.data)}</b> by the engine {html_text(evaluation.engine)} in "
        f'{html_text(evaluation.precision)}</p>\n<p class="dim">{_left_out(evaluation)}'
        f"{html_page.excluded(evaluation.num_excluded)} "
        f"Classes matched: {html_text(matched)}.{restriction} Data: sha256 {evaluation.sha256[:16]}….</p>"
    )


def _left_out(evaluation: Evaluation) -> str:
    """A sentence on the images that were not evaluated; empty if there are none."""
    counts = {"without a label": evaluation.num_unlabeled, "that could not be used": len(evaluation.bad_images)}
    parts = [f"{count:,} {reason}" for reason, count in counts.items() if count]
    return f"Of {evaluation.num_images:,} images, it leaves out {' and '.join(parts)}." if parts else ""


def _cards(evaluation: Evaluation) -> str:
    recall, _, f1 = evaluation.per_class.means(evaluation.class_indices)
    top5 = (f"{100 * evaluation.top5.value:.2f} %", f"top-5 accuracy, {_interval(evaluation.top5)}")
    of_many = [(f"{100 * evaluation.calibration.error:.1f} %", "calibration error of the scores")]
    if evaluation.images_per_second is not None:
        of_many.append((f"{evaluation.images_per_second:,.0f}", "images per second, from file to label"))
    return html_page.cards(
        [
            (f"{100 * evaluation.top1.value:.2f} %", f"top-1 accuracy, {_interval(evaluation.top1)}"),
            *([top5] if has_top5(evaluation.candidates) else []),
            (f"{100 * recall:.2f} %", "mean recall of the classes"),
            (f"{100 * f1:.2f} %", "mean F1 of the classes"),
            *(of_many if evaluation.num_evaluated >= _MANY_IMAGES else []),
        ]
    )


def _interval(estimate: Estimate) -> str:
    return f"95\N{NO-BREAK SPACE}% interval {100 * estimate.low:.1f} to {100 * estimate.high:.1f}"


def _comparison(comparison: Comparison) -> str:
    second, gain, (first_name, second_name) = comparison.second, comparison.gain, comparison.names
    rows = [
        ["both", f"{comparison.num_both_correct:,}"],
        [f"only {first_name}", f"{comparison.num_only_first:,}"],
        [f"only {second_name}", f"{comparison.num_only_second:,}"],
        ["neither", f"{comparison.num_neither:,}"],
    ]
    return (
        f"<h2>Comparison with {html_text(second_name)}</h2><p>{html_text(second_name)}, computed by "
        f"{html_text(second.engine)} in {html_text(second.precision)}, has "
        f"{100 * second.top1.value:.2f} % top-1: {100 * gain.value:+.2f} points, "
        f"95 % interval {100 * gain.low:+.2f} to {100 * gain.high:+.2f}. Both give the same prediction for "
        f"{100 * comparison.agreement.value:.1f} % of the images.</p>"
        + html_page.table(["correct", "images"], rows)
        + _disagreements(comparison)
    )


def _disagreements(comparison: Comparison) -> str:
    if not comparison.disagreements:
        return "<p>No image is predicted correctly by only one of them.</p>"
    return (
        f"<p>Images that only one of them predicts correctly, by the score of {html_text(comparison.names[1])}:</p>"
        + html_page.photos(_disagreement_photo(image, comparison.names) for image in comparison.disagreements)
    )


def _disagreement_photo(image: Disagreement, names: tuple[str, str]) -> tuple[ImageSource, str, str]:
    first, second = map(html_text, names)
    caption = (
        f"{html_text(image.target)}<br>{first}: {_verdict(image.first, is_correct=image.is_first_correct)}<br>"
        f"{second}: {_verdict(image.second, is_correct=not image.is_first_correct)}{html_page.file_name(image.name)}"
    )
    return image.image, image.target, caption


def _verdict(predicted: str, *, is_correct: bool) -> str:
    return "right" if is_correct else f"<b>{html_text(predicted)}</b>"


def _mistakes(evaluation: Evaluation) -> str:
    if not evaluation.mistakes:
        return "<h2>Mistakes</h2><p>There are none.</p>"
    count = evaluation.num_evaluated - round(evaluation.top1.value * evaluation.num_evaluated)
    title = "Mistakes" if count <= len(evaluation.mistakes) else "Most confident mistakes"
    return (
        f'<h2>{title}</h2><p class="dim">{_shown(count, len(evaluation.mistakes))} File names are relative to the '
        "data; all mistakes are in mistakes.csv.</p>"
        + html_page.photos(_mistake_photo(evaluation, mistake) for mistake in evaluation.mistakes)
    )


def _shown(count: int, num_shown: int) -> str:
    images = "1 image is" if count == 1 else f"{count:,} images are"
    shown = "" if count <= num_shown else f" These {num_shown} have the highest scores."
    return f"{images} predicted wrongly.{shown}"


def _mistake_photo(evaluation: Evaluation, mistake: Mistake) -> tuple[ImageSource, str, str]:
    names = shown_names(evaluation.labels)
    target, predicted = names[mistake.target], names[mistake.predicted]
    caption = f"{html_text(target)}, predicted as <b>{html_text(predicted)}</b> ({100 * mistake.score:.0f}&nbsp;%)"
    return mistake.image, target, caption + html_page.file_name(mistake.name)


def _confusion(evaluation: Evaluation) -> str:
    pairs = _confused_pairs(evaluation)
    header = ["class", "predicted as", "images", "of the class"]
    return (
        "<h2>Confusion matrix</h2>"
        + (html_page.table(header, pairs, text=2) if pairs else "")
        + '<p class="dim">Each row is a true class, each column a predicted class, in the order of the labels; the '
        f"diagonal is correct. The numbers are {'also ' if _has_table(evaluation) else ''}in confusion.csv.</p>"
        + _matrix(evaluation)
    )


def _has_table(evaluation: Evaluation) -> bool:
    return len(evaluation.class_indices) <= confusion_table.MAX_CLASSES


def _matrix(evaluation: Evaluation) -> str:
    """The matrix of the classes of the data: a table if they are few, or else a picture."""
    indices = list(evaluation.class_indices)
    confusion = evaluation.confusion[np.ix_(indices, indices)]
    if not _has_table(evaluation):
        return f'<img class="matrix" alt="confusion matrix" src="{draw_confusion_matrix(confusion)}">'
    num_others = (evaluation.confusion[indices].sum(axis=1) - confusion.sum(axis=1)).tolist()
    names = shown_names(evaluation.labels)
    return confusion_table.confusion_table(confusion, [names[index] for index in indices], num_others)


def _confused_pairs(evaluation: Evaluation) -> list[list[str]]:
    """Rows of the most frequent pairs of true and wrong predicted class."""
    matrix, labels = evaluation.confusion, shown_names(evaluation.labels)
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[: html_page.MAX_ROWS]
    pairs = [divmod(int(position), len(matrix)) for position in order]
    return [
        [labels[target], labels[predicted], f"{count:,}", html_page.percent(count / matrix[target].sum())]
        for target, predicted in pairs
        if (count := wrong[target, predicted])
    ]


def _calibration(evaluation: Evaluation) -> str:
    if evaluation.num_evaluated < _MANY_IMAGES:
        return (
            f"<h2>Calibration of the scores</h2><p>Fewer than {_MANY_IMAGES} images are too few to compare the scores "
            "with the accuracy.</p>"
        )
    return (
        "<h2>Calibration of the scores</h2><p>Where bars stay below the line, scores are higher than the accuracy. The "
        f"mean difference is {100 * evaluation.calibration.error:.1f} points.</p>"
        + draw_reliability(evaluation.calibration)
    )


def _classes(evaluation: Evaluation) -> str:
    scores, labels = evaluation.per_class, shown_names(evaluation.labels)
    order = sorted(
        scores.occurring(evaluation.class_indices),
        key=lambda index: (np.nan_to_num(scores.f1[index]), labels[index]),
    )
    rows = [
        [labels[index], f"{scores.support[index]:,}", *(html_page.percent(values[index]) for values in
         (scores.precision, scores.recall, scores.f1))]
        for index in order
    ]  # fmt: skip
    return html_page.hardest_and_all("classes", ["class", "images", "precision", "recall", "F1"], rows)
