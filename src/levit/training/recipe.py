"""Training recipes: YAML files of option names and values, by path or by the name of one in the package."""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from levit.errors import ConfigError, first_line
from levit.files import check_regular_file
from levit.training.option_aliases import resolve_aliases
from levit.training.option_fields import parse_text
from levit.training.options import check_option_names, option_fields

# The recipes of the package; in a clone that is installed as editable, those of the clone.
_INSTALLED, _CLONED = Path(__file__).with_name("recipes"), Path(__file__).parents[3] / "configs"


class RecipeSummary(NamedTuple):
    """What the first lines of a recipe say about it.

    Attributes:
        name: its name.
        purpose: what it trains.
        image_size: height and width of the images in pixels; None for the size of the model.
        cost: duration and hardware, or "not measured".
        result: accuracy, or "not measured".
        is_measured: whether the result is of a run of this recipe; otherwise it is expected.
    """

    name: str
    purpose: str
    image_size: int | None
    cost: str
    result: str
    is_measured: bool


def read_recipe(file: str | Path) -> dict[str, Any]:
    """Read the options in a YAML file, by name; a name may be spelled as a flag, `batch-size`.

    Options of timm and DeiT are replaced by those with the same meaning; see `levit.training.option_aliases`. A `model`
    that is a folder next to the file is found there.

    Args:
        file: path of the file, or the name of a recipe of the package, such as "small-data".

    Raises:
        ConfigError: the file cannot be read, is not a mapping of names to values, or an option does not exist.

    Examples:
        >>> read_recipe("small-data")["metric"]
        'f1'
    """
    import yaml

    path = find_recipe(file)
    try:
        check_regular_file(path, ConfigError)
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror})", source=file) from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"not a YAML file ({first_line(error)})", source=file) from error
    if not isinstance(values, dict):
        raise ConfigError("not a mapping", source=file, hint="give one option on each line, as `epochs: 30`")
    values = resolve_aliases({str(name).replace("-", "_"): value for name, value in values.items()})
    check_option_names(values, str(file))
    known = option_fields()
    values = {name: parse_text(known[name], value) for name, value in values.items()}
    model = values.get("model")
    if isinstance(model, str) and not Path(model).exists() and (path.parent / model).is_dir():
        values["model"] = str(path.parent / model)
    return values


def find_recipe(file: str | Path) -> Path:
    """Find the file of a recipe: a path, or the name of a recipe of the package.

    Raises:
        ConfigError: there is no such name.
    """
    path = Path(file)
    if path.is_file() or path.suffix in (".yaml", ".yml", ".json") or len(path.parts) != 1:
        return path
    recipes = {recipe.stem: recipe for recipe in _recipe_files()}
    if path.name not in recipes:
        close = get_close_matches(path.name, recipes, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"use one of {', '.join(recipes)}"
        raise ConfigError("no such file, and no recipe of this name", source=file, hint=hint)
    return recipes[path.name]


def list_recipes() -> list[RecipeSummary]:
    """Summaries of the recipes of the package, in the order of their names.

    Examples:
        >>> [recipe.image_size for recipe in list_recipes() if recipe.name == "imagenet-levit-256"]
        [224]
    """
    return [_summarize(file) for file in _recipe_files()]


def _recipe_files() -> list[Path]:
    folder = _INSTALLED if _INSTALLED.is_dir() else _CLONED
    return sorted(folder.glob("*.yaml"), key=lambda file: file.stem)


def _summarize(file: Path) -> RecipeSummary:
    """Read the first sentences of the header of a recipe, and of its paragraphs Cost and Result or Expected."""
    lines = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    text = "\n".join(lines)
    paragraphs = {
        name: _first_clause(match[1])
        for name in ("Cost", "Result", "Expected")
        if (match := re.search(rf"^{name}: (.*)", text, re.DOTALL | re.MULTILINE))
    }
    result = paragraphs.get("Result", paragraphs.get("Expected", ""))
    image_size = read_recipe(file).get("image_size")
    return RecipeSummary(
        file.stem, _first_clause(text), image_size, paragraphs.get("Cost", ""), result, "Result" in paragraphs
    )


def _first_clause(text: str) -> str:
    """The text up to the end of the first sentence, or of its first main clause, on one line."""
    return re.split(r"[.:;](?:\s|$)|\n\n", text, maxsplit=1)[0].replace("\n", " ")
