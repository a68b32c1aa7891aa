import json

import pytest

from levit.errors import ConfigError
from levit.spec.preprocessing import Preprocessing


@pytest.mark.parametrize(
    "preprocessing",
    [
        Preprocessing.for_image_size((224, 224)),
        Preprocessing(resize=(10, 20), crop=None, mean=None, std=None, rescale=None),
        Preprocessing(resize=None, crop=(5, 6), resample=2),
    ],
)
def test_to_dict_and_from_dict_are_inverse_through_json(preprocessing):
    assert Preprocessing.from_dict(json.loads(json.dumps(preprocessing.to_dict()))) == preprocessing


def test_a_field_of_a_newer_version_is_named():
    values = Preprocessing.for_image_size((64, 64)).to_dict() | {"padding": 3}
    with pytest.raises(ConfigError, match=r"^padding: unknown field of a preprocessing: written by a newer levit\?$"):
        Preprocessing.from_dict(values)


def test_a_result_that_does_not_fit_the_network_is_an_error():
    Preprocessing(resize=300, crop=(64, 64)).check_fits((64, 64))
    Preprocessing(resize=(64, 32), crop=None).check_fits((64, 32))
    for resize, crop, size in ((300, (64, 64), (64, 32)), (64, None, (64, 64)), (None, None, (64, 64))):
        with pytest.raises(ConfigError, match="crop_size"):
            Preprocessing(resize=resize, crop=crop).check_fits(size)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"resample": 9}, "resample"),
        ({"resample": [3]}, "resample"),
        ({"mean": None}, "mean"),
        ({"std": None}, "std"),
        ({"std": (1, 0, 1)}, "std"),
        ({"std": (1, float("nan"), 1)}, "std"),
        ({"mean": (0.5, 0.5)}, "mean"),
        ({"mean": ("a", "b", "c")}, "mean"),
        ({"rescale": "x"}, "rescale"),
        ({"resize": -5}, "resize"),
        ({"crop": (0, 5)}, "crop"),
    ],
)
def test_the_source_of_an_error_is_the_field(fields, field):
    with pytest.raises(ConfigError) as caught:
        Preprocessing(**{"resize": 64, "crop": (64, 64), **fields})
    assert caught.value.source == field
