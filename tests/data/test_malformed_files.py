"""A malformed file of any layout is an error of one line or is read, and never any other exception."""

import copy
import json
import random
import warnings

import pytest
import scipy.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from levit.data.matlab_files import read_matlab
from levit.data.open_data import open_data, open_splits
from levit.errors import DataError, LevitError, LevitWarning
from tests.data.datasets_on_disk import (
    coco_content,
    named_samples,
    png,
    write_annotation_list,
    write_cifar,
    write_coco,
    write_images,
    write_parquet,
    write_real_labels,
    write_shard,
)

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(2**31, 2**80) | st.floats() | st.text(max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=4), children, max_size=3),
    max_leaves=4,
)
COCO = coco_content(1, 0)


def table(root):
    write_images(root, "1.png", "2.png")
    (root / "metadata.csv").write_text("file_name,labels\n1.png,cat|dog\n2.png,cat\n")
    return root, root / "metadata.csv"


def lines(root):
    write_images(root, "1.png", "2.png")
    (root / "metadata.jsonl").write_text('{"file_name": "1.png", "label": "cat"}\n{"file_name": "2.png"}\n')
    return root, root / "metadata.jsonl"


def annotation_list(root):
    return (write_annotation_list(root, 0, 1),) * 2


def class_list(root):
    return annotation_list(root)[0], root / "classes.txt"


def coco(root):
    return (write_coco(root, 1, 0),) * 2


def imagenet_real(root):
    return (write_real_labels(root, [0, 7], []),) * 2


def synsets(root):
    write_images(root, "ILSVRC2012_val_00000001.JPEG")
    (root / "synset_labels.txt").write_text("n01440764\n")
    return root, root / "synset_labels.txt"


def cifar_pickle(root):
    folder = write_cifar(root / "cifar", binary=False, count=1)
    return folder, folder / "test_batch"


def cifar_names(root):
    folder = write_cifar(root / "cifar", binary=False, count=1)
    return folder, folder / "batches.meta"


def parquet(root):
    return (write_parquet(root / "pets.parquet"),) * 2


def tar(root, mode="w"):
    return (write_shard(root / "pets.tar", named_samples("cat", "dog"), mode),) * 2


def compressed_tar(root):
    return tar(root, "w:gz")


READERS = [
    table, lines, annotation_list, class_list, coco, imagenet_real, synsets, cifar_pickle, cifar_names, parquet, tar,
    compressed_tar,
]  # fmt: skip


def is_one_line(error):
    """Whether an error is one line that names its source."""
    return "\n" not in str(error) and error.source is not None


def read(path):
    """Read a data set completely; return whether that is possible, or an error of one line that names the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LevitWarning)
            for data in [open_data(path), *open_splits(path).values()]:
                for item in data:
                    assert all(type(label) is int for label in item.labels)
                assert len(data.sha256()) == 64
    except LevitError as error:
        return is_one_line(error)
    return True


def read_variables(file):
    """Read a MATLAB file; return whether that is possible, or an error of one line that names the file."""
    try:
        return isinstance(read_matlab(file)[0], dict)
    except DataError as error:
        return is_one_line(error)


def mutate(content: bytes, chance: random.Random) -> bytes:
    """Change, delete, insert or repeat some bytes."""
    mutated = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 8))):
        start = chance.randrange(len(mutated) + 1)
        end = min(len(mutated), start + chance.choice((1, 1, 4, 100)))
        replacements = (
            bytes(chance.randrange(256) for _ in range(end - start)), b"", bytes(end - start), mutated[start:end] * 3,
            b"9" * 5000, b"\xff\xfe", b"[" * 2000, b"null", b"-1", b"1e400",
        )  # fmt: skip
        mutated[start:end] = chance.choice(replacements)
    return bytes(mutated)


@pytest.mark.parametrize("count", [40, pytest.param(170, marks=pytest.mark.slow)])
@pytest.mark.parametrize("reader", READERS)
def test_a_mutated_file_is_read_or_is_an_error_of_one_line(tmp_path, reader, count):
    path, file = reader(tmp_path)
    assert read(path)
    original, chance = file.read_bytes(), random.Random(count)
    for _ in range(count):
        file.write_bytes(mutate(original, chance))
        assert read(path)


def test_a_mutated_matlab_file_is_read_or_is_an_error_of_one_line(tmp_path):
    file = tmp_path / "setid.mat"
    scipy.io.savemat(file, {"trnid": [[1]], "valid": [[1]], "tstid": [[1, 2, 3]]})
    original, chance = file.read_bytes(), random.Random(1)
    for _ in range(6):  # each is read in a process of its own, because scipy can crash
        file.write_bytes(mutate(original, chance))
        assert read_variables(file)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=JSON_VALUES, place=st.sampled_from(["", *COCO, *((s, k) for s, v in COCO.items() for k in v[0])]))
def test_any_json_value_in_any_place_of_a_coco_file_is_read_or_refused(tmp_path, value, place):
    content = copy.deepcopy(COCO)
    if not place:
        content = value
    elif isinstance(place, str):
        content[place] = value
    else:
        content[place[0]][0][place[1]] = value
    (tmp_path / "val2018.json").write_text(json.dumps(content))
    assert read(tmp_path / "val2018.json")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=JSON_VALUES, label=JSON_VALUES, key=st.sampled_from(["label", "labels"]))
def test_any_json_value_in_a_table_is_read_or_refused(tmp_path, name, label, key):
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": name, key: label}))
    assert read(tmp_path)
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": "1.png", key: label}))
    assert read(tmp_path)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=JSON_VALUES)
def test_any_json_value_in_a_tar_shard_or_a_list_of_labels_is_read_or_refused(tmp_path, value):
    for content in (value, {"label": value}):
        sample = {"png": png(0), "json": json.dumps(content).encode()}
        assert read(write_shard(tmp_path / "pets.tar", {"0": sample}))
    assert read(write_real_labels(tmp_path, value))
