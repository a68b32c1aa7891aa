"""ARCHITECTURE.md lists exactly the existing modules."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def listed_modules() -> dict[str, list[str]]:
    """File names in the tree of ARCHITECTURE.md, by package; "" is src/levit itself."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    tree = text.partition("src/levit/\n")[2].partition("```")[0]
    packages: dict[str, list[str]] = {"": []}
    package = ""
    for line in tree.splitlines():
        if heading := re.match(r"  (\w+)/ ", line):
            package = heading[1]
            packages[package] = []
        packages[package] += re.findall(r"\b\w+\.pyi?\b", line)
    return packages


def test_every_module_is_in_the_tree_once():
    source = ROOT / "src" / "levit"
    expected = {
        "" if folder == source else folder.name: sorted(
            file.name for file in folder.glob("*.py*") if file.name != "__init__.py" or folder == source
        )
        for folder in [source, *(path.parent for path in source.glob("*/__init__.py"))]
    }
    assert {package: sorted(names) for package, names in listed_modules().items()} == expected
