"""The commands `levit embed` and `levit similar`."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from levit.evaluation.similarity import most_similar
from levit.reporting.embeddings_file import read_embeddings, write_embeddings
from levit.runtime.classifier import Classifier
from tests.marks import needs_links
from tests.runtime.small_model import write_checkpoint


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_the_features_of_all_images_are_written(console, model, photos, suffix):
    result = console("embed", ".", "missing.jpg", "notes.txt", "-m", model, "-o", f"e{suffix}", "--precision", "fp32")
    embeddings = read_embeddings(photos / f"e{suffix}")
    assert embeddings.files == ["./a.png", "./b.jpg", "./deep/er/c.png"]
    expected = Classifier(model, precision="fp32").embed(embeddings.files)
    np.testing.assert_allclose(embeddings.features, expected, rtol=1e-5, atol=1e-6)
    assert embeddings.model == "fruit"
    assert (result.code, result.out) == (1, "")
    assert result.err.splitlines() == [
        "levit: missing.jpg: no such file",
        "levit: notes.txt: not an image of a supported format",
        "levit: 1 file skipped: 1 .txt",
        f"levit: e{suffix}: 3 x 32 features of fruit",
    ]


def test_similar_images_are_printed_without_the_image_itself(console, model, photos):
    shutil.copy("a.png", "copy.png")
    assert console("embed", ".", "-m", model, "-o", "e.npz").code == 0
    lines = console("similar", "a.png", "--in", "e.npz", "-m", model).out.splitlines()
    assert lines[0] == " 1.000  ./copy.png"
    assert [line.split()[1] for line in lines].count("./a.png") == 0
    assert len(lines) == 3
    result = console("similar", "a.png", "-i", "e.npz", "-m", model, "-k", 1, "--json")
    assert json.loads(result.out) == {"file": "./copy.png", "similarity": pytest.approx(1)}
    limited = console("similar", "a.png", "-i", "e.npz", "-m", model, "--max-pixels", 100)
    assert (limited.code, limited.out) == (2, "")
    assert limited.err.endswith("make it smaller, or raise --max-pixels\n")


def test_the_error_of_an_image_that_is_too_large_names_the_flag(console, model, photos):
    result = console("embed", ".", "-m", model, "-o", "e.npz", "--max-pixels", 100)
    assert result.code == 2
    assert result.err.splitlines()[0] == (
        "levit: ./a.png: 2,000 pixels are more than the limit of 100: make it smaller, or raise --max-pixels"
    )


def test_similar_has_the_options_of_a_machine(console, model, photos):
    assert console("embed", ".", "-m", model, "-o", "e.npz", "--engine", "onnxruntime").code == 0
    options = ("--in", "e.npz", "-m", model, "--threads", 1)
    assert console("similar", "a.png", *options, "--provider", "cpu").code == 0
    result = console("similar", "a.png", *options, "--provider", "abacus")
    assert (result.code, result.out) == (2, "")
    assert "onnxruntime has no provider 'abacus' here" in result.err


@needs_links
def test_the_image_itself_is_left_out_from_another_folder(console, model, photos, monkeypatch):
    assert console("embed", ".", "-m", model, "-o", "../e.npz").code == 0
    monkeypatch.chdir(photos / "deep")
    lines = console("similar", "../a.png", "--in", "../../e.npz", "-m", model).out.splitlines()
    assert {line.split()[1] for line in lines} == {"../b.jpg", "er/c.png"}
    (photos / "link.png").symlink_to(photos / "a.png")
    assert console("similar", "../link.png", "--in", "../../e.npz", "-m", model).out.splitlines() == lines


def test_images_and_features_can_be_moved_together(console, model, photos, monkeypatch):
    assert console("embed", ".", "-m", model, "-o", "e.npz").code == 0
    moved = photos.rename(photos.with_name("moved"))
    monkeypatch.chdir(moved.parent)
    lines = console("similar", "moved/a.png", "--in", "moved/e.npz", "-m", model).out.splitlines()
    assert {line.split()[1] for line in lines} == {"moved/b.jpg", "moved/deep/er/c.png"}


def test_similar_computes_as_embed_did(console, model, photos):
    options = ("--engine", "onnxruntime", "--precision", "fp32", "--preprocessing", "exact")
    assert console("embed", ".", "-m", model, "-o", "e.npz", *options).code == 0
    embeddings = read_embeddings(photos / "e.npz")
    assert (embeddings.engine, embeddings.precision, embeddings.preprocessing) == ("onnxruntime", "fp32", "exact")
    shutil.copy("a.png", "copy.png")
    record = json.loads(console("similar", "copy.png", "-i", "e.npz", "-m", model, "-k", 1, "--json").out)
    classify = Classifier(model, engine="onnxruntime", precision="fp32", preprocessing="exact")
    ((index, expected),) = most_similar(classify.embed("copy.png"), embeddings.features, top_k=1)
    assert (record["file"], record["similarity"]) == (embeddings.files[index], expected)


def test_features_of_another_model_are_refused(console, model, photos, tmp_path):
    assert console("embed", "a.png", "-m", model, "-o", "e.npz").code == 0
    other = write_checkpoint(tmp_path / "other", seed=1)
    features = read_embeddings(photos / "e.npz")
    write_embeddings(replace(features, precision="int8"), photos / "int8.npz")  # which the other model lacks
    for file in ("e.npz", "int8.npz"):
        result = console("similar", "a.png", "-i", file, "-m", other)
        assert (result.code, result.out) == (2, "")
        reason = f"{file} has features of another model, fruit, than other"
        assert result.err == f"levit: {reason}: give that model by --model\n"


def test_an_existing_file_stays_if_no_image_can_be_read(console, model, photos):
    assert console("embed", "a.png", "-m", model, "-o", "e.npz").code == 0
    before = (photos / "e.npz").read_bytes()
    result = console("embed", "missing", "notes.txt", "-m", model, "-o", "e.npz", "--json")
    assert (result.code, result.out) == (2, "")
    message = "levit: e.npz is not written, because no image could be read: give images or folders"
    assert result.err.splitlines()[-1] == message
    assert (photos / "e.npz").read_bytes() == before


def test_a_file_of_another_type_is_refused_before_images_are_read(console, photos):
    result = console("embed", ".", "-o", "e.csv")
    assert (result.code, result.out) == (2, "")
    assert "give a name that ends in .parquet or .npz" in result.err
