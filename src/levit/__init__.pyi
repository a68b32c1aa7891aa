"""Public names of levit: type checkers read this list, and `__init__.py` imports each name on first use."""

from levit.benchmarking.benchmark import benchmark as benchmark
from levit.checkpoints.checkpoint import Checkpoint as Checkpoint
from levit.checkpoints.reading import read_checkpoint as read_checkpoint
from levit.checkpoints.writing import convert as convert
from levit.data.open_data import open_data as open_data
from levit.errors import CheckpointError as CheckpointError
from levit.errors import ConfigError as ConfigError
from levit.errors import DataError as DataError
from levit.errors import EngineError as EngineError
from levit.errors import ExportError as ExportError
from levit.errors import ImageError as ImageError
from levit.errors import LevitError as LevitError
from levit.errors import LevitWarning as LevitWarning
from levit.evaluation.inspect_data import inspect as inspect
from levit.evaluation.split_data import SplitReport as SplitReport
from levit.evaluation.split_data import split_data as split_data
from levit.explaining.explain import Explainer as Explainer
from levit.explaining.explain import explain as explain
from levit.explaining.explanation import Explanation as Explanation
from levit.exporting.calibrate import calibrate as calibrate
from levit.exporting.export import export as export
from levit.image_processing.processor import LevitFeatureExtractor as LevitFeatureExtractor
from levit.image_processing.processor import LevitImageProcessor as LevitImageProcessor
from levit.image_processing.processor import LevitImageProcessorFast as LevitImageProcessorFast
from levit.image_processing.processor import LevitImageProcessorPil as LevitImageProcessorPil
from levit.model.backbone import LevitBackbone as LevitBackbone
from levit.model.backbone import LevitModel as LevitModel
from levit.model.config import LevitConfig as LevitConfig
from levit.model.image_classification import (
    LevitForImageClassification as LevitForImageClassification,
)
from levit.model.image_classification import (
    LevitForImageClassificationWithTeacher as LevitForImageClassificationWithTeacher,
)
from levit.model.image_classification import (
    LevitForImageClassificationWithTeacherOutput as LevitForImageClassificationWithTeacherOutput,
)
from levit.model.loading import load_checkpoint as load_checkpoint
from levit.model.loading import load_image_processor as load_image_processor
from levit.model.pretrained import LevitPreTrainedModel as LevitPreTrainedModel
from levit.model.registration import register as register
from levit.reporting.evaluate import evaluate as evaluate
from levit.reporting.evaluate import evaluate_multi_label as evaluate_multi_label
from levit.runtime.classifier import Classifier as Classifier
from levit.runtime.engine import open_engine as open_engine
from levit.runtime.prediction import Embedding as Embedding
from levit.runtime.prediction import Label as Label
from levit.runtime.prediction import Prediction as Prediction
from levit.sparsifying.sparsify import sparsify as sparsify
from levit.spec.architecture import Architecture as Architecture
from levit.training.callbacks import Callback as Callback
from levit.training.callbacks import StepReport as StepReport
from levit.training.options import TrainingOptions as TrainingOptions
from levit.training.progress import Progress as Progress
from levit.training.train import train as train

__version__: str
