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
    """On the validation images; benchmarks/embedded_accuracy.py evaluates the test images, too."""
    with pytest.warns(levit.LevitWarning, match="was calibrated on these images"):
        evaluation = levit.evaluate(None, shared_data / "photos-val.parquet")
    recorded = levit.Classifier().artifact.accuracy
    assert (evaluation.num_evaluated, evaluation.sha256) == (recorded.images, recorded.sha256)
    assert abs(evaluation.top1.value - recorded.top1) < 0.006  # bf16 between int8 layers differs by processor
    assert evaluation.calibration.error < 0.1


@pytest.mark.slow
def test_the_training_weights_of_the_embedded_model_have_its_accuracy(shared_data, tmp_path):
    embedded = levit.Classifier().artifact
    levit.export("embedded", tmp_path / "single.onnx", image_size=embedded.preprocessing.output_size)
    evaluation = levit.evaluate(tmp_path / "single.onnx", shared_data / "photos-val.parquet")
    assert abs(evaluation.top1.value - embedded.accuracy.top1) < 0.01


def test_every_photo_has_a_prediction(shared_data):
    photos = sorted((shared_data / "photos").iterdir())
    predictions = list(levit.Classifier().stream(photos))
    assert [prediction.source for prediction in predictions] == [str(photo) for photo in photos]
    assert not [prediction.error for prediction in predictions if prediction.error]
