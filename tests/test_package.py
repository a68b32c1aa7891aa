"""The front door: what `levit` offers, and what importing it costs."""

import json
import subprocess
import sys

import pytest

import levit
from tests.conftest import EXAMPLES, ROOT

HEAVY = ["torch", "transformers", "torchvision", "timm", "numpy", "onnx", "openvino", "PIL", "safetensors", "pandas"]


def modules_after(code: str) -> set[str]:
    """Which of the heavy modules a fresh process has after some code."""
    script = f"import json, sys\n{code}\nprint(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(run.stdout.splitlines()[-1]))


def test_the_public_names_are_these():
    assert levit.__all__ == [
        "Architecture",
        "Checkpoint",
        "CheckpointError",
        "Classifier",
        "ConfigError",
        "DataError",
        "EngineError",
        "ExportError",
        "ImageError",
        "Label",
        "LevitBackbone",
        "LevitConfig",
        "LevitError",
        "LevitFeatureExtractor",
        "LevitForImageClassification",
        "LevitForImageClassificationWithTeacher",
        "LevitForImageClassificationWithTeacherOutput",
        "LevitImageProcessor",
        "LevitImageProcessorFast",
        "LevitImageProcessorPil",
        "LevitModel",
        "LevitPreTrainedModel",
        "Prediction",
        "TrainingOptions",
        "__version__",
        "convert",
        "export",
        "load_checkpoint",
        "load_image_processor",
        "read_checkpoint",
        "register",
        "train",
    ]
    assert dir(levit) == levit.__all__
    assert all(getattr(levit, name) is not None for name in levit.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'LevitTrainer'"):
        levit.LevitTrainer  # noqa: B018


def test_importing_levit_imports_nothing_heavy():
    assert modules_after("import levit") == set()


@pytest.mark.parametrize(
    "module",
    [
        "levit.runtime.classifier",
        "levit.exporting.export",
        "levit.exporting.verification",
        "levit.cli",
        "levit.deployment.build",
    ],
)
def test_only_the_model_room_imports_torch(module):
    """In a process of its own, and in an environment that has torch."""
    assert not modules_after(f"import {module}") & {"torch", "transformers", "torchvision", "timm"}


def test_predicting_and_exporting_never_import_torch(tmp_path):
    code = f"""
import levit
from levit.runtime.model_info import describe
levit.Classifier()({str(EXAMPLES / "cat.jpg")!r})
describe(None)
"""
    assert not modules_after(code) & {"torch", "transformers"}


def test_errors_are_one_tree():
    names = [name for name in levit.__all__ if name.endswith("Error")]
    assert len(names) == 7
    assert all(issubclass(getattr(levit, name), levit.LevitError) for name in names)


def test_the_example_program_runs():
    run = subprocess.run(
        [sys.executable, "examples/classify.py", "examples/espresso.jpg", "README.md"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert "espresso" in run.stdout
    assert "README.md: not an image" in run.stdout


def test_the_readme_s_table_of_variants_is_the_specification_s():
    from levit.spec.blocks import count_flops, count_parameters
    from levit.spec.variants import VARIANTS

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for variant in VARIANTS.values():
        architecture = variant.architecture()
        parameters = f"{count_parameters(architecture) / 1e6:.1f} M"
        flops = f"{count_flops(architecture) / 1e6:,.0f} M"
        assert f"| `{variant.name}` | {100 * variant.published_top1:.1f} | {parameters} | {flops} |" in readme


def test_the_embedded_model_is_small_and_says_how_good_it_is():
    from levit.runtime.model_resolution import find_artifact

    assert find_artifact(None).stat().st_size <= 8_000_000
    artifact = levit.Classifier().artifact
    assert artifact.accuracy.images == 9_000  # the other 1,000 calibrated it
    assert f"{100 * artifact.accuracy.top1:.2f} %" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(artifact.labels) == 200


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="does not fork")
def test_nothing_is_reported_to_anybody():
    run = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os, socket; os.register_at_fork(before=lambda: print('forks'))\n"
            "socket.socket.connect = lambda *_: print('connects')\n"
            "import levit.benchmarking.peak, levit, nncf\n"
            f"levit.Classifier(engine='openvino')({str(EXAMPLES / 'cat.jpg')!r})\n"
            "print('done')",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == ["done"]
