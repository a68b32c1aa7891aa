"""The logger `levit`, in this process and in programs that configure logging."""

import errno
import io
import logging
import sys

import pytest

from levit.logs import get_logger, is_quiet, set_quiet
from tests.processes import output_of


@pytest.fixture(autouse=True)
def _logger_without_configuration():
    """Restore handlers and level of the logger, which tests change, and the handlers of the root logger."""
    logger, root_handlers = logging.getLogger("levit"), logging.root.handlers[:]
    handlers, level, propagate = logger.handlers[:], logger.level, logger.propagate
    logger.handlers, logger.propagate = [], True
    logger.setLevel(logging.NOTSET)
    yield
    logger.handlers, logger.propagate, logging.root.handlers = handlers, propagate, root_handlers
    logger.setLevel(level)


def remove_root_handlers():
    """Remove the handlers that pytest adds to the root logger before each call of a test."""
    logging.root.handlers.clear()


def test_messages_are_lines_on_standard_error(capsys):
    remove_root_handlers()
    get_logger().info("%s: openvino", "fruit")
    get_logger("levit.training").info("epoch %d", 1)
    assert capsys.readouterr() == ("", "levit: fruit: openvino\nepoch 1\n")


def test_a_quiet_logger_shows_errors_only(capsys):
    set_quiet(True)
    assert is_quiet()
    get_logger().info("progress")
    get_logger("levit.training").warning("a note")
    get_logger().error("a failure")
    assert capsys.readouterr().err == "levit: a failure\n"
    set_quiet(False)
    assert not is_quiet()


def test_closed_standard_error_loses_messages_only(monkeypatch, capsys):
    remove_root_handlers()
    with monkeypatch.context() as closed:
        closed.setattr(sys, "stderr", None)
        get_logger().info("lost")
    get_logger().info("printed")
    assert capsys.readouterr().err == "levit: printed\n"


class FullDisk(io.StringIO):
    """Stream that cannot be written to."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("raises", [True, False])
def test_standard_error_on_a_full_disk_loses_messages_only(monkeypatch, raises):
    remove_root_handlers()
    monkeypatch.setattr(logging, "raiseExceptions", raises)
    monkeypatch.setattr(sys, "stderr", FullDisk())
    get_logger().info("lost")


class Collector(logging.Handler):
    """Handler of a program, which keeps the messages."""

    def __init__(self):
        super().__init__()
        self.messages = []

    def emit(self, record):
        self.messages.append((record.name, record.getMessage()))


def test_a_program_keeps_the_configuration_of_the_logger(capsys):
    collector, logger = Collector(), logging.getLogger("levit")
    logger.addHandler(collector)
    logger.setLevel(logging.DEBUG)
    get_logger("levit.training").info("epoch 1")
    assert collector.messages == [("levit.training", "epoch 1")]
    assert logger.level == logging.DEBUG
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("is_first", [True, False])
def test_a_program_that_configures_the_root_logger_gets_the_messages_there_alone(capsys, is_first):
    """The level of the root logger is WARNING, as in a program that does not set it."""
    remove_root_handlers()
    if not is_first:
        get_logger().info("before")
    collector = Collector()
    logging.root.addHandler(collector)
    get_logger("levit.training").info("epoch 1")
    get_logger().warning("a note")
    progress = [] if is_first else [("levit.training", "epoch 1")]  # the level was set by the first message
    assert collector.messages == [*progress, ("levit", "a note")]
    assert capsys.readouterr().err == ("" if is_first else "levit: before\n")


def test_the_command_line_writes_on_standard_error_whatever_a_library_adds_to_the_root_logger(capsys):
    set_quiet(False)
    collector = Collector()
    logging.root.addHandler(collector)
    get_logger().info("a note")
    assert capsys.readouterr().err == "levit: a note\n"
    assert collector.messages == []


def test_importing_the_package_configures_no_logger():
    code = "import levit, levit.cli, logging; print(logging.getLogger('levit').handlers, logging.root.handlers)"
    assert output_of(code) == "[] []\n"
