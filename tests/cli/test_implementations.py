"""Files of all ten implementations of LeViT: described, and converted between all that have the same network."""

from pathlib import Path

import numpy as np
import pytest
import torch

import levit
from levit.checkpoints.dialects import BATCH_COUNT, FLAX, VIT_PYTORCH, WRITABLE
from levit.checkpoints.writing import write_checkpoint
from tests.conftest import GOLDEN

TINY, LIBRARIES = GOLDEN / "tiny", GOLDEN / "frameworks"
PAPER = [dialect.name for dialect in WRITABLE]
SUFFIXES = {"facebook": ".pth", "mmpretrain": ".pth", "mindspore": ".ckpt", "vit-pytorch": ".pt", "flax": ".msgpack"}
# Implementation -> one of its files, and the dialect in which `levit info` describes it.
FILES = {
    "transformers": (TINY / "transformers", "transformers"),
    "timm": (TINY / "timm", "timm"),
    "facebookresearch/LeViT": (TINY / "facebook.pth", "facebook"),
    "mmpretrain": (TINY / "mmpretrain.pth", "mmpretrain"),
    "ViTCoD": ("vitcod.pth", "facebook"),
    "JoegameZhou/Levit": (LIBRARIES / "mindspore-cb.ckpt", "mindspore"),
    "mszpc/levit_c, External-Attention-MindSpore": (LIBRARIES / "mindspore-plain.ckpt", "mindspore-plain"),
    "vit-pytorch": (LIBRARIES / "vit-pytorch" / "levit.pt", "vit-pytorch"),
    "vit-pytorch, two heads": (LIBRARIES / "vit-pytorch-distill" / "levit.pt", "vit-pytorch"),
    "LeViT-flax": (LIBRARIES / "flax" / "levit.msgpack", "flax"),
}


def target(folder: Path, dialect: str) -> Path:
    return folder / (dialect + next((suffix for start, suffix in SUFFIXES.items() if dialect.startswith(start)), ""))


def file_of(implementation: str, folder: Path) -> Path:
    """The file; that of ViTCoD has auto-encoders that change nothing, so that its weights are those of the others."""
    file = FILES[implementation][0]
    if implementation != "ViTCoD":
        return Path(file)
    weights = torch.load(TINY / "facebook.pth", weights_only=True)["model"]
    for prefix in {name.removesuffix("qkv.c.weight") for name in weights if name.endswith("qkv.c.weight")}:
        heads = weights[f"{prefix}attention_biases"].shape[0]
        for part in ("encoder_q", "decoder_q", "encoder_k", "decoder_k"):
            weights |= {f"{prefix}{part}.weight": torch.eye(heads), f"{prefix}{part}.bias": torch.zeros(heads)}
    torch.save({"model": weights}, folder / file)
    return folder / file


@pytest.mark.parametrize("implementation", FILES)
def test_a_file_of_each_implementation_is_described(console, tmp_path, implementation):
    file = file_of(implementation, tmp_path)
    result = console("info", file)
    assert (result.code, result.err) == (0, "")
    assert f"{file.name} ({FILES[implementation][1]})" in " ".join(result.out.split())


@pytest.mark.slow
def test_files_of_the_network_of_the_paper_are_converted_between_all_implementations(console, tmp_path):
    """From each file to each dialect, and from each dialect to each other one, the weights stay the same."""
    facebook = levit.read_checkpoint(TINY / "facebook.pth").weights
    for implementation, (_, known) in FILES.items():
        if known not in PAPER:
            continue
        source = file_of(implementation, tmp_path)
        expected = levit.read_checkpoint(source).weights if implementation == "ViTCoD" else facebook
        for first in PAPER:
            intermediate = target(tmp_path / f"{source.stem}-{first}", first)
            assert console("convert", source, intermediate, "--to", first).code == 0, (implementation, first)
            assert_same(intermediate, first, expected)
            for second in PAPER if implementation in ("facebookresearch/LeViT", "ViTCoD") else ():
                path = target(intermediate.parent / "second", second)
                assert console("convert", intermediate, path, "--to", second).code == 0, (first, second)
                assert_same(path, second, expected)


def assert_same(file: Path, dialect: str, expected: dict[str, np.ndarray]) -> None:
    """Check all weights but the numbers of batches, which MindSpore does not store."""
    checkpoint = levit.read_checkpoint(file)
    assert checkpoint.source.dialect == dialect
    assert checkpoint.weights.keys() == expected.keys()
    for name, array in checkpoint.weights.items():
        assert np.array_equal(array, expected[name]) or name.endswith(BATCH_COUNT), (file, name)


@pytest.mark.parametrize("dialect", [VIT_PYTORCH.name, FLAX.name])
def test_the_other_network_is_written_for_its_library_and_for_no_other(console, tmp_path, dialect):
    files = [file for file, known in FILES.values() if known == dialect]
    for number, file in enumerate(files):
        original = levit.read_checkpoint(file)
        for to in (*PAPER, VIT_PYTORCH.name, FLAX.name):
            path = target(tmp_path / str(number), to)
            result = console("convert", file, path, "--to", to)
            if to == dialect:
                written = levit.read_checkpoint(path)
                assert all(np.array_equal(written.weights[name], array) for name, array in original.weights.items())
            else:
                assert result.code == 2
                assert len(result.err.splitlines()) == 1
                assert not path.exists()


@pytest.mark.parametrize("dialect", [VIT_PYTORCH.name, FLAX.name])
def test_the_paper_s_network_is_not_written_for_the_other_one(tmp_path, dialect):
    with pytest.raises(levit.CheckpointError, match=f"^facebook.pth: {dialect} has another network under the name"):
        write_checkpoint(levit.read_checkpoint(TINY / "facebook.pth"), target(tmp_path, dialect), to=dialect)
