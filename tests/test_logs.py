"""The logger `levit`, in this process and in programs that configure logging."""

import errno
import io
import logging
import subprocess
import sys

import pytest

from levit.logs import get_logger, is_quiet, set_quiet


@pytest.fixture(autouse=True)
def _logger_without_configuration():
    """Restore handlers and level of the logger, which tests change."""
    root = logging.getLogger("levit")
    handlers, level, propagate = root.handlers[:], root.level, root.propagate
    root.handlers, root.propagate = [], True
    root.setLevel(logging.NOTSET)
    yield
    root.handlers, root.propagate = handlers, propagate
    root.setLevel(level)


def test_messages_are_lines_on_standard_error(capsys):
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
    monkeypatch.setattr(logging, "raiseExceptions", raises)
    monkeypatch.setattr(sys, "stderr", FullDisk())
    get_logger().info("lost")


def test_a_program_keeps_the_configuration_of_the_logger(capsys):
    records = []

    class Collector(logging.Handler):
        def emit(self, record):
            records.append((record.name, record.getMessage()))

    root = logging.getLogger("levit")
    root.addHandler(Collector())
    root.setLevel(logging.DEBUG)
    get_logger("levit.training").info("epoch 1")
    assert records == [("levit.training", "epoch 1")]
    assert root.level == logging.DEBUG
    assert capsys.readouterr() == ("", "")


def test_importing_the_package_configures_no_logger():
    code = "import levit, levit.cli, logging; print(logging.getLogger('levit').handlers, logging.root.handlers)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[] []\n"
