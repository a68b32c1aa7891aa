"""The project's vocabulary: no retired word appears in source, tests, documentation or help."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from typer.main import get_command

from levit.cli import app

ROOT = Path(__file__).parents[2]
RETIRED_WORDS = Path(__file__).with_name("retired_words.tsv")
PATTERNS = (
    "src/**/*.py", "tests/**/*.py", "benchmarks/*.py", "examples/*.py", ".ci/*.py",
    "docs/**/*.md", "docs/*.py", "*.md", "configs/**/*.yaml", ".github/**/*.yml", "Makefile", "pyproject.toml",
)  # fmt: skip
EXEMPT = {Path(__file__)}

# A word of an identifier (snake_case or CamelCase) or of a sentence.
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


@cache
def retired_words() -> frozenset[str]:
    rows = RETIRED_WORDS.read_text(encoding="utf-8").splitlines()[1:]
    words = frozenset(word.strip() for row in rows for word in row.split("\t")[0].split(","))
    assert len(words) > 30
    return words


def find_retired(text: str) -> list[str]:
    return [word for word in WORD.findall(text) if word.lower() in retired_words()]


def test_retired_words_are_found_in_identifiers_and_prose():
    assert find_retired("class LastTally: count_judged = 1  # heed it") == ["Tally", "judged", "heed"]
    assert find_retired("the learning rate, scikit-learn and heedless prejudice") == []


@pytest.mark.parametrize("pattern", PATTERNS)
def test_no_retired_word_is_in_the_files(pattern):
    problems = [
        f"{file.relative_to(ROOT)}:{number}: {', '.join(found)}"
        for file in sorted(ROOT.glob(pattern))
        if file not in EXEMPT and "golden" not in file.parts
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if (found := find_retired(line))
    ]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("name", sorted(get_command(app).commands))
def test_no_retired_word_is_in_the_help_of_a_command(name):
    command = get_command(app).commands[name]
    texts = [command.help or "", *(getattr(option, "help", None) or "" for option in command.params)]
    assert not find_retired("\n".join(texts))
