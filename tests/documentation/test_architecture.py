"""The table of packages in ARCHITECTURE.md has each package, with modules that exist."""

from __future__ import annotations

import re

from tests.conftest import ROOT

SOURCE = ROOT / "src" / "levit"
TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$", TEXT.partition("## Import rule")[0], re.MULTILINE)


def test_each_package_has_a_row():
    assert sorted(name for name, _ in ROWS) == sorted(path.parent.name for path in SOURCE.glob("*/__init__.py"))


def test_the_modules_to_read_first_exist():
    for package, modules in ROWS:
        files = re.findall(r"`(\w+\.py)`", modules)
        assert files
        assert [name for name in files if not (SOURCE / package / name).is_file()] == []
