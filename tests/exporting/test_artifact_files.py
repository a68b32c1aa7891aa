import onnx
import pytest

from levit.deployment.build import build_artifact
from levit.errors import CheckpointError, ExportError
from levit.exporting.artifact_files import artifact_of, record_accuracy, record_rejection, write_model
from levit.spec.artifact import Accuracy, Rejection
from tests.conftest import random_checkpoint
from tests.runtime.small_model import SMALL

ACCURACY = Accuracy(top1=0.375, top5=0.75, images=10, data="val", sha256="0" * 64, engine="openvino", precision="fp32")
REJECTION = Rejection(
    temperature=1.5, threshold=0.6, coverage=0.8, precision=0.9, data="val", sha256="0" * 64, images=10,
    is_in_sample=False,
)  # fmt: skip


@pytest.fixture
def model():
    return build_artifact(random_checkpoint(SMALL))


def test_an_accuracy_is_recorded_and_the_network_is_not_changed(tmp_path, model):
    write_model(model, tmp_path / "x.onnx")
    record_accuracy(tmp_path / "x.onnx", ACCURACY)
    recorded = onnx.load(tmp_path / "x.onnx")
    assert artifact_of(recorded).accuracy == ACCURACY
    assert recorded.graph == model.graph
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.onnx"]


def test_metadata_of_other_programs_are_kept(tmp_path, model):
    model.metadata_props.add(key="reviewed_by", value="someone")
    write_model(model, tmp_path / "x.onnx")
    artifact = record_accuracy(tmp_path / "x.onnx", ACCURACY)
    recorded = {pair.key: pair.value for pair in onnx.load(tmp_path / "x.onnx").metadata_props}
    assert recorded == {"reviewed_by": "someone"} | artifact.to_metadata()


def test_a_rejection_keeps_the_accuracy_and_the_metadata_of_other_programs(tmp_path, model):
    model.metadata_props.add(key="reviewed_by", value="someone")
    write_model(model, tmp_path / "x.onnx")
    record_accuracy(tmp_path / "x.onnx", ACCURACY)
    artifact = record_rejection(tmp_path / "x.onnx", REJECTION)
    assert (artifact.accuracy, artifact.rejection) == (ACCURACY, REJECTION)
    recorded = {pair.key: pair.value for pair in onnx.load(tmp_path / "x.onnx").metadata_props}
    assert recorded == {"reviewed_by": "someone"} | artifact.to_metadata()


@pytest.mark.parametrize("name", ["text.onnx", "missing.onnx"])
def test_an_accuracy_is_not_recorded_in_other_files(tmp_path, name):
    (tmp_path / "text.onnx").write_text("text")
    with pytest.raises(CheckpointError, match=r"text\.onnx: not an ONNX file|missing\.onnx cannot be read"):
        record_accuracy(tmp_path / name, ACCURACY)


def test_a_file_that_cannot_be_written_raises_an_export_error(tmp_path, model):
    with pytest.raises(ExportError, match=r"x\.onnx cannot be written \(No such file or directory\)$"):
        write_model(model, tmp_path / "missing" / "x.onnx")
