"""The training loop: steps, epochs, validation, checkpoints, and how it stops."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import isfinite, nan
from typing import TypeVar

from accelerate import Accelerator

from levit.training.buffers import restored_buffers
from levit.training.callbacks import Callback, StepReport
from levit.training.checkpointer import Checkpointer
from levit.training.collectives import all_reduce_flags, broadcast_network
from levit.training.control_group import long_work
from levit.training.data_loader import Batch
from levit.training.failures import NonFiniteError
from levit.training.microbatch_results import MicrobatchResult, read_results
from levit.training.microbatches import Microbatch, MicrobatchPreparation
from levit.training.option_groups import RunOptions
from levit.training.progress import EMA_PREFIX, BestWeights, Metrics, Progress
from levit.training.sampler import DeterministicSampler
from levit.training.signals import StopRequested, handle_signals
from levit.training.step import TrainingStep
from levit.training.validation import Validator

_Item = TypeVar("_Item")

# Steps between two reads of losses from a GPU, which has to finish all steps before; several processes also sum them.
_LOG_INTERVAL = 50


@dataclass(kw_only=True)
class TrainingLoop:
    """The training loop of one process.

    Attributes:
        accelerator: device and processes.
        step: takes one step.
        preparation: converts batches to the microbatches of the steps.
        batches: training microbatches of this process, from the current step to the end of the run.
        sampler: number and size of the steps.
        validator: computes the metrics of an epoch.
        checkpointer: saves the run.
        callbacks: hooks for display, results and trackers.
        progress: position of the run, metrics of its epochs, and the best epoch.
        epochs: number of epochs, cool-down included.
        options: metric, patience, and distances between checkpoints.
    """

    accelerator: Accelerator
    step: TrainingStep
    preparation: MicrobatchPreparation
    batches: Iterable[Batch]
    sampler: DeterministicSampler
    validator: Validator
    checkpointer: Checkpointer
    callbacks: Callback
    progress: Progress
    epochs: int
    options: RunOptions
    _is_stop_requested: bool = False
    _is_interruptible: bool = False
    _is_save_due: bool = False
    _saved_at: float = 0.0
    _unread: list[MicrobatchResult] = field(default_factory=list)
    _loss: float = nan

    def run(self) -> bool:
        """Train until the last epoch, early stopping or a signal.

        Returns:
            False if a signal stopped the run; it is saved then.

        Raises:
            NonFiniteError: a loss or a weight is infinite or NaN.
        """
        self._saved_at = time.monotonic()
        try:
            with handle_signals(self.request_stop):
                with long_work(self.accelerator):
                    self.callbacks.on_train_start(self.progress)
                    if self.progress.epoch or self.progress.step:
                        self.callbacks.on_checkpoint(self.progress)  # a killed process may not have done so
                is_complete = self._run_epochs()
            with long_work(self.accelerator):
                self.callbacks.on_train_end(self.progress)
        finally:
            self.preparation.close()
            self.callbacks.on_exit()
        return is_complete

    def request_stop(self) -> None:
        """Save and stop after the current step, or before it where a process still waits for a batch of it.

        A single process also stops during validation, and several processes before a batch of it.

        Raises:
            StopRequested: this process waits or validates; raised in the signal handler, and thus there.
        """
        self._is_stop_requested = True
        if self._is_interruptible:
            self._is_interruptible = False  # once: the handler of a second signal must not interrupt the saving
            raise StopRequested

    @property
    def stopped_early(self) -> bool:
        """Whether the patience ended before the last epoch."""
        return self.progress.is_out_of_patience and self.progress.epoch < self.epochs

    def _run_epochs(self) -> bool:
        """Train epoch after epoch; False if a signal stopped it."""
        prepared = self.preparation(
            self._training_batches(), epoch=self.progress.epoch, step=self.progress.step,
            steps_per_epoch=self.sampler.steps_per_epoch,
        )  # fmt: skip
        batches = self._agreed_microbatches(prepared)
        try:
            while not self.progress.is_complete(self.epochs):
                self._train_steps(batches)
                self._finish_epoch()
        except StopRequested:
            self._read_results()
            if self.progress.epoch or self.progress.step:  # otherwise there is nothing to save
                with long_work(self.accelerator):
                    self._save()
            return False
        return True

    def _train_steps(self, batches: Iterator[Microbatch]) -> None:
        """Take the remaining steps of the epoch."""
        progress, steps_per_epoch = self.progress, self.sampler.steps_per_epoch
        self.step.model.set_train_mode()
        start, first_step, seconds_before = time.monotonic(), progress.step, progress.seconds
        while progress.step < steps_per_epoch:
            with self._undone_if_stopped():
                self._unread += self.step(
                    batches, epoch=progress.epoch, step=progress.step, steps_per_epoch=steps_per_epoch
                )
            progress.step += 1
            if (
                self._reads_every_step
                or progress.step in (first_step + 1, steps_per_epoch)
                or (progress.step % _LOG_INTERVAL == 0)
            ):
                self._read_results()
            progress.seconds = seconds_before + time.monotonic() - start
            self._report_step(progress.step - first_step, start)
            if self._is_save_due:
                self._read_results()
                with long_work(self.accelerator):
                    self._save()

    @contextmanager
    def _undone_if_stopped(self) -> Iterator[None]:
        """Give batch norms the statistics of before a step that is stopped between two of its microbatches."""
        if self.step.options.accumulate == 1:
            yield
            return
        with restored_buffers(self.step.model.network, StopRequested):
            yield

    @property
    def _reads_every_step(self) -> bool:
        return self.accelerator.device.type == "cpu" and self.accelerator.num_processes == 1

    def _read_results(self) -> None:
        """Add the results of the steps since the last call to the progress; on all processes after the same step."""
        if not self._unread:
            return
        rows = read_results(self._unread, self.accelerator)
        self._unread.clear()
        for row in rows:
            self.progress.add(row)
        self._loss = sum(row[0] for row in rows) / sum(row[2] for row in rows)

    def _agree(self) -> None:
        """Stop where any process requests it, and let all save after the same step where it is time to.

        Raises:
            StopRequested: a process requests to stop.
        """
        minutes = (time.monotonic() - self._saved_at) / 60
        is_save_due = 0 < self.options.save_minutes < minutes
        stop, self._is_save_due = all_reduce_flags([self._is_stop_requested, is_save_due], self.accelerator)
        if stop:
            raise StopRequested

    def _report_step(self, steps: int, start: float) -> None:
        """Call the callbacks with the last loss that was read, and with the speed of the steps since `start`."""
        report = StepReport(
            epoch=self.progress.epoch + 1, step=self.progress.step, loss=self._loss,
            train_top1=self.progress.train_top1,
            lr=self.step.model.lr,
            images_per_second=steps * self.sampler.step_size / max(1e-9, time.monotonic() - start),
        )  # fmt: skip
        self.callbacks.on_step(report)

    def _finish_epoch(self) -> None:
        """Validate, save if it is time to, and report the epoch."""
        row: Metrics = {
            "epoch": self.progress.epoch + 1, "train_loss": self.progress.train_loss,
            "train_top1": self.progress.train_top1, "lr": self.step.model.lr,
        }  # fmt: skip
        row |= self._validate()
        images, seconds = self.sampler.steps_per_epoch * self.sampler.step_size, self.progress.seconds
        row |= {"images_per_second": images / max(1e-9, seconds), "seconds": seconds}
        if not isfinite(row["loss"]):
            raise NonFiniteError(row["loss"], f"the validation of epoch {self.progress.epoch + 1}")
        best = self.progress.finish_epoch(
            row, metric=self.options.metric, patience=self.options.patience, window=self.options.best_window,
            select=self.options.select,
        )  # fmt: skip
        with long_work(self.accelerator):
            if self.progress.is_complete(self.epochs) or self.progress.epoch % self.options.save_epochs == 0:
                self._save(best)
            elif best is not None:
                self.checkpointer.hold(best)
            self.callbacks.on_epoch_end(self.progress, is_best=best is not None)

    def _validate(self) -> Metrics:
        """Metrics of the network, and those of its average under names with a prefix."""
        self.callbacks.on_validation_start(self.progress)
        # Not the network as wrapped for several processes: some of them may have fewer images, or none.
        networks = self.step.model.networks()
        for network in networks:
            broadcast_network(network, self.accelerator)
        validator = replace(self.validator, batches=self._validation_batches())
        metrics = validator.validate(networks, lambda batch: self.callbacks.on_batch(batch, is_training=False))
        self._is_interruptible = False
        return {
            prefix + name: value
            for prefix, values in zip(("", EMA_PREFIX), metrics, strict=False)
            for name, value in values.items()
        }

    def _save(self, best: BestWeights | None = None) -> None:
        self.checkpointer.save(self.progress, best=best)
        self.callbacks.on_checkpoint(self.progress)
        self._saved_at = time.monotonic()

    def _training_batches(self) -> Iterator[Batch]:
        for batch in self.batches:
            self._is_interruptible = False
            self.callbacks.on_batch(batch, is_training=True)
            self._is_interruptible = True
            if self._is_stop_requested:
                raise StopRequested
            yield batch

    def _agreed_microbatches(self, prepared: Iterator[Microbatch]) -> Iterator[Microbatch]:
        """Yield each microbatch when all processes agree to compute it together.

        The forward pass of any of them may wait for the other processes: torch broadcasts buffers in the first one of
        a step, and rebuilds its buckets of gradients in the second step. A signal ends the wait for a batch. A process
        that got one goes straight to the agreement, to which the others come when they have their next microbatch.

        Raises:
            StopRequested: a process requests to stop.
        """
        while (microbatch := self._wait_for(prepared)) is not None:
            self._agree()
            yield microbatch
        if self._is_stop_requested:
            self._agree()

    def _validation_batches(self) -> Iterator[Batch]:
        """Yield validation batches; where a process requests to stop, it leaves the others out, and all stop.

        A single process stops at once.

        Raises:
            StopRequested: a process requests to stop.
        """
        batches = iter(self.validator.batches)
        while not self._is_stop_requested and (batch := self._wait_for(batches)) is not None:
            self._is_interruptible = self.accelerator.num_processes == 1
            yield batch
        self._is_interruptible = False
        self._agree()

    def _wait_for(self, items: Iterator[_Item]) -> _Item | None:
        """Return the next item; None where there is none, or where a signal ends the wait."""
        try:
            self._is_interruptible = True
            if self._is_stop_requested:
                return None
            return next(items, None)
        except StopRequested:
            return None
        finally:
            self._is_interruptible = False
