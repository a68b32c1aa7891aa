"""Limits on the length of files (300 lines) and of functions (40 lines without the docstring)."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 40
FOLDERS = ("src", "tests", "benchmarks", "docs", "examples", "configs", "native", ".ci")


def problems(file: Path) -> Iterator[str]:
    """Yield one line of text for a Python file that is too long, and for each of its functions that is."""
    text = file.read_text(encoding="utf-8")
    if (lines := len(text.splitlines())) > MAX_FILE_LINES:
        yield f"{file}: {lines} lines (at most {MAX_FILE_LINES})"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = function_lines(node)
            if lines > MAX_FUNCTION_LINES:
                yield f"{file}:{node.lineno}: {node.name}() has {lines} lines (at most {MAX_FUNCTION_LINES})"


def function_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function from `def` on, without its docstring."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    if ast.get_docstring(node) is not None:
        docstring = node.body[0]
        lines -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
    return lines


if __name__ == "__main__":
    root = Path(__file__).resolve().parent.parent
    files = [root / "hatch_build.py", *(file for name in FOLDERS for file in sorted((root / name).rglob("*.py")))]
    messages = [problem for file in files for problem in problems(file)]
    print("\n".join(messages) or "No file or function is too long.")
    sys.exit(bool(messages))
