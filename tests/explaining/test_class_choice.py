"""Names of classes."""

import numpy as np
import pytest

from levit.errors import ConfigError
from levit.explaining.class_choice import find_class

LABELS = ("tabby, tabby cat", "golden retriever", "crane", "crane", "7")


@pytest.mark.parametrize(
    ("requested", "index"),
    [
        ("golden retriever", 1),
        ("Golden_Retriever", 1),
        ("tabby", 0),
        (3, 3),
        (np.int64(3), 3),
        ("3", 3),
        ("7", 4),
        ("n02099601", 1),
    ],
)
def test_a_class_is_found_by_its_name_in_any_spelling_or_by_its_index(requested, index):
    assert find_class(requested, LABELS) == index


@pytest.mark.parametrize(
    ("requested", "message"),
    [
        ("crane", "class_name is 'crane', the name of several classes: give 2 or 3"),
        ("golden retriver", "unknown class 'golden retriver': did you mean golden retriever?"),
        ("zzz", "unknown class 'zzz': see `levit info --json` for all classes"),
        (5, "class_name is 5, and the model has 5 classes: indices are 0 to 4"),
        (
            "1" * 5000,
            f"unknown class '{'1' * 5000}': see `levit info --json` for all classes",
        ),
        (1.0, "class_name is of type float: give a name or an index"),
        (-1, "class_name is -1, and the model has 5 classes: indices are 0 to 4"),
    ],
)
def test_other_names_are_refused(requested, message):
    with pytest.raises(ConfigError) as error:
        find_class(requested, LABELS)
    assert str(error.value) == message
