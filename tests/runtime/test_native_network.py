"""The native library computes every network, in every instruction set of this processor."""

import mmap
import struct
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levit.deployment.build import build_artifact
from levit.deployment.reference import run_reference
from levit.errors import EngineError
from levit.runtime.native_format import split_metadata
from levit.runtime.native_library import instruction_sets, load_library
from levit.runtime.native_network import NativeNetwork
from levit.runtime.native_packing import pack
from levit.spec.architecture import ACTIVATIONS, Architecture
from levit.spec.variants import ALL_VARIANTS
from tests.conftest import random_checkpoint, relative
from tests.runtime.odd_architectures import ODD
from tests.runtime.small_model import SMALL

pytestmark = pytest.mark.usefixtures("native_library")


@cache
def packed(architecture: Architecture, seed: int = 0, *, bf16: bool = False) -> bytes:
    return pack(build_artifact(random_checkpoint(architecture, seed)), bf16=bf16, attention_16_bit=bf16)


def images_and_logits(architecture: Architecture, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    shape = (count, architecture.num_channels, *architecture.image_height_width)
    images = np.random.default_rng(seed).standard_normal(shape, np.float32)
    return images, run_reference(random_checkpoint(architecture, seed).weights, architecture, images)["logits"]


def compute(content: bytes, batch: np.ndarray, **options) -> np.ndarray:
    network = NativeNetwork(content, **{"threads": 1} | options)
    try:
        return network.run(batch)
    finally:
        network.close()


LARGE = ("512", "384", "256d")  # making their random weights takes many seconds
SIZES = [pytest.param(name, marks=[pytest.mark.slow] * any(size in name for size in LARGE)) for name in ALL_VARIANTS]


@pytest.mark.parametrize("name", SIZES)
def test_logits_of_every_published_size_are_those_of_the_reference(name):
    architecture = ALL_VARIANTS[name].architecture(image_size=64, num_labels=10)
    images, expected = images_and_logits(architecture, 1)
    assert relative(compute(packed(architecture), images, threads=2), expected) < 1e-5


@pytest.mark.parametrize("name", ODD)
def test_logits_of_every_instruction_set_are_those_of_the_reference(name):
    architecture = ODD[name]
    images, expected = images_and_logits(architecture, 5)
    content = packed(architecture)
    for instruction_set in instruction_sets():
        for threads in (1, 3):
            options = {"threads": threads, "instruction_set": instruction_set}
            assert relative(compute(content, images, **options), expected) < 1e-5
            assert relative(compute(content, images[:1], **options), expected[:1]) < 1e-5


@pytest.mark.parametrize("name", ODD)
def test_logits_in_bf16_differ_from_the_reference_by_rounding(name):
    architecture = ODD[name]
    images, expected = images_and_logits(architecture, 5)
    content = packed(architecture, bf16=True)
    for instruction_set in instruction_sets():
        for threads, count in ((1, 5), (3, 5), (3, 1)):
            options = {"threads": threads, "instruction_set": instruction_set}
            difference = relative(compute(content, images[:count], **options), expected[:count])
            assert 1e-5 < difference < 0.03


@settings(max_examples=20)
@given(
    st.tuples(st.integers(16, 60), st.integers(16, 60)),
    st.lists(st.tuples(st.integers(8, 40), st.integers(1, 3), st.integers(1, 20)), min_size=1, max_size=3),
    st.sampled_from([1, 1.5, 2]),
    st.tuples(*[st.sampled_from(ACTIVATIONS)] * 3),
)
def test_logits_of_random_networks_are_those_of_the_reference(image_size, stages, ratio, activations):
    widths, heads, key_dims = zip(*stages, strict=True)
    count = len(stages)
    architecture = Architecture(
        image_size=image_size,
        hidden_sizes=widths,
        depths=(1,) * count,
        num_attention_heads=heads,
        key_dim=key_dims,
        mlp_ratio=(ratio,) * count,
        attention_ratio=(ratio,) * count,
        activation=activations[0],
        stem_activation=activations[1],
        attention_activation=activations[2],
        num_labels=3,
    )
    images, expected = images_and_logits(architecture, 2)
    assert relative(compute(packed(architecture), images, threads=2), expected) < 2e-5


def test_a_value_that_is_not_a_number_stays_one_in_bf16():
    content = pack(build_artifact(random_checkpoint(SMALL)), bf16=True)
    shape = (1, 3, *SMALL.image_height_width)
    not_a_number = np.full(shape, 0x7FFFFFFF, np.uint32).view(np.float32)  # rounded up, it would overflow
    for instruction_set in instruction_sets():
        assert np.isnan(compute(content, not_a_number, instruction_set=instruction_set)).all()


def test_the_portable_instructions_are_the_last_of_the_list():
    assert instruction_sets()[-1] == "portable"


def test_an_unknown_instruction_set_is_an_error():
    with pytest.raises(EngineError, match="this processor lacks the instruction set"):
        NativeNetwork(packed(SMALL), threads=1, instruction_set="abacus")


def test_many_threads_share_a_network_with_more_threads_than_cores():
    images, expected = images_and_logits(SMALL, 12)
    network = NativeNetwork(packed(SMALL), threads=9)
    with ThreadPoolExecutor(8) as pool:
        slices = [images[index % 7 : index % 7 + index % 4 + 1] for index in range(60)]
        results = list(pool.map(lambda part: network.run(part), slices))
    for index, logits in enumerate(results):
        assert relative(logits, expected[index % 7 : index % 7 + index % 4 + 1]) < 1e-5
    network.close()
    network.close()


def test_a_model_of_wrong_sizes_is_refused_before_it_is_used():
    content = packed(SMALL)
    end, _ = split_metadata(memoryview(content))
    assert struct.unpack_from("<Q", content, 16) == (end,)
    for position, reason in [
        (0, "not a model file"),
        (8, "not a model file"),
        (16, "incomplete"),
        (32, "size"),
        (44, ""),
    ]:
        damaged = bytearray(content)
        damaged[position] ^= 0x55
        with pytest.raises(EngineError, match=f"the native library cannot open it .*{reason}"):
            NativeNetwork(bytes(damaged), threads=1)
    with pytest.raises(EngineError, match="incomplete"):
        NativeNetwork(content[:7], threads=1)


def test_vectors_beyond_a_row_of_the_attention_bias_are_in_the_file_too():
    content = packed(SMALL)
    end, _ = split_metadata(memoryview(content))
    layers, convolutions = struct.unpack_from("<2I", content, 40)
    block = 96 + 48 * layers + 32 * convolutions  # sizes of the records, native/model_file.h
    _, heads, _, _, height, width = struct.unpack_from("<6I", content, block)
    row = -(-(width - 1 + -(-width // 16) * 16) // 16) * 16
    for offset in (0, (end - 4 * heads * height * row) // 64 * 64):
        damaged = bytearray(content)
        struct.pack_into("<Q", damaged, block + 40, offset)
        with pytest.raises(EngineError, match="an array is not in the file"):
            NativeNetwork(bytes(damaged), threads=1)


@settings(max_examples=300)
@given(st.data())
def test_damaged_records_give_an_error_or_logits(data):
    content = bytearray(packed(SMALL, bf16=data.draw(st.booleans())))
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(16, 3000))
        content[position] = data.draw(st.integers(0, 255))
    with suppress(EngineError):
        assert compute(bytes(content), images_and_logits(SMALL, 1)[0]).shape == (1, SMALL.num_labels)


def test_a_model_whose_arrays_together_need_too_much_memory_is_refused():
    stem = Architecture(
        image_size=13_824,  # 191 million values, each in four arrays of two or four bytes
        num_channels=1,
        patch_size=128,
        stride=128,
        hidden_sizes=(16,),
        depths=(0,),
        num_attention_heads=(1,),
        key_dim=(8,),
        mlp_ratio=(2,),
        attention_ratio=(2,),
        num_labels=2,
    )
    with pytest.raises(EngineError, match=r"the native library cannot open it \(it needs too much memory\)"):
        NativeNetwork(packed(stem), threads=1)


def test_a_batch_that_is_computed_in_parts_has_all_logits():
    images, _ = images_and_logits(SMALL, 10)
    many = np.tile(images, (103, 1, 1, 1))  # more than native/engine.cpp computes at once
    np.testing.assert_array_equal(compute(packed(SMALL), many), np.tile(compute(packed(SMALL), images), (103, 1)))


def test_a_closed_network_is_an_error():
    images, _ = images_and_logits(SMALL, 1)
    network = NativeNetwork(packed(SMALL), threads=1)
    network.close()
    for compute_closed in (network.run, lambda images: network.run_bytes([images.tobytes()])):
        with pytest.raises(EngineError, match="the native network is closed: open a new one"):
            compute_closed(images)
    library = load_library()
    for function in (library.levit_run_values, library.levit_run_pixels):
        assert function(None, images.ctypes.data, 1, images.ctypes.data) == 1


def test_a_model_in_memory_may_have_any_address():
    content = memoryview(b"?" + packed(SMALL))[1:]
    images, expected = images_and_logits(SMALL, 1)
    assert relative(compute(content, images), expected) < 1e-5
    assert sys.byteorder == "little"


def test_images_as_bytes_have_the_logits_of_arrays():
    size = (*SMALL.image_height_width, 3)
    images = np.random.default_rng(0).integers(0, 256, (3, *size), np.uint8)
    network = NativeNetwork(packed(SMALL), threads=1)
    rows = network.run_bytes([image.tobytes() for image in images])
    np.testing.assert_array_equal(np.array(rows, np.float32), network.run(images))
    assert network.run_bytes([]) == []
    with pytest.raises(EngineError, match="cannot run images of another size: an image has"):
        network.run_bytes([images[0].tobytes(), b"short"])


def test_pixels_are_refused_by_a_network_without_normalization():
    (architecture,) = (architecture for architecture in ODD.values() if architecture.num_channels == 1)
    network = NativeNetwork(packed(architecture), threads=1)
    pixels = np.full((1, *architecture.image_height_width, 1), 255, np.uint8)
    for compute_pixels in (network.run, lambda images: network.run_bytes([images.tobytes()])):
        with pytest.raises(EngineError, match="of 3 channels, not of 1: give normalized values to `run`"):
            compute_pixels(pixels)


def test_a_memory_map_is_used_in_place_and_cannot_be_closed(tmp_path):
    file = tmp_path / "packed"
    file.write_bytes(packed(SMALL))
    with file.open("rb") as stream:
        content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
    network = NativeNetwork(content, threads=1)
    with pytest.raises(BufferError):
        content.close()
    images, expected = images_and_logits(SMALL, 1)
    assert relative(network.run(images), expected) < 1e-5
    del network
    content.close()
