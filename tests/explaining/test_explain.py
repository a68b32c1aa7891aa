"""Explanations as a whole: images of every kind, classes, errors, closing."""

import io
import threading
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import levit
from levit.errors import ConfigError, EngineError, ImageError
from levit.explaining.methods import METHODS
from levit.images import transform
from levit.spec.artifact import Rejection
from levit.spec.preprocessing import Preprocessing
from tests.runtime.fake_engine import FakeEngine
from tests.runtime.small_model import color_artifact

NAMES = ("red", "green", "blue")


def color_engine() -> FakeEngine:
    return FakeEngine(color_artifact(NAMES, 32), lambda batch: 20 * batch.mean((2, 3)))


def red_corner(height: int = 60, width: int = 90) -> Image.Image:
    """Gray image whose upper left quarter is red."""
    pixels = np.full((height, width, 3), 90, np.uint8)
    pixels[: height // 2, : width // 2] = (250, 10, 10)
    return Image.fromarray(pixels)


def center_of(heat: np.ndarray) -> tuple[float, float]:
    """Row and column of the center of the positive values, as fractions of height and width."""
    weights = np.maximum(heat, 0)
    rows, columns = np.mgrid[0 : heat.shape[0], 0 : heat.shape[1]]
    total = weights.sum()
    return (rows * weights).sum() / total / heat.shape[0], (columns * weights).sum() / total / heat.shape[1]


@pytest.mark.parametrize("method", ["occlusion", "rise"])
def test_the_map_shows_where_the_class_is(method):
    explanation = levit.explain(red_corner(), model=color_engine(), class_name="red", method=method)
    assert (explanation.heat.shape, explanation.heat.dtype) == ((60, 90), np.float32)
    row, column = center_of(np.where(explanation.heat > explanation.heat.max() / 2, explanation.heat, 0))
    assert row < 0.5
    assert column < 0.5
    other = levit.explain(red_corner(), model=color_engine(), class_name="green", method=method)
    assert np.corrcoef(explanation.heat.ravel(), other.heat.ravel())[0, 1] < 0


def test_the_map_of_a_photo_that_was_turned_by_its_metadata_is_upright(tmp_path):
    image = red_corner()
    turned = image.transpose(Image.Transpose.ROTATE_90)  # stored lying; orientation 6 turns it by 270 degrees
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    explanation = levit.explain(tmp_path / "turned.png", model=color_engine(), class_name="red")
    assert explanation.heat.shape == (60, 90)
    assert np.allclose(explanation.heat, levit.explain(image, model=color_engine(), class_name="red").heat)
    assert explanation.overlay().width == 90


@pytest.mark.parametrize("width", [90, 6_500])
def test_the_picture_of_a_photo_with_more_pixels_than_the_limit_is_drawn(width, tmp_path):
    red_corner(60, width).resize((10 * width, 600)).save(tmp_path / "phone.jpg")
    limit = 10 * width * 600 // 4
    artifact = replace(color_artifact(NAMES, 32), preprocessing=Preprocessing(resize=36, crop=(32, 32)))
    engine = FakeEngine(artifact, lambda batch: 20 * batch.mean((2, 3)))
    explanation = levit.explain(tmp_path / "phone.jpg", model=engine, class_name="red", max_pixels=limit)
    assert explanation.size == (600, 10 * width)
    explanation.save(tmp_path / "heat.png")
    with Image.open(tmp_path / "heat.png") as picture:
        assert picture.width == min(10 * width // 2, 1600)


def test_the_image_is_decoded_once(monkeypatch):
    calls = []
    read = transform.read_reduced_image
    monkeypatch.setattr(
        transform, "read_reduced_image", lambda *args, **limits: calls.append(1) or read(*args, **limits)
    )
    levit.explain(red_corner(), model=color_engine())
    assert len(calls) == 1


def test_every_kind_of_source_gives_the_same_map(tmp_path):
    image = red_corner()
    image.save(tmp_path / "image.png")
    content = (tmp_path / "image.png").read_bytes()
    with levit.Explainer(color_engine()) as explain:
        sources = [image, np.asarray(image), content, io.BytesIO(content), str(tmp_path / "image.png")]
        maps = [explain(source).heat for source in sources]
    assert all(np.array_equal(maps[0], other) for other in maps[1:])


def test_numpy_takes_an_explanation_as_its_map():
    explanation = levit.explain(red_corner(), model=color_engine())
    assert np.array_equal(np.asarray(explanation), explanation.heat)
    assert np.asarray(explanation, np.float64).dtype == np.float64


def test_the_best_class_and_its_score_are_those_of_the_classifier():
    with levit.Classifier(color_engine()) as classify:
        (best,) = classify(red_corner()).top(1)
    assert levit.explain(red_corner(), model=color_engine()).label == best


def test_the_best_class_of_a_rejected_image_is_unknown_but_no_class_that_was_asked_for():
    rejection = Rejection(
        temperature=1.0, threshold=0.9999, coverage=0.5, precision=0.9, data="colors", sha256="0" * 64, images=10,
        is_in_sample=True,
    )  # fmt: skip
    artifact = replace(color_artifact(NAMES, 32), rejection=rejection)
    engine = FakeEngine(artifact, lambda batch: batch.mean((2, 3)))
    best = levit.explain(red_corner(), model=engine)
    assert best.to_dict()["is_unknown"]
    assert best.title.startswith("unknown (red?) ")
    asked = levit.explain(red_corner(), model=engine, class_name="green")
    assert not asked.is_unknown
    assert asked.title.startswith("green ")


def test_values_are_a_dictionary_for_json():
    values = levit.explain(red_corner(), model=color_engine(), class_name=0).to_dict()
    assert values["label"] == {"name": "red", "index": 0, "score": values["label"]["score"]}
    assert (values["width"], values["height"]) == (90, 60)
    assert np.shape(values["values"]) == np.shape(values["relative"]) == (16, 16)
    assert np.max(values["relative"]) == 1
    assert np.min(values["relative"]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_name": "pink"}, "unknown class 'pink'"),
        ({"method": "magic"}, "method is 'magic': use occlusion, rise, cam, gradient-attention, rollout"),
        ({"method": "rise", "masks": 0}, "masks is 0: give at least 1"),
        ({"method": "rise", "seed": -1}, "seed is -1: give at least 0"),
        ({"preprocessing": "slow"}, "preprocessing is 'slow'"),
    ],
)
def test_invalid_options_are_refused_before_the_image_is_read(options, message):
    with pytest.raises(ConfigError) as error:
        levit.explain("missing.jpg", model=color_engine(), **options)
    assert str(error.value).startswith(message)


def test_a_file_that_is_no_image_is_an_image_error():
    for source, reason in (
        (__file__, "not an image"),
        ("missing.jpg", "no such file"),
        (b"no image", "not an image"),
    ):
        with pytest.raises(ImageError, match=reason):
            levit.explain(source, model=color_engine())


@pytest.mark.parametrize("method", ["cam", "gradient-attention", "rollout"])
def test_an_opened_engine_has_only_logits(method):
    with pytest.raises(EngineError, match="use `method` occlusion"):
        levit.explain(red_corner(), model=color_engine(), method=method)


def test_logits_that_are_not_finite_are_an_image_error():
    engine = FakeEngine(color_artifact(NAMES, 32), lambda batch: np.full((len(batch), 3), np.nan, np.float32))
    with pytest.raises(ImageError, match="not finite"):
        levit.explain(red_corner(), model=engine)


def test_an_explainer_is_shared_between_threads():
    results = {}
    with levit.Explainer(color_engine()) as explain:
        threads = [
            threading.Thread(target=lambda name=name: results.update({name: explain(red_corner(), class_name=name)}))
            for name in NAMES
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(results) == sorted(NAMES)
    assert all(results[name].label.name == name for name in NAMES)


def test_the_engine_of_the_caller_stays_open():
    engine = color_engine()
    levit.explain(red_corner(), model=engine)
    assert engine.run(np.zeros((1, 3, 32, 32), np.float32)).shape == (1, 3)


def test_the_number_of_passes_of_each_method():
    engine = color_engine()
    for method in ("occlusion", "rise"):
        engine.batches.clear()
        levit.explain(red_corner(), model=engine, method=method)
        assert sum(map(len, engine.batches)) == METHODS[method].passes
