"""Data of a run: the space that its files will need."""

import pytest

import levit
from levit.errors import LevitError
from levit.training import run_data
from levit.training.teacher_cache import TEACHER_LOGITS, CacheShape
from tests.training.runs import COLORS
from tests.training.tiny import save_levit


@pytest.mark.parametrize("held", [0, 100, 10**9])
def test_the_logits_of_a_teacher_need_space_less_that_of_the_file_that_is_there(
    run_options, tmp_path, monkeypatch, held
):
    def refuse(run, *, weights, others):
        raise LevitError(f"{others} bytes beside {weights} of weights")

    monkeypatch.setattr(run_data, "check_free_space", refuse)
    folder = tmp_path / "run" / TEACHER_LOGITS
    folder.mkdir(parents=True)
    (folder / "logits-0.f16").touch()
    with (folder / "logits-0.f16").open("r+b") as stream:
        stream.truncate(held)  # without using space
    needed = max(0, CacheShape(images=48, views=5, classes=3).nbytes - held)
    with pytest.raises(LevitError, match=rf"^{needed} bytes beside [1-9]"):
        levit.train(run_options, teacher=str(save_levit(tmp_path / "teacher", COLORS)), teacher_views=5)
