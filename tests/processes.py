"""Python in a process of its own, in the root of the repository."""

import os
import subprocess
import sys

from tests.conftest import ROOT


def run_python(code: str, *arguments: object) -> subprocess.CompletedProcess:
    """Run code without its warnings."""
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # on a busy machine, waiting threads slow torch down
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=240, env=environment)


def output_of(code: str, *arguments: object) -> str:
    """Run code that succeeds, and return its standard output."""
    process = run_python(code, *arguments)
    assert process.returncode == 0, process.stderr
    return process.stdout
