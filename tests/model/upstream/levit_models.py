"""transformers' common tests of all models, for the classes of this package.

`test_upstream.py` copies this file beside `test_modeling_common.py` of transformers and runs it there.
"""

import unittest

import levit

from .test_backbone_common import BackboneTesterMixin
from .test_configuration_common import ConfigTester
from .test_modeling_common import ModelTesterMixin, floats_tensor, ids_tensor


class LevitModelTester:
    """Small network and its inputs, with the attributes that the mixins require."""

    num_hidden_layers = 5  # attention blocks: one in each stage and one between each two
    expected_num_hidden_layers = 4  # hidden states: the stem and three stages
    num_attention_heads = 2
    seq_length = 16
    hidden_size = 16
    batch_size = 4
    num_labels = 3
    image_size = 64
    is_training = True
    vocab_size = 99  # read by a mixin, without effect

    def __init__(self, parent):
        self.parent = parent

    def get_config(self):
        return levit.LevitConfig(
            image_size=64,
            hidden_sizes=[16, 24, 32],
            num_attention_heads=[2, 2, 2],
            depths=[1, 1, 1],
            key_dim=[4, 4, 4],
            num_labels=self.num_labels,
            out_features=["stage1", "stage3"],
        )

    def prepare_config_and_inputs(self):
        pixel_values = floats_tensor([self.batch_size, 3, self.image_size, self.image_size])
        labels = ids_tensor([self.batch_size], self.num_labels)
        return self.get_config(), pixel_values, labels

    def prepare_config_and_inputs_for_common(self):
        config, pixel_values, _ = self.prepare_config_and_inputs()
        return config, {"pixel_values": pixel_values}


class LevitModelTest(ModelTesterMixin, unittest.TestCase):
    all_model_classes = (levit.LevitModel, levit.LevitForImageClassification)
    test_resize_embeddings = False
    test_can_init_all_missing_weights_before_2023 = True

    def setUp(self):
        self.model_tester = LevitModelTester(self)


class LevitWithTeacherTest(ModelTesterMixin, unittest.TestCase):
    all_model_classes = (levit.LevitForImageClassificationWithTeacher,)
    test_resize_embeddings = False
    test_can_init_all_missing_weights_before_2023 = True

    def setUp(self):
        self.model_tester = LevitModelTester(self)


class LevitBackboneTest(BackboneTesterMixin, unittest.TestCase):
    all_model_classes = (levit.LevitBackbone,)
    config_class = levit.LevitConfig

    def setUp(self):
        self.model_tester = LevitModelTester(self)


class LevitConfigTest(unittest.TestCase):
    def test_config(self):
        ConfigTester(
            self, config_class=levit.LevitConfig, has_text_modality=False, common_properties=[]
        ).run_common_tests()
