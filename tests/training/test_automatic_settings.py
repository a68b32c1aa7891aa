"""Settings by the number of training images."""

from math import ceil

import pytest
from hypothesis import given as draw
from hypothesis import strategies

from levit.training.automatic_settings import AUTOMATIC_SETTINGS, automatic_settings, describe_settings
from levit.training.options import TrainingOptions, option_defaults
from levit.training.unused_options import without_overridden


def settings(num_images, num_validation_images=1000, *, is_levit=True, is_multi_label=False, **values):
    options = TrainingOptions.from_flat(**values)
    return automatic_settings(
        options, set(values), num_images=num_images, num_validation_images=num_validation_images, is_levit=is_levit,
        is_multi_label=is_multi_label,
    )  # fmt: skip


@draw(strategies.integers(1, 10**6), strategies.integers(0, 10**5))
def test_they_are_valid_and_name_what_differs_from_the_defaults(num_images, num_validation_images):
    chosen = settings(num_images, num_validation_images)
    assert set(chosen) <= AUTOMATIC_SETTINGS
    assert all(value != option_defaults()[name] for name, value in chosen.items())
    options = TrainingOptions.from_flat(**chosen)
    assert options.optimizer.batch_size <= max(2, num_images) or num_images >= 5000


@pytest.mark.parametrize(
    ("num_images", "steps"), [(54, 60), (75, 120), (190, 120), (200, 300), (900, 280), (4900, 300)]
)
def test_few_images_are_repeated_for_enough_steps(num_images, steps):
    chosen = settings(num_images)
    epochs = chosen.get("epochs", 30)
    assert epochs * ceil(num_images / chosen["batch_size"]) >= steps
    assert chosen.get("warmup_epochs", 1.0) == pytest.approx(epochs / 10, abs=0.05)


def test_many_images_and_random_weights_have_the_defaults():
    assert settings(5000) == {}
    assert settings(54, from_scratch=True) == {}


def test_networks_of_timm_have_no_layer_decay_because_some_have_many_layers():
    levit, timm = settings(54), settings(54, is_levit=False)
    assert levit.items() - timm.items() == {("lr", 1e-3), ("layer_decay", 0.75), ("new_heads", "linear-probe")}
    assert timm.items() < levit.items()


def test_new_heads_of_several_labels_are_random():
    assert settings(54).items() - settings(54, is_multi_label=True).items() == {("new_heads", "linear-probe")}


def test_with_few_validation_images_the_last_epoch_is_kept_unless_the_user_chooses_epochs():
    assert settings(50_000, 99) == {"select": "last"}
    assert settings(50_000, 100) == {}
    for values in ({"metric": "f1"}, {"patience": 5}, {"best_window": 2}, {"select": "best"}):
        assert settings(50_000, 20, **values) == {}


@pytest.mark.parametrize("name", sorted(AUTOMATIC_SETTINGS - {"ema_warmup"}))
def test_a_given_value_is_kept_and_the_others_follow_from_it(name):
    values = {name: option_defaults()[name]}
    chosen = settings(54, 6, **values)
    assert name not in chosen
    if name in ("epochs", "batch_size"):
        assert chosen["warmup_epochs"] == round((chosen | values)["epochs"] / 10, 1)


@pytest.mark.parametrize(("num_images", "epochs"), [(54, 5), (90, 4), (199, 2), (300, 2), (640, 1)])
def test_a_state_is_saved_after_twenty_steps(num_images, epochs):
    assert settings(num_images).get("save_epochs", 1) == epochs


def test_settings_without_an_effect_beside_given_ones_are_left_out():
    values = {"crop": "padded", "ema": 0.0}
    chosen, defaults = settings(54, **values), option_defaults()
    kept = without_overridden(chosen, set(values), defaults | chosen | values, defaults)
    assert set(chosen) - set(kept) == {"min_crop", "ema_warmup"}
    TrainingOptions.from_flat(**kept | values)


def test_they_are_described_on_one_line():
    assert describe_settings(settings(54, 6)) == (
        "select last, lr 0.001, layer_decay 0.75, batch_size 16, epochs 15, warmup_epochs 1.5, ema 0.95, "
        "ema_warmup True, min_crop 0.35, save_epochs 5, freeze_batch_norm True, new_heads linear-probe"
    )
