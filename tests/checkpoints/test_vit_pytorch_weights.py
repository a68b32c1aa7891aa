"""Weights of vit-pytorch: golden files of its release 1.26, and the network itself where it is installed."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch

import levit
from levit.checkpoints.levit_folder import write_levit_folder
from levit.checkpoints.reading import read_checkpoint
from levit.checkpoints.writing import convert, write_checkpoint
from levit.deployment.build import build_artifact
from levit.deployment.reference import run_reference
from levit.errors import CheckpointError
from levit.runtime.engine import open_engine
from levit.runtime.native_library import find_library
from tests.conftest import GOLDEN, relative

FRAMEWORKS = GOLDEN / "frameworks"
ONE_HEAD, TWO_HEADS = FRAMEWORKS / "vit-pytorch", FRAMEWORKS / "vit-pytorch-distill"


def expected(folder):
    return np.load(folder / "expected.npz")


@pytest.mark.parametrize("folder", [ONE_HEAD, TWO_HEADS])
def test_the_reference_gives_the_logits_of_the_library_in_double_precision(folder):
    checkpoint, golden = read_checkpoint(folder / "levit.pt"), expected(folder)
    assert checkpoint.source.dialect == "vit-pytorch"
    outputs = run_reference(checkpoint.weights, checkpoint.architecture, golden["input"])
    assert relative(outputs["classifier"], golden["logits_f64"]) < 1e-7  # the biases are rounded once
    if folder == TWO_HEADS:
        assert relative(outputs["classifier_distill"], golden["distill_logits_f64"]) < 1e-7
        mean = (golden["logits_f64"] + golden["distill_logits_f64"]) / 2
        assert relative(outputs["logits"], mean) < 1e-7


@torch.no_grad()
def test_network_and_engines_give_the_logits_of_the_library():
    checkpoint, golden = read_checkpoint(ONE_HEAD / "levit.pt"), expected(ONE_HEAD)
    network = levit.load_checkpoint(checkpoint)
    assert relative(network(torch.from_numpy(golden["input"])).logits.numpy(), golden["logits_f64"]) < 1e-5
    content = build_artifact(checkpoint).SerializeToString()
    for engine in ("openvino", "onnxruntime"):
        logits = open_engine(content, engine=engine, precision="fp32").run(golden["input"])
        assert relative(logits, golden["logits_f64"]) < 1e-5


@pytest.mark.skipif(find_library() is None, reason="needs the native engine")
def test_the_native_engine_gives_the_logits_of_the_library():
    golden = expected(ONE_HEAD)
    content = build_artifact(read_checkpoint(ONE_HEAD / "levit.pt")).SerializeToString()
    with open_engine(content, engine="native", precision="fp32") as engine:
        assert engine.name == "native"
        assert relative(engine.run(golden["input"]), golden["logits_f64"]) < 1e-5


def test_the_network_is_saved_and_loaded_and_trains(tmp_path):
    network = levit.load_checkpoint(TWO_HEADS / "levit.pt")
    network.save_pretrained(tmp_path)
    again = read_checkpoint(tmp_path)
    assert again.architecture == read_checkpoint(TWO_HEADS / "levit.pt").architecture
    output = levit.load_checkpoint(tmp_path).train()(
        torch.from_numpy(expected(TWO_HEADS)["input"]), labels=torch.tensor([1, 2]), teacher_logits=torch.zeros(2, 10)
    )
    output.loss.backward()
    assert torch.isfinite(output.loss)
    backbone = levit.LevitModel(network.config)
    assert not [name for name, parameter in backbone.named_parameters() if not parameter.isfinite().all()]


def test_its_backbone_and_folders_of_levit_are_read(tmp_path):
    checkpoint = read_checkpoint(ONE_HEAD / "levit.pt")
    levit.load_checkpoint(checkpoint).levit.save_pretrained(tmp_path / "backbone")
    backbone = read_checkpoint(tmp_path / "backbone")
    assert backbone.weights.keys() == {name for name in checkpoint.weights if not name.startswith("classifier")}
    again = read_checkpoint(write_levit_folder(checkpoint, tmp_path / "folder"))
    assert again.architecture == checkpoint.architecture
    assert all(np.array_equal(again.weights[name], array) for name, array in checkpoint.weights.items())


def test_a_new_network_has_residual_branches_of_zero():
    config = levit.load_checkpoint(ONE_HEAD / "levit.pt").config
    network = levit.LevitModel(config)
    mlp = network.encoder.stages[0].layers[1].module
    assert not mlp.linear_down.linear.weight.any()
    assert mlp.linear_up.linear.weight.any()
    assert not mlp.linear_up.linear.bias.any()


@torch.no_grad()
def test_a_new_network_distinguishes_images_unlike_that_of_the_library():
    """The norm after an attention between two stages, which has no shortcut, is 0 in a new network of the library."""
    torch.manual_seed(0)
    network = levit.LevitForImageClassification(levit.load_checkpoint(ONE_HEAD / "levit.pt").config).train()
    logits = network(torch.from_numpy(expected(ONE_HEAD)["input"])).logits
    assert (logits[0] - logits[1]).abs().max() > 0.1


@pytest.mark.parametrize("folder", [ONE_HEAD, TWO_HEADS])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_written_file_equals_that_of_the_library(tmp_path, folder, suffix):
    """Up to the rounding of the attention biases, and the bias before a batch norm, which its mean contains."""
    convert(folder / "levit.pt", tmp_path / f"out{suffix}", to="vit-pytorch")
    original = torch.load(folder / "levit.pt", weights_only=True)
    if suffix == ".pt":
        written = torch.load(tmp_path / "out.pt", weights_only=True)
        assert list(written) == list(original)
        for key, tensor in original.items():
            assert (written[key].dtype, written[key].shape) == (tensor.dtype, tensor.shape), key
            if ".to_out." not in key:
                torch.testing.assert_close(written[key], tensor, rtol=3e-7, atol=0)
            elif key.endswith(".to_out.1.bias"):
                assert not written[key].any()
    first, second = read_checkpoint(folder / "levit.pt"), read_checkpoint(tmp_path / f"out{suffix}")
    assert second.architecture == first.architecture
    for name, array in first.weights.items():
        np.testing.assert_allclose(second.weights[name], array, rtol=3e-7)


@torch.no_grad()
def test_the_library_loads_a_written_file(tmp_path):
    vit_pytorch = pytest.importorskip("vit_pytorch.levit", reason="vit-pytorch is not installed")
    convert(ONE_HEAD / "levit.pt", tmp_path / "out.pt", to="vit-pytorch")
    network = vit_pytorch.LeViT(
        image_size=112, num_classes=10, stages=3, dim=(32, 48, 64), depth=2, heads=(2, 3, 4), mlp_mult=2
    ).eval()
    network.load_state_dict(torch.load(tmp_path / "out.pt", weights_only=True))
    golden = expected(ONE_HEAD)
    assert relative(network(torch.from_numpy(golden["input"])).numpy(), golden["logits"]) < 1e-5


@pytest.mark.parametrize(("release", "bias_scale"), [("0.18.4", 1), ("0.17.2", 32**-0.5)])
def test_older_releases_have_gelu_in_the_mlps_and_the_oldest_unscaled_biases(tmp_path, release, bias_scale):
    """The file is the same for all releases; docs/migration.md says what must be given or changed for each."""
    arrays = torch.load(ONE_HEAD / "levit.pt", weights_only=True)
    scales = {key: bias_scale if key.endswith("pos_bias.weight") else 1 for key in arrays}
    torch.save({key: scales[key] * tensor for key, tensor in arrays.items()}, tmp_path / "older.pt")
    checkpoint = read_checkpoint(tmp_path / "older.pt", activation="gelu")
    assert (checkpoint.architecture.activation, checkpoint.architecture.stem_activation) == ("gelu", "none")
    logits = run_reference(checkpoint.weights, checkpoint.architecture, expected(ONE_HEAD)["input"])["logits"]
    golden = np.load(ONE_HEAD / "older_releases.npz")[release]
    assert relative(logits, golden) < 1e-7
    assert relative(logits, expected(ONE_HEAD)["logits_f64"]) > 1e-3


def test_half_precision_is_read(tmp_path):
    half = {
        key: tensor.half() if tensor.is_floating_point() else tensor
        for key, tensor in torch.load(ONE_HEAD / "levit.pt", weights_only=True).items()
    }
    torch.save({"model": half}, tmp_path / "half.pt")
    checkpoint = read_checkpoint(tmp_path / "half.pt")
    assert (checkpoint.stored_precision, checkpoint.weights["classifier.linear.weight"].dtype) == ("fp16", np.float32)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda arrays: arrays.pop("backbone.3.layers.0.0.to_v.1.bias"), "no backbone.3.layers.0.0.to_v.1.bias"),
        (lambda arrays: arrays.pop("mlp_head.bias"), "incomplete LeViT of vit-pytorch: no mlp_head.bias"),
        (lambda arrays: arrays.update(extra=torch.ones(2)), r"1 unexpected weights \(extra\)"),
        (lambda arrays: arrays.update({"mlp_head.weight": torch.ones(7, 64)}), "has 10 classes, and the other 7"),
        (lambda arrays: arrays.update({"backbone.0.layers.0.0.pos_bias.weight": torch.ones(49, 3)}), "not the weights"),
    ],
)
def test_a_wrong_file_is_an_error_of_one_line(tmp_path, change, match):
    arrays = dict(torch.load(TWO_HEADS / "levit.pt", weights_only=True))
    change(arrays)
    torch.save(arrays, tmp_path / "wrong.pt")
    with pytest.raises(CheckpointError, match=match) as caught:
        read_checkpoint(tmp_path / "wrong.pt")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("to", ["transformers", "timm", "facebook", "mmpretrain", "mindspore", "flax"])
def test_libraries_of_the_paper_do_not_have_this_network(tmp_path, to):
    checkpoint = read_checkpoint(ONE_HEAD / "levit.pt")
    with pytest.raises(CheckpointError, match=r"wrongly|no such LeViT|the LeViT of the paper|another network"):
        write_checkpoint(checkpoint, tmp_path / "out", to=to)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_network_is_quantized():
    if find_spec("nncf") is None:  # its import would replace the class of all loggers
        pytest.skip("needs levit[quantization]")
    from levit.exporting.quantization import quantizable_layers, quantize

    checkpoint = read_checkpoint(ONE_HEAD / "levit.pt")
    model = build_artifact(checkpoint)
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (16, 112, 112, 3)).astype(np.uint8)
    quantized = quantize(model, list(images))
    assert len(quantizable_layers(model)) > 40
    scale, shift = checkpoint.preprocessing.scale_and_shift()
    pixel_values = (images[:4] * scale + shift).transpose(0, 3, 1, 2).astype(np.float32)
    logits = run_reference(checkpoint.weights, checkpoint.architecture, pixel_values)["logits"]
    engine = open_engine(quantized.SerializeToString(), engine="openvino")
    assert engine.precision == "int8"
    assert relative(engine.run(pixel_values), logits) < 0.1
