"""The package as a whole: public names, imports, and the state of the process that imports it."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import levit
from tests.conftest import EXAMPLES, ROOT
from tests.processes import output_of, run_python

LARGE_PACKAGES = [
    "torch", "transformers", "torchvision", "timm", "numpy", "onnx", "openvino", "PIL", "safetensors", "pandas", "jax",
]  # fmt: skip

PUBLIC_NAMES = [
    "Architecture",
    "Callback",
    "Checkpoint",
    "CheckpointError",
    "Classifier",
    "ConfigError",
    "DataError",
    "Embedding",
    "EngineError",
    "Explainer",
    "Explanation",
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
    "LevitWarning",
    "Prediction",
    "Progress",
    "SplitReport",
    "StepReport",
    "TrainingOptions",
    "__version__",
    "benchmark",
    "calibrate",
    "convert",
    "evaluate",
    "evaluate_multi_label",
    "explain",
    "export",
    "inspect",
    "load_checkpoint",
    "load_image_processor",
    "open_data",
    "open_engine",
    "read_checkpoint",
    "register",
    "sparsify",
    "split_data",
    "train",
]


def imported_packages(code: str) -> set[str]:
    """Large packages that a new process has imported after some code."""
    output = output_of(f"import json, sys\n{code}\nprint(json.dumps(list(sys.modules)))")
    return set(json.loads(output.splitlines()[-1])) & set(LARGE_PACKAGES)


def test_the_public_names():
    assert levit.__all__ == PUBLIC_NAMES
    assert dir(levit) == levit.__all__
    assert all(getattr(levit, name) is not None for name in levit.__all__)


def test_help_lists_the_public_names_and_imports_no_large_package():
    code = "import pydoc, sys, levit; print(pydoc.plain(pydoc.render_doc(levit)))"
    text = output_of(f"{code}; assert not set(sys.modules) & {set(LARGE_PACKAGES)!r}")
    assert [name for name in levit.__all__ if f"\n        {name}\n" not in text] == []
    assert len(text.splitlines()) < 120


@pytest.mark.slow
def test_a_star_import_gives_the_public_names():
    assert (
        output_of("from levit import *; print(Classifier.__name__, Prediction.__name__)") == "Classifier Prediction\n"
    )


HIDE_TORCH = "import sys; sys.modules.update(dict.fromkeys(['torch', 'transformers', 'timm', 'accelerate']))"


def test_without_torch_a_star_import_gives_the_names_that_need_none():
    code = "import levit; from levit import *; print(Classifier.__name__, levit.__all__ == dir(levit), *levit.__all__)"
    kind, is_same, *names = output_of(f"{HIDE_TORCH}; {code}").split()
    assert (kind, is_same) == ("Classifier", "True")
    left_out = set(levit.__all__) - set(names)
    assert {"LevitModel", "LevitImageProcessor", "load_checkpoint", "train"} <= left_out
    assert not left_out & {"Architecture", "evaluate", "export", "open_data", "read_checkpoint"}


def test_without_torch_a_name_that_needs_it_is_an_error_with_a_hint():
    process = run_python(f"{HIDE_TORCH}; from levit import LevitModel")
    assert process.stderr.endswith('ImportError: levit.LevitModel needs torch: pip install "levit[torch]"\n')


def test_every_public_name_is_documented():
    pages = " ".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "api").glob("*.md"))
    undocumented = [name for name in levit.__all__ if name != "__version__" and not re.search(rf"\b{name}\b", pages)]
    # errors.md shows the whole module.
    errors = [name for name in undocumented if getattr(levit, name).__module__ == "levit.errors"]
    assert [name for name in undocumented if name not in errors] == []


def test_the_stub_lists_the_public_names_for_type_checkers():
    """`__init__.py` reads the stub with a regular expression; this compares it with Python's own parser."""
    stub = ast.parse(Path(levit.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    for node in imports:
        for alias in node.names:
            assert alias.name == alias.asname  # a re-export
            assert getattr(levit, alias.name) is getattr(sys.modules[node.module], alias.name)
    assert sorted(["__version__", *(alias.name for node in imports for alias in node.names)]) == levit.__all__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'LevitTrainer'"):
        levit.LevitTrainer  # noqa: B018


def test_importing_levit_imports_no_large_package():
    assert imported_packages("import levit") == set()


@pytest.mark.parametrize(
    "module",
    [
        "levit.runtime.classifier",
        "levit.exporting.export",
        "levit.exporting.verification",
        "levit.serving.application",
        "levit.cli",
        "levit.deployment.build",
        "levit.sparsifying.sparsify",
    ],
)
def test_other_packages_than_the_network_do_not_import_torch(module):
    assert not imported_packages(f"import {module}") & {"torch", "transformers", "torchvision", "timm"}


def test_only_the_jax_network_imports_jax():
    assert "jax" not in imported_packages("import levit.training.train, levit.sparsifying.sparsify, levit.cli")


def test_the_jax_network_imports_no_torch():
    pytest.importorskip("jax")
    assert not imported_packages("import levit.jax") & {"torch", "transformers", "torchvision", "timm"}


@pytest.mark.parametrize("package", ["jax", "flax", "orbax"])
def test_a_missing_package_of_the_jax_network_is_one_line_with_the_extra(package):
    code = f"""
import sys
sys.modules[{package!r}] = None
try:
    import levit.jax
except ImportError as error:
    print(error)
"""
    assert output_of(code) == f'levit.jax needs {package}: pip install "levit[jax]"\n'


def test_predicting_and_describing_do_not_import_torch():
    code = f"""
import levit
from levit.runtime.model_info import describe
levit.Classifier()({str(EXAMPLES / "cat.jpg")!r})
describe(None)
"""
    assert not imported_packages(code) & {"torch", "transformers"}


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


def test_the_readme_lists_the_variants_of_the_specification():
    from levit.spec.network import count_flops, count_parameters
    from levit.spec.variants import VARIANTS

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for variant in VARIANTS.values():
        architecture = variant.architecture()
        parameters = f"{count_parameters(architecture) / 1e6:.1f} M"
        flops = f"{count_flops(architecture) / 1e6:,.0f} M"
        assert f"| `{variant.name}` | {100 * variant.published_top1:.1f} | {parameters} | {flops} |" in readme


def test_the_embedded_model_is_small_and_its_accuracy_is_in_the_readme_and_its_card():
    from levit.runtime.model_resolution import find_artifact

    assert find_artifact(None).stat().st_size <= 8_000_000
    artifact = levit.Classifier().artifact
    assert artifact.accuracy.images == 2_930
    for page in (ROOT / "README.md", ROOT / "src" / "levit" / "checkpoints" / "embedded" / "README.md"):
        text = page.read_text(encoding="utf-8")
        assert f"{100 * artifact.accuracy.top1:.2f} %" in text
        assert f"{len(artifact.labels)} classes of ImageNet" in text


def test_the_photos_in_the_package_have_a_source_and_a_license():
    folder = Path(levit.__file__).parent / "exporting" / "photos"
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert [photo.name for photo in folder.glob("*.jpg") if f"| `{photo.name}` |" not in text] == []


# Opens an engine, classifies a photo, and prints the changes in the state of the process.
REPORT_CHANGES = """
import json, logging, os, random, sys, warnings
import matplotlib, numpy, torch

matplotlib.use("svg")
modules = dict(sys.modules)

def state():
    return {
        "random": repr((random.getstate(), numpy.random.get_state(legacy=False), torch.get_rng_state().tolist())),
        "matplotlib": repr((matplotlib.get_backend(), sorted(matplotlib.rcParams.items(), key=str))),
        "output": repr((id(sys.stdout), id(sys.stderr), logging.root.level, logging.root.handlers)),
        "warnings": repr(warnings.filters),
        "environment": repr(sorted(os.environ.items())),
    }

before = state()
import levit
engine, photo = sys.argv[1:]
classify = levit.Classifier("tests/golden/tiny/transformers", engine=engine)
assert classify.engine.name == engine
classify(photo)
list(classify.stream([photo] * 3, batch_size=2))
after = state()
changes = [name for name in before if before[name] != after[name]]
blocked = [name for name, module in sys.modules.items() if module is None]
replaced = [name for name, module in modules.items() if sys.modules.get(name) is not module]
print(json.dumps({"changes": changes, "blocked": blocked, "replaced": replaced}))
"""


@pytest.fixture(scope="module", params=["openvino", "onnxruntime", "torch"])
def process(request) -> dict[str, list[str]]:
    """Changes of a new process after opening an engine, and nothing else on standard output."""
    pytest.importorskip("matplotlib")
    return json.loads(output_of(REPORT_CHANGES, request.param, EXAMPLES / "cat.jpg"))


def test_an_engine_does_not_block_or_replace_modules(process):
    assert process["blocked"] == process["replaced"] == []


@pytest.mark.parametrize("state", ["random", "matplotlib", "output", "warnings", "environment"])
def test_an_engine_does_not_change_the_state_of_the_process(process, state):
    """State of the random generators, matplotlib, standard output and logging, warning filters, environment."""
    assert state not in process["changes"]


def test_openvino_is_complete_for_the_program_that_opened_an_engine():
    code = "import levit; levit.Classifier(engine='openvino'); import openvino, openvino_telemetry"
    assert output_of(f"{code}; print(openvino.convert_model.__name__)") == "convert_model\n"
