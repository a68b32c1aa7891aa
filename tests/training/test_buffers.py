"""Buffers of a network, restored after a block that was interrupted."""

import pytest
import torch
from torch import nn

from levit.training.buffers import restored_buffers


def test_buffers_are_restored_after_the_error_only():
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}

    def fail():
        with restored_buffers(network, KeyError):
            network(torch.randn(8, 3))
            assert not torch.equal(network[1].running_mean, before["1.running_mean"])
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert all(torch.equal(buffer, before[name]) for name, buffer in network.named_buffers())
    assert network[1].num_batches_tracked == 0
    with restored_buffers(network, KeyError):
        network(torch.randn(8, 3))
    assert network[1].num_batches_tracked == 1
