"""Perceptual distances, diversity and path length for known features and generators, against NumPy in float64."""

from __future__ import annotations

from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest

from ganzoo.errors import OptionError
from ganzoo.metrics.evaluation import Evaluation
from ganzoo.metrics.standard import EPS, LPIPS, PathLength, trimmed_mean

SHAPES = [(6, 5, 5), (9, 3, 3)]  # of the feature maps of an image


@pytest.fixture
def given_maps(jittor):
    """Return a `Perceptual`, a function that returns its feature maps in float64, and its heads. The feature maps are
    consecutive parts of the image."""
    from ganzoo.metrics.perceptual import Perceptual

    rng = np.random.default_rng(0)
    heads = [rng.uniform(0, 1, (1, shape[0], 1, 1)) for shape in SHAPES]

    def split(images):
        rows, start, found = images.reshape(len(images), -1), 0, []
        for shape in SHAPES:
            size = int(np.prod(shape))
            found.append(rows[:, start : start + size].reshape(-1, *shape))
            start += size
        return found

    def network(images):
        return [jittor.array(each.astype(np.float32)) for each in split(images.numpy())]

    network.size_multiple, network.heads = 1, [jittor.array(head.astype(np.float32)) for head in heads]
    perceptual = object.__new__(Perceptual)
    perceptual.network = network
    return perceptual, lambda images: split(images.astype(np.float64)), heads


def plain_distance(maps, others, heads):
    """Return the distance of equation 1 of Zhang et al."""
    total = 0.0
    for one, other, head in zip(maps, others, heads):
        one, other = (each / np.sqrt((each**2).sum(1, keepdims=True)) for each in (one, other))
        total = total + (head * (one - other) ** 2).sum(1).mean((1, 2))
    return total


def test_distances_are_between_unit_length_features(given_maps):
    perceptual, split, heads = given_maps
    one, other = np.random.default_rng(1).normal(size=(2, 4, 3, 64, 64)).astype(np.float32)
    expected = plain_distance(split(one), split(other), heads)
    assert perceptual.distances(one, other) == pytest.approx(expected, rel=1e-6)


def test_the_pairwise_distance_is_the_mean_over_all_pairs(given_maps):
    perceptual, split, heads = given_maps
    groups = np.random.default_rng(2).normal(size=(10, 3, 3, 64, 64)).astype(np.float32)
    pairs = [plain_distance(split(groups[a]), split(groups[b]), heads) for a, b in combinations(range(10), 2)]
    assert len(pairs) == 45
    assert perceptual.pairwise_distance(groups) == pytest.approx(np.mean(pairs, 0), rel=1e-6)


def test_lpips_is_the_mean_of_the_means_of_batches():
    distances = np.random.default_rng(3).uniform(size=70).astype(np.float32)
    found = LPIPS().compute(SimpleNamespace(diversity=distances))["lpips"]
    parts = [
        distances[:32].astype("f8").mean(),
        distances[32:64].astype("f8").mean(),
        distances[64:].astype("f8").mean(),
    ]
    assert found == pytest.approx(np.mean(parts), rel=1e-12)
    assert found != pytest.approx(distances.mean(), rel=1e-4)  # the last batch is smaller, but has the same weight


def test_the_trimmed_mean_excludes_one_percent_at_each_end():
    lengths = np.arange(1000.0)
    lengths[[0, 500]] = -1e9, 1e9
    kept = np.sort(lengths)[9:-9]
    assert trimmed_mean(lengths) == pytest.approx(kept.mean(), rel=1e-3)
    assert trimmed_mean(np.full(5, 2.0)) == 2.0


class IdentityGenerator:
    """A generator whose images are the latents."""

    latent, classes, attributes = 12, 0, 0

    def __call__(self, z):
        return z.reshape((-1, 3, 2, 2))


class SquaredDistance:
    def distances(self, one, other):
        difference = one.numpy().astype("f8") - other.numpy().astype("f8")
        return (difference**2).sum((1, 2, 3))


def path_length(generator, space, sampling, count=500, seed=4, attributes=None):
    from ganzoo.metrics.sources import GeneratorSource

    source = GeneratorSource(generator, count, seed, attributes=attributes)
    evaluation = Evaluation(source, None, None, SquaredDistance(), seed)
    metric = PathLength(space, sampling)
    return metric.compute(evaluation)[metric.name]


@pytest.mark.parametrize("sampling", ["full", "end"])
def test_the_path_in_z_is_an_arc(jittor, sampling):
    from ganzoo.metrics.standard import PATH_STREAM
    from ganzoo.sampling.latents import slerp

    rng, lengths = np.random.default_rng([4, PATH_STREAM]), []
    for start in range(0, 500, 32):  # the chunk size of the metric
        count = min(32, 500 - start)
        ends, t = rng.standard_normal((2, count, 12), "f4").astype("f8"), rng.random((count, 1))
        t = t if sampling == "full" else 0 * t
        one, other = slerp(*ends, t), slerp(*ends, t + 1e-6)
        lengths.append(((one - other) ** 2).sum(1) / 1e-12)
    expected = trimmed_mean(np.concatenate(lengths))
    # The error is some thousandths, because EPS is finite and latents are float32.
    assert path_length(IdentityGenerator(), "z", sampling) == pytest.approx(expected, rel=5e-3)


def test_the_path_in_w_is_straight_and_equally_long_everywhere(jittor):
    from ganzoo.interfaces.networks import StyleGenerator

    class Scaled(StyleGenerator):
        """A generator whose w is three times z and whose images are w."""

        latent = 12

        def map(self, z):
            return 3.0 * z

        def noise_sizes(self):
            return [2]

        def style_layers(self):
            return 2

        def synthesise(self, styles, noise):
            return (styles[0] + 0.0 * styles[1]).reshape((-1, 3, 2, 2))

    full, end = (path_length(Scaled(), "w", sampling) for sampling in ("full", "end"))
    # Each of the 12 coordinates of w contributes twice its variance, which is 9.
    assert full == pytest.approx(2 * 9 * 12, rel=0.05)
    assert end == pytest.approx(full, rel=0.02)
    assert EPS == 1e-4


@pytest.mark.parametrize("space", ["z", "w"])
def test_both_ends_of_a_path_have_the_same_attributes(jittor, space):
    from ganzoo.interfaces.networks import StyleGenerator

    class Scaled(StyleGenerator):
        """A generator whose w and images are z times its attribute."""

        latent, attributes = 12, 1

        def map(self, z, attributes):
            return z * attributes

        def noise_sizes(self):
            return [2]

        def style_layers(self):
            return 1

        def synthesise(self, styles, noise):
            return styles[0].reshape((-1, 3, 2, 2))

    found = path_length(Scaled(), space, "end", count=1500, attributes=np.float32([[2], [4]]))
    # Each of the 12 coordinates of w contributes twice its variance, which is the square of the attribute.
    unscaled = path_length(IdentityGenerator(), "z", "end", count=1500) if space == "z" else 2 * 12
    assert found == pytest.approx((2**2 + 4**2) / 2 * unscaled, rel=0.08)


def test_metrics_refuse_unsuitable_models(jittor):
    from ganzoo.metrics.sources import GeneratorSource

    evaluation = Evaluation(GeneratorSource(IdentityGenerator(), 10, 0), SimpleNamespace(count=10, name="real"))
    with pytest.raises(OptionError, match=r"ppl-w-full: only style-based models have a space w"):
        PathLength("w", "full").check(evaluation)
    with pytest.raises(OptionError, match=r"lpips: measures the diversity of an image's translations"):
        LPIPS().check(evaluation)
    PathLength("z", "end").check(evaluation)
