"""Labels in parquet files without class names in their features: names, or numbers with a list of names."""

import pyarrow
import pyarrow.parquet
import pytest

from levit.data.open_data import open_data
from levit.errors import DataError
from tests.data.datasets_on_disk import png, write_parquet


@pytest.mark.parametrize(
    ("labels", "classes", "indices"),
    [
        (["dog", "cat", "dog"], ("cat", "dog"), [(1,), (0,), (1,)]),
        ([" dog", None, "nan"], ("dog",), [(0,), (), ()]),
        ([["dog", "cat"], [], ["cat"]], ("cat", "dog"), [(1, 0), (), (0,)]),
        (pyarrow.array(["dog", "cat", "dog"]).dictionary_encode(), ("cat", "dog"), [(1,), (0,), (1,)]),
        (pyarrow.array(["dog", "cat", None], pyarrow.large_string()), ("cat", "dog"), [(1,), (0,), ()]),
        ([None, None, None], (), [(), (), ()]),
    ],
)
def test_labels_may_be_class_names(tmp_path, labels, classes, indices):
    table = pyarrow.table({"image": [png(number) for number in range(3)], "label": labels})
    pyarrow.parquet.write_table(table, tmp_path / "pets.parquet")
    data = open_data(tmp_path)
    assert (data.classes, [item.labels for item in data]) == (classes, indices)
    assert data.is_multi_label == isinstance(labels[0], list)


def test_class_names_of_all_files_are_the_classes(tmp_path):
    for number, label in enumerate(("emu", "cat", "dog")):
        table = pyarrow.table({"image": [png(number)], "label": [label]})
        pyarrow.parquet.write_table(table, tmp_path / f"{number}.parquet")
    data = open_data(tmp_path)
    assert (data.classes, [item.labels for item in data]) == (("cat", "dog", "emu"), [(2,), (0,), (1,)])
    write_parquet(tmp_path / "3.parquet")
    with pytest.raises(DataError, match=r"3\.parquet: other classes than in the first file"):
        open_data(tmp_path)


@pytest.mark.parametrize(
    ("list_of_names", "highest", "name"), [("cat\ndog\nemu\n", 2, "emu"), (None, 999, "n15075141")]
)
def test_numbered_labels_have_the_names_of_a_list_or_of_imagenet(tmp_path, list_of_names, highest, name):
    if list_of_names:
        (tmp_path / "classes.txt").write_text(list_of_names)
    table = pyarrow.table({"image": [png(0), png(1), png(2)], "label": [0, highest, -1]})
    pyarrow.parquet.write_table(table, tmp_path / "pets.parquet")
    data = open_data(tmp_path / "pets.parquet")
    assert [item.labels for item in data] == [(0,), (highest,), ()]
    assert data.classes[highest] == name


def test_a_file_without_class_names_beside_one_that_has_them_is_an_error(tmp_path):
    write_parquet(tmp_path / "0.parquet")
    write_parquet(tmp_path / "1.parquet", names=None)
    with pytest.raises(DataError, match=r"1\.parquet: its labels have no names, as they have in the first file"):
        open_data(tmp_path)
