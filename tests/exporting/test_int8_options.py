"""Options of int8 exports that are refused."""

import numpy as np
import pytest

from levit.errors import DataError, ExportError
from levit.exporting.export import export
from tests.conftest import EXAMPLES
from tests.runtime.small_model import write_checkpoint


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("untrained"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": "int8"}, "int8 requires quantization images: give `quantization_data`"),
        ({"weights": "int4"}, "`weights` is 'int4': use one of fp32, fp16, int8"),
        ({"weights": "fp16", "quantization_data": "x"}, "do not apply to weights in fp16"),
        (
            {"weights": "int8", "quantization_data": EXAMPLES, "max_drop": 1.0},
            "`max_drop` requires labeled images: give `evaluation`",
        ),
        *(
            (
                {"weights": "int8", "quantization_data": EXAMPLES, "evaluation": EXAMPLES, "max_drop": max_drop},
                f"`max_drop` is {max_drop:g}: use a finite number of at least 0",
            )
            for max_drop in (np.nan, np.inf, -1)
        ),
    ],
    ids=str,
)
def test_options_that_exclude_each_other_are_errors(tmp_path, untrained, options, message):
    with pytest.raises(ExportError, match=message):
        export(untrained, tmp_path / "x.onnx", **options)


def test_images_without_labels_are_refused_for_evaluation(tmp_path, untrained):
    with pytest.raises(DataError, match=r"espresso\.jpg has no label, or several"):
        export(untrained, tmp_path / "x.onnx", weights="int8", quantization_data=EXAMPLES, evaluation=EXAMPLES,
               quantization_images=2)  # fmt: skip
