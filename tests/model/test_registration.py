"""`levit.register()` in new processes, because it changes transformers for the whole process."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT


def run(code: str) -> str:
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr[-3000:]
    return process.stdout.strip()


HEAD = """
import levit, transformers
two, one = "tests/golden/tiny/transformers", "tests/golden/tiny/transformers-single"
def name(value):
    return f"{type(value).__module__.partition('.')[0]}.{type(value).__name__}"
"""


@pytest.mark.slow
def test_auto_classes_return_the_classes_of_this_package():
    out = run(
        HEAD
        + """
levit.register()
levit.register()  # a second call has no effect
print(name(transformers.AutoConfig.from_pretrained(two)))
print(name(transformers.AutoModel.from_pretrained(two)))
print(name(transformers.AutoModelForImageClassification.from_pretrained(two)))
print(name(transformers.AutoModelForImageClassification.from_pretrained(one)))
print(name(transformers.AutoModelForImageClassification.from_config(levit.LevitConfig())))
print(name(transformers.AutoBackbone.from_config(levit.LevitConfig(out_indices=[1, 2]))))
print(name(transformers.AutoImageProcessor.from_pretrained(two, backend="pil")))
print(name(transformers.AutoImageProcessor.from_pretrained(two, backend="torchvision")))
"""
    )
    assert out.split() == [
        "levit.LevitConfig",
        "levit.LevitModel",
        "levit.LevitForImageClassificationWithTeacher",
        "levit.LevitForImageClassification",
        "levit.LevitForImageClassification",
        "levit.LevitBackbone",
        "levit.LevitImageProcessor",
        "levit.LevitImageProcessorFast",
    ]


@pytest.mark.slow
def test_pipelines_use_the_classes_of_this_package():
    out = run(
        HEAD
        + """
levit.register()
classify = transformers.pipeline("image-classification", model=two)
print(name(classify.model), name(classify.image_processor).removesuffix("Fast"))
best, *_ = classify("examples/cat.jpg")
model = levit.LevitForImageClassificationWithTeacher.from_pretrained(two)
image = transformers.image_utils.load_image("examples/cat.jpg")
logits = model(**classify.image_processor(image, return_tensors="pt")).logits
print(best["label"] == model.config.id2label[int(logits.argmax())])
print(len(classify(["examples/cat.jpg"] * 3, batch_size=2)))
extract = transformers.pipeline("image-feature-extraction", model=two)
features = extract("examples/cat.jpg")
print(name(extract.model), len(features[0]), len(features[0][0]))
"""
    )
    assert out.split() == [
        "levit.LevitForImageClassificationWithTeacher",
        "levit.LevitImageProcessor",
        "True",
        "3",
        "levit.LevitModel",
        "4",
        "64",
    ]


@pytest.mark.slow
def test_auto_classes_open_networks_that_stock_transformers_refuses(tmp_path):
    out = run(
        HEAD
        + f"""
levit.register()
folder = {str(tmp_path)!r}
config = levit.LevitConfig(image_size=64, hidden_sizes=[16, 24], num_attention_heads=[2, 3], depths=[1, 1],
    key_dim=[4, 4], mlp_ratio=[2, 2], attention_ratio=[2, 2], activation="silu")
levit.LevitForImageClassificationWithTeacher(config).save_pretrained(folder)
model = transformers.AutoModelForImageClassification.from_pretrained(folder)
print(name(model), model.config.activation)
"""
    )
    assert out.split() == ["levit.LevitForImageClassificationWithTeacher", "silu"]


@pytest.mark.slow
def test_without_registration_both_libraries_work_side_by_side():
    out = run(
        HEAD
        + """
import torch
images = torch.zeros(1, 3, 112, 112)
for classes in (levit, transformers):
    model = classes.LevitForImageClassificationWithTeacher.from_pretrained(two)
    print(name(model), name(model.config), round(model(images).logits[0, 0].item(), 4))
print(name(transformers.AutoModelForImageClassification.from_pretrained(two)))
print(name(transformers.AutoImageProcessor.from_pretrained(two)).removesuffix("Pil"))
"""
    )
    ours, stock, model, processor = out.splitlines()
    assert ours.split()[:2] == ["levit.LevitForImageClassificationWithTeacher", "levit.LevitConfig"]
    assert stock.split()[:2] == ["transformers.LevitForImageClassificationWithTeacher", "transformers.LevitConfig"]
    assert ours.split()[2] == stock.split()[2]
    assert model == "transformers.LevitForImageClassificationWithTeacher"
    assert processor == "transformers.LevitImageProcessor"
