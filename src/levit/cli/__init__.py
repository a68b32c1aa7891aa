"""The command line: one file per command, imported when it is called; `--help` imports no large library."""

from __future__ import annotations

import atexit
import gc
import io
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from typer._click.exceptions import ClickException
from typer.core import TyperCommand
from typer.main import get_group

import levit
from levit.cli.commands import COMMANDS, add_commands
from levit.cli.error_message import command_flags, error_message, render_flags
from levit.cli.usage_error import usage_message
from levit.errors import LevitError, LevitWarning, printable

if TYPE_CHECKING:
    app: typer.Typer  # all commands; made on first use

_FAST_COMMANDS = ("predict", "video", "embed", "similar", "split", "explain", "serve")
_WITHOUT_LINEAR_ALGEBRA = ("predict", "video")
_COLLECTION_THRESHOLD = 50_000  # objects; with Python's 700, collections take a twentieth of the start
_GLOBAL_OPTIONS = ("--quiet", "--debug")  # accepted before and after the command


def _print_version(is_requested: bool) -> None:
    if is_requested:
        typer.echo(f"levit {levit.__version__}")
        raise typer.Exit


def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit."),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Print results and errors only: no progress and no warnings.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error, as LEVIT_DEBUG=1 does.")
    ] = False,
) -> None:
    """Classify images with LeViT; convert, export, train and evaluate its checkpoints."""
    from levit.logs import set_quiet

    set_quiet(quiet)
    if quiet:
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"


@cache
def make_app(command: str | None = None) -> typer.Typer:
    """The application with one command, which is faster to start, or with all of them.

    Args:
        command: name of the command; None, or one that does not exist, for all commands.
    """
    made = typer.Typer(
        name="levit",
        help="Classify images with LeViT; convert, export, train and evaluate its checkpoints.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    made.callback()(options)
    add_commands(made, COMMANDS if command is None or command not in COMMANDS else [command])
    return made


def __getattr__(name: str) -> typer.Typer:
    """The attribute `app`, made on first use."""
    if name == "app":
        return make_app()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def main() -> None:
    """Run the command line, and exit.

    The exit code is 0 for success, 1 if some inputs failed, 2 for wrong usage or an error of the whole command.
    """
    _prepare_streams()
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # warnings of libraries, such as on a photo's metadata, are for programmers
        warnings.simplefilter("always", LevitWarning)
        warnings.showwarning = _print_warning
    try:
        app = make_app(_command_name())
        code = app(_global_options_first(sys.argv[1:]), prog_name="levit", standalone_mode=False) or 0
        sys.stdout.flush()
        sys.exit(code)
    except ClickException as error:
        _print_error(usage_message(error))
        sys.exit(error.exit_code)
    except LevitError as error:
        _print_traceback()
        _print_error(f"levit: {error_message(error, _flags())}")
        sys.exit(2)
    except ImportError as error:  # an extra that is not installed
        _print_traceback()
        _print_error(f"levit: {printable(str(error))}")
        sys.exit(2)
    except BrokenPipeError:  # the reader of the output has ended, such as `head`
        sys.exit(1)
    except OSError as error:  # a full disk, for instance
        _print_traceback()
        source = "" if error.filename is None else f"{error.filename}: "
        _print_error(f"levit: {printable(f'{source}{error.strerror or error}')}")
        sys.exit(2)


def run() -> NoReturn:
    """Run `main()` as a process; after commands that predict, end the process without freeing its memory."""
    gc.set_threshold(_COLLECTION_THRESHOLD)
    if _command_name() in _WITHOUT_LINEAR_ALGEBRA:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the threads that numpy starts wait in a busy loop
    try:
        main()
        code: str | int | None = 0
    except SystemExit as error:
        code = error.code
    _flush_output()
    if _command_name() not in _FAST_COMMANDS or not isinstance(code, int):
        sys.exit(code)
    atexit._run_exitfuncs()  # temporary folders are deleted
    os._exit(code)  # freeing a compiled network takes a tenth of a second, a third of a prediction


def _global_options_first(arguments: Sequence[str]) -> list[str]:
    """Move the options of all commands in front of the command, so that they are accepted behind it, too."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    moved = [argument for argument in arguments[:end] if argument in _GLOBAL_OPTIONS]
    return [*moved, *(argument for argument in arguments[:end] if argument not in _GLOBAL_OPTIONS), *arguments[end:]]


def _flush_output() -> None:
    """Write buffered output; discard what cannot be written, so that the end of the process does not fail again."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with suppress(OSError, ValueError):  # a stream that has no descriptor, or is closed
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _command_name() -> str | None:
    return next((argument for argument in sys.argv[1:] if argument not in _GLOBAL_OPTIONS), None)


def _print_traceback() -> None:
    """Print the traceback of the current exception, if the user requests it."""
    is_flag_given = "--debug" in _global_options_first(sys.argv[1:])[: len(_GLOBAL_OPTIONS)]
    if is_flag_given or os.environ.get("LEVIT_DEBUG", "0") not in ("", "0"):
        _print_error("\n".join(map(printable, traceback.format_exc().splitlines())))


def _print_error(text: str) -> None:
    """Print on standard error; where that fails, the exit code still shows the error."""
    with suppress(OSError):
        print(text, file=sys.stderr)


def _flags() -> dict[str, str]:
    """Flags of the command that was run, by parameter."""
    name = _command_name()
    command = get_group(make_app(name)).commands.get(name) if name is not None else None
    return command_flags(command) if isinstance(command, TyperCommand) else {}


def _print_warning(message: Warning | str, *_: object, **__: object) -> None:
    from levit.logs import get_logger

    get_logger().warning("%s", printable(render_flags(str(message), _flags())))


def _prepare_streams() -> None:
    """Accept file names that are invalid in the terminal's encoding, and print them escaped.

    Files and pipes have the encoding of file names, which is UTF-8 on Windows, too; `PYTHONIOENCODING` sets another.
    A stream that was closed by the parent process becomes the null device, so that no other file gets its descriptor.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115
    for stream, errors in ((sys.stdin, "surrogateescape"), (sys.stdout, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            is_set = stream.isatty() or "PYTHONIOENCODING" in os.environ
            stream.reconfigure(encoding=None if is_set else sys.getfilesystemencoding(), errors=errors)
