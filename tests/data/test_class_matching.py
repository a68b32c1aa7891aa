"""Classes are matched by map, name, spelling or ImageNet class, never by position."""

import pytest

from levit.data.class_matching import are_same_classes, match_classes, normalize_class_name
from levit.data.imagenet_names import readable_names
from levit.errors import DataError
from levit.spec.labels import default_labels, imagenet_classes


def test_the_same_name_takes_precedence_over_other_rules():
    match = match_classes(["b", "a"], ["a", "b", "c", "A"], "x")
    assert (match.class_indices, match.rule_counts) == ((1, 0), {"name": 2})


def test_case_spaces_and_underscores_do_not_matter():
    match = match_classes(["Golden_Retriever", "TABBY  cat"], ["tabby cat", "golden retriever"], "x")
    assert (match.class_indices, match.rule_counts) == ((1, 0), {"spelling": 2})


@pytest.mark.parametrize(
    "name",
    ["n02123045", "n02123045_tabby_cat", "tabby, tabby cat", "Tabby cat", "tabby"],
)
def test_an_imagenet_class_is_matched_by_any_of_its_names(name):
    match = match_classes([name], default_labels(1000), "x")
    assert default_labels(1000)[match.class_indices[0]] == "tabby, tabby cat"
    (reverse,) = match_classes(["tabby, tabby cat"], ["dog", name], "x").class_indices
    assert reverse == 1


@pytest.mark.parametrize("name", ["n02123045x", "n99999999", "cat"])
def test_a_name_of_several_imagenet_classes_or_of_none_is_not_matched(name):
    with pytest.raises(DataError, match=rf"no label for 1 of 1 classes \('{name}'\): give `class_map`"):
        match_classes([name], default_labels(1000), "x")


def test_the_class_map_takes_precedence():
    match = match_classes(["moggy", "a"], ["a", "tabby", "b"], "x", {"moggy": "tabby", "a": "b"})
    assert (match.class_indices, match.rule_counts) == ((1, 2), {"given": 2})


def test_several_classes_may_have_a_label_that_the_class_map_names():
    labels = ["cat", "dog"]
    assert match_classes(["siamese", "manx"], labels, "x", {"siamese": "cat", "manx": "cat"}).class_indices == (0, 0)
    assert match_classes(["cat", "dog", "manx"], labels, "x", {"manx": "cat"}).class_indices == (0, 1, 0)
    with pytest.raises(DataError, match=r"same label of the model \('dog'\): name their labels in `class_map`"):
        match_classes(["dog", "Dog", "manx"], labels, "x", {"manx": "cat"})


@pytest.mark.parametrize(
    ("classes", "labels", "mapping", "message"),
    [
        (["a", "d", "e", "f", "g"], ["a"], {}, r"no label for 4 of 5 classes \('d', 'e', 'f', …\)"),
        (["a"], ["a", "a"], {}, "two labels that match 'a'"),
        (["a", "A"], ["a"], {}, r"several classes are the same label of the model \('a'\)"),
        (["a"], ["a"], {"z": "a"}, "`class_map`: x has no class 'z'"),
        (["a"], ["a"], {"a": "z"}, "`class_map`: the model has no label 'z'"),
    ],
)
def test_classes_without_a_unique_label_are_named_in_one_line(classes, labels, mapping, message):
    with pytest.raises(DataError, match=message) as caught:
        match_classes(classes, labels, "x", mapping)
    assert "\n" not in str(caught.value)


def test_composed_and_decomposed_names_are_the_same_in_classes_labels_and_maps():
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    assert match_classes([decomposed], ["tea", composed], "menu").class_indices == (1,)
    assert match_classes([composed], ["tea", decomposed], "menu").class_indices == (1,)
    assert match_classes([composed, "x"], [decomposed, "y"], "menu", {"x": "y"}).class_indices == (0, 1)
    assert match_classes([composed], ["na\u00efve"], "menu", {decomposed: "nai\u0308ve"}).class_indices == (0,)
    assert normalize_class_name(composed) == normalize_class_name(decomposed)


CRANES = [index for index, (_, name) in enumerate(imagenet_classes()) if name == "crane"]
MAILLOTS = [index for index, (_, name) in enumerate(imagenet_classes()) if name.startswith("maillot")]


def test_classes_of_imagenet_with_the_same_name_are_distinguished_by_the_order_of_the_others():
    labels = default_labels(1000)
    assert (len(CRANES), len(MAILLOTS)) == (2, 2)
    for index in (*CRANES, *MAILLOTS):
        chosen = [*range(0, index, 7), index, *range(index + 1, 1000, 9)]
        chosen = [other for other in chosen if other == index or other not in (*CRANES, *MAILLOTS)]
        names = [labels[other].partition(",")[0] for other in chosen]
        ids = [imagenet_classes()[other][0] for other in chosen]
        unique = [position for position, name in enumerate(names) if names.count(name) == 1]
        for classes in (names, ids, [labels[other] for other in chosen]):
            if classes is names and index in MAILLOTS:
                continue  # "maillot" is the first synonym of both, which are neighbors
            kept = [classes[position] for position in unique]
            assert match_classes(kept, labels, "data").class_indices == tuple(chosen[position] for position in unique)


def test_all_names_of_imagenet_match_themselves():
    labels = default_labels(1000)
    assert match_classes(labels, labels, "data").class_indices == tuple(range(1000))
    ids = [identifier for identifier, _ in imagenet_classes()]
    match = match_classes(ids, labels, "data")
    assert (match.class_indices, match.rule_counts) == (tuple(range(1000)), {"ImageNet": 1000})
    assert match_classes(labels, ids, "data").class_indices == tuple(range(1000))


def test_a_name_of_two_classes_without_an_order_is_an_error():
    with pytest.raises(DataError, match="two labels that match 'crane'"):
        match_classes(["zebra", "crane", "tench", "goldfish"], default_labels(1000), "data")


def test_an_error_states_what_a_name_of_two_classes_may_mean():
    with pytest.raises(DataError, match=r"match 'crane', and 'crane' may be 'crane \(bird\)' or 'crane \(machine\)'"):
        match_classes(["crane"], default_labels(1000), "data")
    labels = readable_names([identifier for identifier, _ in imagenet_classes()])
    with pytest.raises(DataError, match=r"for 1 of 1 classes \('crane'\), and 'crane' may be 'crane \(bird\)' or"):
        match_classes(["crane"], labels, "data")
    assert [labels[index] for index in match_classes(["crane (bird)", "cardigan"], labels, "data").class_indices] == [
        "crane (bird)", "cardigan (garment)",
    ]  # fmt: skip


def test_all_names_of_imagenet_match_the_readable_ones():
    labels = readable_names([identifier for identifier, _ in imagenet_classes()])
    assert match_classes(default_labels(1000), labels, "data").class_indices == tuple(range(1000))
    assert match_classes(labels, default_labels(1000), "data").class_indices == tuple(range(1000))
    assert are_same_classes(labels[::-1], default_labels(1000))
    assert not are_same_classes(labels[:-1], labels)
    assert not are_same_classes([*labels, "dog"], labels)
