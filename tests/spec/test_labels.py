from levit.spec.labels import default_labels, imagenet_classes


def test_imagenet_has_1000_classes_in_the_order_of_their_ids():
    identifiers = [identifier for identifier, _ in imagenet_classes()]
    assert len(identifiers) == 1000
    assert identifiers == sorted(set(identifiers))
    assert all(len(identifier) == 9 and identifier[0] == "n" for identifier in identifiers)


def test_well_known_class_indices_have_their_names():
    labels = default_labels(1000)
    expected = {
        0: "tench, Tinca tinca",
        281: "tabby, tabby cat",
        954: "banana",
        967: "espresso",
        134: "crane",
        517: "crane",
    }
    assert {number: labels[number] for number in expected} == expected
    assert len(set(labels)) == 999  # the bird and the machine have the same name, as in WordNet


def test_the_names_of_the_test_photos_are_those_of_their_classes(shared_data):
    """Each photo is named by the WordNet id and the first name of its class."""
    names = dict(imagenet_classes())
    for photo in (shared_data / "photos").iterdir():
        identifier, _, name = photo.stem.partition("_")
        assert names[identifier].split(", ")[0].replace(" ", "_") == name


def test_labels_of_another_number_of_classes_are_numbered():
    assert default_labels(3) == ("LABEL_0", "LABEL_1", "LABEL_2")
    assert default_labels(0) == ()
