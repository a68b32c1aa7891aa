"""Training with auto-encoders over the heads of queries and keys, which are folded into the saved weights."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import levit
from levit.checkpoints.transformers_configuration import config_from_architecture
from levit.deployment.reference import run_reference
from levit.training.head_autoencoders import (
    add_head_autoencoders,
    find_head_autoencoders,
    fold_head_autoencoders,
    write_vitcod_checkpoint,
)
from levit.training.losses import Loss
from levit.training.microbatches import Microbatch
from levit.training.option_groups import OptimizerOptions, TeacherOptions
from levit.training.step import TrainingStep
from levit.training.train import train
from tests.architectures import small_architecture
from tests.conftest import random_weights, relative
from tests.training.runs import StopAfterSteps, assert_same_run
from tests.training.tiny import trained

SETTINGS = {
    "image_size": 64, "hidden_sizes": [16, 24, 32], "num_attention_heads": [2, 3, 6], "depths": [2, 1, 1],
    "key_dim": [8] * 3, "num_labels": 5,
}  # fmt: skip


@pytest.fixture
def student():
    """A network with auto-encoders, each weight of which affects the logits, in evaluation mode."""
    config = levit.LevitConfig(**SETTINGS)
    network = levit.LevitForImageClassificationWithTeacher(config)
    weights = random_weights(config.architecture(num_classifiers=2))
    network.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    add_head_autoencoders(network)
    for autoencoder in find_head_autoencoders(network):
        trained(autoencoder)
    return network.eval()


def test_the_folded_network_computes_the_same(student):
    folded = levit.LevitForImageClassificationWithTeacher(levit.LevitConfig(**SETTINGS)).eval()
    folded.load_state_dict(fold_head_autoencoders(student.state_dict()))
    without = levit.LevitForImageClassificationWithTeacher(levit.LevitConfig(**SETTINGS)).eval()
    without.load_state_dict({name: t for name, t in student.state_dict().items() if "_autoencoder." not in name})
    images = torch.randn(3, 3, 64, 64)
    with torch.no_grad():
        expected, actual, others = (network(images).logits.numpy() for network in (student, folded, without))
    assert relative(actual, expected) < 1e-5
    assert relative(others, expected) > 1e-3


def test_a_network_without_auto_encoders_is_saved_as_it_is():
    weights = levit.LevitForImageClassification(levit.LevitConfig(**SETTINGS)).state_dict()
    folded = fold_head_autoencoders(weights)
    assert folded.keys() == weights.keys()
    assert all(folded[name] is tensor for name, tensor in weights.items())


def test_the_file_of_vitcod_is_read_as_the_same_network(student, tmp_path):
    write_vitcod_checkpoint(tmp_path / "vitcod.pth", student, student.state_dict())
    stored = torch.load(tmp_path / "vitcod.pth")["model"]
    assert stored["blocks.6.m.encoder_q.weight"].shape == (2, 3)  # the second stage: three heads, encoded as two
    assert stored["blocks.10.m.decoder_k.bias"].shape == (6,)
    assert stored["blocks.0.m.attention_bias_idxs"].shape == (16, 16)
    assert not any("coder" in name for name in stored if name.startswith("blocks.4."))  # between two stages
    read = levit.read_checkpoint(tmp_path / "vitcod.pth", image_size=64)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = student(images).logits.numpy()
    assert relative(run_reference(read.weights, read.architecture, images.numpy())["logits"], expected) < 1e-5


def test_the_loss_has_all_reconstruction_losses(student, accelerator):
    batch = Microbatch(torch.randn(4, 3, 64, 64), torch.eye(5)[:4])
    loss = Loss(label_smoothing=0.1, class_weights=None, is_multi_label=False, distillation=TeacherOptions())
    student.train()
    losses = [
        TrainingStep(
            model=SimpleNamespace(prepared=student), accelerator=accelerator, loss=loss, teacher=None,
            options=OptimizerOptions(), seed=0, autoencoders=autoencoders,
        )._forward(batch)[0]
        for autoencoders in ((), find_head_autoencoders(student))
    ]  # fmt: skip
    assert len(find_head_autoencoders(student)) == 8  # queries and keys of four attentions
    total = sum(autoencoder.reconstruction_loss for autoencoder in find_head_autoencoders(student))
    torch.testing.assert_close(losses[1] - losses[0], 1e-4 * total, rtol=1e-3, atol=1e-6)
    losses[1].backward()
    assert all(autoencoder.encoder.weight.grad.abs().sum() > 0 for autoencoder in find_head_autoencoders(student))


@pytest.mark.slow
def test_a_run_saves_the_folded_network_and_is_resumed_with_its_auto_encoders(colors, tmp_path):
    torch.manual_seed(0)
    levit.LevitForImageClassification(levit.LevitConfig(**SETTINGS)).save_pretrained(tmp_path / "network")
    options = {
        "data": str(colors), "model": str(tmp_path / "network"), "head_autoencoders": True, "epochs": 1,
        "batch_size": 8, "ema": 0.8, "precision": "fp32", "workers": 0, "report_to": "none", "keep_state": True,
        "evaluation": False,
    }  # fmt: skip
    train(out=str(tmp_path / "run"), **options)
    for folder in ("run", "run/last", "run/ema"):
        weights = levit.read_checkpoint(tmp_path / folder).weights
        vitcod = levit.read_checkpoint(tmp_path / folder / "vitcod.pth", image_size=64).weights
        assert all(np.allclose(vitcod[name], array, atol=1e-6) for name, array in weights.items())
    stopped = train(out=str(tmp_path / "stopped"), callbacks=[StopAfterSteps(2)], **options)
    assert not stopped.is_complete
    train(out=str(tmp_path / "stopped"), resume=True, **options)
    assert_same_run(tmp_path / "run", tmp_path / "stopped")


def test_networks_and_options_without_auto_encoders_are_refused(build, options):
    with pytest.raises(levit.ConfigError, match="head_autoencoders is not for timm/test_vit, which is not a LeViT"):
        build("timm/test_vit", head_autoencoders=True)
    with pytest.raises(levit.ConfigError, match=r"head_autoencoders is True, which has no effect .*rest is frozen"):
        options(freeze="backbone", head_autoencoders=True)
    other = config_from_architecture(small_architecture(mlp_batch_norm=False))
    with pytest.raises(levit.ConfigError, match="head_autoencoders is for the network of the paper only"):
        add_head_autoencoders(levit.LevitForImageClassification(levit.LevitConfig(**other)))
