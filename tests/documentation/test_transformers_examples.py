"""Examples of transformers' documentation of LeViT, with the classes of this package and random weights."""

import pytest

# From https://huggingface.co/docs/transformers/model_doc/levit, with assertions about the results.
EXAMPLES = {
    "LevitConfig": """
from levit import LevitConfig, LevitModel

configuration = LevitConfig()
model = LevitModel(configuration)
assert model.config is configuration
assert configuration.image_size == 224 and configuration.hidden_sizes == [128, 256, 384]
""",
    "LevitModel": """
import torch
from levit import LevitImageProcessor, LevitModel
from PIL import Image

processor = LevitImageProcessor.from_pretrained("facebook/levit-128S")
model = LevitModel.from_pretrained("facebook/levit-128S")
inputs = processor(Image.open("cat.jpg"), return_tensors="pt")
with torch.no_grad():
    outputs = model(**inputs)
assert list(outputs.last_hidden_state.shape) == [1, 16, 384]
""",
    "LevitForImageClassification": """
import torch
from levit import LevitForImageClassification, LevitImageProcessor
from PIL import Image

processor = LevitImageProcessor.from_pretrained("facebook/levit-128S")
model = LevitForImageClassification.from_pretrained("facebook/levit-128S")
inputs = processor(Image.open("cat.jpg"), return_tensors="pt")
with torch.no_grad():
    logits = model(**inputs).logits
predicted = logits.argmax(-1).item()
assert logits.shape == (1, 1000) and isinstance(model.config.id2label[predicted], str)
""",
    "LevitForImageClassificationWithTeacher": """
import torch
from levit import LevitFeatureExtractor, LevitForImageClassificationWithTeacher, LevitImageProcessorFast
from PIL import Image

processor = LevitImageProcessorFast.from_pretrained("facebook/levit-128S")
model = LevitForImageClassificationWithTeacher.from_pretrained("facebook/levit-128S")
inputs = processor(Image.open("cat.jpg"), return_tensors="pt")
with torch.no_grad():
    outputs = model(**inputs)
assert torch.equal(outputs.logits, (outputs.cls_logits + outputs.distillation_logits) / 2)
old = LevitFeatureExtractor.from_pretrained("facebook/levit-128S")
assert old(Image.open("cat.jpg"), return_tensors="pt")["pixel_values"].shape == (1, 3, 224, 224)
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_of_transformers_runs(run, tmp_path, name):
    (tmp_path / "example.py").write_text(EXAMPLES[name])
    run("example.py")
