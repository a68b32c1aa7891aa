"""The loop: steps, epochs, what is kept of them, and how it stops."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np
import torch
from accelerate import Accelerator
from timm.data import Mixup
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict

from levit.errors import LevitError
from levit.training.checkpointer import LAST, Basis, Progress, save_state, writing
from levit.training.data_loader import Batch, ImageDataset, training_batches, validation_batches
from levit.training.determinism import derive_seed, seed_generators
from levit.training.losses import Loss
from levit.training.optimizer import clip_gradients, set_train_mode
from levit.training.options import TrainingOptions
from levit.training.progress_display import Display
from levit.training.results_table import draw_curves, write_results
from levit.training.sampler import DeterministicSampler
from levit.training.signals import Stopped, heed_signals
from levit.training.student import Student, read_logits
from levit.training.validation import Metrics, add_up, rank, validate

AVERAGE = "ema"

_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


@dataclass(kw_only=True)
class Trainer:
    """A run that is under way.

    Attributes:
        options: of the run.
        accelerator: the devices and processes that it has.
        student: what learns, as it is saved; `network` the same as accelerate has prepared it.
        optimizer, schedule: of it.
        teacher: who answers too, if anybody.
        average: the moving average of the weights, if it is kept.
        loss: what is minimized.
        mixup: what mixes images, if anything.
        order: what is seen when.
        learned, judged: images, prepared on request; `count_judged` how many there are of the second.
        workers: processes that prepare images.
        basis: what the run stands on.
        progress: how far it is.
        display: what one sees of it.
    """

    options: TrainingOptions
    accelerator: Accelerator
    student: Student
    network: nn.Module
    optimizer: Any
    schedule: Any
    teacher: nn.Module | None
    average: ModelEmaV3 | None
    loss: Loss
    mixup: Mixup | None
    order: DeterministicSampler
    learned: ImageDataset
    judged: ImageDataset
    count_judged: int
    workers: int
    basis: Basis
    progress: Progress
    display: Display
    _bad: dict[str, str] = field(default_factory=dict)
    _wants_stop: bool = False

    def run(self) -> bool:
        """Learn until the last epoch, or until somebody stops it; whether it came to its end.

        Raises:
            LevitError: the loss is no number any more.
        """
        total = self.options.schedule.epochs + self.options.schedule.cooldown_epochs
        process, processes = self.accelerator.process_index, self.accelerator.num_processes
        here = (self.progress.epoch, self.progress.step)
        batches = iter(
            training_batches(
                self.learned, len(self.student.classes), self.order, epochs=total, start=here, process=process,
                processes=processes, workers=self.workers, pinned=self._pinned,
            )
        )  # fmt: skip
        judged = validation_batches(
            self.judged, len(self.student.classes), self.count_judged, batch_size=2 * self.order.microbatch_size,
            process=process, processes=processes, workers=min(self.workers, 4), pinned=self._pinned,
        )  # fmt: skip
        with heed_signals(self.stop), self.display:
            self.display.begin(here[0] * self.order.steps_per_epoch + here[1])
            try:
                while self.progress.epoch < total and not self.progress.is_over:
                    self._learn(batches)
                    self._finish_epoch(judged)
            except Stopped:
                if self.progress.epoch or self.progress.step:  # or there is nothing to save
                    self.save()
                return False
        if self.stopped_early:
            self.display.say(f"no better epoch in {self.options.run.patience}: stopped early")
        return True

    def stop(self) -> None:
        """Save and stop after the step that is under way; of one process, after a batch of validation, too."""
        self._wants_stop = True

    @property
    def stopped_early(self) -> bool:
        """Whether no epoch became better for so long that not all of them were learned."""
        return self.progress.is_over and self.progress.epoch < self.options.schedule.epochs + self.options.schedule.cooldown_epochs

    @property
    def _pinned(self) -> bool:
        return self.accelerator.device.type == "cuda"

    def _learn(self, batches: Iterator[Batch]) -> None:
        """The rest of an epoch."""
        set_train_mode(self.student.network, self.options)
        self._start, self._first = time.monotonic(), self.progress.step
        saved = time.monotonic()
        self._heed_wishes(is_due=False)
        while self.progress.step < self.order.steps_per_epoch:
            loss = self._step(batches)
            self.progress.step += 1
            self._show(loss)
            minutes = (time.monotonic() - saved) / 60
            if self._heed_wishes(is_due=0 < self.options.run.save_minutes < minutes):
                saved = time.monotonic()

    def _heed_wishes(self, *, is_due: bool) -> bool:
        """Save where it is time to, and whether it was; what any process wishes, all do after the same step.

        Raises:
            Stopped: somebody wants to stop.
        """
        stop, save = self._wants_stop, is_due
        if self.accelerator.num_processes > 1:
            wishes = torch.tensor([stop, save], dtype=torch.int64, device=self.accelerator.device)
            stop, save = (bool(one) for one in self.accelerator.reduce(wishes))
        if stop:
            raise Stopped
        if save:
            self.save()
        return save

    def _step(self, batches: Iterator[Batch]) -> float:
        """One step of the optimizer; the mean loss of this process."""
        epoch, step, parts = self.progress.epoch, self.progress.step, self.options.optimizer.accumulate
        self.schedule.step_update(epoch * self.order.steps_per_epoch + step)
        self.optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for part in range(parts):
            batch = self._next(batches)
            # Here, because preparing images in this very process seeds the same generators.
            seed_generators(self.options.run.seed, "step", epoch, step, part, self.accelerator.process_index)
            waits = self.accelerator.no_sync(self.network) if part + 1 < parts else nullcontext()
            with waits, self._memory_errors():
                loss, right = self._forward(batch)
                self.accelerator.backward(loss / parts)
            value = self._check(loss.detach())
            self._count(value, int(right), len(batch.targets))
            total += value
        self.accelerator.unscale_gradients(self.optimizer)
        clip_gradients(self.student.network, self.options)
        self.optimizer.step()
        if self.average is not None:
            self.average.update(self.student.network)
        return total / parts

    @contextmanager
    def _memory_errors(self) -> Iterator[None]:
        try:
            yield
        except torch.OutOfMemoryError as error:
            images, parts = self.order.microbatch_size, self.options.optimizer.accumulate
            raise LevitError(
                f"{images} images of a step at once are too much for the memory of {self.accelerator.device}: compute "
                f"a step in more parts by --accumulate {2 * parts}, or give a smaller --batch-size; in another run, by "
                f"another --out"
            ) from error

    def _forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss, and how many answers are right."""
        device = self.accelerator.device
        pixels = batch.pixel_values.to(device, non_blocking=True, memory_format=torch.channels_last)
        targets = batch.targets.to(device, non_blocking=True)
        if self.mixup is not None:
            # The same for every process and part: a step is mixed in one way.
            np.random.seed(derive_seed(self.options.run.seed, "mix", self.progress.epoch, self.progress.step) % 2**32)
            pixels, targets = self.mixup(pixels, targets)
        with self.accelerator.autocast():
            taught = self.teacher(pixels) if self.teacher is not None else None
            logits = read_logits(self.network(pixels))
        loss = self.loss(logits, targets, taught)
        share = targets.gather(1, logits.logits.detach().argmax(dim=1, keepdim=True))
        return loss, ((share > 0) & (share >= targets.amax(dim=1, keepdim=True))).sum()

    def _next(self, batches: Iterator[Batch]) -> Batch:
        batch = next(batches)
        self._tell_bad(batch, "another image stands in")
        return batch

    def _tell_bad(self, batch: Batch, what: str = "left out") -> None:
        for name, reason in batch.bad:
            if name not in self._bad:
                self._bad[name] = reason
                self.display.say(f"{name}: {reason}; {what}", by_all=True)

    def _check(self, loss: Tensor) -> float:
        value = float(loss)
        if not np.isfinite(value):
            self._give_up(value, f"step {self.progress.step + 1} of epoch {self.progress.epoch + 1}")
        return value

    def _give_up(self, loss: float, where: str) -> NoReturn:
        last, options = Path(self.options.run.out) / LAST, self.options
        ways = [f"--lr {options.schedule.lr / 2:g}", "longer --warmup-epochs"]
        ways += ["--clip 0.01"] * (not options.optimizer.clip) + ["--precision fp32"] * (options.run.precision != "fp32")
        good = "nothing was saved before it: start again with --resume"
        if last.exists():
            weights = f"--model {last}{' --no-from-scratch' if options.model.from_scratch else ''}"
            good = f"the last good state is in {last}: go on from it in a new run, {weights} --out NEW"
        raise LevitError(f"the loss is {loss} in {where}; {good} and with {', '.join(ways[:-1])} or {ways[-1]}")

    def _count(self, loss: float, right: int, images: int) -> None:
        found = add_up([loss * images, float(right), float(images)], self.accelerator)
        self.progress.sums = [old + new for old, new in zip(self.progress.sums, found, strict=True)]

    def _show(self, loss: float) -> None:
        done = (self.progress.step - self._first) * self.order.step_size
        rate = done / max(1e-9, time.monotonic() - self._start)
        top1 = 100 * self.progress.sums[1] / max(1.0, self.progress.sums[2])
        lr = max(group["lr"] for group in self.optimizer.param_groups)
        self.display.step(self.progress.epoch, self.progress.step, loss=loss, top1=top1, lr=lr, rate=rate)

    def _finish_epoch(self, judged: Any) -> None:
        self.display.judge(self.progress.epoch)
        row = self._row(judged)
        if not np.isfinite(row["loss"]):
            self._give_up(row["loss"], f"the validation of epoch {self.progress.epoch + 1}")
        self.progress.epoch, self.progress.step, self.progress.sums = self.progress.epoch + 1, 0, [0.0, 0.0, 0.0]
        metric = self.options.run.metric
        prefix = max(self._prefixes, key=lambda prefix: rank(row, metric, prefix))
        before = [rank(old, metric, each) for old in self.progress.rows for each in self._prefixes]
        is_best = not np.isnan(row[prefix + metric]) and rank(row, metric, prefix) > max(before, default=(-np.inf, 0))
        if is_best:
            self.progress.best, self.progress.best_epoch = row[prefix + metric], self.progress.epoch
        self.progress.rows = [*self.progress.rows, row]
        waited = self.progress.epoch - max(0, self.progress.best_epoch)
        self.progress.is_over = bool(self.options.run.patience) and waited >= self.options.run.patience
        self.save(best=("average" if prefix else "network") if is_best else None)
        self.accelerator.log({name: one for name, one in row.items() if name != "epoch"}, step=self.progress.epoch)
        self.display.epoch(row, metric, is_best=is_best)

    @property
    def _prefixes(self) -> tuple[str, ...]:
        """Of the names of metrics: those of the network, and of its average."""
        return ("", "ema_") if self.average is not None else ("",)

    def _row(self, judged: Any) -> Metrics:
        loss, right, images = self.progress.sums
        seconds = time.monotonic() - self._start
        row = {
            "epoch": self.progress.epoch + 1,
            "train_loss": loss / images,
            "train_top1": 100 * right / images,
            "lr": max(group["lr"] for group in self.optimizer.param_groups),
        }
        for prefix, found in self._judge(judged).items():
            row |= {prefix + name: value for name, value in found.items()}
        steps = self.order.steps_per_epoch - self._first
        return row | {"images_per_second": steps * self.order.step_size / seconds, "seconds": seconds}

    def _share(self, network: nn.Module) -> None:
        """Everybody judges the network of the first process: the statistics of batch norms are a process's own."""
        if self.accelerator.num_processes > 1:
            for tensor in network.state_dict().values():
                torch.distributed.broadcast(tensor, 0)

    def _judge(self, judged: Any) -> dict[str, Metrics]:
        """The network's metrics, and those of its average, by the prefix of their names."""
        # Not as it is prepared for several processes: some of them may have no image to judge, and nobody is to wait.
        averages = [self.average.module] if self.average is not None else []
        networks = dict(zip(self._prefixes, [self.student.network, *averages], strict=True))
        for network in networks.values():
            self._share(network)
        found = validate(
            list(networks.values()), judged, self.loss, self.accelerator, classes=len(self.student.classes),
            is_multi_label=self.student.is_multi_label, told=self._attend,
        )  # fmt: skip
        return dict(zip(networks, found, strict=True))

    def _attend(self, batch: Batch) -> None:
        """Before a batch of validation is judged: several processes have no step here after which all could stop."""
        if self._wants_stop and self.accelerator.num_processes == 1:
            raise Stopped
        self._tell_bad(batch)

    def save(self, *, best: str | None = None) -> None:
        """Write `last/` and `ema/`; the first process does it, and the others wait.

        Args:
            best: "network" or "average": whose weights are the best so far, and become those of the run.
        """
        states = get_state_dict(self.network, self.optimizer.optimizer, options=_WHOLE)
        weights, optimizer = cast(dict[str, Tensor], states[0]), states[1]
        if not all(torch.isfinite(tensor).all() for tensor in weights.values()):
            self._give_up(float("nan"), f"the step after step {self.progress.step} of epoch {self.progress.epoch + 1}")
        if self.accelerator.is_main_process:
            average = self.average.module.state_dict() if self.average is not None else None
            scaler = self.accelerator.scaler.state_dict() if self.accelerator.scaler is not None else None
            tensors = {"network": weights, "optimizer": optimizer, "average": average, "scaler": scaler}
            run = Path(self.options.run.out)
            with writing(run):
                if best is not None:
                    self.student.save(run, average if best == "average" and average is not None else weights)
                save_state(run, self.basis, self.progress, tensors, lambda folder: self.student.save(folder, weights))
                self._write()
        self.accelerator.wait_for_everyone()

    def _write(self) -> None:
        """What follows from the state, for people and programs."""
        run = Path(self.options.run.out)
        if self.average is not None:
            self.student.save(run / AVERAGE, self.average.module.state_dict())
        if self.progress.rows:
            write_results(run, self.progress.rows)
            draw_curves(run, self.progress.rows, self.options.run.metric)

    def load(self, progress: Progress, tensors: dict[str, Any]) -> None:
        """Go on from what `save` wrote."""
        self.progress = progress
        set_state_dict(
            self.network, self.optimizer.optimizer, model_state_dict=tensors["network"],
            optim_state_dict=tensors["optimizer"], options=StateDictOptions(full_state_dict=True),
        )  # fmt: skip
        if self.average is not None:
            self.average.module.load_state_dict(tensors["average"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(tensors["scaler"])
        if self.accelerator.is_main_process:
            with writing(Path(self.options.run.out)):
                self._write()  # the process may have been killed before it could
