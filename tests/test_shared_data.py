"""Trained weights and real images, where ../shared/data exists."""

import numpy as np
import pytest

import levit


@pytest.mark.slow
def test_the_exported_starter_weights_give_the_logits_of_transformers(shared_data, tmp_path):
    transformers = pytest.importorskip("transformers")
    import torch

    report = levit.export(shared_data / "starter", tmp_path / "starter.onnx")
    assert report.max_difference < 1e-5
    classify = levit.Classifier(tmp_path / "starter.onnx", precision="fp32", preprocessing="exact")
    stock = transformers.LevitForImageClassification.from_pretrained(shared_data / "starter").eval()
    processor = transformers.LevitImageProcessorPil.from_pretrained(shared_data / "starter")
    photos = sorted((shared_data / "photos").iterdir())[:12]
    from PIL import Image

    for photo, prediction in zip(photos, classify.stream(photos), strict=True):
        inputs = processor(Image.open(photo).convert("RGB"), return_tensors="pt")
        with torch.no_grad():
            expected = stock(**inputs).logits[0].numpy()
        np.testing.assert_allclose(prediction.logits, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.slow
def test_the_embedded_model_has_its_recorded_accuracy(shared_data):
    """Evaluate the first 1,000 of the 10,000 images; benchmarks/embedded_accuracy.py evaluates all."""
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(shared_data / "tiny-imagenet-val.parquet").slice(0, 1000)
    targets = table.column("label").to_pylist()
    images = (image["bytes"] for image in table.column("image").to_pylist())
    predictions = levit.Classifier().stream(images, batch_size=32)
    correct = sum(prediction.top(1)[0].index == target for prediction, target in zip(predictions, targets, strict=True))
    assert 38 < correct / 10 < 45


def test_every_photo_has_a_prediction(shared_data):
    photos = sorted((shared_data / "photos").iterdir())
    predictions = list(levit.Classifier().stream(photos))
    assert [prediction.source for prediction in predictions] == [str(photo) for photo in photos]
    assert not [prediction.error for prediction in predictions if prediction.error]
