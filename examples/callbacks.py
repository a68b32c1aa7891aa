"""Train a network, write the loss of every step into a table, and stop at a validation accuracy of 95 %.

python examples/callbacks.py PHOTOS OUT MODEL EPOCHS
"""

import argparse
import signal
from pathlib import Path

from accelerate import PartialState

import levit


class StepTable(levit.Callback):
    """Table of the loss and the learning rate of every step, in a file of its own."""

    def __init__(self, file: str) -> None:
        self.file = Path(file)

    def on_step(self, report: levit.StepReport) -> None:
        """Append a line."""
        if PartialState().is_main_process:  # only the first of several processes writes files
            with self.file.open("a") as stream:
                print(report.epoch, report.step, report.loss, report.lr, sep=",", file=stream)


class StopAtGoal(levit.Callback):
    """Save and stop, as Ctrl-C does, once the validation accuracy reaches a goal."""

    def __init__(self, goal: float) -> None:
        self.goal = goal

    def on_epoch_end(self, progress: levit.Progress, *, is_best: bool) -> None:
        """Compare the accuracy of the epoch with the goal."""
        if progress.history[-1]["top1"] >= self.goal:
            signal.raise_signal(signal.SIGINT)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos")
    parser.add_argument("out")
    parser.add_argument("model")
    parser.add_argument("epochs", type=int)
    arguments = parser.parse_args()
    run = levit.train(
        data=arguments.photos, out=arguments.out, model=arguments.model, epochs=arguments.epochs,
        callbacks=[StepTable("steps.csv"), StopAtGoal(0.95)],
    )  # fmt: skip
    if run.best is not None:
        print(f"{run.folder}: {100 * run.best:.1f} % after epoch {run.best_epoch} of {run.epochs}")
