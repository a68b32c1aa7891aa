"""Networks that are compiled are trained, saved and resumed as others are."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from levit.training.options import TrainingOptions
from levit.training.train import run_training, train
from tests.training.runs import StopAfterSteps, assert_same_run, read_tensors


@pytest.mark.slow
def test_a_compiled_network_is_saved_under_the_names_of_its_weights_and_is_resumed_to_the_same_bits(
    run_options: TrainingOptions, network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backend calls the operations themselves, so that no compiler is needed."""
    calls, compiled = [], partial(torch.compile, backend="eager")
    monkeypatch.setattr(torch, "compile", lambda module: calls.append(module) or compiled(module))
    options = run_options.with_values(epochs=1, compile=True)
    out = Path(options.run.out)
    train(options)
    assert len(calls) == 1
    names = {name for name in load_file(network / "model.safetensors") if not name.startswith("classifier_distill")}
    for file in ("model.safetensors", "last/model.safetensors", "ema/model.safetensors"):
        assert load_file(out / file).keys() == names, file
    assert not [name for name in read_tensors(out) if "_orig_mod" in name]
    stopped = options.with_values(out=f"{out}-stopped", resume=True)
    assert not run_training(stopped, [StopAfterSteps(1)]).is_complete
    assert train(stopped).is_complete
    assert_same_run(out, stopped.run.out)
