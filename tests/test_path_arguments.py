"""Functions with a file or folder as argument take text and every path object (`os.PathLike`)."""

import inspect
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import levit
from tests.conftest import EXAMPLES
from tests.runtime.small_model import write_checkpoint

CAT = EXAMPLES / "cat.jpg"


class OtherPath:
    """Path object that is not a `pathlib.Path`."""

    def __init__(self, path):
        self._path = os.fspath(path)

    def __fspath__(self):
        return self._path


@dataclass(frozen=True)
class Files:
    """A checkpoint, its exported file, and an empty folder."""

    checkpoint: Path
    exported: Path
    empty: Path


Form = Callable[[Path], "str | OtherPath"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("models") / "fruit")


@pytest.fixture(scope="module")
def exported(checkpoint):
    return levit.export(checkpoint, checkpoint.parent / "fruit.onnx").path


@pytest.fixture
def files(checkpoint, exported, tmp_path):
    return Files(checkpoint, exported, tmp_path)


def classify(form: Form, files: Files) -> None:
    for model in (files.exported, files.checkpoint):
        assert levit.Classifier(form(model))(form(CAT)).error is None


def explain_with_explainer(form: Form, files: Files) -> None:
    with levit.Explainer(form(files.exported)) as explainer:
        assert explainer(form(CAT), method="cam").values.ndim == 2


def save_explanation(form: Form, files: Files) -> None:
    explanation = levit.explain(CAT, model=files.exported, method="cam")
    explanation.save(form(files.empty / "heat.png"))
    assert (files.empty / "heat.png").exists()


def benchmark(form: Form, files: Files) -> None:
    missing = form(files.empty / "missing.onnx")
    for models in (missing, [missing]):
        with pytest.raises(levit.CheckpointError, match=r"missing\.onnx: no such file"):
            levit.benchmark(models)


def calibrate(form: Form, files: Files) -> None:
    with pytest.raises(levit.DataError, match=r"^examples: no labels"):
        levit.calibrate(form(files.exported), form(EXAMPLES))


def convert(form: Form, files: Files) -> None:
    levit.convert(form(files.checkpoint), form(files.empty / "timm"), to="timm")
    assert (files.empty / "timm" / "model.safetensors").exists()


def evaluate(form: Form, files: Files) -> None:
    with pytest.raises(levit.DataError, match=r"^examples: (no labels|image has no label)"):
        levit.evaluate(form(files.exported), form(EXAMPLES), out=form(files.empty / "out"))


def evaluate_multi_label(form: Form, files: Files) -> None:
    with pytest.raises(levit.DataError, match=r"^examples: (no labels|no image has a label)"):
        levit.evaluate_multi_label(form(files.exported), form(EXAMPLES), out=form(files.empty / "out"))


def explain(form: Form, files: Files) -> None:
    assert levit.explain(form(CAT), model=form(files.exported), method="cam").values.ndim == 2


def export(form: Form, files: Files) -> None:
    report = levit.export(form(files.checkpoint), form(files.empty / "model.onnx"))
    assert report.path == files.empty / "model.onnx"


def inspect_data(form: Form, files: Files) -> None:
    assert [summary.num_images for summary in levit.inspect(form(EXAMPLES))] == [4]


def load_checkpoint(form: Form, files: Files) -> None:
    assert levit.load_checkpoint(form(files.checkpoint)).config.num_labels == 5


def load_image_processor(form: Form, files: Files) -> None:
    assert levit.load_image_processor(form(files.checkpoint)).crop_size


def save_pretrained(form: Form, files: Files) -> None:
    levit.load_checkpoint(files.checkpoint).save_pretrained(form(files.empty / "saved"))
    assert (files.empty / "saved" / "preprocessor_config.json").is_file()


def open_data(form: Form, files: Files) -> None:
    assert len(levit.open_data(form(EXAMPLES))) == 4


def open_engine(form: Form, files: Files) -> None:
    for engine in ("openvino", "onnxruntime"):
        opened = levit.open_engine(form(files.exported), engine=engine, precision="fp32", cache_dir=form(files.empty))
        assert opened.name == engine


def read_checkpoint(form: Form, files: Files) -> None:
    assert levit.read_checkpoint(form(files.checkpoint)).source.name == "fruit"


def sparsify(form: Form, files: Files) -> None:
    result = levit.sparsify(form(files.checkpoint), form(EXAMPLES), form(files.empty / "sparse"), sparsity=0.4)
    assert result.folder == files.empty / "sparse"


def split_data(form: Form, files: Files) -> None:
    with pytest.raises(levit.DataError, match=r"^examples: "):
        levit.split_data(form(EXAMPLES), form(files.empty / "split"))


def train(form: Form, files: Files) -> None:
    with pytest.raises(levit.DataError, match=r"missing: no such file or folder"):
        levit.train(form(files.empty / "missing"), out=form(files.empty / "run"))


CALLS = {
    "Classifier": classify,
    "Explainer": explain_with_explainer,
    "Explanation.save": save_explanation,
    "LevitPreTrainedModel.save_pretrained": save_pretrained,
    "benchmark": benchmark,
    "calibrate": calibrate,
    "convert": convert,
    "evaluate": evaluate,
    "evaluate_multi_label": evaluate_multi_label,
    "explain": explain,
    "export": export,
    "inspect": inspect_data,
    "load_checkpoint": load_checkpoint,
    "load_image_processor": load_image_processor,
    "open_data": open_data,
    "open_engine": open_engine,
    "read_checkpoint": read_checkpoint,
    "sparsify": sparsify,
    "split_data": split_data,
    "train": train,
}
NOT_CALLED = {"SplitReport"}  # a result, whose fields are paths


@pytest.mark.parametrize("form", [os.fspath, OtherPath], ids=["text", "path object"])
@pytest.mark.parametrize("name", CALLS)
def test_a_function_takes_every_kind_of_path(name, form, files):
    CALLS[name](form, files)


def functions_with_paths():
    """Public functions, constructors and methods with an argument whose type mentions a path."""
    for name in levit.__all__:
        value = getattr(levit, name)
        functions = {name: value}
        if inspect.isclass(value):
            functions = {f"{name}.{method}": function for method, function in vars(value).items()}
            functions[name] = functions.pop(f"{name}.__init__", None)
        for full_name, function in functions.items():
            for argument, kind in getattr(function, "__annotations__", {}).items():
                if argument != "return" and re.search(r"\bPath(Like)?\b", str(kind)):
                    yield full_name, argument, str(kind)


WITH_PATHS = [found for found in functions_with_paths() if found[0] not in NOT_CALLED]


@pytest.mark.parametrize(("function", "argument", "kind"), WITH_PATHS)
def test_the_type_of_a_path_is_text_or_any_path_object(function, argument, kind):
    assert "str | PathLike[str]" in kind
    assert not re.search(r"\bPath\b", kind)


def test_every_public_function_with_paths_is_called():
    assert CALLS.keys() == {function for function, _, _ in WITH_PATHS}
