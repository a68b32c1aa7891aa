"""Callbacks of the training loop."""

import inspect

import pytest
import torch

from levit.training.callbacks import Callback, CallbackList, StepReport
from levit.training.data_loader import Batch
from levit.training.progress import Progress

HOOKS = [name for name, _ in inspect.getmembers(Callback, inspect.isfunction) if name.startswith("on_")]
ARGUMENTS = {
    "on_batch": ((Batch(torch.zeros(0), torch.zeros(0, 3), []),), {"is_training": True}),
    "on_step": ((StepReport(epoch=0, step=1, loss=1.0, train_top1=0.5, lr=0.1, images_per_second=9.0),), {}),
    "on_epoch_end": ((Progress(),), {"is_best": True}),
    "on_exit": ((), {}),
}


class Recorder:
    """Records every call of a hook."""

    def __init__(self, name, calls):
        self._name, self._calls = name, calls

    def __getattr__(self, hook):
        return lambda *arguments, **keywords: self._calls.append((self._name, hook, arguments, keywords))


@pytest.mark.parametrize("hook", HOOKS)
def test_a_list_calls_every_callback_in_order(hook):
    arguments, keywords = ARGUMENTS.get(hook, ((Progress(),), {}))
    calls = []
    getattr(CallbackList([Recorder("a", calls), Recorder("b", calls)]), hook)(*arguments, **keywords)
    assert calls == [("a", hook, arguments, keywords), ("b", hook, arguments, keywords)]


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_that_is_not_overridden_does_nothing(hook):
    arguments, keywords = ARGUMENTS.get(hook, ((Progress(),), {}))
    assert getattr(Callback(), hook)(*arguments, **keywords) is None
