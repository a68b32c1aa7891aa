"""Masks and their application."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from levit.explaining.masks import CELLS, WINDOW, apply_masks, blur, cell_edges, occlusion_masks, random_masks


def test_windows_of_occlusion_cover_each_cell_and_are_all_different():
    masks = occlusion_masks()
    assert masks.shape == ((CELLS - WINDOW + 1) ** 2, CELLS, CELLS)
    assert len(np.unique(masks, axis=0)) == len(masks)
    assert (masks.sum((1, 2)) == WINDOW**2).all()
    assert masks.sum(0).min() == 1
    assert masks.sum(0).max() == WINDOW**2


def test_random_masks_follow_their_seed_and_keep_half():
    masks = random_masks(400, seed=1)
    assert np.array_equal(masks, random_masks(400, seed=1))
    assert not np.array_equal(masks, random_masks(400, seed=2))
    assert masks.min() >= 0
    assert masks.max() <= 1
    assert np.abs(masks.mean(0) - 0.5).max() < 0.1
    assert masks.std(0).min() > 0.2  # every cell is replaced in some and kept in others


@given(st.integers(CELLS, 300))
def test_cells_cover_every_pixel_and_differ_by_one_pixel_at_most(pixels):
    sizes = np.diff(cell_edges(pixels))
    assert sizes.sum() == pixels
    assert sizes.max() - sizes.min() <= 1


def test_only_the_pixels_of_the_mask_are_replaced():
    pixels = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    fill = np.full_like(pixels, 9)
    masks = np.zeros((2, CELLS, CELLS), np.float32)
    masks[0, 0, -1] = 1
    first, second = apply_masks(pixels, fill, masks)
    assert (first[:2, -3:] == 9).all()
    first[:2, -3:] = pixels[:2, -3:]
    assert np.array_equal(first, pixels)
    assert np.array_equal(second, pixels)


def test_a_mask_between_0_and_1_blends():
    pixels, fill = np.full((32, 32, 3), 100, np.uint8), np.full((32, 32, 3), 200, np.uint8)
    masks = np.zeros((1, CELLS, CELLS), np.float32)
    masks[0, 0] = (*[0.25] * (CELLS - 1), 1)
    (image,) = apply_masks(pixels, fill, masks)
    assert (image[:2, 0] == 125).all()
    assert (image[:2, -1] == 200).all()
    assert (image[2:] == 100).all()


def test_a_blurred_image_keeps_its_mean_color_and_loses_its_details():
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    blurred = blur(pixels)
    assert abs(float(blurred.mean()) - float(pixels.mean())) < 2
    assert blurred.std() < pixels.std() / 10
