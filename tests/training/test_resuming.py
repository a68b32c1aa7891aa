"""Inputs that a resumed run must share with its first part."""

from dataclasses import replace

import pytest

from levit.errors import ConfigError, LevitWarning
from levit.training.resuming import check_fingerprint
from levit.training.run_state import Fingerprint

SAVED = Fingerprint(images="a", teacher="b", step_size=64, num_processes=1)


def check(saved, current):
    check_fingerprint(saved, current, "runs/photos", "start another run")


def test_a_run_is_resumed_with_equal_inputs():
    check(SAVED, SAVED)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"images": "c"}, "cannot resume with other images or labels, .*: restore the images, or start another run$"),
        ({"teacher": "c"}, "cannot resume with other weights of the teacher: restore .*, or start another run$"),
        (
            {"step_size": 60, "num_processes": 3},
            "cannot resume with 60 images in a step on 3 processes, because the run started with 64 on 1: use as many",
        ),
    ],
)
def test_other_inputs_are_an_error(values, match):
    with pytest.raises(ConfigError, match=f"^runs/photos {match}"):
        check(SAVED, replace(SAVED, **values))


def test_another_number_of_processes_is_a_warning():
    with pytest.warns(LevitWarning, match="started on 1 processes and resumed on 2: results are not bit-exact"):
        check(SAVED, replace(SAVED, num_processes=2))
