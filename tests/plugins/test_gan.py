"""The basic GAN: sizes, and every number of a training step against a reference in PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import ganzoo
from tests.support.reference import needs_torch, recording

pytestmark = pytest.mark.usefixtures("jittor")

SIZE, CHANNELS = 12, 3
# The true gradient of these biases is zero, because the batch norm after them removes any constant.
BIASES_WITHOUT_EFFECT = {"generator": {"layers.2.bias", "layers.5.bias", "layers.8.bias"}, "discriminator": set()}


def build(size: int, channels: int, **options):
    from ganzoo_gan import GAN, GANOptions

    return GAN().build(GANOptions(**options), ganzoo.DataInfo("none", 1, size, channels), ganzoo.TrainOptions())


def parameter_counts(size: int, channels: int, **options) -> tuple[int, int]:
    setup = build(size, channels, **options)
    return tuple(setup.networks[name].parameter_count() for name in ("generator", "discriminator"))


def test_the_networks_have_the_published_parameter_counts():
    assert parameter_counts(28, 1) == (1_510_032, 533_505)


@pytest.mark.parametrize(("size", "channels", "latent"), [(28, 3, 100), (12, 3, 24), (64, 1, 7)])
def test_the_parameter_counts_follow_from_the_widths(size, channels, latent):
    pixels = size * size * channels

    def linear(a: int, b: int) -> int:
        return a * b + b

    hidden = linear(latent, 128) + linear(128, 256) + linear(256, 512) + linear(512, 1024)
    generator = hidden + 2 * (256 + 512 + 1024) + linear(1024, pixels)
    discriminator = linear(pixels, 512) + linear(512, 256) + linear(256, 1)
    assert parameter_counts(size, channels, latent=latent) == (generator, discriminator)


def test_initial_weights_are_uniform_within_one_over_sqrt_of_the_inputs():
    ganzoo.seed(5)
    setup = build(SIZE, CHANNELS)
    for network in setup.networks.values():
        for name, var in network.state().items():
            if name.endswith("weight") and var.ndim == 2 and var.numel() > 1000:
                scaled = var.numpy() * np.sqrt(var.shape[1])
                assert np.abs(scaled).max() <= 1.0
                assert np.std(scaled) == pytest.approx(3**-0.5, rel=0.05)


def test_both_networks_have_the_published_optimizer_by_default():
    published = ganzoo.Adam(learning_rate=2e-4, beta1=0.5, beta2=0.999, eps=1e-8, weight_decay=0.0)
    assert build(SIZE, CHANNELS).optimizers == {"generator": published, "discriminator": published}


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    """Return the numbers of the first steps, ours and the reference's, from the same weights, latents and images."""
    from ganzoo_gan import GAN, GANOptions

    options = GANOptions(size=SIZE, latent=recording.LATENT)
    folder = tmp_path_factory.mktemp("gan")
    optimizers = recording.adam_settings(generator_eps=1e-5, discriminator_eps=1e-5)
    return recording.compare("gan", GAN(), options, SIZE, CHANNELS, folder, optimizers=optimizers)


@needs_torch
def test_the_loss_terms_of_the_first_step_match_the_reference(comparison):
    # Terms are in the order of the updates: the generator's come first.
    terms = [name for name in comparison.actual if name.startswith("term/0/")]
    assert terms == ["term/0/generator/adversarial", "term/0/discriminator/real", "term/0/discriminator/fake"]
    assert max(comparison.errors("term/0/").values()) < 1e-4


@needs_torch
@pytest.mark.parametrize("network", BIASES_WITHOUT_EFFECT)
def test_the_gradients_of_the_first_step_match_the_reference(comparison, network):
    assert max(comparison.gradient_errors(network, BIASES_WITHOUT_EFFECT[network]).values()) < 1e-4


@needs_torch
def test_the_loss_terms_of_five_steps_match_the_reference(comparison):
    errors = comparison.errors("term/")
    assert len(errors) == 3 * recording.STEPS
    assert max(errors.values()) < 1e-3


@needs_torch
@pytest.mark.parametrize("network", BIASES_WITHOUT_EFFECT)
def test_the_weight_changes_over_five_steps_match_the_reference(comparison, network):
    assert max(comparison.weight_change_errors(network, BIASES_WITHOUT_EFFECT[network]).values()) < 1e-3


@needs_torch
def test_the_running_statistics_after_five_steps_match_the_reference(comparison):
    assert max(comparison.errors("statistics/generator/").values()) < 1e-4


@needs_torch
def test_samples_use_the_running_statistics(comparison):
    assert comparison.actual["samples"].shape == (3, CHANNELS, SIZE, SIZE)
    assert max(comparison.errors("samples").values()) < 1e-4
