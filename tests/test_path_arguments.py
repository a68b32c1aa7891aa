"""Functions with a file or folder as argument take text and every path object (`os.PathLike`)."""

import inspect
import os
import re

import pytest

import levit
from tests.conftest import EXAMPLES
from tests.runtime.small_model import write_checkpoint


class OtherPath:
    """Path object that is not a `pathlib.Path`."""

    def __init__(self, path):
        self._path = os.fspath(path)

    def __fspath__(self):
        return self._path


FORMS = [os.fspath, OtherPath]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("models") / "fruit")


@pytest.fixture(scope="module")
def exported(checkpoint):
    return levit.export(checkpoint, checkpoint.parent / "fruit.onnx").path


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_an_engine_opens_files_of_every_kind_of_path(tmp_path, exported, form, engine):
    opened = levit.open_engine(form(exported), engine=engine, precision="fp32", cache_dir=form(tmp_path))
    assert opened.name == engine


@pytest.mark.parametrize("form", FORMS)
def test_models_are_read_and_written_at_every_kind_of_path(tmp_path, checkpoint, exported, form):
    assert levit.read_checkpoint(form(checkpoint)).source.name == "fruit"
    assert levit.load_checkpoint(form(checkpoint)).config.num_labels == 5
    assert levit.load_image_processor(form(checkpoint)).crop_size
    levit.convert(form(checkpoint), form(tmp_path / "timm"), to="timm")
    assert (tmp_path / "timm" / "model.safetensors").exists()
    report = levit.export(form(tmp_path / "timm"), form(tmp_path / "model.onnx"))
    assert report.path == tmp_path / "model.onnx"
    for model in (exported, checkpoint):
        classifier = levit.Classifier(form(model))
        assert classifier(form(EXAMPLES / "cat.jpg")).error is None


@pytest.mark.parametrize("form", FORMS)
def test_labeled_images_are_opened_at_every_kind_of_path(exported, form):
    assert len(levit.open_data(form(EXAMPLES))) == 4
    for evaluate in (levit.evaluate, levit.evaluate_multi_label):
        with pytest.raises(levit.DataError, match=r"^examples: no (labels|image has a label)"):
            evaluate(form(exported), form(EXAMPLES))
    with pytest.raises(levit.DataError, match=r"^examples: 4 images have no label"):
        levit.calibrate(form(exported), form(EXAMPLES))


@pytest.mark.parametrize("form", FORMS)
def test_data_sets_are_inspected_split_and_trained_on_at_every_kind_of_path(tmp_path, form):
    assert [summary.num_images for summary in levit.inspect(form(EXAMPLES))] == [4]
    with pytest.raises(levit.DataError, match=r"^examples: "):
        levit.split_data(form(EXAMPLES), form(tmp_path / "split"))
    with pytest.raises(levit.DataError, match=r"missing: no such file or folder"):
        levit.train(form(tmp_path / "missing"), out=form(tmp_path / "run"))


@pytest.mark.parametrize("form", FORMS)
def test_images_are_explained_at_every_kind_of_path(exported, form):
    explanation = levit.explain(form(EXAMPLES / "cat.jpg"), model=form(exported), method="cam")
    assert explanation.values.ndim == 2


@pytest.mark.parametrize("form", FORMS)
def test_one_model_or_a_list_is_measured_at_every_kind_of_path(tmp_path, form):
    for models in (form(tmp_path / "missing.onnx"), [form(tmp_path / "missing.onnx")]):
        with pytest.raises(levit.CheckpointError, match=r"missing\.onnx: no such file"):
            levit.benchmark(models)


def functions_with_paths():
    """Public functions and constructors with an argument whose type mentions a path."""
    for name in levit.__all__:
        value = getattr(levit, name)
        if inspect.isclass(value) and not value.__module__.startswith("levit.runtime"):
            continue  # classes of data, and those whose constructors are transformers'
        function = value.__init__ if inspect.isclass(value) else value
        for argument, kind in getattr(function, "__annotations__", {}).items():
            if argument != "return" and re.search(r"\bPath(Like)?\b", str(kind)):
                yield name, argument, str(kind)


@pytest.mark.parametrize(("function", "argument", "kind"), [*functions_with_paths()])
def test_the_type_of_a_path_is_text_or_any_path_object(function, argument, kind):
    assert "str | PathLike[str]" in kind
    assert not re.search(r"\bPath\b", kind)


def test_every_public_function_with_paths_is_covered():
    functions = {function for function, _, _ in functions_with_paths()}
    assert functions == {
        "Classifier", "benchmark", "calibrate", "convert", "evaluate", "evaluate_multi_label", "explain", "export",
        "inspect", "load_checkpoint", "load_image_processor", "open_data", "open_engine", "read_checkpoint",
        "sparsify", "split_data", "train",
    }  # fmt: skip
