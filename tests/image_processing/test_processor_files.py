"""Image processors in files, in other processes, copied, compiled, and under the deprecated name."""

import copy
import json
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from levit import ConfigError, LevitFeatureExtractor, LevitImageProcessor, LevitImageProcessorFast
from levit.checkpoints.transformers_configuration import preprocessing_from_config
from levit.images.transform import normalize, preprocess
from tests.conftest import GOLDEN

OURS = [LevitImageProcessor, LevitImageProcessorFast]
IMAGE = np.random.default_rng(0).integers(0, 256, (70, 50, 3), np.uint8)
UNUSUAL = {
    "do_resize": True,
    "size": {"shortest_edge": 40},
    "resample": 2,
    "do_center_crop": True,
    "crop_size": {"height": 32, "width": 48},
    "do_rescale": True,
    "rescale_factor": 1 / 127.5,
    "do_normalize": True,
    "image_mean": [0.1, 0.2, 0.3],
    "image_std": [0.4, 0.5, 0.6],
}

# Content of the files on the hub, and of files that older releases of transformers wrote.
HUB = {
    "crop_size": {"height": 224, "width": 224},
    "do_center_crop": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "feature_extractor_type": "LevitFeatureExtractor",
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"shortest_edge": 224},
}
OLDER_FILES = {
    "of the hub": HUB,
    "of numbers": {**HUB, "size": 224, "crop_size": 224},
    "of the slow class": {**HUB, "image_processor_type": "LevitImageProcessor", "_valid_processor_keys": ["images"]},
    "of the fast class": {
        **HUB,
        "image_processor_type": "LevitImageProcessorFast",
        "data_format": "channels_first",
        "default_to_square": False,
        "device": None,
        "disable_grouping": None,
    },
    "empty": {},
}


def values(processor, image=IMAGE) -> np.ndarray:
    return processor(image, return_tensors="np")["pixel_values"]


def written(folder) -> dict:
    return json.loads((folder / "preprocessor_config.json").read_text())


@pytest.mark.parametrize("cls", OURS)
@pytest.mark.parametrize("options", [{}, UNUSUAL, {"size": {"height": 30, "width": 40}, "do_center_crop": None}])
def test_a_saved_processor_is_read_with_equal_values(tmp_path, cls, options):
    processor = cls(**options)
    assert processor.save_pretrained(tmp_path) == [str(tmp_path / "preprocessor_config.json")]
    assert written(tmp_path) | options == written(tmp_path)
    for other in OURS:
        assert other.from_pretrained(tmp_path).to_dict() == processor.to_dict()
    np.testing.assert_array_equal(values(cls.from_pretrained(tmp_path)), values(processor))


@pytest.mark.parametrize("saved_by", OURS)
@pytest.mark.parametrize("options", [{}, UNUSUAL])
def test_stock_transformers_reads_a_saved_processor_with_equal_values(tmp_path, saved_by, options):
    saved_by(**options).save_pretrained(tmp_path)
    for cls, backend in zip(OURS, ("pil", "torchvision"), strict=True):
        name = "LevitImageProcessorPil" if backend == "pil" else "LevitImageProcessor"
        stock = getattr(transformers, name).from_pretrained(tmp_path)
        np.testing.assert_array_equal(values(cls(**options)), values(stock))


@pytest.mark.slow
def test_the_auto_class_of_transformers_opens_saved_processors(tmp_path):
    """In a new process, in which `levit.register()` was not called."""
    np.save(tmp_path / "image.npy", IMAGE)
    for cls in OURS:
        cls(**UNUSUAL).save_pretrained(tmp_path / cls.__name__)
    script = f"""
import numpy as np, transformers
image = np.load({str(tmp_path / "image.npy")!r})
for name in {[cls.__name__ for cls in OURS]}:
    for backend in ("pil", "torchvision"):
        processor = transformers.AutoImageProcessor.from_pretrained({str(tmp_path)!r} + "/" + name, backend=backend)
        assert type(processor).__module__.startswith("transformers."), type(processor)
        np.save(f"{tmp_path}/{{name}}/{{backend}}.npy", processor(image, return_tensors="np")["pixel_values"])
"""
    subprocess.run([sys.executable, "-c", script], check=True)
    for saved_by in OURS:
        for cls, backend in zip(OURS, ("pil", "torchvision"), strict=True):
            actual = np.load(tmp_path / saved_by.__name__ / f"{backend}.npy")
            np.testing.assert_array_equal(actual, values(cls(**UNUSUAL)))


@pytest.mark.parametrize("options", [{}, UNUSUAL, {"do_resize": False}, {"do_rescale": False, "do_normalize": False}])
def test_the_runtime_without_torch_reads_a_saved_processor_with_equal_values(tmp_path, options):
    processor = LevitImageProcessor(**options)
    processor.save_pretrained(tmp_path)
    preprocessing = preprocessing_from_config(written(tmp_path), (224, 224))
    actual = normalize(preprocess(Image.fromarray(IMAGE), preprocessing)[None], preprocessing)
    np.testing.assert_array_equal(actual, values(processor))


@pytest.mark.parametrize("cls", OURS)
@pytest.mark.parametrize("name", OLDER_FILES)
def test_files_of_older_releases_are_read(tmp_path, cls, name):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(OLDER_FILES[name]))
    processor = cls.from_pretrained(tmp_path)
    np.testing.assert_array_equal(values(processor), values(cls()))
    processor.save_pretrained(tmp_path)
    assert written(tmp_path)["image_processor_type"] == "LevitImageProcessor"
    assert written(tmp_path)["size"] == {"shortest_edge": 224}


@pytest.mark.parametrize("cls", OURS)
def test_options_of_a_file_can_be_overridden_and_are_validated(tmp_path, cls):
    cls().save_pretrained(tmp_path)
    changed, unused = cls.from_pretrained(tmp_path, size={"shortest_edge": 40}, foo=1, return_unused_kwargs=True)
    assert changed.size == {"shortest_edge": 40}
    assert unused["foo"] == 1
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"resample": 9}))
    with pytest.raises(ConfigError, match=r"^resample: 9 is invalid: use the index of a filter of Pillow"):
        cls.from_pretrained(tmp_path)


@pytest.mark.parametrize("cls", OURS)
def test_the_golden_checkpoint_is_opened(cls):
    assert cls.from_pretrained(GOLDEN / "tiny" / "transformers").crop_size == {"height": 112, "width": 112}


@pytest.mark.parametrize("cls", OURS)
def test_copies_compute_the_same_values(cls):
    processor = cls(**UNUSUAL)
    values(processor)  # fills caches, if there are any
    for twin in (copy.deepcopy(processor), pickle.loads(pickle.dumps(processor))):
        assert twin.to_dict() == processor.to_dict()
        np.testing.assert_array_equal(values(twin), values(processor))
    twin.size["shortest_edge"] = 1
    assert cls().size == {"shortest_edge": 224}
    assert cls().to_dict() == cls.from_dict(cls().to_dict()).to_dict()


@pytest.mark.parametrize("cls", OURS)
def test_threads_share_a_processor(cls):
    processor = cls()
    images = [np.roll(IMAGE, number, axis=0) for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        actual = list(pool.map(lambda image: values(processor, image), images))
    np.testing.assert_array_equal(np.concatenate(actual), values(processor, images))


def test_the_deprecated_name_is_a_class_with_a_warning(tmp_path):
    with pytest.warns(FutureWarning, match=r"^LevitFeatureExtractor is deprecated: use LevitImageProcessor$") as caught:
        extractor = LevitFeatureExtractor(**UNUSUAL)
    assert caught[0].filename == __file__
    assert isinstance(extractor, LevitImageProcessor)
    np.testing.assert_array_equal(values(extractor), values(LevitImageProcessor(**UNUSUAL)))
    extractor.save_pretrained(tmp_path)
    assert written(tmp_path)["image_processor_type"] == "LevitImageProcessor"
    with pytest.warns(FutureWarning):
        assert LevitFeatureExtractor.from_pretrained(tmp_path).to_dict() == extractor.to_dict()


@pytest.mark.slow
def test_without_torchvision_the_pillow_class_works_and_the_error_of_the_other_states_what_to_install(tmp_path):
    np.save(tmp_path / "image.npy", IMAGE)
    script = f"""
import sys
sys.modules["torchvision"] = None
import numpy as np, levit
actual = levit.LevitImageProcessor()(np.load({str(tmp_path / "image.npy")!r}), return_tensors="pt")["pixel_values"]
np.save({str(tmp_path / "actual.npy")!r}, actual)
try:
    levit.LevitImageProcessorFast()
except ImportError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert run.stdout == 'LevitImageProcessorFast needs torchvision: pip install "levit[torch]"\n'
    np.testing.assert_array_equal(np.load(tmp_path / "actual.npy"), values(LevitImageProcessor()))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the compiler
def test_the_processing_of_tensors_can_be_compiled():
    torch.compiler.reset()
    processor = LevitImageProcessorFast()
    image = torch.from_numpy(IMAGE).permute(2, 0, 1)
    expected = processor(image, return_tensors="pt")["pixel_values"]
    actual = torch.compile(processor)(image, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(actual, expected, atol=2.01 / 255 / 0.224, rtol=0)
