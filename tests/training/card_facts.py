"""Facts and progress of a run, as its model card states them."""

from __future__ import annotations

from typing import Any

from levit.training.card_sources import DataSource
from levit.training.model_card import CardFacts
from levit.training.options import TrainingOptions
from levit.training.progress import Progress

CLASSES = ("cat", "dog", "a|b `c`\n# d")
ROW = {
    "epoch": 1, "train_loss": 1.5, "loss": 1.0, "top1": 0.5, "top5": 0.9, "f1": 0.4, "ema_loss": 0.9, "ema_top1": 0.6,
    "ema_top5": 0.95, "ema_f1": 0.45, "seconds": 60.0,
}  # fmt: skip
FACTS = CardFacts(
    options=TrainingOptions.from_flat(data="pets", out="run", epochs=2, ema=0.9), name="pets", classes=CLASSES,
    counts=(100, 30, 7), num_training=137, num_unlabeled=0, num_outliers=0, num_validation=40,
    data=DataSource("pets", "imagefolder", None), validation="its validation split", is_multi_label=False,
    is_levit=True, is_stock=True, parameters=7_600_000, image_size=(96, 128), hardware="1 x cpu in bf16",
    versions="levit 0.1.0", base_model="facebook/levit-128S", license="apache-2.0",
)  # fmt: skip


def progress(epochs: int, **values: Any) -> Progress:
    """Progress of a run after some epochs, of which the first is the best."""
    history = [{**ROW, "epoch": epoch, "ema_top1": 0.1 * epoch} for epoch in range(1, epochs + 1)]
    return Progress(
        **{"epoch": epochs, "history": history, "best": 0.1, "best_epoch": 1, "best_weights": "average"} | values
    )
