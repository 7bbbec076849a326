"""LSGAN, variants zoo (of PyTorch-GAN) and tutorial (of Jittor): sizes, and a training step against the reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ganzoo
from tests.support.reference import needs_torch, recording

pytestmark = pytest.mark.usefixtures("jittor")

SIZES = {"zoo": 16, "tutorial": 32}
CHANNELS = {"zoo": 3, "tutorial": 1}
BATCH = 5
KEEP = 0.75  # probability that the zoo's dropout keeps an input
# The true gradient of these biases is zero, because the batch norm after them removes any constant.
BIASES_WITHOUT_EFFECT = {
    "zoo": {
        "generator": {"conv1.bias", "conv2.bias"},
        "discriminator": set(),  # between convolution and batch norm are leaky ReLU and dropout
    },
    "tutorial": {
        "generator": {f"layers.{index}.bias" for index in (0, 3, 6, 9, 12, 15)},
        "discriminator": {f"layers.{index}.bias" for index in (2, 5, 8)},
    },
}

EPS = {
    "zoo": {"generator_eps": 1e-6, "discriminator_eps": 1e-4},
    "tutorial": {"generator_eps": 3e-7, "discriminator_eps": 1e-2},
}
# Layers before a ReLU; see `large_biases` of `reference.random_weights`.
BEFORE_RELU = {
    "zoo": {
        "generator": {"norm1", "norm2"},
        "discriminator": {"layers.0", "layers.3", "layers.7", "layers.11"},
    },
    "tutorial": {
        "generator": {"project_norm", *(f"layers.{index}" for index in (1, 4, 7, 10, 13, 16))},
        "discriminator": {"layers.0", "layers.3", "layers.6", "layers.9"},
    },
}


def build(variant: str, size: int, channels: int, **options):
    from ganzoo_lsgan import LSGAN, LSGANOptions

    data = ganzoo.DataInfo("none", 1, size, channels)
    return LSGAN().build(LSGANOptions(variant=variant, **options), data, ganzoo.TrainOptions())


def parameter_counts(variant: str, size: int, channels: int, **options) -> tuple[int, int]:
    setup = build(variant, size, channels, **options)
    return tuple(setup.networks[name].parameter_count() for name in ("generator", "discriminator"))


@pytest.mark.parametrize("variant", SIZES)
def test_at_the_decision_boundary_a_score_is_as_wrong_for_real_as_for_generated(variant):
    boundary = build(variant, SIZES[variant], 1).networks["discriminator"].decision_boundary
    score = ganzoo.jt.array([[boundary]])
    assert ganzoo.least_squares(score, real=True).item() == ganzoo.least_squares(score, real=False).item()


def test_the_zoo_variant_has_the_published_parameter_counts():
    assert parameter_counts("zoo", 32, 1) == (1_049_729, 98_113)


def test_the_tutorial_variant_has_the_published_parameter_counts():
    assert parameter_counts("tutorial", 112, 1) == (15_590_273, 4_330_241)


@pytest.mark.parametrize(("size", "channels", "latent"), [(32, 3, 100), (16, 1, 24), (64, 3, 100)])
def test_the_parameter_counts_of_the_zoo_variant_follow_from_the_widths(size, channels, latent):
    generator = (latent + 1) * 128 * (size // 4) ** 2 + (128 * 9 + 1 + 2) * 128 + (128 * 9 + 1 + 2) * 64
    generator += (64 * 9 + 1) * channels
    discriminator = (channels * 9 + 1) * 16 + sum((a * 9 + 1 + 2) * 2 * a for a in (16, 32, 64))
    discriminator += 128 * (size // 16) ** 2 + 1
    assert parameter_counts("zoo", size, channels, latent=latent) == (generator, discriminator)


@pytest.mark.parametrize(("size", "channels", "latent"), [(112, 3, 1024), (16, 1, 24), (64, 3, 100)])
def test_the_parameter_counts_of_the_tutorial_variant_follow_from_the_widths(size, channels, latent):
    side = size // 16
    generator = (latent + 1) * 256 * side**2 + 2 * 256 + 4 * (256 * 9 + 1 + 2) * 256
    generator += (256 * 9 + 1 + 2) * 128 + (128 * 9 + 1 + 2) * 64 + (64 * 9 + 1) * channels
    discriminator = (channels * 25 + 1) * 64 + sum((a * 25 + 1 + 2) * 2 * a for a in (64, 128, 256))
    discriminator += 512 * side**2 + 1
    assert parameter_counts("tutorial", size, channels, latent=latent) == (generator, discriminator)


def test_the_zoo_variant_is_initialised_like_dcgan():
    """Weights of convolutions are drawn from N(0, 0.02^2), and scales of norms from N(1, 0.02^2); linear layers are
    initialised as in Jittor."""
    ganzoo.seed(5)
    networks = build("zoo", 32, 1).networks
    weights = {**networks["generator"].state(), **networks["discriminator"].state()}
    for name in ("conv1.weight", "conv2.weight", "layers.11.weight"):
        drawn = weights[name].numpy()
        assert np.std(drawn) == pytest.approx(0.02, rel=0.02)
        assert abs(np.mean(drawn)) < 0.0005
    scales = np.concatenate([weights[f"{name}.weight"].numpy() for name in ("norm1", "norm2", "layers.14")])
    assert np.std(scales) == pytest.approx(0.02, rel=0.2)
    assert np.mean(scales) == pytest.approx(1.0, abs=0.005)
    assert not weights["norm1.bias"].numpy().any()
    projection = weights["project.weight"].numpy() * np.sqrt(100)
    assert np.abs(projection).max() <= 1.0
    assert np.std(projection) == pytest.approx(3**-0.5, rel=0.05)


@pytest.mark.parametrize("name", ["zoo", "tutorial"])
def test_norm_eps_is_used_in_every_batch_norm(name):
    for network in build(name, 16, 1, norm_eps=0.3).networks.values():
        found = [module.eps for module in network.modules() if isinstance(module, ganzoo.BatchNorm)]
        assert found
        assert set(found) == {0.3}


def dropout_layers(network) -> list:
    return [module for module in network.modules() if isinstance(module, ganzoo.Dropout)]


def test_dropout_zeroes_a_quarter_and_scales_the_rest_in_training():
    discriminator = build("zoo", 16, 3).networks["discriminator"]
    discriminator.train()
    ganzoo.seed(9)
    found = dropout_layers(discriminator)
    assert len(found) == 4
    ones = ganzoo.jt.array(np.ones((64, 16, 8, 8), np.float32))
    for dropout in found:
        outputs = [dropout(ones), dropout(ones)]
        gradient = ganzoo.jt.grad(outputs[0].sum(), ones)
        ganzoo.jt.sync_all()
        first, second = (output.numpy() for output in outputs)
        np.testing.assert_array_equal(gradient.numpy(), first)
        np.testing.assert_allclose(np.unique(first), [0.0, 1 / KEEP], rtol=1e-6)
        assert np.mean(first > 0) == pytest.approx(KEEP, abs=0.01)  # 6 standard deviations
        # The masks of two calls are independent: an input is kept in both with probability 0.75^2.
        assert np.mean((first > 0) & (second > 0)) == pytest.approx(KEEP**2, abs=0.01)


def test_dropout_changes_nothing_at_inference():
    discriminator = build("zoo", 16, 3).networks["discriminator"]
    discriminator.train()
    discriminator.eval()
    ones = np.ones((4, 16, 8, 8), np.float32)
    for dropout in dropout_layers(discriminator):
        np.testing.assert_array_equal(dropout(ganzoo.jt.array(ones)).numpy(), ones)


def fix_dropout(state) -> dict[str, np.ndarray]:
    """Replace the random dropout masks by fixed ones, and return the fixed masks by layer number."""

    class MaskedDropout(ganzoo.jt.nn.Module):
        def __init__(self, mask):
            super().__init__()
            self._mask = ganzoo.jt.array(mask).stop_grad()

        def execute(self, x):
            return x * self._mask

    rng = np.random.default_rng(23)
    layers = state.setup.networks["discriminator"].layers.layers
    names = [name for name, layer in layers.items() if isinstance(layer, ganzoo.Dropout)]
    masks = {}
    for index, name in enumerate(names):
        width, side = 16 << index, SIZES["zoo"] >> (index + 1)
        kept = rng.random((BATCH, width, side, side)) < KEEP
        masks[f"mask/{index}"] = (kept / KEEP).astype(np.float32)
        layers[name] = MaskedDropout(masks[f"mask/{index}"])
    return masks


@pytest.mark.parametrize("name", ["zoo", "tutorial"])
def test_both_networks_have_the_published_optimizer_by_default(name):
    published = ganzoo.Adam(learning_rate=2e-4, beta1=0.5, beta2=0.999, eps=1e-8, weight_decay=0.0)
    assert build(name, 16, 1).optimizers == {"generator": published, "discriminator": published}


@pytest.fixture(scope="module", params=["zoo", "tutorial"])
def variant(request):
    return request.param


def compare(variant: str, folder: Path, classes: int = 0) -> recording.Comparison:
    from ganzoo_lsgan import LSGAN, LSGANOptions

    return recording.compare(
        variant,
        LSGAN(),
        LSGANOptions(variant=variant, size=SIZES[variant], latent=recording.LATENT, conditional=classes > 0),
        SIZES[variant],
        CHANNELS[variant],
        folder,
        optimizers=recording.adam_settings(**EPS[variant]),
        batch=BATCH,
        large_biases=BEFORE_RELU[variant],
        prepare=fix_dropout if variant == "zoo" else lambda state: {},
        classes=classes,
    )


@pytest.fixture(scope="module")
def comparison(variant, tmp_path_factory):
    return compare(variant, tmp_path_factory.mktemp(variant))


@needs_torch
def test_the_loss_terms_of_the_first_step_match_the_reference(comparison, variant):
    terms = [name for name in comparison.actual if name.startswith("term/0/")]
    # Terms are in the order of the updates: the zoo variant updates its generator first, the tutorial variant last.
    generator, discriminator = ["generator/adversarial"], ["discriminator/real", "discriminator/fake"]
    in_order = generator + discriminator if variant == "zoo" else discriminator + generator
    assert terms == [f"term/0/{name}" for name in in_order]
    assert max(comparison.errors("term/0/").values()) < 1e-4


@needs_torch
@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_the_gradients_of_the_first_step_match_the_reference(comparison, variant, network):
    assert max(comparison.gradient_errors(network, BIASES_WITHOUT_EFFECT[variant][network]).values()) < 1e-4


@needs_torch
def test_the_loss_terms_of_five_steps_match_the_reference(comparison):
    errors = comparison.errors("term/")
    assert len(errors) == 3 * recording.STEPS
    assert max(errors.values()) < 1e-3


@needs_torch
@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_the_weight_changes_over_five_steps_match_the_reference(comparison, variant, network):
    assert max(comparison.weight_change_errors(network, BIASES_WITHOUT_EFFECT[variant][network]).values()) < 1e-3


@needs_torch
@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_the_running_statistics_after_five_steps_match_the_reference(comparison, network):
    assert max(comparison.errors(f"statistics/{network}/").values()) < 1e-4


@needs_torch
def test_samples_use_the_running_statistics(comparison, variant):
    assert comparison.actual["samples"].shape == (3, CHANNELS[variant], SIZES[variant], SIZES[variant])
    assert max(comparison.errors("samples").values()) < 1e-4


@needs_torch
def test_the_first_step_with_classes_matches_the_reference(variant, tmp_path):
    comparison = compare(variant, tmp_path, classes=3)
    assert max(comparison.errors("term/0/").values()) < 1e-4
    for network, without_effect in BIASES_WITHOUT_EFFECT[variant].items():
        errors = comparison.gradient_errors(network, without_effect)
        assert max(errors.values()) < 1e-4
        assert network == "generator" or "projection.embedding.weight" in errors
