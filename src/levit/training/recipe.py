"""Training recipes: YAML files of option names and values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from levit.checkpoints.regular_files import check_regular_file
from levit.errors import CheckpointError, ConfigError, first_line
from levit.training.option_aliases import resolve_aliases
from levit.training.option_fields import parse_text
from levit.training.options import check_option_names, option_fields


def read_recipe(file: str | Path) -> dict[str, Any]:
    """Read the options in a YAML file, by name; a name may be spelled as a flag, `batch-size`.

    Options of timm and DeiT are replaced by those with the same meaning; see `levit.training.option_aliases`.

    Raises:
        ConfigError: the file cannot be read, is not a mapping of names to values, or an option does not exist.
    """
    import yaml

    try:
        check_regular_file(Path(file))
        values = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except CheckpointError as error:
        raise ConfigError(error.reason, source=file, hint=error.hint) from error
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror})", source=file) from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"not a YAML file ({first_line(error)})", source=file) from error
    if not isinstance(values, dict):
        raise ConfigError("not a mapping", source=file, hint="give one option on each line, as `epochs: 30`")
    values = resolve_aliases({str(name).replace("-", "_"): value for name, value in values.items()})
    check_option_names(values, str(file))
    known = option_fields()
    return {name: parse_text(known[name], value) for name, value in values.items()}
