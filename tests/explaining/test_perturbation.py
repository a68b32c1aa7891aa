"""Maps from perturbed copies, against a direct computation and against captum."""

from concurrent.futures import Future

import numpy as np
import pytest
import torch
from captum.attr import Occlusion

import levit
from levit.errors import EngineError
from levit.explaining.masks import CELLS, WINDOW, blur, occlusion_masks, random_masks
from levit.explaining.perturbation import log_odds, masked_logits, occlusion_map, rise_map
from levit.images.transform import normalize
from levit.runtime.normalizing_engine import as_image_engine
from tests.runtime.fake_engine import FakeEngine
from tests.runtime.small_model import color_artifact, write_checkpoint

SIZE = 32


def patch_engine():
    """Engine whose first logit is the brightness of rows 8 to 15 and columns 16 to 23, and the second one zero."""
    artifact = color_artifact(("bright", "dark"), SIZE)
    return FakeEngine(artifact, lambda x: np.stack([x[:, :, 8:16, 16:24].sum((1, 2, 3)), 0 * x[:, 0, 0, 0]], axis=1))


def patch_image():
    pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
    pixels[8:16, 16:24] = 255
    return pixels


@pytest.mark.parametrize("kind", ["occlusion", "rise"])
def test_the_map_is_largest_on_the_patch_that_the_logit_depends_on(kind):
    engine = as_image_engine(patch_engine(), color_artifact(("bright", "dark"), SIZE).preprocessing)
    masks = occlusion_masks() if kind == "occlusion" else random_masks(300, 0)
    scores = log_odds(masked_logits(engine, patch_image(), masks), 0)
    values = (occlusion_map if kind == "occlusion" else rise_map)(scores, masks)
    row, column = np.unravel_index(values.argmax(), values.shape)
    assert 4 <= row < 8
    assert 8 <= column < 12
    far = values[12:, :4]
    assert np.abs(far).max() < values.max() / 4


def test_log_odds_at_temperature_1_are_those_of_the_softmax():
    logits = np.random.default_rng(0).normal(0, 3, (20, 7)).astype(np.float32)
    scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    for index in range(7):
        expected = np.log(scores[:, index] / (1 - scores[:, index]))
        assert np.allclose(log_odds(logits, index, temperature=1), expected, atol=1e-4)
    assert np.array_equal(log_odds(logits, 2, is_multi_label=True), logits[:, 2])
    assert np.isfinite(log_odds(1000 * logits, 0)).all()


def test_log_odds_at_a_high_temperature_compare_with_the_mean_of_the_other_classes():
    logits = np.random.default_rng(0).normal(0, 3, (20, 7)).astype(np.float32)
    expected = logits[:, 4] - np.delete(logits, 4, axis=1).mean(1)
    high = log_odds(logits, 4, temperature=1e4)
    assert np.allclose(high - high[0], expected - expected[0], atol=1e-2)
    assert np.allclose(log_odds(logits[:, :2], 0), logits[:, 0] - logits[:, 1], atol=1e-5)  # of two classes


def test_the_first_row_is_of_the_image_itself_and_the_others_in_the_order_of_the_masks():
    artifact = color_artifact(("bright", "dark"), SIZE)
    engine = as_image_engine(patch_engine(), artifact.preprocessing)
    masks = occlusion_masks()
    logits = masked_logits(engine, patch_image(), masks)
    assert len(logits) == len(masks) + 1
    assert logits[0, 0] == pytest.approx(8 * 8 * 3)
    (covering,) = np.nonzero(masks[:, 5, 9])
    assert logits[1 + covering, 0].max() < logits[0, 0] - 20
    (apart,) = np.nonzero(masks[:, 4:8, 8:12].sum((1, 2)) == 0)
    assert np.allclose(logits[1 + apart, 0], logits[0, 0])


def test_an_exception_of_the_check_ends_the_computation():
    engine = patch_engine()
    calls = []

    def check():
        calls.append(1)
        if len(calls) == 3:
            raise EngineError("abandoned")

    with pytest.raises(EngineError, match="abandoned"):
        masked_logits(as_image_engine(engine, color_artifact().preprocessing), patch_image(), occlusion_masks(), check)
    assert len(engine.batches) <= 2


class PendingEngine:
    """Image engine whose batches are computed when their result is needed."""

    def __init__(self):
        self.pending = self.most = 0

    def submit(self, images, batch_size):
        engine = self

        class Computing(Future):
            def result(self, timeout=None):
                if not self.done():
                    engine.pending -= 1
                    self.set_result(images.mean((1, 2), np.float32))
                return super().result(timeout)

        self.pending += 1
        self.most = max(self.most, self.pending)
        return Computing()


@pytest.mark.parametrize(("max_batches", "most"), [(None, 13), (3, 3), (1, 1)])
def test_the_engine_has_all_batches_at_once_unless_they_are_limited(max_batches, most):
    engine, masks = PendingEngine(), occlusion_masks()
    logits = masked_logits(engine, patch_image(), masks, max_batches=max_batches)
    assert (logits.shape, engine.most) == ((1 + len(masks), 3), most)


def test_occlusion_equals_that_of_captum(tmp_path):
    """Captum's windows begin at multiples of the stride, so they are ours; its fill is our blurred image."""
    folder = write_checkpoint(tmp_path / "fruit")
    checkpoint = levit.read_checkpoint(folder)
    network, preprocessing = levit.load_checkpoint(checkpoint), checkpoint.preprocessing
    pixels = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    stride = SIZE // CELLS

    def forward(values: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            logits = network(values).logits.numpy()
        return torch.from_numpy(log_odds(logits, 3))

    images = [torch.from_numpy(normalize(image[None], preprocessing)) for image in (pixels, blur(pixels))]
    expected = (
        Occlusion(forward)
        .attribute(
            images[0],
            sliding_window_shapes=(3, WINDOW * stride, WINDOW * stride),
            strides=(3, stride, stride),
            baselines=images[1],
            perturbations_per_eval=16,
        )[0, 0]
        .numpy()
    )
    with levit.Classifier(folder, precision="fp32") as classifier:
        engine = as_image_engine(classifier.engine, preprocessing)
        masks = occlusion_masks()
        actual = occlusion_map(log_odds(masked_logits(engine, pixels, masks), 3), masks)
    assert np.allclose(np.repeat(np.repeat(actual, stride, 0), stride, 1), expected, atol=1e-5)
    assert np.abs(expected).max() > 1e-3
