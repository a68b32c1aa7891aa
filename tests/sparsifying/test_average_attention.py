"""Average attention, against the attention that the torch network records."""

import numpy as np
import pytest
import torch

import levit
from levit.checkpoints.attention_masks import mask_shapes, with_masks
from levit.data.subsets import Subset
from levit.images.transform import normalize, read_and_preprocess
from levit.sparsifying.average_attention import average_attention
from tests.architectures import small_architecture
from tests.conftest import EXAMPLES, random_checkpoint
from tests.evaluation.color_data import UNREADABLE, ColorDataset


def test_it_is_the_mean_of_the_attention_that_torch_records():
    checkpoint = random_checkpoint(small_architecture())
    data = levit.open_data(EXAMPLES)
    average = average_attention(checkpoint, data)
    images = np.stack([read_and_preprocess(item.image, checkpoint.preprocessing) for item in data])
    pixels = torch.from_numpy(normalize(images, checkpoint.preprocessing))
    with torch.no_grad():
        recorded = levit.load_checkpoint(checkpoint)(pixels, output_attentions=True).attentions
    assert len(average) == len(recorded)
    for (key, array), attention in zip(average.items(), recorded, strict=True):
        np.testing.assert_allclose(array, attention.mean(dim=0), atol=1e-5, err_msg=key)


def test_removed_keys_have_no_attention():
    checkpoint = random_checkpoint(small_architecture())
    generator = np.random.default_rng(0)
    masks = {name: generator.random(shape) < 0.5 for name, shape in mask_shapes(checkpoint.architecture).items()}
    for mask in masks.values():
        mask[..., 0] = True
    average = average_attention(with_masks(checkpoint, masks), levit.open_data(EXAMPLES))
    for array, mask in zip(average.values(), masks.values(), strict=True):
        assert not array[~mask].any()
        assert array[mask].all()


def test_a_damaged_image_is_named_and_left_out():
    checkpoint, data = random_checkpoint(small_architecture()), ColorDataset([UNREADABLE])
    with pytest.warns(levit.LevitWarning, match=r"^colors: 1 image cannot be used, .*: unreadable: not an image"):
        averages = average_attention(checkpoint, data)
    for key, average in average_attention(checkpoint, ColorDataset()).items():
        np.testing.assert_array_equal(averages[key], average)


def test_no_images_are_an_error():
    checkpoint = random_checkpoint(small_architecture())
    with pytest.raises(levit.DataError, match="has no images"):
        average_attention(checkpoint, Subset(levit.open_data(EXAMPLES), np.array([], np.int64)))
