"""Classes are matched by name, by spelling, as classes of ImageNet, or as they are told; never by position."""

import pytest

from levit.data.class_matching import match_classes
from levit.errors import DataError
from levit.spec.labels import default_labels, imagenet_classes


def test_the_same_name_wins_over_everything_else():
    match = match_classes(["b", "a"], ["a", "b", "c", "A"], "x")
    assert (match.class_indices, match.rule_counts) == ((1, 0), {"name": 2})


def test_case_spaces_and_underscores_do_not_matter():
    match = match_classes(["Golden_Retriever", "TABBY  cat"], ["tabby cat", "golden retriever"], "x")
    assert (match.class_indices, match.rule_counts) == ((1, 0), {"spelling": 2})


@pytest.mark.parametrize(
    "name",
    ["n02123045", "n02123045_tabby_cat", "tabby, tabby cat", "Tabby cat", "tabby"],
)
def test_a_class_of_imagenet_is_known_by_all_its_names(name):
    match = match_classes([name], default_labels(1000), "x")
    assert default_labels(1000)[match.class_indices[0]] == "tabby, tabby cat"
    (reverse,) = match_classes(["tabby, tabby cat"], ["dog", name], "x").class_indices
    assert reverse == 1


def test_all_of_imagenet_is_matched_by_its_ids():
    match = match_classes([identifier for identifier, _ in imagenet_classes()], default_labels(1000), "x")
    assert (match.class_indices, match.rule_counts) == (tuple(range(1000)), {"ImageNet": 1000})


@pytest.mark.parametrize("name", ["n02123045x", "n99999999", "cat"])
def test_a_name_that_several_classes_or_none_have_is_not_guessed(name):
    with pytest.raises(DataError, match=rf"no label for 1 of 1 classes \('{name}'\): give --class-map"):
        match_classes([name], default_labels(1000), "x")


def test_a_map_decides_first():
    match = match_classes(["moggy", "a"], ["a", "tabby", "b"], "x", {"moggy": "tabby", "a": "b"})
    assert (match.class_indices, match.rule_counts) == ((1, 2), {"given": 2})


@pytest.mark.parametrize(
    ("classes", "labels", "mapping", "message"),
    [
        (["a", "d", "e", "f", "g"], ["a"], {}, r"no label for 4 of 5 classes \('d', 'e', 'f', …\)"),
        (["a"], ["a", "a"], {}, "two labels that could be 'a'"),
        (["crane"], default_labels(1000), {}, "two labels that could be 'crane'"),
        (["a", "A"], ["a"], {}, r"several classes are the same label of the model \('a'\)"),
        (["a"], ["a"], {"z": "a"}, "class map: x has no class 'z'"),
        (["a"], ["a"], {"a": "z"}, "class map: the model has no label 'z'"),
    ],
)
def test_what_does_not_match_is_listed(classes, labels, mapping, message):
    with pytest.raises(DataError, match=message) as caught:
        match_classes(classes, labels, "x", mapping)
    assert "\n" not in str(caught.value)
