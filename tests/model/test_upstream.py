"""transformers' common tests of all models and image processors, run on the classes of this package.

The source distribution of transformers contains the test mixins. It is downloaded once for the installed version
(pytest's cache keeps it), its tests are copied into a package together with the files of `upstream/`, and all of them
run in one new process, in which warnings are not errors.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest
import transformers

UPSTREAM = Path(__file__).parent / "upstream"
NAME = f"transformers-{transformers.__version__}"
MODULES = {"levit_models.py": "test_levit_models.py", "levit_image_processors.py": "test_levit_image_processors.py"}

# Tests that are excluded, and the reason.
DESELECTED = {
    "LevitModelTest::test_num_layers_is_small": "expects two layers; three stages of one block have five attentions",
    "LevitWithTeacherTest::test_num_layers_is_small": "likewise",
    "LevitModelTest::test_model_get_set_embeddings": "expects word embeddings; an image model has none",
    "LevitWithTeacherTest::test_model_get_set_embeddings": "likewise",
    "LevitModelTest::test_sdpa_can_dispatch_non_composite_models": (
        "expects sdpa as the default; here it is eager, which is as fast and bit-identical to the references"
    ),
    "LevitWithTeacherTest::test_sdpa_can_dispatch_non_composite_models": "likewise",
    "LevitWithTeacherTest::test_can_load_ignoring_mismatched_shapes": (
        "expects the weights of all but one head to be loaded; test_pretrained.py tests both heads"
    ),
    "LevitImageProcessingTest::test_pil_can_run_without_torchvision": (
        "starts a process without levit.register(); test_processor_files.py tests it with the classes of this package"
    ),
}

# Minimum number of passed tests by class. Skipped tests require an accelerator or another kind of model (words,
# experts, flash attention).
MINIMUM_PASSED = {
    "LevitModelTest": 88,
    "LevitWithTeacherTest": 88,
    "LevitBackboneTest": 8,
    "LevitConfigTest": 1,
    "LevitImageProcessingTest": 24,
}

# Modules that the mixins import and the source distribution does not contain.
STUBS = {
    "suite/__init__.py": "",
    "suite/exporters/__init__.py": "",
    "suite/exporters/test_export.py": "class ExportTesterMixin: ...\n",
    "suite/generation/__init__.py": "",
    "suite/generation/test_utils.py": "class GenerationTesterMixin: ...\n",
    "suite/utils/__init__.py": "",
    "suite/utils/test_configuration_utils.py": "config_common_kwargs = {}\n",
    "utils/fetch_hub_objects_for_ci.py": "def url_to_local_path(url): return url\n",
    "pytest.ini": "[pytest]\nmarkers =\n    is_training_test\n    flash_attn_test\n",
}

# The networks are so small that more than one thread per process only adds overhead (three to four times the time).
ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


@pytest.fixture
def distribution(pytestconfig) -> Path:
    """Source distribution of the installed version of transformers."""
    folder = Path(pytestconfig.cache.mkdir("transformers"))
    archive = folder / f"{NAME}.tar.gz"
    if not archive.exists():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "transformers"]
        command += ["--dest", str(folder / "new"), f"transformers=={transformers.__version__}"]
        download = subprocess.run(command, capture_output=True, text=True)
        if download.returncode:
            pytest.skip(f"requires the source distribution of {NAME} from the package index: {download.stderr[-200:]}")
        (folder / "new" / archive.name).replace(archive)
    return archive


@pytest.fixture
def suite(distribution, tmp_path) -> Path:
    """Folder with the package of tests."""
    with tarfile.open(distribution) as archive:
        for member in archive.getmembers():
            folder, _, file = member.name.rpartition("/")
            if folder == f"{NAME}/tests" and file.endswith(".py"):
                (tmp_path / "suite" / file).parent.mkdir(exist_ok=True)
                (tmp_path / "suite" / file).write_bytes(archive.extractfile(member).read())
    for name, content in STUBS.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    for source, target in MODULES.items():
        shutil.copy(UPSTREAM / source, tmp_path / "suite" / target)
    return tmp_path


@pytest.mark.slow
@pytest.mark.network
def test_the_common_tests_of_transformers_pass(suite):
    files = [f"suite/{file}" for file in MODULES.values()]
    options = ["-q", "--junitxml=report.xml", "-p", "no:cacheprovider", "-W", "ignore"]
    options += [f"--deselect={file}::{name}" for file in files for name in DESELECTED]
    process = subprocess.run(
        [sys.executable, "-m", "pytest", *files, *options],
        cwd=suite,
        env=os.environ | ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stdout[-4000:] + process.stderr[-1000:]
    cases = list(ElementTree.parse(suite / "report.xml").iter("testcase"))
    passed = Counter(case.get("classname").rpartition(".")[2] for case in cases if case.find("skipped") is None)
    assert all(passed[name] >= minimum for name, minimum in MINIMUM_PASSED.items()), passed
