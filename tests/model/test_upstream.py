"""transformers' own tests of every model, run on the classes of this package.

Its source distribution carries the mixins that its tests of models and image processors are made of. They are fetched
once for the installed version (pytest's cache keeps them), put into a package together with a file of `upstream/`, and
run in a process of their own, with its rules about warnings and not ours.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from xml.etree import ElementTree

import pytest
import transformers

HERE = Path(__file__).parent / "upstream"
NAME = f"transformers-{transformers.__version__}"

# Every test that is left out, and why.
DESELECTED = {
    "LevitModelTest::test_num_layers_is_small": "wants two layers; three stages of one block have five attentions",
    "LevitWithTeacherTest::test_num_layers_is_small": "likewise",
    "LevitModelTest::test_model_get_set_embeddings": "wants a table of words; images have none",
    "LevitWithTeacherTest::test_model_get_set_embeddings": "likewise",
    "LevitModelTest::test_sdpa_can_dispatch_non_composite_models": (
        "wants sdpa as the default; here it is eager, which is as fast and equals the references to the last bit"
    ),
    "LevitWithTeacherTest::test_sdpa_can_dispatch_non_composite_models": "likewise",
    "LevitWithTeacherTest::test_can_load_ignoring_mismatched_shapes": (
        "looks at one head only, and takes the other for a part that must not change; test_pretrained.py has both"
    ),
    "LevitImageProcessingTest::test_pil_can_run_without_torchvision": (
        "starts a process that does not call levit.register(); test_processor_files.py tests it with the classes of this package"
    ),
}
# What is skipped beside needs an accelerator or another kind of model (words, experts, flash attention).
MINIMUM_PASSED = {"levit_in_transformers.py": 185, "levit_images_in_transformers.py": 24}

# What the mixins import and the distribution lacks.
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


@pytest.fixture(scope="module")
def distribution(pytestconfig) -> Path:
    folder = Path(pytestconfig.cache.mkdir("transformers"))
    archive = folder / f"{NAME}.tar.gz"
    if not archive.exists():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "transformers"]
        command += ["--dest", str(folder / "new"), f"transformers=={transformers.__version__}"]
        fetched = subprocess.run(command, capture_output=True, text=True)
        if fetched.returncode:
            pytest.skip(f"needs the source distribution of {NAME} from the package index: {fetched.stderr[-200:]}")
        (folder / "new" / archive.name).replace(archive)
    return archive


@pytest.fixture
def suite(distribution, tmp_path) -> Path:
    with tarfile.open(distribution) as archive:
        for member in archive.getmembers():
            folder, _, file = member.name.rpartition("/")
            if folder == f"{NAME}/tests" and file.endswith(".py"):
                (tmp_path / "suite" / file).parent.mkdir(exist_ok=True)
                (tmp_path / "suite" / file).write_bytes(archive.extractfile(member).read())
    for name, content in STUBS.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("module", MINIMUM_PASSED)
def test_the_tests_of_transformers_pass(suite, module):
    shutil.copy(HERE / module, suite / "suite" / "test_levit.py")
    deselected = [f"--deselect=suite/test_levit.py::{name}" for name in DESELECTED]
    command = [sys.executable, "-m", "pytest", "suite/test_levit.py", "-q", "--junitxml=report.xml", *deselected]
    run = subprocess.run(
        [*command, "-p", "no:cacheprovider", "-W", "ignore"],
        cwd=suite,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-1000:]
    cases = list(ElementTree.parse(suite / "report.xml").iter("testcase"))
    passed = [case.get("name") for case in cases if case.find("skipped") is None]
    assert len(passed) >= MINIMUM_PASSED[module], f"only {len(passed)} of {len(cases)} passed"
