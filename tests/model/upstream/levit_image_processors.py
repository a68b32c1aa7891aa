"""transformers' common tests of all image processors, for the classes of this package.

`test_upstream.py` copies this file beside `test_image_processing_common.py` of transformers and runs it there.
"""

import unittest
from pathlib import Path

import numpy as np
from PIL import Image

import levit

from . import test_image_processing_common
from .test_image_processing_common import ImageProcessingTester, ImageProcessingTestMixin

levit.register()

# The mixin compares the backends on a photo that it downloads; a generated image replaces it.
PHOTO = Path(__file__).parent / "photo.png"
gradient = np.linspace(0, 255, 640 * 480 * 3).reshape(480, 640, 3) + 30 * np.sin(np.arange(640))[None, :, None]
Image.fromarray(np.clip(gradient, 0, 255).astype(np.uint8)).save(PHOTO)
test_image_processing_common.load_test_image = lambda _: Image.open(PHOTO)


class LevitImageProcessingTester(ImageProcessingTester):
    """Options with which the mixin tests the classes."""

    def __init__(self, parent):
        super().__init__(
            parent,
            size={"shortest_edge": 18},
            crop_size={"height": 18, "width": 18},
            do_resize=True,
            do_center_crop=True,
            do_normalize=True,
            image_mean=[0.5, 0.5, 0.5],
            image_std=[0.5, 0.5, 0.5],
        )

    def _get_image_processing_classes(self):
        return {"torchvision": levit.LevitImageProcessorFast, "pil": levit.LevitImageProcessor}


class LevitImageProcessingTest(ImageProcessingTestMixin, unittest.TestCase):
    image_processor_tester_class = LevitImageProcessingTester
