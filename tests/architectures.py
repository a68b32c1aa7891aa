"""Small architectures: one that compiles fast, one of odd widths, and a strategy of hypothesis for any combination."""

from __future__ import annotations

from hypothesis import strategies as st

from levit.spec.architecture import Architecture, Downsample


def _per_stage(values: st.SearchStrategy, stages: int) -> st.SearchStrategy:
    return st.tuples(*[values] * stages)


def small_architecture(**values) -> Architecture:
    """Two stages for 32x32 pixels with every kind of block."""
    fields = {
        "image_size": 32, "patch_size": 8, "hidden_sizes": (16, 24), "depths": (1, 1), "num_attention_heads": (2, 3),
        "key_dim": (4, 4), "mlp_ratio": (2, 2), "attention_ratio": (2, 2), "num_labels": 5,
    }  # fmt: skip
    return Architecture(**{**fields, **values})


def _layers_of_other_networks(width: int, patch_size: int) -> st.SearchStrategy:
    """Fields in which other networks differ from that of the paper, in any combination."""
    widths = st.tuples(*[st.integers(1, 9)] * (patch_size.bit_length() - 2)).map(lambda channels: (*channels, width))
    activations = st.sampled_from([None, "hardswish", "silu", "gelu", "gelu_tanh"])
    return st.fixed_dictionaries(
        {
            "padding": st.sampled_from([1, (0, 1), (2, 0)]),
            "stem_channels": st.one_of(st.none(), widths),
            "stem_activation": st.one_of(st.just("none"), activations),
            "attention_activation": activations,
            "stem_batch_norm": st.booleans(),
            "mlp_batch_norm": st.booleans(),
            "head_batch_norm": st.booleans(),
        }
    )


@st.composite
def architectures(draw: st.DrawFn, *, is_general: bool = False) -> Architecture:
    """Architectures of the paper's layers, or with `is_general` those of other networks, too."""
    stages = draw(st.integers(1, 5))
    ratios = st.sampled_from([1, 2, 3, 1.5, 0.75])
    downsamples = st.builds(
        Downsample,
        key_dim=st.integers(2, 6),
        num_attention_heads=st.integers(1, 4),
        attention_ratio=ratios,
        mlp_ratio=st.sampled_from([0, 1, 2, 1.5]),
        stride=st.sampled_from([2, 2, 2, 3]),
    )
    hidden_sizes, patch_size = draw(_per_stage(st.integers(8, 20), stages)), draw(st.sampled_from([4, 8, 16]))
    # Half of the networks have the layers of the paper.
    others = _layers_of_other_networks(hidden_sizes[0], patch_size) if is_general else st.just({})
    return Architecture(
        image_size=draw(st.tuples(st.integers(16, 72), st.integers(16, 72))),
        num_channels=draw(st.sampled_from([1, 3, 3, 4])),
        patch_size=patch_size,
        hidden_sizes=hidden_sizes,
        num_attention_heads=draw(_per_stage(st.integers(1, 4), stages)),
        depths=draw(_per_stage(st.integers(0, 3), stages)),
        key_dim=draw(_per_stage(st.integers(2, 6), stages)),
        mlp_ratio=draw(_per_stage(st.sampled_from([0, 1, 2, 1.5]), stages)),
        attention_ratio=draw(_per_stage(ratios, stages)),
        downsamples=draw(st.tuples(*[downsamples] * (stages - 1))),
        activation=draw(st.sampled_from(["hardswish", "hardswish", "silu"])),
        has_attention_masks=draw(st.sampled_from([False, False, True])),
        num_labels=draw(st.integers(1, 12)),
        num_classifiers=draw(st.sampled_from([1, 2])),
        **draw(st.one_of(st.just({}), others)),
    )


# Widths that are no multiples of a vector, and a grid that is not square.
ODD_WIDTHS = Architecture(
    image_size=(50, 70),
    hidden_sizes=(16, 23, 40),
    depths=(1, 1, 2),
    num_attention_heads=(1, 2, 3),
    key_dim=(8, 5, 20),
    attention_ratio=(2, 1.5, 3),
    activation="silu",
    num_labels=5,
)
