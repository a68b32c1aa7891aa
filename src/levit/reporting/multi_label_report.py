"""Report of an evaluation with any number of labels per image, as one HTML page."""

from __future__ import annotations

import numpy as np

from levit.evaluation.multi_label import LabelMistake, MultiLabelEvaluation
from levit.evaluation.shown_names import shown_names
from levit.images.decoding import ImageSource
from levit.reporting import html_page
from levit.reporting.charts import draw_histogram
from levit.reporting.html_page import html_text

_NUM_BINS = 10


def multi_label_report(evaluation: MultiLabelEvaluation) -> str:
    """HTML page with metrics, mistakes, a histogram of average precision, problems of the data, and every label."""
    sections = [
        _header(evaluation),
        _cards(evaluation),
        _mistakes(evaluation),
        _histogram(evaluation),
        html_page.bad_images(evaluation.bad_images),
        html_page.empty_classes(evaluation.empty_classes),
        html_page.duplicates(evaluation.duplicates),
        _labels(evaluation),
    ]
    return html_page.page(f"{evaluation.model} on {evaluation.data}", sections)


def _header(evaluation: MultiLabelEvaluation) -> str:
    return (
        f"<h1>{html_text(evaluation.model)}</h1>\n<p>evaluated on {evaluation.num_evaluated:,} images of "
        f"<b>{html_text(evaluation.data)}</b>, any number of labels each, in {html_text(evaluation.engine)}, "
        f'{html_text(evaluation.precision)}</p>\n<p class="dim">Of {evaluation.num_images:,} images '
        f"{evaluation.num_evaluated:,} were evaluated, {len(evaluation.bad_images):,} could not be used."
        f"{html_page.excluded(evaluation.num_excluded)} Data sha256 "
        f"{evaluation.sha256[:16]}….</p>"
    )


def _cards(evaluation: MultiLabelEvaluation) -> str:
    num_occurring = sum(count > 0 for count in evaluation.support)
    return html_page.cards(
        [
            (html_page.percent(evaluation.mean_average_precision) or "none", "mean average precision"),
            (html_page.percent(evaluation.mean_f1) or "none", "mean F1, each label from a score of 50 %"),
            (html_page.percent(evaluation.mean_best_f1) or "none", "mean F1, each label from its best threshold"),
            (f"{num_occurring:,} of {len(evaluation.labels):,}", "labels that occur"),
            (f"{sum(evaluation.support) / evaluation.num_evaluated:.1f}", "labels per image, on average"),
            (f"{evaluation.images_per_second:,.0f}", "images per second, from file to label"),
        ]
    )


def _mistakes(evaluation: MultiLabelEvaluation) -> str:
    if not evaluation.mistakes:
        return "<h2>Mistakes</h2><p>No label is on the wrong side of a score of 50 %.</p>"
    return "<h2>Most confident mistakes</h2>" + html_page.photos(
        _mistake_photo(evaluation, mistake) for mistake in evaluation.mistakes
    )


def _mistake_photo(evaluation: MultiLabelEvaluation, mistake: LabelMistake) -> tuple[ImageSource, str, str]:
    kind = "missed" if mistake.is_present else "wrongly predicted"
    label = html_text(shown_names(evaluation.labels)[mistake.label])
    caption = f"{kind}: <b>{label}</b> ({100 * mistake.score:.0f}&nbsp;%){html_page.file_name(mistake.name)}"
    return mistake.image, mistake.name, caption


def _histogram(evaluation: MultiLabelEvaluation) -> str:
    values = np.array(evaluation.average_precision)
    counts = np.histogram(values[np.isfinite(values)], _NUM_BINS, (0, 1))[0]
    return "<h2>Average precision of the labels</h2>" + draw_histogram(counts, "average precision, %", "labels")


def _labels(evaluation: MultiLabelEvaluation) -> str:
    labels, support = shown_names(evaluation.labels), evaluation.support
    order = [index for index, count in enumerate(support) if count]
    order.sort(key=lambda index: (evaluation.average_precision[index], labels[index]))
    rows = [
        [labels[index], f"{support[index]:,}", *(html_page.percent(values[index]) for values in
         (evaluation.average_precision, evaluation.f1, evaluation.best_f1, evaluation.thresholds))]
        for index in order
    ]  # fmt: skip
    note = (
        '<p class="dim">F1 is that of predicting a label where its score is at least 50 %. The threshold is the score '
        "from which on predicting it has the highest F1; it is chosen on the same images, so that the best F1 is "
        "optimistic. Labels that do not occur are in per_label.csv.</p>"
    )
    header = ["label", "images", "average precision", "F1", "best F1", "threshold"]
    return html_page.hardest_and_all("labels", header, rows) + note
