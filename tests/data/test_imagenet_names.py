"""Every class of ImageNet has one readable name, by which it is found again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levit.data.class_matching import match_classes
from levit.data.imagenet_names import distinct_names, names_of_ambiguous, readable_names, wordnet_id, wordnet_ids
from levit.spec.labels import default_labels, imagenet_classes

IDS = [identifier for identifier, _ in imagenet_classes()]
FIRST = [name.split(",")[0] for name in default_labels(1000)]
NAMES = readable_names(IDS)
SAME = {"crane", "maillot", "cardigan"}  # names of two classes


def test_the_names_of_all_ids_are_different_and_lead_back_to_them():
    assert len({name.casefold() for name in NAMES}) == 1000
    assert [wordnet_id(name) for name in NAMES] == IDS
    different = [(name, first) for name, first in zip(NAMES, FIRST, strict=True) if name != first]
    assert different == [
        ("crane (bird)", "crane"), ("Cardigan Welsh corgi", "Cardigan"), ("cardigan (garment)", "cardigan"),
        ("crane (machine)", "crane"), ("maillot (garment)", "maillot"), ("tank suit", "maillot"),
    ]  # fmt: skip


@given(st.lists(st.sampled_from(range(1000)), unique=True), st.randoms())
def test_ids_match_their_names_in_any_selection_and_order(chosen, random):
    ids = [IDS[index] for index in chosen]
    names = readable_names(ids)
    assert wordnet_ids(names) == ids
    shuffled = random.sample(names, len(names))
    matched = match_classes(ids, shuffled, "data").class_indices
    assert [shuffled[index] for index in matched] == list(names)


def test_only_names_of_several_classes_change_to_be_distinct():
    distinct = distinct_names(FIRST)
    assert len(set(distinct)) == 1000
    assert [name for name, first in zip(distinct, FIRST, strict=True) if name != first] == [
        "crane (bird)", "crane (machine)", "maillot (garment)", "tank suit",
    ]  # fmt: skip
    assert distinct_names(["a", "a", "a (2)", "n02012849"]) == ["a", "a (2)", "a (2) (2)", "n02012849"]


def test_a_name_does_not_depend_on_the_other_classes():
    assert readable_names(["n03126707"]) == ("crane (machine)",)
    assert readable_names(["n03126707", "n02012849"]) == ("crane (machine)", "crane (bird)")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["n02113186-Cardigan", "n02012849_crane"], ("Cardigan Welsh corgi", "crane (bird)")),
        (["tench, Tinca tinca", "dog", "crane"], ("tench, Tinca tinca", "dog", "crane")),
        (["n99999999", "n0144076", "n01440764x"], ("n99999999", "n0144076", "n01440764x")),
        (["tench", "n01440764"], ("tench", "n01440764")),
        (["Tench", "n01440764"], ("Tench", "n01440764")),
        (["n01440764_a", "n01440764_b"], ("n01440764_a", "n01440764_b")),
        (["crane", "crane"], ("crane", "crane")),
        ([], ()),
    ],
)
def test_labels_that_are_no_ids_or_would_not_be_different_stay_as_they_are(labels, expected):
    assert readable_names(labels) == expected


def test_labels_of_imagenet_that_occur_twice_are_distinguished_and_the_others_stay():
    labels = default_labels(1000)
    names = readable_names(labels)
    changed = {labels[index]: names[index] for index in range(1000) if names[index] != labels[index]}
    assert changed == {"crane": "crane (machine)"}  # the last of both
    assert (names[134], names[517]) == ("crane (bird)", "crane (machine)")
    assert len({*names}) == 1000
    assert readable_names(names) == names


def test_lists_of_first_synonyms_are_identified_by_their_order():
    assert wordnet_ids(FIRST) == IDS
    assert match_classes(IDS, FIRST, "data").class_indices == tuple(range(1000))
    assert readable_names(FIRST) == tuple(
        NAMES[index] if FIRST[index].casefold() in SAME else FIRST[index] for index in range(1000)
    )


def test_names_of_torchvision_are_known():
    torchvision = pytest.importorskip("torchvision.models")
    labels = torchvision.ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
    assert match_classes(IDS, labels, "data").class_indices == tuple(range(1000))


@pytest.mark.parametrize(
    ("name", "identifier"),
    [
        ("missile", "n03773504"),  # also a synonym of projectile
        ("Gong", "n03447721"),  # also a synonym of chime
        ("harp", "n03495258"),
        ("cardigan", "n02963159"),
        ("maillot", "n03710637"),
        ("Cardigan", None),  # the dog or the garment
        ("crane", None),
        ("panda", None),
        ("", None),
        ("cat", None),
    ],
)
def test_a_name_is_that_of_the_class_that_it_names_first(name, identifier):
    assert wordnet_id(name) == identifier


def test_the_meanings_of_an_ambiguous_name_are_named():
    assert names_of_ambiguous("Panda") == ("lesser panda", "giant panda")
    assert names_of_ambiguous("missile") == names_of_ambiguous("dog") == ()
