"""Tables of fields."""

from dataclasses import replace

from levit.cli.output import accuracy_fields, print_fields
from levit.spec.artifact import Accuracy, Quantization
from tests.runtime.small_model import color_artifact


def test_fields_are_printed_one_per_line_without_markup(capsys):
    print_fields({"model": "a [b] c", "size": "12 MB"})
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == ["model  a [b] c", "size   12 MB"]


def test_control_characters_in_fields_are_escaped(capsys):
    print_fields({"class\x1b[2J": "cat\x1b]0;title\x07\nclasses 9"})
    assert capsys.readouterr().out.rstrip() == "class\\x1b[2J  cat\\x1b]0;title\\x07\\nclasses 9"


def measured(**quantization):
    accuracy = Accuracy(
        top1=0.5, top5=1.0, images=100, data="val", sha256="0" * 64, engine="openvino", precision="int8"
    )
    values = {"data": "train", "sha256": "1" * 64, "images": 20, "agreement": 0.9, "max_logit_difference": 0.25}
    record = Quantization(**(values | {"float_layers": (), "fp32": accuracy} | quantization))
    return accuracy_fields(replace(color_artifact(), precision="int8", accuracy=accuracy, quantization=record))


def test_figures_of_images_that_chose_the_layers_are_called_optimistic():
    fields = measured(is_in_sample=False)
    assert fields["quantized"].endswith("of train; agreement with fp32 90.0 %, maximum logit difference 0.25")
    assert fields["float layers"] == "head only"
    fields = measured(is_in_sample=True, float_layers=("stem.convolution1",))
    expected = "head, stem.convolution1; selected on val, so the int8 accuracy is optimistic"
    assert fields["float layers"] == expected
    fields = measured(is_in_sample=True, fp32=None)
    assert fields["quantized"].endswith("difference 0.25 (measured on the same images)")
