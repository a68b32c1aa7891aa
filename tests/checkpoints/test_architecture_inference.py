import dataclasses

import pytest
from hypothesis import assume, given

from levit.checkpoints.architecture_inference import architecture_from_shapes
from levit.checkpoints.reading import read_checkpoint
from levit.errors import CheckpointError, ConfigError
from levit.spec.architecture import Architecture
from levit.spec.blocks import weight_shapes
from levit.spec.variants import VARIANTS
from tests.architectures import architectures
from tests.conftest import GOLDEN


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("num_classifiers", [0, 1, 2])
def test_finds_the_published_sizes(name, num_classifiers):
    architecture = VARIANTS[name].architecture(num_classifiers=num_classifiers)
    found = architecture_from_shapes(weight_shapes(architecture), name)
    expected = dataclasses.replace(architecture, num_labels=1000 if num_classifiers else 0)
    assert found == expected


@given(architecture=architectures())
def test_what_it_finds_has_these_shapes(architecture: Architecture):
    """Any network, as far as shapes can tell: a square image, Hardswish and a stride of 2 are assumed."""
    assume(any(architecture.depths) or architecture.num_stages > 1)  # without a bias, nothing tells the grid
    architecture = dataclasses.replace(
        architecture,
        image_size=max(architecture.image_height_width),
        downsamples=tuple(dataclasses.replace(one, stride=2) for one in architecture.downsamples or ()),
    )
    shapes = weight_shapes(architecture)
    found = architecture_from_shapes(shapes, "random")
    assert weight_shapes(found) == shapes
    assert found.stage_grids == architecture.stage_grids


def test_what_is_no_levit_is_one_clear_line():
    shapes = weight_shapes(Architecture())
    del shapes["levit.encoder.stages.0.layers.0.module.projection.linear.weight"]
    with pytest.raises(CheckpointError, match=r"broken.*config\.json beside it"):
        architecture_from_shapes(shapes, "broken")


def test_an_image_of_no_pixels_is_refused():
    with pytest.raises(ConfigError, match="image_size"):
        read_checkpoint(GOLDEN / "tiny" / "facebook.pth", image_size=0)
