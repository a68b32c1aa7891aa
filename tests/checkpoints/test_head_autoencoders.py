"""Auto-encoders over heads in files of ViTCoD, against the computation of ViTCoD in float64."""

import numpy as np
import pytest
import torch
from torch import nn

import levit
from levit.checkpoints.dialects import FACEBOOK
from levit.checkpoints.writing import arrays_in
from levit.deployment import reference
from levit.deployment.reference import run_reference
from tests.architectures import small_architecture
from tests.conftest import random_checkpoint, relative

# Attentions inside stages: the first and the last attention of the network; ViTCoD leaves out those between stages.
HIDDEN = {"blocks.0.m": (2, 1), "blocks.4.m": (3, 2)}


def vitcod_file(path, checkpoint):
    """A checkpoint as ViTCoD writes it, and its auto-encoders by attention and letter."""
    weights = {key: torch.from_numpy(np.array(array)) for key, array in arrays_in(checkpoint, FACEBOOK).items()}
    autoencoders = {}
    torch.manual_seed(0)
    for prefix, (heads, hidden) in HIDDEN.items():
        for letter in "qk":
            encoder, decoder = nn.Linear(heads, hidden), nn.Linear(hidden, heads)
            autoencoders[prefix, letter] = nn.Sequential(encoder, decoder).double().requires_grad_(False)
            for part, layer in (("encoder", encoder), ("decoder", decoder)):
                for name, tensor in layer.state_dict().items():
                    weights[f"{prefix}.{part}_{letter}.{name}"] = tensor.float()
        weights[f"{prefix}.attention_sum"] = torch.zeros(heads, 16, 16)
        weights[f"{prefix}.num_attention"] = torch.zeros(1)
    torch.save({"model": weights}, path)
    for pair in autoencoders.values():  # as stored
        for parameter in pair.parameters():
            parameter.copy_(parameter.float().double())
    return autoencoders


def test_folded_auto_encoders_compute_what_vitcod_computes(tmp_path, monkeypatch):
    checkpoint = random_checkpoint(small_architecture())
    autoencoders = vitcod_file(tmp_path / "vitcod.pth", checkpoint)
    read = levit.read_checkpoint(tmp_path / "vitcod.pth", image_size=32)
    images = np.random.default_rng(1).normal(size=(2, 3, 32, 32))
    actual = run_reference(read.weights, read.architecture, images)["logits"]

    # The reference with ViTCoD's auto-encoders on the queries and keys of each head.
    split = reference._Network.split
    prefixes = iter(HIDDEN)

    def split_and_encode(x, heads, *sizes):
        parts = split(x, heads, *sizes)
        if len(parts) == 3:  # an attention inside a stage
            prefix = next(prefixes)
            for index, letter in enumerate("qk"):
                heads_last = torch.from_numpy(np.moveaxis(parts[index], 1, -1))
                parts[index] = np.moveaxis(autoencoders[prefix, letter](heads_last).numpy(), -1, 1)
        return parts

    monkeypatch.setattr(reference._Network, "split", staticmethod(split_and_encode))
    expected = run_reference(checkpoint.weights, checkpoint.architecture, images)["logits"]
    assert relative(actual, expected) < 1e-5
    monkeypatch.undo()
    assert relative(run_reference(checkpoint.weights, checkpoint.architecture, images)["logits"], expected) > 1e-3


@pytest.mark.parametrize(("name", "damaged"), [("decoder_k.bias", None), ("encoder_q.weight", torch.zeros(4))])
def test_an_incomplete_auto_encoder_is_refused(tmp_path, name, damaged):
    file = tmp_path / "vitcod.pth"
    vitcod_file(file, random_checkpoint(small_architecture()))
    content = torch.load(file)
    del content["model"][f"blocks.0.m.{name}"]
    if damaged is not None:
        content["model"][f"blocks.0.m.{name}"] = damaged
    torch.save(content, file)
    with pytest.raises(levit.CheckpointError, match=r"blocks\.0\.m\.\* is incomplete or does not fit") as error:
        levit.read_checkpoint(file)
    assert len(str(error.value).splitlines()) == 1
