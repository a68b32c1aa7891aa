"""LevitForImageClassification and LevitForImageClassificationWithTeacher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from transformers.modeling_outputs import ImageClassifierOutput, ModelOutput

from levit.errors import ConfigError
from levit.model.backbone import LevitModel, wanted
from levit.model.config import LevitConfig
from levit.model.distillation import distillation_loss
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
        attentions: tuple of [B, heads, queries, keys], of every block; where asked for.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    cls_logits: Tensor | None = None
    distillation_logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


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
        output_attentions: bool | None = None,
        **kwargs: Any,
    ) -> tuple[Any, ...] | ImageClassifierOutput:
        """Logits of a batch of images.

        Args:
            pixel_values: [B, channels, height, width], normalized.
            labels: for the loss: int64 [B] for cross-entropy; float [B, classes] for binary cross-entropy of several
                labels an image; float [B] for the squared error of one output (`config.problem_type` decides where
                the shapes leave it open).
            output_hidden_states: also return the tokens after the stem and after each stage.
            return_dict: False for a plain tuple; default `config.return_dict`.
            output_attentions: also return the attention probabilities of every block.
            **kwargs: passed over, for transformers' pipelines and Trainer.

        Returns:
            `loss` where labels were given, `logits` [B, classes], `hidden_states` and `attentions` where asked for.

        Raises:
            ConfigError: pixel_values is missing, or has another number of axes or channels.
        """
        features = self.levit(pixel_values, output_hidden_states, True, output_attentions)
        logits = self.classifier(features.pooler_output)
        loss = None if labels is None else self.loss_function(labels, logits, self.config)
        output = ImageClassifierOutput(
            loss=loss, logits=logits, hidden_states=features.hidden_states, attentions=features.attentions
        )
        return output if wanted(self.config.return_dict, return_dict) else output.to_tuple()


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
        output_attentions: bool | None = None,
        teacher_logits: Tensor | None = None,
        **kwargs: Any,
    ) -> tuple[Any, ...] | LevitForImageClassificationWithTeacherOutput:
        """Logits of a batch of images.

        Args:
            pixel_values: [B, channels, height, width], normalized.
            labels: for the loss, as for `LevitForImageClassification`. Without a teacher both heads learn from them.
            output_hidden_states: also return the tokens after the stem and after each stage.
            return_dict: False for a plain tuple; default `config.return_dict`.
            output_attentions: also return the attention probabilities of every block.
            teacher_logits: [B, classes], a teacher's logits for the same images, from which the second head learns:
                see `levit.model.distillation.distillation_loss`, and `distillation_type`, `distillation_alpha` and
                `distillation_tau` of the configuration. Needs labels.
            **kwargs: passed over, for transformers' pipelines and Trainer.

        Returns:
            `loss` where labels were given, `logits` (the mean of the heads), `cls_logits` and `distillation_logits`
            [B, classes], `hidden_states` and `attentions` where asked for.

        Raises:
            ConfigError: pixel_values is missing, or has another number of axes or channels; teacher_logits does not
                fit, or comes without labels.
        """
        features = self.levit(pixel_values, output_hidden_states, True, output_attentions)
        cls_logits = self.classifier(features.pooler_output)
        distillation_logits = self.classifier_distill(features.pooler_output)
        output = LevitForImageClassificationWithTeacherOutput(
            loss=self._loss(cls_logits, distillation_logits, labels, teacher_logits),
            logits=(cls_logits + distillation_logits) / 2,
            cls_logits=cls_logits,
            distillation_logits=distillation_logits,
            hidden_states=features.hidden_states,
            attentions=features.attentions,
        )
        return output if wanted(self.config.return_dict, return_dict) else output.to_tuple()

    def _loss(
        self, cls_logits: Tensor, distillation_logits: Tensor, labels: Tensor | None, teacher_logits: Tensor | None
    ) -> Tensor | None:
        if labels is None:
            if teacher_logits is not None:
                raise ConfigError("teacher_logits without labels: give both, since the first head learns from labels")
            return None
        return distillation_loss(
            cls_logits=cls_logits,
            distillation_logits=distillation_logits,
            labels=labels,
            teacher_logits=teacher_logits,
            loss_function=lambda targets, logits: self.loss_function(targets, logits, self.config),
            kind=self.config.distillation_type,
            alpha=self.config.distillation_alpha,
            tau=self.config.distillation_tau,
            is_multi_label=labels.is_floating_point(),
        )
