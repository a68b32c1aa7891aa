"""Run the command line in this process or in a separate one."""

import os
import subprocess
import sys
from dataclasses import dataclass

from levit.cli import main


@dataclass(frozen=True)
class Result:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str


class Console:
    """Runs `main()`, which unlike typer's CliRunner also renders errors."""

    def __init__(self, monkeypatch, capsys) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys
        monkeypatch.setenv("COLUMNS", "100")
        monkeypatch.delenv("FORCE_COLOR", raising=False)

    def __call__(self, *arguments: object) -> Result:
        self._monkeypatch.setattr(sys, "argv", ["levit", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as error:
            code = error.code
        return Result(code, *self._capsys.readouterr())


def start(*arguments: object, **options) -> subprocess.CompletedProcess:
    """Run `python -m levit` in a separate process."""
    command = [sys.executable, "-m", "levit", *map(str, arguments)]
    environment = os.environ | {"COLUMNS": "100", "PYTHONIOENCODING": "utf-8:strict"}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.run(command, timeout=60, check=False, env=environment, **(streams | options))
