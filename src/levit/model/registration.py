"""Registration of the networks and image processors with transformers' Auto classes."""

from __future__ import annotations

from transformers import (
    AutoBackbone,
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING

from levit.checkpoints.transformers_configuration import MODEL_TYPES
from levit.image_processing.processor import LevitImageProcessor, LevitImageProcessorFast
from levit.model.backbone import LevitBackbone, LevitModel
from levit.model.config import LevitConfig
from levit.model.image_classification import LevitForImageClassification, LevitForImageClassificationWithTeacher


def register() -> None:
    """Register the classes of this package with transformers' Auto classes, for this process.

    Afterwards `AutoConfig`, `AutoModel`, `AutoModelForImageClassification`, `AutoBackbone`, `AutoImageProcessor` and
    `pipeline` create the classes of this package in place of transformers' own. A file that was saved with two heads
    opens as `LevitForImageClassificationWithTeacher`. Further calls have no effect. Without registration both
    libraries work side by side, each with its own classes. (`AutoBackbone.from_pretrained` accepts only names on the
    hub: open a folder with `LevitBackbone.from_pretrained`.)

    Examples:
        >>> import levit, transformers
        >>> levit.register()
        >>> model = transformers.AutoModelForImageClassification.from_pretrained("tests/golden/tiny/transformers")
        >>> isinstance(model, levit.LevitForImageClassificationWithTeacher)
        True
    """
    AutoConfig.register(LevitConfig.model_type, LevitConfig, exist_ok=True)
    # AutoConfig.register refuses a second model type for the same class.
    CONFIG_MAPPING.register(MODEL_TYPES[1], LevitConfig, exist_ok=True)
    AutoModel.register(LevitConfig, LevitModel, exist_ok=True)
    # Two classes for one task; the `architectures` of the file selects one. AutoModel….register accepts only one.
    classifiers = (LevitForImageClassification, LevitForImageClassificationWithTeacher)
    MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING.register(LevitConfig, classifiers, exist_ok=True)
    AutoBackbone.register(LevitConfig, LevitBackbone, exist_ok=True)
    backends = {"torchvision": LevitImageProcessorFast, "pil": LevitImageProcessor}
    AutoImageProcessor.register(LevitConfig, image_processor_classes=backends, exist_ok=True)
