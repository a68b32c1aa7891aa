"""Auto-encoders over heads: their loss, and the values with which they start."""

import torch

from levit.model.head_autoencoder import HeadAutoencoder


def test_the_reconstruction_loss_is_the_distance_from_the_input_in_training_only():
    autoencoder, x = HeadAutoencoder(4), torch.randn(2, 9, 4, 8)
    restored = autoencoder.eval()(x)
    assert autoencoder.reconstruction_loss is None
    assert torch.equal(autoencoder.train()(x), restored)
    torch.testing.assert_close(autoencoder.reconstruction_loss, torch.dist(restored, x))  # as ViTCoD computes it


def test_every_token_and_channel_is_mapped_alike():
    autoencoder, x = HeadAutoencoder(3), torch.randn(2, 4, 3, 5)
    by_hand = [autoencoder.decoder(autoencoder.encoder(x[1, 2, :, channel])) for channel in range(5)]
    torch.testing.assert_close(autoencoder(x)[1, 2], torch.stack(by_hand, dim=1))


def test_heads_that_depend_on_fewer_are_restored_from_the_start():
    """And others as well as any two maps can: by the singular values that are left out."""
    autoencoder = HeadAutoencoder(6)  # encoded as four
    mixed, others = torch.randn(6, 4) @ torch.randn(4, 50), torch.randn(6, 50)
    for heads, missing in ((mixed, 0.0), (others, torch.linalg.svdvals(others)[4:].square().sum().sqrt().item())):
        autoencoder.initialize(heads)
        autoencoder(heads.reshape(1, 1, 6, 50))
        assert abs(autoencoder.reconstruction_loss.item() - missing) < 1e-4


def test_fewer_values_than_encoded_heads_are_enough():
    autoencoder = HeadAutoencoder(8)
    heads = torch.randn(8, 2)
    autoencoder.initialize(heads)
    torch.testing.assert_close(autoencoder(heads.reshape(1, 1, 8, 2)).reshape(8, 2), heads)
