"""Callbacks of the training loop."""

import inspect

import pytest
import torch

from levit.errors import ConfigError
from levit.training.callbacks import Callback, CallbackList, StepReport, check_callbacks
from levit.training.data_loader import Batch
from levit.training.progress import Progress

HOOKS = [name for name, _ in inspect.getmembers(Callback, inspect.isfunction) if name.startswith("on_")]
ARGUMENTS = {
    "on_batch": ((Batch(torch.zeros(0), torch.zeros(0, 3), []),), {"is_training": True}),
    "on_step": ((StepReport(epoch=1, step=1, loss=1.0, train_top1=0.5, lr=0.1, images_per_second=9.0),), {}),
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


class Fails(Callback):
    """Fails in two hooks."""

    def on_train_end(self, progress):
        raise ValueError("end")

    def on_exit(self):
        raise ValueError("exit")


def test_an_exception_of_a_hook_leaves_out_the_remaining_callbacks():
    calls = []
    with pytest.raises(ValueError, match="end"):
        CallbackList([Recorder("a", calls), Fails(), Recorder("b", calls)]).on_train_end(Progress())
    assert [name for name, *_ in calls] == ["a"]


def test_every_callback_is_called_at_the_end_of_a_run_whatever_one_raises():
    calls = []
    with pytest.raises(ValueError, match="exit"):
        CallbackList([Recorder("a", calls), Fails(), Recorder("b", calls)]).on_exit()
    assert [name for name, *_ in calls] == ["a", "b"]


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        (Callback(), r"^callbacks is <.*>, which is not a list: give a list of objects of subclasses of levit"),
        ([Callback], r"^callbacks contains <class '.*'>, which is not a callback: give a list of objects"),
        ([print], r"^callbacks contains <built-in function print>, which is not a callback"),
        ((item for item in ()), r"^callbacks is <generator .*, which is not a list"),
    ],
)
def test_what_is_no_list_of_callbacks_is_an_error(callbacks, message):
    with pytest.raises(ConfigError, match=message):
        check_callbacks(callbacks)
    check_callbacks([])
    check_callbacks((Callback(), Fails()))
