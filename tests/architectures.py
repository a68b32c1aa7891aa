"""Hypothesis strategy for small architectures with any combination of hyperparameters."""

from __future__ import annotations

from hypothesis import strategies as st

from levit.spec.architecture import Architecture, Downsample


def _per_stage(values: st.SearchStrategy, stages: int) -> st.SearchStrategy:
    return st.tuples(*[values] * stages)


@st.composite
def architectures(draw: st.DrawFn) -> Architecture:
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
    return Architecture(
        image_size=draw(st.tuples(st.integers(16, 72), st.integers(16, 72))),
        num_channels=draw(st.sampled_from([1, 3, 3, 4])),
        patch_size=draw(st.sampled_from([4, 8, 16])),
        hidden_sizes=draw(_per_stage(st.integers(8, 20), stages)),
        num_attention_heads=draw(_per_stage(st.integers(1, 4), stages)),
        depths=draw(_per_stage(st.integers(0, 3), stages)),
        key_dim=draw(_per_stage(st.integers(2, 6), stages)),
        mlp_ratio=draw(_per_stage(st.sampled_from([0, 1, 2, 1.5]), stages)),
        attention_ratio=draw(_per_stage(ratios, stages)),
        downsamples=draw(st.tuples(*[downsamples] * (stages - 1))),
        activation=draw(st.sampled_from(["hardswish", "hardswish", "silu"])),
        num_labels=draw(st.integers(1, 12)),
        num_classifiers=draw(st.sampled_from([1, 2])),
    )
