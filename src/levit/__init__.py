"""LeViT: checkpoints, network, and a runtime that classifies images without torch.

Names are loaded on first use, so that `import levit` is instant and needs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from levit.checkpoints.checkpoint import Checkpoint
    from levit.checkpoints.reading import read_checkpoint
    from levit.checkpoints.writing import convert
    from levit.errors import (
        CheckpointError,
        ConfigError,
        DataError,
        EngineError,
        ExportError,
        ImageError,
        LevitError,
    )
    from levit.exporting.export import export
    from levit.image_processing.processor import (
        LevitFeatureExtractor,
        LevitImageProcessor,
        LevitImageProcessorFast,
        LevitImageProcessorPil,
    )
    from levit.model.backbone import LevitBackbone, LevitModel
    from levit.model.config import LevitConfig
    from levit.model.image_classification import (
        LevitForImageClassification,
        LevitForImageClassificationWithTeacher,
        LevitForImageClassificationWithTeacherOutput,
    )
    from levit.model.loading import load_checkpoint, load_image_processor
    from levit.model.pretrained import LevitPreTrainedModel
    from levit.model.registration import register
    from levit.runtime.classifier import Classifier
    from levit.runtime.prediction import Label, Prediction
    from levit.spec.architecture import Architecture
    from levit.training.options import TrainingOptions
    from levit.training.train import train

__version__ = "0.1.0"

# Public name -> the module that has it.
_HOMES = {
    "Architecture": "levit.spec.architecture",
    "Checkpoint": "levit.checkpoints.checkpoint",
    "CheckpointError": "levit.errors",
    "Classifier": "levit.runtime.classifier",
    "ConfigError": "levit.errors",
    "DataError": "levit.errors",
    "EngineError": "levit.errors",
    "ExportError": "levit.errors",
    "ImageError": "levit.errors",
    "Label": "levit.runtime.prediction",
    "LevitBackbone": "levit.model.backbone",
    "LevitConfig": "levit.model.config",
    "LevitError": "levit.errors",
    "LevitFeatureExtractor": "levit.image_processing.processor",
    "LevitForImageClassification": "levit.model.image_classification",
    "LevitForImageClassificationWithTeacher": "levit.model.image_classification",
    "LevitForImageClassificationWithTeacherOutput": "levit.model.image_classification",
    "LevitImageProcessor": "levit.image_processing.processor",
    "LevitImageProcessorFast": "levit.image_processing.processor",
    "LevitImageProcessorPil": "levit.image_processing.processor",
    "LevitModel": "levit.model.backbone",
    "LevitPreTrainedModel": "levit.model.pretrained",
    "Prediction": "levit.runtime.prediction",
    "TrainingOptions": "levit.training.options",
    "convert": "levit.checkpoints.writing",
    "export": "levit.exporting.export",
    "load_checkpoint": "levit.model.loading",
    "load_image_processor": "levit.model.loading",
    "read_checkpoint": "levit.checkpoints.reading",
    "register": "levit.model.registration",
    "train": "levit.training.train",
}

__all__ = [
    "Architecture",
    "Checkpoint",
    "CheckpointError",
    "Classifier",
    "ConfigError",
    "DataError",
    "EngineError",
    "ExportError",
    "ImageError",
    "Label",
    "LevitBackbone",
    "LevitConfig",
    "LevitError",
    "LevitFeatureExtractor",
    "LevitForImageClassification",
    "LevitForImageClassificationWithTeacher",
    "LevitForImageClassificationWithTeacherOutput",
    "LevitImageProcessor",
    "LevitImageProcessorFast",
    "LevitImageProcessorPil",
    "LevitModel",
    "LevitPreTrainedModel",
    "Prediction",
    "TrainingOptions",
    "__version__",
    "convert",
    "export",
    "load_checkpoint",
    "load_image_processor",
    "read_checkpoint",
    "register",
    "train",
]


# What an extra brings.
_EXTRA = ("torch", "transformers", "accelerate", "timm")


def __getattr__(name: str) -> Any:
    """Load a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'levit' has no attribute {name!r}")
    try:
        value = getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        extra = "training" if _HOMES[name].startswith("levit.training.") else "torch"
        raise ImportError(f'levit.{name} needs {error.name}: pip install "levit[{extra}]"') from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
