"""Architectures whose sizes and layers differ from those of the published networks, by what is odd about them."""

from levit.spec.architecture import Architecture, Downsample
from tests.architectures import ODD_WIDTHS, small_architecture

ODD = {
    "odd widths and a grid that is not square": ODD_WIDTHS,
    "another stem, one stage without blocks, no MLP": Architecture(
        image_size=(33, 40),
        patch_size=9,
        stride=3,
        kernel_size=5,
        padding=2,
        hidden_sizes=(16, 24),
        depths=(0, 1),
        num_attention_heads=(1, 2),
        key_dim=(8, 5),
        mlp_ratio=(0, 1),
        attention_ratio=(2, 2),
        num_labels=1,
    ),
    "one channel, one convolution, a subsampling by three": Architecture(
        image_size=20,
        num_channels=1,
        patch_size=2,
        hidden_sizes=(17, 33),
        depths=(1, 1),
        num_attention_heads=(3, 1),
        key_dim=(16, 33),
        mlp_ratio=(2, 2),
        attention_ratio=(1, 2),
        downsamples=(Downsample(key_dim=3, num_attention_heads=5, stride=3, mlp_ratio=0),),
        num_labels=17,
    ),
    "layers of another network": small_architecture(
        patch_size=4,
        padding=(2, 2),
        activation="gelu",
        stem_activation="none",
        attention_activation="gelu_tanh",
        stem_channels=(5, 16),
        stem_batch_norm=False,
        mlp_batch_norm=False,
        head_batch_norm=False,
    ),
}
