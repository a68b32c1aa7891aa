"""Files of features: parquet and .npz have the same content, and other files are errors of one line."""

import sys

import numpy as np
import pyarrow.parquet
import pytest

from levit.errors import ConfigError, DataError
from levit.reporting.embeddings_file import Embeddings, check_suffix, read_embeddings, write_embeddings

FEATURES = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
EMBEDDINGS = Embeddings(["a.jpg", "größe.jpg", "caf\udce9.jpg"], FEATURES, "LeViT-128S", "0" * 64)


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
def test_a_file_is_read_as_it_was_written(tmp_path, suffix):
    write_embeddings(EMBEDDINGS, tmp_path / f"e{suffix}")
    read = read_embeddings(tmp_path / f"e{suffix}")
    assert read.files == ["a.jpg", "größe.jpg", "caf\\udce9.jpg"]
    assert (read.model, read.sha256) == (EMBEDDINGS.model, EMBEDDINGS.sha256)
    np.testing.assert_array_equal(read.features, FEATURES)


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
def test_a_file_without_images_is_read(tmp_path, suffix):
    empty = Embeddings([], np.empty((0, 5), np.float32), "LeViT-128S")
    write_embeddings(empty, tmp_path / f"e{suffix}")
    read = read_embeddings(tmp_path / f"e{suffix}")
    assert (read.files, read.features.shape, read.sha256) == ([], (0, 5), None)


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
def test_a_file_has_how_the_features_were_computed(tmp_path, suffix):
    options = ("openvino", "bf16", "exact", tmp_path / "photos")
    write_embeddings(Embeddings(["a.jpg"], FEATURES[:1], "LeViT-128S", None, *options), tmp_path / f"e{suffix}")
    read = read_embeddings(tmp_path / f"e{suffix}")
    assert (read.engine, read.precision, read.preprocessing, read.folder) == options
    assert read.path("a.jpg") == tmp_path / "photos" / "a.jpg"


def test_other_programs_read_the_columns(tmp_path):
    write_embeddings(EMBEDDINGS, tmp_path / "e.parquet")
    table = pyarrow.parquet.read_table(tmp_path / "e.parquet")
    assert table.column_names == ["file", "features"]
    np.testing.assert_array_equal(np.array(table.column("features").to_pylist(), np.float32), FEATURES)


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04", "cut"])
def test_damaged_files_are_errors_of_one_line(tmp_path, suffix, content):
    file = tmp_path / f"e{suffix}"
    write_embeddings(EMBEDDINGS, file)
    file.write_bytes(file.read_bytes()[:-20] if content == "cut" else content)
    with pytest.raises(DataError, match="no file of embeddings") as caught:
        read_embeddings(file)
    assert "\n" not in str(caught.value)
    assert "pickle" not in str(caught.value)


def test_a_parquet_file_with_other_columns_is_an_error(tmp_path):
    pyarrow.parquet.write_table(pyarrow.table({"image": [1]}), tmp_path / "e.parquet")
    with pytest.raises(DataError, match="no file of embeddings"):
        read_embeddings(tmp_path / "e.parquet")


@pytest.mark.parametrize("features", [["text"], [1.5], [[1.5, 2.5]]])
def test_features_of_another_type_are_an_error(tmp_path, features):
    table = pyarrow.table({"file": ["a.jpg"], "features": features})
    write_embeddings(EMBEDDINGS, tmp_path / "e.parquet")
    metadata = pyarrow.parquet.read_schema(tmp_path / "e.parquet").metadata
    pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), tmp_path / "e.parquet")
    with pytest.raises(DataError, match="no file of embeddings"):
        read_embeddings(tmp_path / "e.parquet")


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no such file: write it with `levit embed`"):
        read_embeddings(tmp_path / "e.npz")


def test_the_name_is_checked_before_anything_is_computed(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"give a name that ends in \.parquet or \.npz"):
        check_suffix(tmp_path / "e.csv")
    with pytest.raises(DataError, match="no such folder"):
        check_suffix(tmp_path / "missing" / "e.npz")
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # as if it were not installed
    check_suffix(tmp_path / "e.npz")
    with pytest.raises(ImportError, match=r'pip install "levit\[evaluation\]", or use \.npz'):
        check_suffix(tmp_path / "e.parquet")


@pytest.mark.parametrize("name", ["features.npz", "features.parquet", "photos"])
def test_a_folder_is_no_file_of_embeddings(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(DataError, match=f"{name}: a folder, not a regular file: give a file"):
        read_embeddings(tmp_path / name)
