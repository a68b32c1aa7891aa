"""The run directory: its lock, the options of its run, and free space."""

import errno
import subprocess
import sys
from contextlib import nullcontext

import pytest
import torch

import levit
from levit.errors import ConfigError, DataError, LevitError, LevitWarning
from levit.training import output_directory
from levit.training.datasets import IMAGE_COPIES
from levit.training.options import TrainingOptions
from levit.training.output_directory import (
    ARGUMENTS_FILE,
    check_free_space,
    check_run_directory,
    lock_run_directory,
    write_arguments,
)
from levit.training.recipe import read_recipe
from tests.marks import needs_permissions


@pytest.fixture
def run(tmp_path):
    return tmp_path / "run"


def start(options, **values):
    with lock_run_directory(options, **values):
        write_arguments(options, "")


def test_a_new_directory_is_created_with_its_parents(options, tmp_path):
    with lock_run_directory(options(out=str(tmp_path / "a" / "b"))):
        pass
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_directory_with_hidden_files_only_is_new(options, run):
    run.mkdir()
    (run / ".DS_Store").write_text("")
    check_run_directory(options())


def test_a_directory_with_other_files_is_an_error(options, run):
    run.mkdir()
    (run / "thesis.txt").write_text("")
    for resume in (False, True):
        with pytest.raises(ConfigError, match=r"^out is .*run, which is not empty: give a new folder"):
            check_run_directory(options(resume=resume))


def test_a_file_is_not_a_directory(options, run):
    run.write_text("")
    with pytest.raises(ConfigError, match=r"^out is .*run, which cannot be written \("):
        start(options())
    with pytest.raises(ConfigError, match=r"^out is .*run.deeper, which cannot be written \("):
        start(options(out=str(run / "deeper")))


@needs_permissions
def test_a_directory_without_write_permission_is_an_error(options, run):
    run.mkdir(mode=0o500)
    with pytest.raises(ConfigError, match=r"cannot be written \(Permission denied\)"):
        start(options())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_a_directory_that_the_system_does_not_create_is_an_error(options):
    with pytest.raises(ConfigError, match=r"^out is /proc/run, which cannot be written"):
        start(options(out="/proc/run"))


def test_a_run_is_not_overwritten(options, run):
    start(options())
    with pytest.raises(ConfigError, match=r"^out is .*, which contains a run: continue it with `resume`"):
        check_run_directory(options())
    check_run_directory(options(resume=True))


def test_a_run_may_be_resumed_with_other_options_that_do_not_change_the_result(options, run):
    start(options())
    check_run_directory(options(resume=True, workers=5, report_to="none", save_minutes=1.0))
    with pytest.warns(LevitWarning, match="resumed with images at another path"):
        check_run_directory(options(resume=True, data="/elsewhere/photos"))


def test_all_options_that_prevent_resuming_are_named(options, run):
    start(options())
    (run / "last").mkdir()
    (run / "last" / "training_state.pt").touch()
    match = r"run cannot resume with other values of `epochs`, `lr`: give the values in .*args.yaml, or start another"
    with pytest.raises(ConfigError, match=match):
        check_run_directory(options(resume=True, lr=0.1, epochs=7))


def test_a_run_whose_state_was_removed_is_not_started_again(options, run):
    start(options())
    (run / "last").mkdir()
    match = r"run cannot be resumed, because .*training_state\.pt was removed: start another run with `model=.*last`"
    with pytest.raises(ConfigError, match=match):
        check_run_directory(options(resume=True))


def test_a_run_without_a_saved_state_may_be_resumed_with_other_options(options, run):
    start(options())
    start(options(resume=True, lr=0.1, epochs=7))
    recorded = read_recipe(run / ARGUMENTS_FILE)
    assert (recorded["lr"], recorded["epochs"]) == (0.1, 7)


@pytest.mark.parametrize("has_started", [False, True])
def test_a_failure_before_the_run_starts_deletes_the_directories_that_were_created(options, run, has_started):
    chosen = options(out=str(run / "a" / "b"))

    def fail():
        (run / "a" / "b" / IMAGE_COPIES).mkdir()
        if has_started:
            write_arguments(chosen, "")
        raise ConfigError("no such network")

    run.mkdir()
    with pytest.raises(ConfigError), lock_run_directory(chosen):
        fail()
    assert (run / "a").exists() == has_started
    assert run.exists()  # it existed before


@pytest.mark.slow
@pytest.mark.parametrize("resume", [False, True])
def test_two_processes_do_not_train_in_one_directory(options, run, resume):
    program = (
        "import sys; from levit.training.output_directory import lock_run_directory\n"
        "from levit.training.options import TrainingOptions\n"
        "with lock_run_directory(TrainingOptions.from_flat(out=sys.argv[1])):\n"
        "    print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(run)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        match = r"^out is .*run, in which another process is training: wait until it ends, or"
        with pytest.raises(ConfigError, match=match):
            start(options(resume=resume), lock_seconds=0.1)
        other.kill()
    start(options(resume=resume))
    assert [path.name for path in run.iterdir()] == [ARGUMENTS_FILE]


def test_a_file_system_without_locks_is_a_warning(options, run, monkeypatch):
    def refuse(_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(output_directory.FileLock, "acquire", refuse)
    with pytest.warns(LevitWarning, match=r"run cannot be locked \(No locks available\): do not start a second run"):
        start(options())
    assert (run / ARGUMENTS_FILE).exists()


@pytest.mark.parametrize("error", [None, KeyboardInterrupt(), DataError("no images")])
def test_copies_of_images_are_deleted_at_the_end_of_a_run(options, run, error):
    with nullcontext() if error is None else pytest.raises(type(error)), lock_run_directory(options()):
        (run / IMAGE_COPIES).mkdir()
        write_arguments(options(), "")
        if error is not None:
            raise error
    assert [path.name for path in run.iterdir()] == [ARGUMENTS_FILE]
    (run / IMAGE_COPIES).mkdir()  # from a killed process
    start(options(resume=True))
    assert not (run / IMAGE_COPIES).exists()


def test_a_directory_with_other_files_is_not_changed(options, run):
    for file in (run / "thesis.txt", run / IMAGE_COPIES / "holiday.jpg"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    with pytest.raises(ConfigError, match="is not empty"), lock_run_directory(options()):
        pass
    (run / "thesis.txt").unlink()
    with pytest.raises(DataError), lock_run_directory(options()):
        raise DataError("no images")
    assert (run / IMAGE_COPIES / "holiday.jpg").exists()


def test_the_options_of_a_run_can_be_given_again(options, run):
    run.mkdir()
    chosen = options(lr=3e-5, teacher="ä run", image_size=64, resume=True, data="photos: 1")
    write_arguments(chosen, "128S in bf16")
    again = TrainingOptions.from_flat(**read_recipe(run / ARGUMENTS_FILE))
    assert again.differences(chosen) == []
    assert not again.run.resume
    text = (run / ARGUMENTS_FILE).read_text(encoding="utf-8")
    assert "ä run" in text
    assert text.startswith(f"# levit {levit.__version__}, torch {torch.__version__}; 128S in bf16\n")


@pytest.mark.parametrize("content", ["lr: [", "[]", "nonsense: 3"])
def test_damaged_options_of_a_run_are_an_error(options, run, content):
    run.mkdir()
    (run / ARGUMENTS_FILE).write_text(content)
    with pytest.raises(ConfigError, match=r"args\.yaml"):
        check_run_directory(options(resume=True))


def test_too_little_space_is_an_error_with_both_numbers(tmp_path):
    check_free_space(tmp_path, weights=10_000_000, others=50_000_000, free=170_000_000)
    with pytest.raises(LevitError, match=r": the run needs 171 MB, and 170 MB are free: free space"):
        check_free_space(tmp_path, weights=10_000_000, others=51_000_000, free=170_000_000)
    with pytest.raises(LevitError, match=r"needs 240 MB"):
        check_free_space(tmp_path, weights=20_000_000, others=0, free=170_000_000)
    with pytest.raises(LevitError, match=r"needs 12,000,000,000,000 MB"):
        check_free_space(tmp_path, weights=10**18, others=0)


def test_a_run_can_be_resumed_on_the_disk_that_it_began_on(tmp_path):
    """What it already holds is replaced, and needs no space of its own."""
    for name in ("model.safetensors", "last/model.safetensors", "last/training_state.pt", "ema/model.safetensors"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        with (tmp_path / name).open("wb") as stream:
            stream.truncate(30_000_000 if name.endswith(".pt") else 10_000_000)  # without using space
    check_free_space(tmp_path, weights=10_000_000, others=0, free=60_000_000)
    with pytest.raises(LevitError, match=r"needs 60 MB"):
        check_free_space(tmp_path, weights=10_000_000, others=0, free=59_000_000)


def test_copies_of_images_of_a_killed_run_are_deleted_before_new_ones_are_made(options, run):
    start(options())
    (run / IMAGE_COPIES).mkdir()
    (run / IMAGE_COPIES / "train").touch()
    with lock_run_directory(options(resume=True)):
        assert not (run / IMAGE_COPIES).exists()
