import json
from dataclasses import replace

import pytest

from levit.errors import CheckpointError
from levit.spec.architecture import Architecture
from levit.spec.artifact import Accuracy, Artifact, Quantization, Rejection, Source
from levit.spec.preprocessing import Preprocessing

ARTIFACT = Artifact(
    architecture=Architecture(num_labels=2),
    preprocessing=Preprocessing.for_image_size((224, 224)),
    labels=("Käfer", "bee"),
    precision="fp16",
    source=Source(name="insects", dialect="transformers", sha256="0" * 64),
    producer="levit 0",
)
ACCURACY = Accuracy(
    top1=0.415, top5=0.6875, images=10_000, data="val.parquet", sha256="1" * 64, engine="openvino", precision="bf16"
)


def test_to_metadata_and_from_metadata_are_inverse_with_other_keys_present():
    artifact = replace(ARTIFACT, accuracy=ACCURACY, is_multi_label=True)
    assert Artifact.from_metadata({"author": "Ada", **artifact.to_metadata()}) == artifact


def test_accuracies_are_fractions_and_stored_in_per_cent():
    quantization = Quantization(
        data="train", sha256="2" * 64, images=10, float_layers=("stem",), agreement=0.875, max_logit_difference=0.5,
        fp32=ACCURACY,
    )  # fmt: skip
    rejection = Rejection(
        temperature=1.5, threshold=0.5, coverage=0.75, precision=0.5, data="val", sha256="1" * 64, images=10
    )
    artifact = replace(ARTIFACT, accuracy=ACCURACY, quantization=quantization, rejection=rejection)
    stored = {name: json.loads(value) for name, value in artifact.to_metadata().items()}
    assert stored["levit.accuracy"]["top1"] == 41.5
    assert (stored["levit.quantization"]["agreement"], stored["levit.quantization"]["fp32"]["top5"]) == (87.5, 68.75)
    assert (stored["levit.rejection"]["coverage"], stored["levit.rejection"]["precision"]) == (75, 50)
    assert stored["levit.rejection"]["threshold"] == 0.5
    assert Artifact.from_metadata(artifact.to_metadata()) == artifact


def test_metadata_without_is_multi_label_mean_one_label_per_image():
    metadata = ARTIFACT.to_metadata()
    del metadata["levit.is_multi_label"]
    assert Artifact.from_metadata(metadata) == ARTIFACT


def test_metadata_are_readable_text():
    metadata = ARTIFACT.to_metadata()
    assert all(isinstance(value, str) for value in metadata.values())
    assert metadata["levit.labels"] == '["Käfer", "bee"]'


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"levit.format_version": None}, "not exported by levit"),
        ({"levit.format_version": "99"}, "pip install --upgrade levit"),
        ({"levit.labels": None}, "damaged"),
        ({"levit.architecture": "[]"}, "damaged"),
        ({"levit.labels": "[oops"}, "damaged"),
        ({"levit.source": json.dumps({"nam": "x"})}, "damaged"),
        ({"levit.architecture": json.dumps({"depths": [1]})}, "damaged"),
    ],
)
def test_metadata_that_cannot_be_read_are_an_error_of_one_line(change, match):
    metadata = {name: value for name, value in (ARTIFACT.to_metadata() | change).items() if value is not None}
    with pytest.raises(CheckpointError, match=match) as caught:
        Artifact.from_metadata(metadata)
    assert "\n" not in str(caught.value)
