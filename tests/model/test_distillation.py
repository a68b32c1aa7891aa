import numpy as np
import pytest
import torch
from torch.nn import functional

from levit import ConfigError, LevitConfig, LevitForImageClassificationWithTeacher
from levit.model.distillation import distillation_loss
from tests.model.networks import randomized, small_config

IMAGES = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 2, 1, 0])


def network(**values):
    return randomized(LevitForImageClassificationWithTeacher(small_config(num_labels=3, **values)))


def teacher():
    return torch.randn(4, 3, requires_grad=True)


def test_hard_distillation_trains_on_the_predictions_of_the_teacher():
    model, logits = network(), teacher()
    output = model(IMAGES, labels=LABELS, teacher_logits=logits)
    expected = (
        functional.cross_entropy(output.cls_logits, LABELS)
        + functional.cross_entropy(output.distillation_logits, logits.argmax(dim=1))
    ) / 2
    torch.testing.assert_close(output.loss, expected)


def test_soft_distillation_is_the_divergence_of_the_paper():
    model, logits = network(distillation_type="soft", distillation_alpha=0.3, distillation_tau=2.5), teacher()
    output = model(IMAGES, labels=LABELS, teacher_logits=logits)
    student, target = (
        functional.softmax(x.detach().double() / 2.5, dim=1).numpy() for x in (output.distillation_logits, logits)
    )
    divergence = np.mean(np.sum(target * np.log(target / student), axis=1))
    expected = 0.7 * functional.cross_entropy(output.cls_logits, LABELS).item() + 0.3 * 2.5**2 * divergence
    np.testing.assert_allclose(output.loss.item(), expected, rtol=1e-5)


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_both_heads_receive_gradients_and_the_teacher_none(kind):
    model, logits = network(distillation_type=kind).train(), teacher()
    model(IMAGES, labels=LABELS, teacher_logits=logits).loss.backward()
    for head in (model.classifier, model.classifier_distill):
        assert head.linear.weight.grad.abs().sum() > 0
    assert logits.grad is None


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_distillation_with_several_labels_per_image(kind):
    model, logits = network(distillation_type=kind, distillation_tau=2.0), teacher()
    labels = torch.randint(0, 2, (4, 3)).float()
    output = model(IMAGES, labels=labels, teacher_logits=logits)
    cls_loss = functional.binary_cross_entropy_with_logits(output.cls_logits, labels)
    student = output.distillation_logits
    if kind == "hard":
        distilled = functional.binary_cross_entropy_with_logits(student, (logits > 0).float())
    else:
        p, q = (logits / 2).sigmoid(), (student / 2).sigmoid()
        distilled = 4 * (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).mean()
    torch.testing.assert_close(output.loss, (cls_loss + distilled) / 2)


def test_the_soft_loss_is_zero_for_equal_logits():
    model = network(distillation_type="soft", distillation_alpha=1.0)
    with torch.no_grad():
        logits = model(IMAGES).distillation_logits
        assert abs(model(IMAGES, labels=LABELS, teacher_logits=logits).loss) < 1e-6


@pytest.mark.parametrize(
    ("inputs", "match"),
    [
        ({"teacher_logits": torch.zeros(4, 3)}, "^teacher_logits requires labels"),
        ({"labels": LABELS, "teacher_logits": torch.zeros(4, 5)}, "use a teacher with the same classes"),
    ],
)
def test_invalid_teacher_logits_are_named_in_the_error(inputs, match):
    with pytest.raises(ConfigError, match=match):
        network()(IMAGES, **inputs)


@pytest.mark.parametrize(
    "values",
    [
        {"distillation_type": "firm"},
        {"distillation_alpha": 1.5},
        {"distillation_alpha": "half"},
        {"distillation_tau": 0},
        {"distillation_tau": float("nan")},
    ],
)
def test_invalid_settings_are_named_in_the_error(values):
    with pytest.raises(ConfigError, match=f"^{next(iter(values))}: "):
        LevitConfig(**values)


def test_settings_are_saved_if_they_are_not_the_defaults(tmp_path):
    LevitConfig(distillation_type="soft", distillation_tau=3.0).save_pretrained(tmp_path)
    assert "distillation_alpha" not in (tmp_path / "config.json").read_text()
    loaded = LevitConfig.from_pretrained(tmp_path)
    assert (loaded.distillation_type, loaded.distillation_alpha, loaded.distillation_tau) == ("soft", 0.5, 3.0)


@pytest.mark.parametrize("values", [{"distillation_type": "Soft"}, {"distillation_tau": 0}, {"drop_path_rate": 1.0}])
def test_invalid_settings_of_from_pretrained_are_named_in_the_error(tmp_path, values):
    network().save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=f"^{next(iter(values))}: "):
        LevitForImageClassificationWithTeacher.from_pretrained(tmp_path, **values)


def test_regression_of_several_values_has_no_distillation():
    model = network(problem_type="regression")
    with pytest.raises(ConfigError, match="regression has no distillation"):
        model(IMAGES, labels=torch.rand(4, 3), teacher_logits=torch.rand(4, 3))


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_one_of_several_possible_labels_is_distilled_like_more_of_them(kind):
    cls_logits, distillation_logits, teacher_logits = torch.randn(3, 4, 1, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[1.0], [0.0], [1.0], [0.0]])

    def loss(*logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return distillation_loss(
            cls_logits=logits[0], distillation_logits=logits[1], teacher_logits=logits[2], labels=labels, kind=kind,
            loss_function=lambda targets, values: functional.binary_cross_entropy_with_logits(values, targets),
            alpha=0.3, tau=2.0, is_multi_label=True,
        )  # fmt: skip

    one = loss(cls_logits, distillation_logits, teacher_logits, labels=labels)
    twice = (torch.cat([tensor, tensor], dim=1) for tensor in (cls_logits, distillation_logits, teacher_logits))
    torch.testing.assert_close(one, loss(*twice, labels=torch.cat([labels, labels], dim=1)))


def test_regression_has_no_distillation():
    model = LevitForImageClassificationWithTeacher(small_config(num_labels=1))
    with pytest.raises(ConfigError, match="has no distillation"):
        model(IMAGES, labels=torch.rand(4), teacher_logits=torch.rand(4, 1))
    with pytest.raises(ConfigError, match="has no distillation"):
        model(IMAGES, labels=torch.tensor([0, 0, 0, 0]), teacher_logits=torch.rand(4, 1))


@pytest.mark.parametrize("is_multi_label", [False, True])
def test_a_class_that_the_teacher_excludes_has_no_part_in_the_soft_loss(is_multi_label):
    model = network(distillation_type="soft", distillation_alpha=1.0)
    labels = torch.rand(4, 3) if is_multi_label else LABELS
    logits = torch.randn(4, 3)
    losses = []
    for value in (-torch.inf, -1000.0):
        excluded = logits.index_fill(1, torch.tensor([1]), value)
        losses.append(model(IMAGES, labels=labels, teacher_logits=excluded).loss)
    torch.testing.assert_close(*losses)
    losses[0].backward()
    assert model.classifier_distill.linear.weight.grad.isfinite().all()
