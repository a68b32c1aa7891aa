"""Image classifiers with one head, and with a second head for distillation.

Shapes: B images, N tokens, C channels, H heads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from transformers.modeling_outputs import ImageClassifierOutput, ModelOutput

from levit.checkpoints.transformers_configuration import MULTI_LABEL
from levit.errors import ConfigError
from levit.model.backbone import LevitModel, override
from levit.model.config import LevitConfig
from levit.model.distillation import distillation_loss
from levit.model.layers import ClassificationHead
from levit.model.pretrained import LevitPreTrainedModel


@dataclass
class LevitForImageClassificationWithTeacherOutput(ModelOutput):
    """Output of `LevitForImageClassificationWithTeacher`.

    Attributes:
        loss: scalar; None without labels.
        logits: [B, classes], the mean of the logits of the two heads.
        cls_logits: [B, classes], of the head that is trained on the labels.
        distillation_logits: [B, classes], of the head that is trained on the teacher.
        hidden_states: tuple of [B, N, C], after the stem and after each stage; None unless requested.
        attentions: tuple of [B, H, queries, keys], one per attention block, rows sum to 1; None unless requested.
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
    return ClassificationHead(
        width=config.hidden_sizes[-1], num_labels=config.num_labels, has_batch_norm=config.head_batch_norm
    )


class LevitForImageClassification(LevitPreTrainedModel):
    """LeViT with one classification head.

    Args:
        config: configuration of the network. With `num_labels` 0 there is no head, and the logits are the pooled
            features [B, C].

    Examples:
        >>> import torch
        >>> from levit import LevitConfig, LevitForImageClassification
        >>> model = LevitForImageClassification(LevitConfig.from_variant("levit-128s", num_labels=10)).eval()
        >>> model(torch.zeros(2, 3, 224, 224)).logits.shape
        torch.Size([2, 10])
    """

    def __init__(self, config: LevitConfig) -> None:
        super().__init__(config)
        config = self.config  # the configuration of transformers, converted
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
        """Compute the logits of a batch of images, and the loss if labels are given.

        Args:
            pixel_values: [B, channels, height, width], floating point, normalized.
            labels: int64 [B] for cross-entropy; float [B, classes] for binary cross-entropy with several labels per
                image; float [B] for the squared error of one output. `config.problem_type` decides if shape and dtype
                are ambiguous.
            output_hidden_states: return the tokens after the stem and after each stage, too; default
                `config.output_hidden_states`.
            return_dict: False returns a tuple; default `config.return_dict`.
            output_attentions: return the attention probabilities of every attention block, too; default
                `config.output_attentions`.
            **kwargs: ignored; transformers' pipelines and Trainer pass further arguments.

        Returns:
            `loss` (scalar, with labels), `logits` [B, classes], and, if requested, `hidden_states`, a tuple of
            [B, N, C], and `attentions`, a tuple of [B, H, queries, keys].

        Raises:
            ConfigError: pixel_values is missing, not floating point, or has another number of axes or channels.
        """
        features = self.levit(pixel_values, output_hidden_states, True, output_attentions)
        logits = self.classifier(features.pooler_output)
        loss = None if labels is None else self.loss_function(labels, logits, self.config)
        output = ImageClassifierOutput(
            loss=loss, logits=logits, hidden_states=features.hidden_states, attentions=features.attentions
        )
        return output if override(self.config.return_dict, return_dict) else output.to_tuple()


class LevitForImageClassificationWithTeacher(LevitPreTrainedModel):
    """LeViT with two classification heads, the second of which is distilled from a teacher.

    The logits are the mean of the logits of both heads.

    Args:
        config: configuration of the network; `distillation_type`, `distillation_alpha` and `distillation_tau` define
            the loss. With `num_labels` 0 there are no heads, and the logits are the pooled features [B, C].

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
        config = self.config  # the configuration of transformers, converted
        self.num_labels = config.num_labels
        self.levit = LevitModel(config)
        self.classifier = _build_head(config)
        self.classifier_distill = _build_head(config)
        self.post_init()

    def forward(
        self,
        pixel_values: Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        teacher_logits: Tensor | None = None,
        **kwargs: Any,
    ) -> tuple[Any, ...] | LevitForImageClassificationWithTeacherOutput:
        """Compute the logits of a batch of images, and the loss if labels are given.

        Args:
            pixel_values: [B, channels, height, width], floating point, normalized.
            output_hidden_states: return the tokens after the stem and after each stage, too; default
                `config.output_hidden_states`.
            return_dict: False returns a tuple; default `config.return_dict`.
            labels: as for `LevitForImageClassification`. Without teacher_logits both heads are trained on them.
            output_attentions: return the attention probabilities of every attention block, too; default
                `config.output_attentions`.
            teacher_logits: [B, classes], the teacher's logits for the same images, which the second head is trained
                on (see `levit.model.distillation.distillation_loss`). Requires labels.
            **kwargs: ignored; transformers' pipelines and Trainer pass further arguments.

        Returns:
            `loss` (scalar, with labels), `logits` (mean of both heads), `cls_logits` and `distillation_logits`
            [B, classes], and, if requested, `hidden_states` and `attentions`.

        Raises:
            ConfigError: pixel_values is missing, not floating point, or has another number of axes or channels;
                teacher_logits has another shape than the logits, or is given without labels.
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
        return output if override(self.config.return_dict, return_dict) else output.to_tuple()

    def _loss(
        self, cls_logits: Tensor, distillation_logits: Tensor, labels: Tensor | None, teacher_logits: Tensor | None
    ) -> Tensor | None:
        if labels is None:
            if teacher_logits is not None:
                raise ConfigError("requires labels", source="teacher_logits", hint="the first head is trained on them")
            return None
        problem, has_one_output = self.config.problem_type, cls_logits.shape[-1] == 1
        is_regression = problem == "regression" or (has_one_output and problem != MULTI_LABEL)
        if teacher_logits is not None and is_regression:
            raise ConfigError("regression has no distillation", source="teacher_logits", hint="omit it")
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
