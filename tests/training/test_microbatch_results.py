"""Results of microbatches that are read from the device together."""

import pytest
import torch

from levit.training.failures import NonFiniteError
from levit.training.microbatch_results import MicrobatchResult, read_results


def result(step, loss, correct=1, images=4):
    return MicrobatchResult(f"step {step} of epoch 1", torch.tensor(loss), torch.tensor(correct), images)


def test_losses_and_correct_predictions_are_sums_over_images(accelerator):
    rows = read_results([result(1, 0.5, 3, 4), result(2, 0.25, 1, 2)], accelerator)
    assert rows == [[2.0, 3.0, 4.0], [0.5, 1.0, 2.0]]


def test_the_grouping_of_microbatches_does_not_change_the_sums(accelerator):
    results = [result(step, 0.1 * step) for step in range(1, 7)]
    assert read_results(results, accelerator) == [read_results([item], accelerator)[0] for item in results]


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_names_the_first_such_step(accelerator, loss):
    with pytest.raises(NonFiniteError, match=r"in step 2 of epoch 1$"):
        read_results([result(1, 1.0), result(2, loss), result(3, loss)], accelerator)
