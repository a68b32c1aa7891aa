"""Images with labels, from folders and from parquet."""

import io
import json

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from levit.data.labeled_images import LabeledImage
from levit.data.open_data import open_data
from levit.errors import DataError, LevitWarning


def png(value: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((4, 4, 3), value, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def write_parquet(path, *, names=("cat", "dog"), labels=(1, 0, 1), column="label"):
    table = pyarrow.table(
        {
            "image": [{"bytes": png(index), "path": f"{index}.png"} for index in range(len(labels))],
            column: list(labels),
        }
    )
    feature = {"_type": "ClassLabel"} | ({"names": names} if names else {})
    if isinstance(labels[0], tuple):
        feature = {"_type": "List", "feature": feature}
    features = {"image": {"_type": "Image"}, column: feature}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), path)
    return path


@pytest.fixture
def folder(tmp_path):
    for name in ("zebra/1.PNG", "ant/deep/2.png", "ant/1.png", "ant/notes.txt"):
        file = tmp_path / "pets" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(len(name)))
    return tmp_path / "pets"


def test_the_subfolders_with_images_are_the_classes(folder):
    data = open_data(folder)
    assert (data.name, data.classes, len(data)) == ("pets", ("ant", "zebra"), 3)
    names = [(item.image.relative_to(folder).as_posix(), item.labels, item.name) for item in data]
    expected = [("ant/1.png", 0), ("ant/deep/2.png", 0), ("zebra/1.PNG", 1)]
    assert names == [(name, (label,), name) for name, label in expected]
    assert list(data) == list(data)


@pytest.mark.parametrize("other", ["notes.txt", "1.heic"])
def test_a_subfolder_of_other_files_is_no_class_which_is_said(folder, other):
    (folder / "bee").mkdir()
    (folder / "bee" / other).write_bytes(b"")
    with pytest.warns(LevitWarning, match=r"pets: no classes, .*\.webp\): bee$"):
        assert open_data(folder).classes == ("ant", "zebra")


def test_images_without_subfolders_have_no_labels(folder):
    data = open_data(folder / "zebra")
    assert data.classes == ()
    assert [item.labels for item in data] == [()]


def test_the_hash_tells_folders_apart(folder):
    before = open_data(folder).sha256()
    assert before == open_data(folder).sha256()
    (folder / "zebra/1.PNG").rename(folder / "zebra/2.png")
    renamed = open_data(folder).sha256()
    (folder / "zebra/2.png").write_bytes(png(99))
    assert len({before, renamed, open_data(folder).sha256()}) == 3


@pytest.mark.parametrize("column", ["label", "labels"])
def test_parquet_has_several_labels_where_a_row_has_a_list_of_them(tmp_path, column):
    """A column `labels` of one label each is what many data sets of the hub have."""
    one = open_data(write_parquet(tmp_path / "one.parquet", column=column))
    several = open_data(write_parquet(tmp_path / "several.parquet", labels=((1, 0), (), (0,)), column=column))
    assert (one.is_multi_label, [item.labels for item in one]) == (False, [(1,), (0,), (1,)])
    assert (several.is_multi_label, [item.labels for item in several]) == (True, [(1, 0), (), (0,)])


def test_parquet_may_name_a_file_in_place_of_bytes_or_have_neither(tmp_path):
    (tmp_path / "there.png").write_bytes(png(7))
    table = pyarrow.parquet.read_table(write_parquet(tmp_path / "pets.parquet"))
    path = str(tmp_path / "there.png")
    images = [{"bytes": png(1), "path": "1.png"}, {"bytes": None, "path": path}, {"bytes": None, "path": None}]
    table = table.set_column(0, "image", [images])
    pyarrow.parquet.write_table(table, tmp_path / "pets.parquet")
    found = [(item.name, item.image) for item in open_data(tmp_path / "pets.parquet")]
    assert found == [("1.png", png(1)), (path, path), ("row 2", b"")]


def test_parquet_gives_the_bytes_and_the_names(tmp_path):
    data = open_data(write_parquet(tmp_path / "pets.parquet"))
    assert (data.name, data.classes, len(data)) == ("pets.parquet", ("cat", "dog"), 3)
    assert list(data) == [LabeledImage(png(index), (label,), f"{index}.png") for index, label in enumerate((1, 0, 1))]
    assert len(data.sha256()) == 64


def test_what_is_no_data_is_named(tmp_path, folder):
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a"]}), tmp_path / "text.parquet")
    write_parquet(tmp_path / "nameless.parquet", names=None)
    (tmp_path / "empty").mkdir()
    for name, message in {
        "missing": "no such file or folder",
        "pets/ant/notes.txt": "cannot be read",
        "empty": "no images in it",
        "broken.parquet": "not a parquet file",
        "text.parquet": "no column 'image' \\(it has text\\)",
        "nameless.parquet": "its labels have no names",
    }.items():
        with pytest.raises(DataError, match=message) as caught:
            open_data(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_images_beside_folders_of_images_are_not_passed_over(folder):
    (folder / "stray.png").write_bytes(png(1))
    with pytest.raises(DataError, match=r"stray\.png stands beside folders of images"):
        open_data(folder)
