"""Annotations in COCO format, as iNaturalist distributes them."""

import json

import pytest

from levit.data.open_data import open_data
from levit.errors import DataError, LevitWarning
from tests.data.datasets_on_disk import names_and_labels, write_images


def coco(category_names=None):
    ids = (4, 9)
    names = [{"name": name} for name in category_names] if category_names else [{}, {}]
    return {
        "images": [{"id": 17, "file_name": "train_val2018/Plantae/a.jpg"}, {"id": 18, "file_name": "b.jpg"}],
        "annotations": [{"id": 1, "image_id": 17, "category_id": 9}],
        "categories": [{"id": number} | name for number, name in zip(ids, names, strict=True)],
    }


@pytest.mark.parametrize(("names", "expected"), [(("daisy", "rose"), "rose"), (("daisy", "daisy"), "9"), (None, "9")])
def test_classes_are_named_by_categories_or_their_ids(tmp_path, names, expected):
    write_images(tmp_path, "train_val2018/Plantae/a.jpg")
    (tmp_path / "val2018.json").write_text(json.dumps(coco(names)))
    data = open_data(tmp_path / "val2018.json")
    assert names_and_labels(data) == [("train_val2018/Plantae/a.jpg", (expected,)), ("b.jpg", ())]
    assert not data.is_multi_label


def test_an_image_with_several_categories_makes_a_multi_label_data_set(tmp_path):
    content = coco(("daisy", "rose"))
    content["annotations"] += [{"image_id": 17, "category_id": 4}, {"image_id": 17, "category_id": 9}]
    (tmp_path / "val2018.json").write_text(json.dumps(content))
    data = open_data(tmp_path / "val2018.json")
    assert data.is_multi_label
    assert [item.labels for item in data] == [(1, 0), ()]


def test_a_file_under_two_ids_with_different_categories_is_an_error_that_names_it(tmp_path):
    content = coco(("daisy", "rose"))
    content["images"].append({"id": 19, "file_name": "./b.jpg"})
    content["annotations"] += [{"image_id": number, "category_id": 4} for number in (18, 19)]
    (tmp_path / "val2018.json").write_text(json.dumps(content))
    assert [item.labels for item in open_data(tmp_path / "val2018.json")] == [(1,), (0,), (0,)]
    content["annotations"][-1]["category_id"] = 9
    (tmp_path / "val2018.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"images\[2\]: 'b\.jpg' is listed before with another label: list it once"):
        open_data(tmp_path / "val2018.json")


def test_annotations_of_images_that_are_not_listed_are_left_out_with_a_warning(tmp_path):
    content = coco(("daisy", "rose"))
    content["annotations"] += [{"image_id": 20, "category_id": number} for number in (4, 9)]
    (tmp_path / "val2018.json").write_text(json.dumps(content))
    with pytest.warns(LevitWarning, match=r"annotations of 1 image that is not listed, and not read \(20\)$"):
        data = open_data(tmp_path / "val2018.json")
    assert [item.labels for item in data] == [(1,), ()]
    assert not data.is_multi_label
    content["annotations"].append({"image_id": "x", "category_id": 4})
    (tmp_path / "val2018.json").write_text(json.dumps(content))
    with pytest.warns(LevitWarning, match=r"annotations of 2 images that are not listed, and not read \(20\)$"):
        open_data(tmp_path / "val2018.json")


def test_an_unlisted_category_is_an_error(tmp_path):
    content = coco()
    content["annotations"][0]["category_id"] = 5
    (tmp_path / "val2018.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="an annotation is of category 5, which is not listed"):
        open_data(tmp_path / "val2018.json")


@pytest.mark.parametrize("text", ["{}", "{", '{"images": [3], "annotations": [], "categories": []}'])
def test_a_file_of_another_format_is_an_error_of_one_line(tmp_path, text):
    (tmp_path / "val2018.json").write_text(text)
    with pytest.raises(DataError, match="not a list of images, annotations and categories") as caught:
        open_data(tmp_path / "val2018.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("images", "file_name", None, r"images\[0\]: None is not a file name"),
        ("images", "file_name", ["a"], r"images\[0\]: \['a'\] is not a file name"),
        ("images", "file_name", "a\0.jpg", "contains a null character"),
        ("images", "file_name", "../a.jpg", r"images\[0\]: '../a\.jpg' is outside"),
        ("images", "id", {"a": 1}, r"images\[0\]: \{'a': 1\} is not a whole number"),
        ("annotations", "image_id", None, r"annotations\[0\]: None is not a whole number"),
        ("annotations", "category_id", [4], r"annotations\[0\]: \[4\] is not a whole number"),
        ("categories", "id", "x", r"categories\[0\]: 'x' is not a whole number"),
        ("categories", "name", {"a": 1}, r"categories\[0\]: \{'a': 1\} is not a whole number"),
    ],
)
def test_an_invalid_value_is_an_error_that_names_its_entry(tmp_path, section, key, value, message):
    content = coco()
    content[section][0][key] = value
    (tmp_path / "val2018.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=message) as caught:
        open_data(tmp_path / "val2018.json")
    assert "\n" not in str(caught.value)


def test_large_ids_a_byte_order_mark_and_a_category_without_a_name_are_read(tmp_path):
    content = coco()
    content["categories"][0].update(id=2**70, name=None)
    content["annotations"][0]["category_id"] = 2**70
    (tmp_path / "val2018.json").write_text("\ufeff" + json.dumps(content), encoding="utf-8")
    data = open_data(tmp_path / "val2018.json")
    assert str(2**70) in data.classes
