import dataclasses

import pytest
from hypothesis import assume, given

from levit.checkpoints.architecture_inference import infer_architecture
from levit.checkpoints.reading import read_checkpoint
from levit.errors import CheckpointError, ConfigError
from levit.spec.architecture import Architecture
from levit.spec.network import weight_shapes
from levit.spec.variants import VARIANTS
from tests.architectures import architectures
from tests.conftest import GOLDEN


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("num_classifiers", [0, 1, 2])
def test_published_sizes_are_inferred(name, num_classifiers):
    architecture = VARIANTS[name].architecture(num_classifiers=num_classifiers)
    inferred = infer_architecture(weight_shapes(architecture), name)
    expected = dataclasses.replace(architecture, num_labels=1000 if num_classifiers else 0)
    assert inferred == expected


@given(architecture=architectures())
def test_inferred_architectures_have_the_given_shapes(architecture: Architecture):
    """Any network with the values that shapes do not determine: a square image, Hardswish and a stride of 2."""
    assume(any(architecture.depths) or architecture.num_stages > 1)  # the grid follows from the attention biases
    architecture = dataclasses.replace(
        architecture,
        image_size=max(architecture.image_height_width),
        downsamples=tuple(dataclasses.replace(downsample, stride=2) for downsample in architecture.downsamples or ()),
    )
    shapes = weight_shapes(architecture)
    inferred = infer_architecture(shapes, "random")
    assert weight_shapes(inferred) == shapes
    assert inferred.stage_grids == architecture.stage_grids


def test_shapes_of_another_network_are_an_error():
    shapes = weight_shapes(Architecture())
    del shapes["levit.encoder.stages.0.layers.0.module.projection.linear.weight"]
    with pytest.raises(CheckpointError, match=r"broken.*config\.json into the same folder"):
        infer_architecture(shapes, "broken")


def test_an_image_size_of_zero_is_an_error():
    with pytest.raises(ConfigError, match="image_size"):
        read_checkpoint(GOLDEN / "tiny" / "facebook.pth", image_size=0)


def test_a_network_of_too_many_stages_is_an_error():
    shapes = {"levit.patch_embeddings.embedding_layer_1.convolution.weight": (8, 3, 3, 3)}
    for stage in range(1000):
        prefix = f"levit.encoder.stages.{stage}.layers.0"
        shapes |= {f"{prefix}.attention_biases": (1, 16), f"{prefix}.queries.linear.weight": (8, 8)}
        shapes[f"{prefix}.projection.linear.weight"] = (8, 8)
    with pytest.raises(CheckpointError, match=r"^deep: .*more than 100 stages"):
        infer_architecture(shapes, "deep")
