"""Options of the command line reach the function of the library with their values."""

from pathlib import Path

import pytest
import typer
from PIL import Image

import levit.reporting.evaluate  # noqa: F401  # otherwise it could be imported while a test replaces `Classifier`
from tests.cli.console import Result

MACHINE = ["--precision", "fp32", "--engine", "onnxruntime", "--provider", "cpu", "--threads", "3", "--revision", "v1"]
MACHINE_VALUES = {
    "precision": "fp32", "engine": "onnxruntime", "provider": "cpu", "threads": 3, "revision": "v1",
}  # fmt: skip


@pytest.fixture
def arguments_of(console, monkeypatch):
    """Function that runs a command until it calls a function, and returns the arguments of this call."""

    def run(function: str, *command: str):
        calls = []

        def record(*arguments, **options):
            calls.append((arguments, options))
            raise typer.Exit

        monkeypatch.setattr(function, record)
        assert console(*command) == Result(0, "", "")
        (call,) = calls
        return call

    return run


@pytest.mark.parametrize(
    ("function", "command", "arguments", "values"),
    [
        (
            "evaluation.split_data.split_data",
            "split data -o out --test 0.3 --val 0.2 --test-files a.txt --val-files b.txt --seed 7 --similarity 0.9 "
            "--link --split train --allow-outside",
            ("data", "out"),
            {
                "test": 0.3,
                "val": 0.2,
                "test_files": "a.txt",
                "val_files": "b.txt",
                "seed": 7,
                "similarity": 0.9,
                "link": True,
                "split": "train",
                "allow_outside": True,
            },
        ),
        (
            "exporting.calibrate.calibrate",
            "calibrate a.onnx data --coverage 0.5 --target-precision 0.9 --split test --class-map map.json "
            "--allow-outside",
            ("a.onnx", "data"),
            {
                "class_map": {"cat": "tabby"},
                "coverage": 0.5,
                "target_precision": 0.9,
                "split": "test",
                "allow_outside": True,
            },
        ),
        (
            "exporting.export.export",
            "export a b.onnx --weights int8 --evaluation data --class-map map.json --allow-outside",
            ("a", "b.onnx"),
            {"class_map": {"cat": "tabby"}, "evaluation": "data", "allow_outside": True},
        ),
        (
            "sparsifying.sparsify.sparsify",
            "sparsify a data --out out --evaluation data --class-map map.json --allow-outside",
            ("a", "data", "out"),
            {"class_map": {"cat": "tabby"}, "evaluation": "data", "allow_outside": True},
        ),
        (
            "evaluation.evaluation_set.open_evaluation_set",
            "evaluate a.onnx data --split test --allow-outside --threads 3",
            ("data",),
            {"split": "test", "allow_outside": True, "threads": 3},
        ),
        (
            "runtime.classifier.Classifier",
            " ".join(["evaluate a.onnx data --preprocessing exact --max-pixels 9", *MACHINE]),
            ("a.onnx",),
            {"preprocessing": "exact", "max_pixels": 9, **MACHINE_VALUES},
        ),
        (
            "runtime.classifier.Classifier",
            " ".join(["video clip.avi --model a.onnx --preprocessing exact", *MACHINE]),
            ("a.onnx",),
            {"preprocessing": "exact", **MACHINE_VALUES},
        ),
        (
            "explaining.explain.Explainer",
            " ".join(["explain a.png --model a.onnx --preprocessing exact --max-pixels 9", *MACHINE]),
            ("a.onnx",),
            {"preprocessing": "exact", "max_pixels": 9, **MACHINE_VALUES},
        ),
    ],
    ids=["split", "calibrate", "export", "sparsify", "data of evaluate", "model of evaluate", "video", "explain"],
)
def test_each_option_is_passed_on(arguments_of, tmp_path, monkeypatch, function, command, arguments, values):
    (tmp_path / "data" / "cat").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(tmp_path / "data" / "cat" / "1.png")
    (tmp_path / "map.json").write_text('{"cat": "tabby"}')
    monkeypatch.chdir(tmp_path)
    given, options = arguments_of(f"levit.{function}", *command.split())
    assert given == arguments
    assert {name: options.get(name) for name in values} == values


def test_options_of_an_evaluation_are_passed_on(arguments_of, tmp_path, monkeypatch):
    (tmp_path / "data" / "cat").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(tmp_path / "data" / "cat" / "1.png")
    (tmp_path / "map.json").write_text('{"cat": "tabby"}')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("levit.runtime.classifier.Classifier", lambda name, **_: name)
    command = (
        "evaluate a.onnx data --batch-size 3 --on-bad-image fail --class-map map.json --data-classes-only "
        "--no-duplicates --out out --compare b.onnx"
    )
    _, options = arguments_of("levit.reporting.evaluate.evaluate", *command.split())
    del options["progress"], options["duplicates_progress"]
    assert options == {
        "batch_size": 3, "on_bad_image": "fail", "class_map": {"cat": "tabby"},
        "data_classes_only": True, "find_duplicates": False, "out": Path("out"), "compare": "b.onnx",
    }  # fmt: skip
