"""LevitForImageClassification and LevitForImageClassificationWithTeacher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from transformers.modeling_outputs import ImageClassifierOutputWithNoAttention, ModelOutput

from levit.model.backbone import LevitModel
from levit.model.config import LevitConfig
from levit.model.layers import ClassificationHead
from levit.model.pretrained import LevitPreTrainedModel


@dataclass
class LevitForImageClassificationWithTeacherOutput(ModelOutput):
    """What `LevitForImageClassificationWithTeacher` returns.

    Attributes:
        loss: scalar; where labels were given.
        logits: [B, classes], the mean of the two heads.
        cls_logits: [B, classes], of the head that learned from the labels.
        distillation_logits: [B, classes], of the head that learned from the teacher.
        hidden_states: tuple of [B, N, C]; where asked for.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    cls_logits: Tensor | None = None
    distillation_logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None


def _build_head(config: LevitConfig) -> nn.Module:
    if not config.num_labels:
        return nn.Identity()
    return ClassificationHead(width=config.hidden_sizes[-1], num_labels=config.num_labels)


class LevitForImageClassification(LevitPreTrainedModel):
    """The network with one head.

    Args:
        config: what to build; `num_labels` 0 returns the features as logits.

    Examples:
        >>> import torch
        >>> from levit import LevitConfig, LevitForImageClassification
        >>> model = LevitForImageClassification(LevitConfig.from_variant("levit-128s", num_labels=10)).eval()
        >>> model(torch.zeros(2, 3, 224, 224)).logits.shape
        torch.Size([2, 10])
    """

    def __init__(self, config: LevitConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.levit = LevitModel(config)
        self.classifier = _build_head(config)
        self.post_init()

    def forward(
        self,
        pixel_values: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> tuple[Any, ...] | ImageClassifierOutputWithNoAttention:
        """Logits of a batch of images.

        Args:
            pixel_values: [B, channels, height, width], normalised.
            labels: for the loss: int64 [B] for cross-entropy; float [B, classes] for binary cross-entropy of several
                labels an image; float [B] for the squared error of one output (`config.problem_type` decides where
                the shapes leave it open).
            output_hidden_states: also return the tokens after the stem and after each stage.
            return_dict: False for a plain tuple; default `config.return_dict`.
            **kwargs: passed over, for transformers' pipelines and Trainer.

        Returns:
            `loss` where labels were given, `logits` [B, classes], `hidden_states` where asked for.

        Raises:
            ConfigError: pixel_values is missing, or has a shape that the network was not built for.
        """
        features = self.levit(pixel_values, output_hidden_states=output_hidden_states, return_dict=True)
        logits = self.classifier(features.pooler_output)
        loss = None if labels is None else self.loss_function(labels, logits, self.config)
        output = ImageClassifierOutputWithNoAttention(loss=loss, logits=logits, hidden_states=features.hidden_states)
        return output if _wants_dict(self.config, return_dict) else output.to_tuple()


class LevitForImageClassificationWithTeacher(LevitPreTrainedModel):
    """The network with two heads, one of which learned from a teacher; its answer is their mean.

    Args:
        config: what to build; `num_labels` 0 returns the features as logits.

    Examples:
        >>> import torch
        >>> from levit import LevitConfig, LevitForImageClassificationWithTeacher
        >>> config = LevitConfig.from_variant("levit-128s", num_labels=10)
        >>> output = LevitForImageClassificationWithTeacher(config).eval()(torch.zeros(2, 3, 224, 224))
        >>> torch.equal(output.logits, (output.cls_logits + output.distillation_logits) / 2)
        True
    """

    def __init__(self, config: LevitConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.levit = LevitModel(config)
        self.classifier = _build_head(config)
        self.classifier_distill = _build_head(config)
        self.post_init()

    def forward(
        self,
        pixel_values: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> tuple[Any, ...] | LevitForImageClassificationWithTeacherOutput:
        """Logits of a batch of images.

        Args:
            pixel_values: [B, channels, height, width], normalised.
            labels: for the loss, as for `LevitForImageClassification`; both heads learn from them, and the loss is the
                mean of theirs.
            output_hidden_states: also return the tokens after the stem and after each stage.
            return_dict: False for a plain tuple; default `config.return_dict`.
            **kwargs: passed over, for transformers' pipelines and Trainer.

        Returns:
            `loss` where labels were given, `logits` (the mean of the heads), `cls_logits` and `distillation_logits`
            [B, classes], `hidden_states` where asked for.

        Raises:
            ConfigError: pixel_values is missing, or has a shape that the network was not built for.
        """
        features = self.levit(pixel_values, output_hidden_states=output_hidden_states, return_dict=True)
        cls_logits = self.classifier(features.pooler_output)
        distillation_logits = self.classifier_distill(features.pooler_output)
        loss = None
        if labels is not None:
            losses = (self.loss_function(labels, logits, self.config) for logits in (cls_logits, distillation_logits))
            loss = sum(losses) / 2
        output = LevitForImageClassificationWithTeacherOutput(
            loss=loss,
            logits=(cls_logits + distillation_logits) / 2,
            cls_logits=cls_logits,
            distillation_logits=distillation_logits,
            hidden_states=features.hidden_states,
        )
        return output if _wants_dict(self.config, return_dict) else output.to_tuple()


def _wants_dict(config: LevitConfig, return_dict: bool | None) -> bool:
    return bool(config.return_dict if return_dict is None else return_dict)
