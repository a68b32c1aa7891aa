"""Seeds, and deterministic gradients."""

import pytest
import torch

from levit.model.attention_bias import gather_attention_biases, offset_table
from levit.training.determinism import derive_seed, deterministic_algorithms
from levit.training.sampler import SampleIndex


def test_a_seed_is_a_function_of_all_its_parts():
    seeds = [derive_seed(*parts) for parts in [(0,), (1,), (0, "a"), (0, "a", 1), (1, "a", 0), ("0/a", 12)]]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive_seed(3, "image", *SampleIndex(1, 2, 0)) == derive_seed(3, "image", 1, 2, 0)


def _gradients(repeats):
    """Gradients of attention biases at 224 pixels, where two threads add to the same head."""
    offsets = offset_table((14, 14))
    weights = torch.randn(3, *offsets.shape, generator=torch.Generator().manual_seed(0))
    for _ in range(repeats):
        biases = torch.zeros(3, 196, requires_grad=True)
        (gather_attention_biases(biases, offsets) * weights).sum().backward()
        yield biases.grad


def test_the_gradient_of_attention_biases_is_deterministic_with_several_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with deterministic_algorithms(torch.device("cpu")):
            first, *others = _gradients(20)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(first, other) for other in others)


@pytest.mark.parametrize("was_enabled", [False, True])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_settings_of_torch_are_restored(was_enabled, device):
    torch.use_deterministic_algorithms(was_enabled)
    try:
        with deterministic_algorithms(torch.device(device)):
            assert torch.are_deterministic_algorithms_enabled() is (was_enabled or device == "cpu")
            assert torch.is_deterministic_algorithms_warn_only_enabled() is (not was_enabled and device == "cpu")
        assert torch.are_deterministic_algorithms_enabled() is was_enabled
        assert not torch.is_deterministic_algorithms_warn_only_enabled()
        assert torch.utils.deterministic.fill_uninitialized_memory
    finally:
        torch.use_deterministic_algorithms(False)
