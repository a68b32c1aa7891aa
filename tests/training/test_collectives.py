"""Collective operations; test_several_processes.py runs them on two."""

import numpy as np
import torch
from torch import nn

from levit.training.collectives import (
    all_reduce_counts,
    all_reduce_flags,
    all_reduce_sums,
    broadcast_network,
    gather_rows,
)


def test_a_single_process_keeps_its_values(accelerator):
    assert all_reduce_flags([True, False], accelerator) == [True, False]
    assert all_reduce_sums([0.1, 2.0], accelerator) == [0.1, 2.0]
    counts = np.arange(6).reshape(2, 3)
    assert all_reduce_counts(counts, accelerator).tolist() == counts.tolist()
    network = nn.Linear(2, 2)
    weight = network.weight.clone()
    broadcast_network(network, accelerator)
    assert torch.equal(network.weight, weight)


def test_rows_of_a_single_process_are_concatenated(accelerator):
    rows = [torch.ones(2, 3), torch.zeros(1, 3)]
    assert torch.equal(gather_rows(rows, 3, accelerator), torch.cat(rows))
    assert gather_rows([], 3, accelerator).shape == (0, 3)
