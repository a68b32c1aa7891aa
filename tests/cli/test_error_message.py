"""Errors of the library with the flags of the command that was run."""

from typing import Annotated

import pytest
import typer

from levit.cli.error_message import command_flags, error_message, render_flags
from levit.errors import ConfigError, DataError

FLAGS = {"image_size": "--image-size", "data": "DATA", "lr": "--lr"}


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ConfigError("is -1: must be at least 0", source="lr"), "--lr is -1: must be at least 0"),
        (ConfigError("no such field", source="config.json"), "config.json: no such field"),
        (ConfigError("`lr` is -1", hint="use a positive `lr`"), "--lr is -1: use a positive --lr"),
        (DataError("empty", source="`data` photos", hint="see `levit data`"), "DATA photos: empty: see `levit data`"),
        (DataError("no images", source="data"), "data: no images"),  # a folder of that name
        (DataError("`lr_max` and `lr`"), "`lr_max` and --lr"),
    ],
    ids=str,
)  # fmt: skip
def test_parameters_in_backticks_become_flags(error, message):
    assert error_message(error, FLAGS) == message


def test_without_flags_the_message_is_that_of_the_error():
    error = ConfigError("is `small`", source="image_size", hint="leave out `image_size`")
    assert error_message(error, {}) == str(error)


def test_an_error_is_one_line_of_printable_characters():
    error = DataError("no key\x1b[2J\nlevit: done", source="a\r.pth", hint="give\u2028another")
    expected = r"a\r.pth: no key\x1b[2J\nlevit: done: give\u2028another"
    assert error_message(error, FLAGS) == str(error) == expected


def test_text_that_is_no_parameter_stays_in_its_backticks():
    assert render_flags("`levit export` and `other` and `image_size` 32", FLAGS) == (
        "`levit export` and `other` and --image-size 32"
    )


def test_keyword_arguments_become_flags_with_their_values():
    text = "`lr=0.1`, `image_size=True`, `image_size=False` and `other=1`"
    assert render_flags(text, FLAGS) == "--lr 0.1, --image-size, --no-image-size and `other=1`"


def test_the_flags_are_those_of_the_command():
    app = typer.Typer(add_completion=False)

    @app.command()
    def command(
        data: str,
        models: Annotated[list[str] | None, typer.Argument(metavar="[MODEL]...")] = None,
        top_k: Annotated[int, typer.Option("-k", "--top-k")] = 5,
        as_json: Annotated[bool, typer.Option("--json")] = False,
        resume: bool = False,
    ) -> None: ...

    assert command_flags(typer.main.get_command(app)) == {
        "data": "DATA",
        "models": "MODEL",
        "top_k": "--top-k",
        "as_json": "--json",
        "json": "--json",
        "resume": "--resume",
    }
