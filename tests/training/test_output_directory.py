"""The folder of a run: whose it is, whether there is room, and what is drawn."""

import errno
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch

import levit
from levit.errors import ConfigError, DataError, LevitError, LevitWarning
from levit.training import output_directory
from levit.training.checkpointer import Basis
from levit.training.datasets import IMAGE_COPIES
from levit.training.options import TrainingOptions
from levit.training.output_directory import (
    ARGUMENTS_FILE,
    check_basis,
    check_folder,
    check_space,
    held_folder,
    write_arguments,
)
from levit.training.recipe import read_recipe


@pytest.fixture
def run(tmp_path):
    return tmp_path / "run"


def begin(options):
    with held_folder(options):
        write_arguments(options, "")


def test_a_new_folder_is_made_with_those_above_it(options, tmp_path):
    with held_folder(options(out=str(tmp_path / "a" / "b"))):
        pass
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_an_empty_folder_and_one_of_hidden_files_is_new(options, run):
    run.mkdir()
    (run / ".DS_Store").write_text("")
    check_folder(options())


def test_something_else_in_the_folder_is_an_error(options, run):
    run.mkdir()
    (run / "thesis.txt").write_text("")
    for resume in (False, True):
        with pytest.raises(ConfigError, match=r"^--out .*run: there is something else in it: give a new folder"):
            check_folder(options(resume=resume))


def test_a_file_is_no_folder(options, run):
    run.write_text("")
    with pytest.raises(ConfigError, match=r"^--out .*run: cannot be written \(File exists\)"):
        begin(options())
    with pytest.raises(ConfigError, match=r"^--out .*run/deeper: cannot be written \(Not a directory\)"):
        begin(options(out=str(run / "deeper")))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_that_may_not_be_written_is_an_error(options, run):
    run.mkdir(mode=0o500)
    with pytest.raises(ConfigError, match=r"cannot be written \(Permission denied\)"):
        begin(options())


def test_a_folder_that_the_system_does_not_let_be_written_is_an_error(options):
    with pytest.raises(ConfigError, match=r"^--out /proc/run: cannot be written"):
        begin(options(out="/proc/run"))


def test_a_run_is_not_written_over(options, run):
    begin(options())
    with pytest.raises(ConfigError, match=r"^--out .*: there is a run in it: go on with it by --resume"):
        check_folder(options())
    check_folder(options(resume=True))


def test_a_run_goes_on_under_other_circumstances(options, run):
    begin(options())
    check_folder(options(resume=True, workers=5, report_to="none", save_minutes=1.0))
    with pytest.warns(LevitWarning, match="goes on with images from another place"):
        check_folder(options(resume=True, data="/elsewhere/photos"))


def test_a_run_that_was_told_something_else_names_all_of_it(options, run):
    begin(options())
    (run / "last").mkdir()
    (run / "last" / "training_state.pt").touch()
    said = r"^--resume: the run in .* began with another --epochs, --lr: give what is in .*args.yaml, or begin another"
    with pytest.raises(ConfigError, match=said):
        check_folder(options(resume=True, lr=0.1, epochs=7))


def test_a_run_that_has_saved_nothing_may_begin_anew_in_another_way(options, run):
    begin(options())
    check_folder(options(resume=True, lr=0.1, epochs=7))


@pytest.mark.parametrize("has_begun", [False, True])
def test_what_fails_before_a_run_begins_leaves_no_folder_behind(options, run, has_begun):
    chosen = options(out=str(run / "a" / "b"))

    def fail():
        (run / "a" / "b" / IMAGE_COPIES).mkdir()
        if has_begun:
            write_arguments(chosen, "")
        raise ConfigError

    run.mkdir()
    with pytest.raises(ConfigError), held_folder(chosen):
        fail()
    assert (run / "a").exists() == has_begun
    assert run.exists()  # which was there before


@pytest.mark.parametrize("resume", [False, True])
def test_two_processes_do_not_train_in_one_folder(options, run, monkeypatch, resume):
    monkeypatch.setattr(output_directory, "_PATIENCE", 0.1)
    program = (
        "import sys, time; from levit.training.output_directory import held_folder\n"
        "from levit.training.options import TrainingOptions\n"
        "with held_folder(TrainingOptions.from_flat(out=sys.argv[1])): print(flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(run)], stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(ConfigError, match=r"^--out .*run: another process is training in it: wait for its end, or"):
            begin(options(resume=resume))
        other.kill()
    begin(options(resume=resume))
    assert [path.name for path in run.iterdir()] == [ARGUMENTS_FILE]


def test_a_file_system_without_locks_is_said(options, run, monkeypatch):
    def refuse(_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(output_directory.FileLock, "acquire", refuse)
    with pytest.warns(LevitWarning, match=r"run: cannot be locked \(No locks available\): start no second run in it"):
        begin(options())
    assert (run / ARGUMENTS_FILE).exists()


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, DataError])
def test_copies_of_images_go_with_the_run(options, run, error):
    with nullcontext() if error is None else pytest.raises(error), held_folder(options()):
        (run / IMAGE_COPIES).mkdir()
        write_arguments(options(), "")
        if error is not None:
            raise error
    assert [path.name for path in run.iterdir()] == [ARGUMENTS_FILE]
    (run / IMAGE_COPIES).mkdir()  # of a process that was killed
    begin(options(resume=True))
    assert not (run / IMAGE_COPIES).exists()


def test_a_folder_with_something_else_in_it_stays(options, run):
    for file in (run / "thesis.txt", run / IMAGE_COPIES / "holiday.jpg"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    with pytest.raises(ConfigError, match="something else in it"), held_folder(options()):
        pass
    (run / "thesis.txt").unlink()
    with pytest.raises(DataError), held_folder(options()):
        raise DataError
    assert (run / IMAGE_COPIES / "holiday.jpg").exists()


def test_the_options_of_a_run_can_be_given_again(options, run):
    run.mkdir()
    chosen = options(lr=3e-5, teacher="ä run", image_size=64, resume=True, data="photos: 1")
    write_arguments(chosen, "128S in bf16")
    again = TrainingOptions.from_flat(**read_recipe(run / ARGUMENTS_FILE))
    assert again.differences(chosen) == []
    assert not again.resume
    text = (run / ARGUMENTS_FILE).read_text(encoding="utf-8")
    assert "ä run" in text
    assert text.startswith(f"# levit {levit.__version__}, torch {torch.__version__}; 128S in bf16\n")


def test_a_run_goes_on_with_the_images_that_it_began_with(options):
    began = Basis(images="a", step_size=64, processes=1)
    check_basis(began, began, options())
    with pytest.raises(ConfigError, match=r"began with other images or labels.* --model .*last and another --out"):
        check_basis(began, replace(began, images="b"), options())
    with pytest.raises(ConfigError, match=r" --model .*last --no-from-scratch and another --out"):
        check_basis(began, replace(began, images="b"), options(from_scratch=True))
    with pytest.raises(ConfigError, match=r" --model .*last --no-from-scratch, no --patch-size and another --out"):
        check_basis(began, replace(began, images="b"), options(from_scratch=True, patch_size=8))


def test_a_run_goes_on_with_the_teacher_that_it_began_with(options):
    began = Basis(images="a", teacher="b", step_size=64, processes=1)
    with pytest.raises(ConfigError, match=r"^--resume: runs/convnet has learned since the run in .* another --out"):
        check_basis(began, replace(began, teacher="c"), options(teacher="runs/convnet"))
    check_basis(replace(began, teacher=""), began, options(teacher="runs/convnet"))  # saved by an older program


def test_a_run_goes_on_with_the_steps_that_it_began_with(options):
    began = Basis(images="a", step_size=64, processes=1)
    with pytest.raises(ConfigError, match="64 images in a step on 1 processes, and 3 make it 60: use as many"):
        check_basis(began, replace(began, step_size=60, processes=3), options())
    with pytest.warns(LevitWarning, match="began on 1 processes, and goes on with 2: not to the same bits"):
        check_basis(began, replace(began, processes=2), options())


@pytest.mark.parametrize("content", ["lr: [", "[]", "nonsense: 3"])
def test_damaged_arguments_are_said(options, run, content):
    run.mkdir()
    (run / ARGUMENTS_FILE).write_text(content)
    with pytest.raises(ConfigError, match=r"args\.yaml"):
        check_folder(options(resume=True))


def test_too_little_room_is_said_with_both_numbers(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 0, 170_000_000))
    check_space(tmp_path, weights=10_000_000, copied=50_000_000)
    with pytest.raises(LevitError, match=r"^--out .*: the run needs 171 MB, and the disk has 170 MB left: make room"):
        check_space(tmp_path, weights=10_000_000, copied=51_000_000)
    with pytest.raises(LevitError, match=r"needs 240 MB"):
        check_space(tmp_path, weights=20_000_000, copied=0)
