"""Truncation, noise and mixing, against direct use of the generator's two networks."""

from __future__ import annotations

import numpy as np
import pytest

from ganzoo.checkpoints import loading
from ganzoo.interfaces.noise import constant_noise
from ganzoo.sampling import latents, sampler
from ganzoo.sampling.styles import StyleSampler
from tests.support.stylegan_checkpoint import SIZES, write_checkpoint

KEYS = [(0,), (1,), (2,)]


@pytest.fixture(scope="module")
def saved(jittor, tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("stylegan") / "tiny.safetensors")


@pytest.fixture(scope="module")
def generator(saved):
    return loading.load_generator(*saved)


@pytest.fixture(scope="module")
def z(generator):
    return latents.from_seeds(range(3), generator.latent)


@pytest.fixture
def make(generator):
    from ganzoo.sampling.styles import StyleSampler

    return lambda *arguments, **named: StyleSampler(generator, *arguments, **named)


def synthesise(jittor, generator, styles, noise):
    """Return the images for `styles`, a list of arrays (N, width), and `noise`, a list of maps (N, 1, side, side)."""
    with jittor.no_grad():
        images = generator.synthesise([jittor.array(w) for w in styles], [jittor.array(maps) for maps in noise])
    return sampler.to_uint8(images.numpy())


def alike(one, other):
    """Return whether images are equal up to rounding, which may depend on the batch size."""
    return one.shape == other.shape and np.abs(one.astype(int) - other).max() <= 1


def test_without_truncation_images_equal_those_of_the_generator(make, generator, z):
    assert np.array_equal(make().generate_batch(z, KEYS), sampler.generate(generator, z))


def test_full_truncation_gives_the_same_image_for_all_latents(make, z):
    images = make(psi=0.0).generate_batch(z, KEYS)
    assert np.array_equal(images[0], images[1])
    assert not alike(
        make(psi=0.0, cutoff=2).generate_batch(z, KEYS)[0], make(psi=0.0, cutoff=2).generate_batch(z, KEYS)[1]
    )


@pytest.mark.parametrize("psi", [-1.0, 0.3, 1.5])
def test_truncation_moves_the_first_layers_towards_the_mean(make, generator, z, jittor, psi):
    sampler = make(psi=psi, cutoff=3)
    w = sampler.map(z)
    truncated = (sampler.means + psi * (w - sampler.means)).astype(np.float32)
    styles = [truncated] * 3 + [w] * 5
    assert np.array_equal(sampler.styles(z), np.stack(styles, 1))
    noise = constant_noise(generator.noise_sizes(), 3)
    assert np.array_equal(sampler.generate_batch(z, KEYS), synthesise(jittor, generator, styles, noise))


def test_the_cutoff_defaults_to_that_of_the_generator(make, generator, monkeypatch):
    assert (make().cutoff, make(cutoff=5).cutoff, make(cutoff=99).cutoff, make(cutoff=0).cutoff) == (8, 5, 8, 0)
    monkeypatch.setattr(generator, "truncation_layers", 4)
    assert (make().cutoff, make(cutoff=5).cutoff) == (4, 5)


def test_the_mean_is_over_many_latents_or_the_generators_running_average(make, generator, monkeypatch, jittor):
    w = make().map(latents.from_seeds(range(1000, 6000), generator.latent))
    standard_error = w.std(0) / np.sqrt(5000)
    assert (np.abs(make().means - w.mean(0)) < 6 * standard_error).all()
    average = np.arange(16, dtype=np.float32)
    monkeypatch.setattr(generator, "w_average", jittor.array(average))
    assert np.array_equal(make().means, average[None])


def test_a_code_can_be_w_or_all_styles(make, z):
    reference = make(0.5).generate_batch(z, KEYS)
    in_w = make(0.5, space="w")
    assert np.array_equal(in_w.generate_batch(in_w.code(z), KEYS), reference)
    assert np.array_equal(make(0.5).generate_batch(make(0.5).styles(z), KEYS), reference)
    assert make().code(z) is z


def test_noise_is_constant_absent_or_different_for_each_image(make, generator, z, jittor):
    styles = [make(psi=1.0).map(z)] * 8
    sides = generator.noise_sizes()
    zeros = [np.zeros((3, 1, side, side), np.float32) for side in sides]
    images = {noise: make(noise=noise).generate_batch(z, KEYS) for noise in ("const", "none", "random")}
    assert np.array_equal(images["none"], synthesise(jittor, generator, styles, zeros))
    assert not alike(images["const"], images["none"])
    assert not alike(images["random"], images["const"])
    random = make(noise="random")
    assert np.array_equal(random.generate_batch(z, KEYS), images["random"])
    assert alike(random.generate_batch(z[1:2], KEYS[1:2]), images["random"][1:2])
    assert not alike(random.generate_batch(z, [(0, 1), (1, 1), (2, 1)]), images["random"])


def test_mixing_replaces_the_given_layers_by_those_of_the_source(make, z):
    from ganzoo.sampling.styles import mix

    one, other, _ = make(psi=1.0).styles(z)
    mixed = mix(one, other, range(2, 5))
    assert np.array_equal(mixed, [*one[:2], *other[2:5], *one[5:]])
    assert np.array_equal(mix(one, other, range(8)), other)


def test_large_images_are_generated_a_few_at_a_time(make, generator, monkeypatch):
    assert sampler.chunk_size(generator) == 64
    codes = [(code, ()) for code in latents.from_seeds(range(5), generator.latent)]
    together = list(make().stream(codes))
    monkeypatch.setattr(sampler, "MAX_PIXELS", 2 * 32 * 32)
    requested = []
    images = make().stream(requested.append(code) or code for code in codes)
    first = next(images)
    assert len(requested) == 2
    assert alike(np.stack([first, *images]), np.stack(together))


@pytest.mark.parametrize("size", SIZES)
def test_loading_an_earlier_size_equals_growing_the_network_to_that_size(saved, generator, z, size):
    earlier = loading.load_generator(*saved, size=size)
    generator.grow(size, 1.0)
    try:
        assert np.array_equal(sampler.generate(earlier, z), sampler.generate(generator, z))
        assert sampler.generate(earlier, z).shape == (3, size, size, 3)
    finally:
        generator.grow(32, 1.0)


def test_trained_sizes_are_the_resolutions_reached_in_training(tmp_path, jittor):
    half_way = write_checkpoint(tmp_path / "half.safetensors", 16, alpha=0.5)
    assert loading.trained_sizes(*half_way) == [4, 8, 16]
    assert loading.load_generator(*half_way).fading
    assert loading.load_generator(*half_way, size=16).fading
    assert not loading.load_generator(*half_way, size=8).fading


def test_an_image_of_a_class_is_truncated_towards_the_mean_of_its_class(jittor):
    """Half-way between two classes, the mean is half-way between theirs."""
    from ganzoo_stylegan import StyleGAN, StyleGANOptions

    import ganzoo
    from ganzoo.sampling.styles import StyleSampler

    ganzoo.seed(3)
    options = StyleGANOptions(max_size=8, latent=8, mapping_layers=2, channels_max=4, conditional=True)
    data = ganzoo.DataInfo("none", 9, 8, 3, ("a", "b", "c"))
    generator = StyleGAN().build(options, data, ganzoo.TrainOptions()).networks["generator"]
    generator.eval()
    z = latents.from_seeds(range(3000), 8)
    means = []
    for label in np.eye(3, dtype=np.float32):
        with jittor.no_grad():
            w = generator.map(jittor.array(z), jittor.array(np.repeat(label[None], len(z), 0))).numpy()
        means.append(w.mean(0))
    labels = np.float32([[1, 0, 0], [0, 0.5, 0.5]])
    for space in "zw":
        each = StyleSampler(generator, psi=0.0, space=space)
        styles = each.styles(each.code(z[:2], labels))
        assert np.abs(styles[0, 0] - means[0]).max() < 0.1 * np.std(means)
        assert np.abs(styles[1, 0] - (means[1] + means[2]) / 2).max() < 0.1 * np.std(means)


def test_images_with_attributes_are_truncated_towards_the_mean_over_the_rows(jittor):
    class Mapping:
        latent, classes, attributes, truncation_layers = 2, 0, 3, None
        w_average = None

        def style_layers(self):
            return 2

        def map(self, z, attributes):
            return z + attributes[:, :2] * attributes[:, 1:]

    rows = np.float32([[1, 2, 3], [-4, 0, 5], [2, 2, 2], [0, 7, 1], [5, 5, 5]])
    z, attributes = latents.from_seeds(range(3), 2), rows[[4, 0, 1]]
    each = StyleSampler(Mapping(), psi=0.25, attributes=rows)
    w, mean = z + attributes[:, :2] * attributes[:, 1:], (rows[:, :2] * rows[:, 1:]).mean(0)
    expected = mean + 0.25 * (w - mean)
    assert np.abs(each.styles(each.code(z, attributes))[:, 0] - expected).max() < 0.05 * rows.std()
