"""Some images calibrate, the others judge; together they are all, and no class is left out."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from levit.data.labeled_images import LabeledImage
from levit.data.subsets import split_calibration


class Numbers:
    name, classes, is_multi_label, is_any_label_correct = "numbers", ("a", "b"), False, False

    def __init__(self, count: int, *, is_grouped: bool) -> None:
        self.count, self.is_grouped = count, is_grouped

    def __len__(self) -> int:
        return self.count

    def __iter__(self):
        return (LabeledImage(b"", (2 * number // self.count,), str(number)) for number in range(self.count))

    def sha256(self) -> str:
        return "0" * 64


@given(st.integers(1, 200), st.integers(1, 250), st.booleans())
def test_every_image_is_in_one_part(count, wanted, is_grouped):
    some, others = split_calibration(Numbers(count, is_grouped=is_grouped), wanted)
    names = [[item.name for item in part] for part in (some, others)]
    assert sorted(names[0] + names[1], key=int) == [str(number) for number in range(count)]
    assert [len(part) for part in names] == [len(some), len(others)] == [min(wanted, count), max(0, count - wanted)]


@given(st.integers(1, 20), st.integers(1, 30), st.integers(1, 200))
def test_of_images_class_by_class_as_many_of_each_calibrate(classes, of_each, wanted):
    some, _ = split_calibration(Numbers(classes * of_each, is_grouped=True), wanted)
    counts = Counter(int(item.name) // of_each for item in some)
    assert max(counts.values()) - min(counts[number] for number in range(classes)) <= 1


def test_the_first_images_calibrate_unless_they_come_class_by_class():
    some, _ = split_calibration(Numbers(12, is_grouped=False), 7)
    assert [item.name for item in some] == ["0", "1", "2", "3", "4", "5", "6"]
    some, others = split_calibration(Numbers(12, is_grouped=True), 4)
    assert [item.name for item in some] == ["0", "3", "6", "9"]
    assert Counter(item.labels for item in others) == {(0,): 4, (1,): 4}
