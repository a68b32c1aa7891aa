"""Small data sets of images in one color each, for a classifier that predicts the strongest color channel."""

from levit.data.labeled_images import LabeledImage
from tests.data.listed_dataset import ListedDataset
from tests.runtime.small_model import uniform_image


class ColorDataset(ListedDataset):
    """Ten images with one label each; the three that are labeled green are blue.

    Args:
        extra: images after these ten.
    """

    def __init__(self, extra: list[LabeledImage] | None = None) -> None:
        correct = [LabeledImage(uniform_image(255 - 10 * index, 0, 0), (2,), f"red{index}") for index in range(6)]
        wrong = [LabeledImage(uniform_image(0, 0, 100 + index), (1,), f"green{index}") for index in range(3)]
        items = [*correct, *wrong, LabeledImage(uniform_image(0, 0, 255), (0,), "blue0"), *(extra or [])]
        super().__init__(items, ("blue", "green", "red"), "colors")


class RedDataset(ColorDataset):
    """The six red images, of the same three classes."""

    def __init__(self) -> None:
        super().__init__()
        self.items = self.items[:6]


class FlagDataset(ListedDataset):
    """Four images with any number of labels each; one is blue and labeled red.

    Args:
        extra: images after these four.
    """

    def __init__(self, *extra: LabeledImage) -> None:
        items = [
            LabeledImage(uniform_image(250, 0, 250), (0, 1), "pink"),
            LabeledImage(uniform_image(240, 0, 10), (1,), "red"),
            LabeledImage(uniform_image(5, 0, 245), (1,), "blue, labeled red"),
            LabeledImage(uniform_image(0, 0, 0), (), "black"),
            *extra,
        ]
        super().__init__(items, ("blue", "red", "green"), "flags", is_multi_label=True)


UNREADABLE = LabeledImage(b"no image", (0,), "unreadable")
OUT_OF_RANGE = LabeledImage(uniform_image(1, 2, 3), (7,), "out of range")
TWO_LABELS = LabeledImage(uniform_image(1, 2, 3), (0, 1), "two labels")
UNLABELED = LabeledImage(uniform_image(1, 2, 3), (), "unlabeled")
UNUSABLE = [UNREADABLE, OUT_OF_RANGE, TWO_LABELS, UNLABELED]
