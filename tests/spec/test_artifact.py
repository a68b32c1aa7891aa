import json
from dataclasses import replace

import pytest

from levit.errors import CheckpointError
from levit.runtime.model_info import describe
from levit.spec.architecture import Architecture
from levit.spec.artifact import Accuracy, Artifact, Quantization, Rejection, Source, TrainingImages
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
    images = TrainingImages(hashes="AQAAAAAAAAA=", fraction=0.25)
    artifact = replace(ARTIFACT, accuracy=ACCURACY, is_multi_label=True, training_images=images)
    assert Artifact.from_metadata({"author": "Ada", **artifact.to_metadata()}) == artifact


def test_accuracies_and_rates_are_fractions_in_the_metadata_too():
    quantization = Quantization(
        data="train", sha256="2" * 64, images=10, float_layers=("stem",), agreement=0.875, max_logit_difference=0.5,
        is_in_sample=False, fp32=ACCURACY,
    )  # fmt: skip
    rejection = Rejection(
        temperature=1.5,
        threshold=0.5,
        coverage=0.75,
        precision=0.5,
        data="val",
        sha256="1" * 64,
        images=10,
        is_in_sample=False,
    )
    artifact = replace(ARTIFACT, accuracy=ACCURACY, quantization=quantization, rejection=rejection)
    stored = {name: json.loads(value) for name, value in artifact.to_metadata().items()}
    assert stored["levit.accuracy"]["top1"] == 0.415
    assert (stored["levit.quantization"]["agreement"], stored["levit.quantization"]["fp32"]["top5"]) == (0.875, 0.6875)
    assert (stored["levit.rejection"]["coverage"], stored["levit.rejection"]["precision"]) == (0.75, 0.5)
    assert stored["levit.rejection"]["threshold"] == 0.5
    assert Artifact.from_metadata(artifact.to_metadata()) == artifact


def test_metadata_are_readable_text():
    metadata = ARTIFACT.to_metadata()
    assert all(isinstance(value, str) for value in metadata.values())
    assert metadata["levit.labels"] == '["Käfer", "bee"]'


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"levit.format_version": None}, "not exported by levit"),
        ({"levit.format_version": "99"}, "pip install --upgrade levit"),
        ({"levit.format_version": "1"}, "damaged"),
        ({"levit.is_multi_label": None}, "damaged"),
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


MEASURED = {
    "top1": 0.4,
    "top5": 0.7,
    "images": 10,
    "data": "val",
    "sha256": "0",
    "engine": "openvino",
    "precision": "fp32",
}
REJECTION = {
    "temperature": 1.5, "threshold": 0.5, "coverage": 0.9, "precision": 0.8, "data": "val", "sha256": "0", "images": 10,
    "is_in_sample": False,
}  # fmt: skip
QUANTIZATION = {
    "data": "val", "sha256": "0", "images": 10, "float_layers": ["a"], "agreement": 0.99, "max_logit_difference": 0.1,
    "is_in_sample": True, "fp32": None,
}  # fmt: skip
RECORDS = ("accuracy", "rejection", "quantization", "training_images")
HUGE = int("9" * 4000)
NO_VALUES = [None, "x", True, -1, float("nan"), float("inf"), HUGE, [1], {"a": 1}]


def read_with(name, value):
    return Artifact.from_metadata(ARTIFACT.to_metadata() | {f"levit.{name}": json.dumps(value)})


def test_records_with_valid_values_are_read():
    assert read_with("rejection", REJECTION).rejection.coverage == 0.9
    assert read_with("quantization", QUANTIZATION | {"fp32": MEASURED}).quantization.fp32.top1 == 0.4


def test_the_embedded_model_has_its_accuracy_threshold_and_quantization_inside():
    artifact = describe(None)[0]
    assert artifact.quantization.images == 1000
    assert not artifact.quantization.is_in_sample
    assert abs(artifact.quantization.fp32.top1 - artifact.accuracy.top1) < 0.005
    assert 0 < artifact.rejection.threshold < artifact.rejection.precision < 1


@pytest.mark.parametrize("value", [*NO_VALUES, 0])
def test_a_temperature_that_is_not_above_0_is_an_error(value):
    with pytest.raises(CheckpointError, match=r"damaged levit\.\* metadata \(rejection\.temperature: ") as caught:
        read_with("rejection", REJECTION | {"temperature": value})
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("name", ["threshold", "coverage", "precision"])
@pytest.mark.parametrize("value", [*NO_VALUES, 101])
def test_a_fraction_outside_0_to_1_is_an_error(name, value):
    with pytest.raises(CheckpointError, match=r"damaged levit\.\* metadata"):
        read_with("rejection", REJECTION | {name: value})


@pytest.mark.parametrize(
    ("record", "values"),
    [
        ("accuracy", MEASURED),
        ("rejection", REJECTION),
        ("quantization", QUANTIZATION),
        ("training_images", {"hashes": "AQAAAAAAAAA=", "fraction": 0.5}),
    ],
)
def test_no_field_of_a_record_may_have_a_value_of_another_type(record, values):
    for name in values:
        for value in (*NO_VALUES, 0.5):
            metadata = ARTIFACT.to_metadata() | {f"levit.{record}": json.dumps(values | {name: value})}
            try:
                fields = vars(getattr(Artifact.from_metadata(metadata), record))
            except CheckpointError as error:
                assert "damaged levit.* metadata" in str(error)  # noqa: PT017  # either outcome is right
            else:
                assert isinstance(fields[name], str) == isinstance(values[name], str), (name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("is_multi_label", value) for value in NO_VALUES if value is not True),
        *(("precision", value) for value in (*NO_VALUES, "int4")),
        *(("labels", value) for value in (*NO_VALUES, ["a"] * 1000, ["a", 3])),
        *(("format_version", value) for value in (*NO_VALUES, 0) if value is not HUGE),
        *(("producer", value) for value in NO_VALUES if value != "x"),
        *(("source", {"name": value, "dialect": "timm"}) for value in NO_VALUES if value != "x"),
        *(("architecture", value) for value in NO_VALUES),
        *(("preprocessing", value) for value in NO_VALUES),
        *((name, value) for name in RECORDS for value in ([], "", 0, False, {})),
        ("architecture", ARTIFACT.architecture.to_dict() | {"downsamples": [3, 4]}),
        ("architecture", ARTIFACT.architecture.to_dict() | {"downsamples": [{"heads": 3}, {"heads": 3}]}),
        ("preprocessing", ARTIFACT.preprocessing.to_dict() | {"crop": [64, 64]}),
    ],
)
def test_metadata_of_another_type_or_range_are_an_error_of_one_short_line(name, value):
    with pytest.raises(CheckpointError, match=r"damaged levit\.\* metadata") as caught:
        read_with(name, value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


# Values that are valid; every other value of a field is an error.
ACCEPTED = {
    "architecture": [
        ("downsamples", None),  # those of the paper
        ("stem_activation", None),
        ("attention_activation", None),
        ("stem_channels", None),
        *((name, True) for name in ("stem_batch_norm", "mlp_batch_norm", "head_batch_norm", "has_attention_masks")),
    ],
    "preprocessing": [("resize", None), ("rescale", None), ("rescale", -1)],
}


@pytest.mark.parametrize("record", ["architecture", "preprocessing"])
def test_every_field_of_the_description_is_checked_whatever_its_type(record):
    values = getattr(ARTIFACT, record).to_dict()
    accepted, messages = [], []
    for name in values:
        for value in NO_VALUES:
            metadata = ARTIFACT.to_metadata() | {f"levit.{record}": json.dumps(values | {name: value})}
            try:
                artifact = Artifact.from_metadata(metadata)
            except CheckpointError as error:
                messages.append(str(error))
            else:
                accepted.append((name, value))
                assert Artifact.from_metadata(artifact.to_metadata()) == artifact
                assert value is None or getattr(getattr(artifact, record), name) == value
    assert all("damaged levit.* metadata" in message and "\n" not in message for message in messages)
    assert max(map(len, messages)) < 400
    assert accepted == sorted(ACCEPTED[record], key=lambda pair: list(values).index(pair[0]))


def test_deeply_nested_metadata_are_an_error():
    metadata = ARTIFACT.to_metadata() | {"levit.source": "[" * 100_000}
    with pytest.raises(CheckpointError, match="damaged"):
        Artifact.from_metadata(metadata)
