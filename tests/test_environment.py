"""Caches and settings of the developer do not reach the tests."""

import os
import subprocess
import sys
from pathlib import Path

from levit.checkpoints.cache import cache_folder
from tests.conftest import ROOT
from tests.environment import FOLDER, isolate


def test_settings_are_deleted_and_caches_are_in_the_folder():
    environment = {
        "PATH": "bin", "NO_PROXY": "intranet", "FORCE_COLOR": "1", "HF_HUB_CACHE": "hub", "HF_TOKEN": "secret",
        "LEVIT_API_KEY": "secret", "LEVIT_NATIVE": "0", "LEVIT_EXAMPLES": "1000", "ONEDNN_MAX_CPU_ISA": "AVX2",
    }  # fmt: skip
    isolate(environment, "here")
    assert environment.pop("NO_PROXY") == environment.pop("no_proxy") == "intranet,127.0.0.1,localhost"
    assert Path(environment.pop("HF_HOME")) == Path("here", "huggingface")
    assert Path(environment.pop("LEVIT_CACHE")) == Path("here", "levit")
    assert environment == {"PATH": "bin", "LEVIT_EXAMPLES": "1000", "HF_HUB_OFFLINE": "1", FOLDER: "here"}


def test_the_folder_is_inherited_and_deleted_by_the_process_that_made_it():
    code = f"""
import os, subprocess, sys
import tests.environment
command = "import os, tests.environment; print(os.environ[{FOLDER!r}], os.environ['LEVIT_NATIVE'])"
subprocess.run([sys.executable, "-c", command], check=True, env=os.environ | {{"LEVIT_NATIVE": "0"}})
print(os.path.isdir(os.environ[{FOLDER!r}]))
"""
    environment = {name: value for name, value in os.environ.items() if name != FOLDER}
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment)
    inherited, exists = run.stdout.splitlines()
    folder, _, setting = inherited.partition(" ")
    assert (setting, exists) == ("0", "True")  # what a test sets for a process that it starts is kept
    assert not os.path.exists(folder)  # noqa: PTH110
    assert folder != os.environ[FOLDER]


def test_each_test_has_a_cache_of_its_own():
    assert cache_folder("folded").is_relative_to(os.environ["LEVIT_CACHE"])
    assert not Path(os.environ["LEVIT_CACHE"]).is_relative_to(os.environ[FOLDER])
