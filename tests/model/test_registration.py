"""`levit.register()` in a new process, because it changes transformers for the whole process."""

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT

SCRIPT = """
import json, sys
import levit, torch, transformers

folder = sys.argv[1]
two_heads, one_head = "tests/golden/tiny/transformers", "tests/golden/tiny/transformers-single"

def name(value):
    return f"{type(value).__module__.partition('.')[0]}.{type(value).__name__}"

def side_by_side():
    images = torch.zeros(1, 3, 112, 112)
    models = [
        library.LevitForImageClassificationWithTeacher.from_pretrained(two_heads) for library in (levit, transformers)
    ]
    return {
        "classes": [(name(model), name(model.config)) for model in models],
        "equal": torch.equal(*(model(images).logits for model in models)),
        "model": name(transformers.AutoModelForImageClassification.from_pretrained(two_heads)),
        "processor": name(transformers.AutoImageProcessor.from_pretrained(two_heads)).removesuffix("Pil"),
    }

def auto_classes():
    classifier, processor = transformers.AutoModelForImageClassification, transformers.AutoImageProcessor
    return [name(value) for value in (
        transformers.AutoConfig.from_pretrained(two_heads),
        transformers.AutoModel.from_pretrained(two_heads),
        classifier.from_pretrained(two_heads),
        classifier.from_pretrained(one_head),
        classifier.from_config(levit.LevitConfig()),
        transformers.AutoBackbone.from_config(levit.LevitConfig(out_indices=[1, 2])),
        processor.from_pretrained(two_heads, backend="pil"),
        processor.from_pretrained(two_heads, backend="torchvision"),
    )]

def pipelines():
    classify = transformers.pipeline("image-classification", model=two_heads)
    best, *_ = classify("examples/cat.jpg")
    model = levit.LevitForImageClassificationWithTeacher.from_pretrained(two_heads)
    image = transformers.image_utils.load_image("examples/cat.jpg")
    logits = model(**classify.image_processor(image, return_tensors="pt")).logits
    extract = transformers.pipeline("image-feature-extraction", model=two_heads)
    features = extract("examples/cat.jpg")
    return {
        "classes": [name(classify.model), name(classify.image_processor).removesuffix("Fast"), name(extract.model)],
        "best": best["label"],
        "expected": model.config.id2label[int(logits.argmax())],
        "batch": len(classify(["examples/cat.jpg"] * 3, batch_size=2)),
        "features": [len(features[0]), len(features[0][0])],
    }

def extended():
    config = levit.LevitConfig(image_size=64, hidden_sizes=[16, 24], num_attention_heads=[2, 3], depths=[1, 1],
        key_dim=[4, 4], mlp_ratio=[2, 2], attention_ratio=[2, 2], activation="silu")
    levit.LevitForImageClassificationWithTeacher(config).save_pretrained(folder)
    model = transformers.AutoModelForImageClassification.from_pretrained(folder)
    return [name(model), model.config.activation]

results = {"side_by_side": side_by_side()}
levit.register()
levit.register()  # a second call has no effect
results |= {"auto_classes": auto_classes(), "pipelines": pipelines(), "extended": extended()}
print(json.dumps(results))
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> dict:
    """Results of one process, first without and then with registration."""
    command = [sys.executable, "-c", SCRIPT, str(tmp_path_factory.mktemp("extended"))]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr[-3000:]
    return json.loads(process.stdout)


def test_without_registration_both_libraries_work_side_by_side(results):
    assert results["side_by_side"] == {
        "classes": [
            ["levit.LevitForImageClassificationWithTeacher", "levit.LevitConfig"],
            ["transformers.LevitForImageClassificationWithTeacher", "transformers.LevitConfig"],
        ],
        "equal": True,
        "model": "transformers.LevitForImageClassificationWithTeacher",
        "processor": "transformers.LevitImageProcessor",
    }


def test_auto_classes_return_the_classes_of_this_package(results):
    assert results["auto_classes"] == [
        "levit.LevitConfig",
        "levit.LevitModel",
        "levit.LevitForImageClassificationWithTeacher",
        "levit.LevitForImageClassification",
        "levit.LevitForImageClassification",
        "levit.LevitBackbone",
        "levit.LevitImageProcessor",
        "levit.LevitImageProcessorFast",
    ]


def test_pipelines_use_the_classes_of_this_package(results):
    pipelines = results["pipelines"]
    assert pipelines["classes"] == [
        "levit.LevitForImageClassificationWithTeacher",
        "levit.LevitImageProcessor",
        "levit.LevitModel",
    ]
    assert pipelines["best"] == pipelines["expected"]
    assert pipelines["batch"] == 3
    assert pipelines["features"] == [4, 64]


def test_auto_classes_open_networks_that_stock_transformers_refuses(results):
    assert results["extended"] == ["levit.LevitForImageClassificationWithTeacher", "silu"]
