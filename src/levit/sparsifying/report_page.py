"""Report of a sparse network: one self-contained page with sparsity, accuracy, savings, and pictures of the masks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from levit.checkpoints.attention_masks import Masks
from levit.images.thumbnails import data_url
from levit.reporting.html_page import cards, html_text, page, percent, table
from levit.sparsifying.accuracies import Accuracies
from levit.sparsifying.savings import LayerSavings, Savings

_STYLE = """
.heads { display: flex; flex-wrap: wrap; gap: .5rem; margin: .4rem 0 1.2rem; }
.heads figure { width: 6.5rem; } .heads img { width: 100%; aspect-ratio: 1; image-rendering: pixelated; border: 0;
  border-radius: 0; outline: 1px solid var(--line); object-fit: fill; }
"""

_KEPT, _REMOVED = (11, 110, 79), (236, 239, 242)  # colors of the entries in a picture


def report_page(
    title: str,
    savings: Savings,
    masks: Masks,
    *,
    attention_mass: float,
    num_images: int,
    accuracies: Accuracies | None,
) -> str:
    """Build the page.

    Args:
        title: name of the network.
        savings: what the masks remove.
        masks: mask of each attention, in the order of `savings`.
        attention_mass: share of the attention that each query keeps at least.
        num_images: number of images over which the attention was averaged.
        accuracies: before masking, with masks, and after fine-tuning; None if not measured.
    """
    introduction = (
        f"Attention averaged over {num_images:,} images. Each query keeps the fewest keys that have "
        f"{attention_mass:.1%} of its attention, and one more; the same keys for every image."
    )
    sections = [
        f"<h1>Sparse attention of {html_text(title)}</h1>",
        f'<p class="dim">{introduction}</p>',
        cards(_figures(savings, accuracies)),
        _accuracy_note(accuracies),
        "<h2>Layers</h2>",
        table(["attention", "heads", "queries x keys", "removed", "by head", "multiply-adds", "kept"],
              [_row(layer) for layer in savings.layers]),
        _savings(savings),
        "<h2>Masks</h2><p>One square for each head: queries from top to bottom, keys from left to right, kept ones "
        "green; below it, the share that is removed.</p>",
        *(_pictures(layer, mask) for layer, mask in zip(savings.layers, masks.values(), strict=True)),
    ]  # fmt: skip
    return page(f"Sparse attention of {title}", sections, _STYLE)


def _figures(savings: Savings, accuracies: Accuracies | None) -> list[tuple[str, str]]:
    removed = savings.total("flops") - savings.total("kept_flops")
    figures = [
        (percent(savings.sparsity), "of the entries of all attention maps are removed"),
        (percent(removed / savings.network_flops), "of the network's multiply-adds are in removed entries"),
    ]
    names = "top-1 before masking", "top-1 with masks, without fine-tuning", "top-1 with masks, after fine-tuning"
    for name, accuracy in zip(names, accuracies or (), strict=False):
        if accuracy is not None:
            figures.append((percent(accuracy.top1), f"{name}, {accuracy.images:,} images"))
    return figures


def _accuracy_note(accuracies: Accuracies | None) -> str:
    hint = (
        "Fine-tuning with the masks restores most of a loss: <code>levit train DATA --model OUT/checkpoint</code>; the "
        "command of this report with <code>--fine-tuned RUN</code> adds its accuracy."
    )
    if accuracies is None:
        return f"<p>Accuracy was not measured (<code>--evaluation</code>). {hint}</p>"
    before, masked, fine_tuned = accuracies
    difference = f"{100 * (masked.top1 - before.top1):+.1f} percentage points with masks"
    if fine_tuned is None:
        outcome = f"{difference}. {hint}"
    else:
        outcome = f"{difference}, {100 * (fine_tuned.top1 - before.top1):+.1f} percentage points after fine-tuning."
    return (
        f'<p class="dim">Accuracy on {html_text(before.data)}, computed by {before.engine} in {before.precision}. '
        f"Difference: {outcome}</p>"
    )


def _row(layer: LayerSavings) -> list[str]:
    low, high = min(layer.head_sparsity), max(layer.head_sparsity)
    return [
        layer.name, str(layer.heads), f"{layer.queries} x {layer.keys}", percent(layer.sparsity),
        f"{100 * low:.0f} to {100 * high:.0f} %", f"{layer.flops:,}", f"{layer.kept_flops:,}",
    ]  # fmt: skip


def _savings(savings: Savings) -> str:
    flops, kept = savings.total("flops"), savings.total("kept_flops")
    size, kept_size = savings.total("num_bytes"), savings.total("kept_bytes")
    return (
        f"<p>An accelerator that skips removed entries computes {kept / 1e6:,.1f} of the {flops / 1e6:,.1f} million "
        f"multiply-adds of attention, of {savings.network_flops / 1e6:,.0f} million in the network, and stores "
        f"{kept_size / 1e3:,.0f} instead of {size / 1e3:,.0f} kB of attention maps (16 bits for each kept entry, and "
        "one bit for each entry that marks it). A CPU gains nothing: its dense kernels compute removed entries, too, "
        "and are faster at these sizes than sparse ones.</p>"
    )


def _pictures(layer: LayerSavings, mask: NDArray[np.bool_]) -> str:
    """Pictures of the masks of all heads of a layer."""
    colors = np.where(mask[..., None], np.array(_KEPT, np.uint8), np.array(_REMOVED, np.uint8))
    figures = "".join(
        f'<figure><img alt="mask of head {head + 1}" src="{data_url(Image.fromarray(colors[head]), "PNG")}">'
        f"<figcaption>{percent(layer.head_sparsity[head])}</figcaption></figure>"
        for head in range(layer.heads)
    )
    return f'<h3>{html_text(layer.name)}</h3><div class="heads">{figures}</div>'
