"""Networks that are built without memory, on the meta device, and filled later."""

import copy

import accelerate
import pytest
import torch

import levit
from levit.model.folded_network import FoldedNetwork
from tests.conftest import GOLDEN
from tests.model.networks import randomized, small_config

IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def model():
    return randomized(levit.LevitForImageClassification(small_config()))


def built_on_meta(model):
    with torch.device("meta"):
        return type(model)(model.config)


def built_without_buffers(model):
    with accelerate.init_empty_weights(include_buffers=True):
        return type(model)(model.config)


def moved_to_meta(model):
    return copy.deepcopy(model).to("meta")


EMPTY_NETWORKS = [built_on_meta, built_without_buffers, moved_to_meta]


@torch.no_grad()
@pytest.mark.parametrize("empty_network", EMPTY_NETWORKS)
def test_weights_that_are_assigned_to_an_empty_network_give_the_same_logits(model, empty_network):
    empty = empty_network(model)
    empty.load_state_dict(model.state_dict(), assign=True)
    assert torch.equal(empty.eval()(IMAGES).logits, model(IMAGES).logits)


@torch.no_grad()
@pytest.mark.parametrize("empty_network", [*EMPTY_NETWORKS, copy.deepcopy])
def test_a_network_with_new_memory_and_loaded_weights_gives_the_same_logits(model, empty_network):
    empty = empty_network(model).to_empty(device="cpu")
    empty.load_state_dict(model.state_dict())
    assert torch.equal(empty.eval()(IMAGES).logits, model(IMAGES).logits)


@torch.no_grad()
@pytest.mark.parametrize("include_buffers", [True, False])
def test_accelerate_loads_and_dispatches_an_empty_network(tmp_path, model, include_buffers):
    model.save_pretrained(tmp_path)
    with accelerate.init_empty_weights(include_buffers=include_buffers):
        empty = type(model)(model.config)
    file = str(tmp_path / "model.safetensors")
    loaded = accelerate.load_checkpoint_and_dispatch(empty, file, device_map={"": "cpu"})
    assert torch.equal(loaded.eval()(IMAGES).logits, model(IMAGES).logits)


@torch.no_grad()
def test_weights_that_are_offloaded_to_the_disk_give_the_same_logits(tmp_path, model):
    expected = model(IMAGES).logits
    offloaded = accelerate.disk_offload(
        model, str(tmp_path), execution_device=torch.device("cpu"), offload_buffers=True
    )
    assert torch.equal(offloaded(IMAGES).logits, expected)


@torch.no_grad()
def test_a_network_on_the_meta_device_computes_shapes(model):
    network = built_on_meta(model)
    assert network(torch.empty(2, 3, 64, 64, device="meta")).logits.shape == (2, 2)
    assert network(torch.empty(2, 3, 96, 80, device="meta")).logits.shape == (2, 2)


def test_every_buffer_of_a_network_is_part_of_its_state_dict(model):
    assert {name for name, _ in model.named_buffers()} <= set(model.state_dict())


@torch.no_grad()
def test_offset_tables_follow_from_the_grid_after_every_change_of_memory(model):
    tables = [module.attention_bias_idxs for module in model.modules() if hasattr(module, "attention_bias_idxs")]
    changed = copy.deepcopy(model).half().to("meta").to_empty(device="cpu").float()
    kept = [module.attention_bias_idxs for module in changed.modules() if hasattr(module, "attention_bias_idxs")]
    assert len(tables) == 5
    assert all(torch.equal(first, second) for first, second in zip(tables, kept, strict=True))


@torch.no_grad()
def test_the_folded_network_does_not_depend_on_the_default_device():
    checkpoint = levit.read_checkpoint(GOLDEN / "tiny" / "transformers")
    with torch.device("meta"):
        network = FoldedNetwork(checkpoint)
    images = torch.zeros(2, 112, 112, 3, dtype=torch.uint8)
    assert torch.equal(network(images), FoldedNetwork(checkpoint)(images))
