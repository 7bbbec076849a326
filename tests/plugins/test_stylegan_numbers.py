"""StyleGAN at every resolution: images, scores, both losses and all gradients, compared with the reference."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import ganzoo
from tests.support.reference import needs_torch, relative_error, run_reference, strip_prefix

pytestmark = [pytest.mark.usefixtures("jittor"), needs_torch]

MAX_SIZE = 128  # px; the networks are built for this size, so that fused resampling occurs
COUNT, LATENT, DEPTH, CHANNELS_BASE, CHANNELS_MAX = 4, 16, 2, 512, 32
LOSSES = ("wgan-gp", "r1")
LABELS = np.array([0, 2, 1, 2])
MAX_ERROR = 1e-4  # relative
# Seed of the weights. An AdaIN removes nearly all of the effect of the bias before it. With some seeds, the terms of
# that bias's gradient therefore cancel to less than float32's precision.
SEED = 1


def case(size: int, alpha: float, crossover: int | None = None, **shape: Any) -> dict[str, Any]:
    widths = [min(CHANNELS_BASE // (4 << level), CHANNELS_MAX) for level in range(6)]
    common = {"widths": widths, "code": LATENT, "depth": DEPTH}
    return {"size": size, "alpha": alpha, "crossover": crossover, **common, **shape}


CASES = {
    f"{size}-{alpha:g}": case(size, alpha)
    for size in (4, 8, 16, 32, 64, 128)
    for alpha in (0.0, 0.3, 1.0)
    if alpha == 1 or size > 4
}
CASES["mixing"] = case(16, 1.0, crossover=2)
CASES["mixing-fading"] = case(32, 0.3, crossover=6)
CASES["plain-from-rgb"] = case(8, 0.3, from_rgb_activation=False)
CASES["grey"] = case(8, 0.3, colours=1)
CASES["classes"] = case(8, 0.3, classes=3)
CASES["classes-mixing"] = case(16, 1.0, crossover=2, classes=3)
CASES["paper"] = case(128, 0.3, paper=True)
CASES["paper-mixing"] = case(16, 1.0, crossover=3, paper=True)


def pictures(rng: np.random.Generator, side: int) -> np.ndarray:
    """Return images (COUNT, 3, side, side) in [-1, 1] with shapes of every size, as in natural images."""
    total = np.zeros((COUNT, 3, side, side))
    for step in (2**power for power in range(side.bit_length())):
        total += rng.standard_normal((COUNT, 3, side // step, side // step)).repeat(step, 2).repeat(step, 3)
    return np.tanh(0.5 * total).astype(np.float32)


def random_inputs() -> dict[str, np.ndarray]:
    """Return real images, latents, noise and the mixing factors of the gradient penalty."""
    rng = np.random.default_rng(5)
    found = {"mix": rng.random((COUNT, 1, 1, 1), np.float32), "labels": np.eye(3, dtype=np.float32)[LABELS]}
    for index in range(2):
        found[f"z/{index}"] = rng.standard_normal((COUNT, LATENT), np.float32)
    for side in (4, 8, 16, 32, 64, 128):
        found[f"reals/{side}"] = pictures(rng, side)
        for index in range(2):
            found[f"noise/{side}/{index}"] = rng.standard_normal((COUNT, 1, side, side), np.float32)
    return found


class FixedNumbers:
    """Replaces a random generator: returns given numbers, and mixes styles from a given layer on."""

    def __init__(self, arrays: dict[str, np.ndarray], crossover: int | None, paper: bool) -> None:
        self.arrays, self.crossover, self.paper = arrays, crossover, paper
        self.counts: dict[str, int] = {}

    def standard_normal(self, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        kind = "z" if len(shape) == 2 else f"noise/{shape[2]}"
        index = self.counts.setdefault(kind, 0)
        self.counts[kind] += 1
        assert self.arrays[f"{kind}/{index}"].shape == shape
        return self.arrays[f"{kind}/{index}"]

    def random(self, shape: tuple[int, ...] | None = None, dtype: Any = None) -> Any:
        assert shape in (None, (COUNT, 1, 1, 1))
        return 0.0 if shape is None else self.arrays["mix"]

    def integers(self, low: int, high: int) -> int:
        assert self.crossover is not None
        drawn = self.crossover if self.paper else self.crossover // 2
        assert low <= drawn < high
        return drawn


class GanzooResults:
    """The results of ganzoo for a case."""

    def __init__(self, settings: dict[str, Any], arrays: dict[str, np.ndarray], weights: dict[str, np.ndarray]) -> None:
        from ganzoo_stylegan import StyleGAN, StyleGANOptions

        self.arrays, self.crossover, self.paper = arrays, settings["crossover"], settings.get("paper", False)
        self.reals = arrays[f"reals/{settings['size']}"][:, : settings.get("colours", 3)]
        options = StyleGANOptions(
            init_size=4,
            latent=LATENT,
            mapping_layers=DEPTH,
            channels_base=CHANNELS_BASE,
            channels_max=CHANNELS_MAX,
            drift=0.5,
            r1_gamma=100.0,
            mixing=self.crossover is not None,
            from_rgb_activation=settings.get("from_rgb_activation", True),
            architecture="paper" if self.paper else "port",
            conditional="classes" in settings,
        )
        domains = tuple("abc"[: settings.get("classes", 0)])
        data = ganzoo.DataInfo("drawn", 9, MAX_SIZE, settings.get("colours", 3), domains)
        self.setups = {
            loss: StyleGAN().build(dataclasses.replace(options, loss=loss), data, ganzoo.TrainOptions())
            for loss in LOSSES
        }
        for setup in self.setups.values():
            for name, network in setup.networks.items():
                network.load_state(strip_prefix(weights, f"{name}/"))
                network.train()
                network.grow(settings["size"], settings["alpha"])

    def results(self) -> dict[str, np.ndarray]:
        setup = self.setups["r1"]
        batch = self._batch()
        labels = batch.conditions(setup.networks["generator"])
        found = {"images": setup.loss.fakes(batch), "scores": setup.networks["discriminator"](self._reals(), *labels)}
        found = {name: var.numpy() for name, var in found.items()}
        for loss in LOSSES:
            for phase in self.setups[loss].loss.phases:
                found.update(self._phase(loss, phase))
        return found

    def _phase(self, loss: str, phase: Any) -> dict[str, np.ndarray]:
        setup = self.setups[loss]
        weights = setup.networks[phase.name].active_weights()
        terms = setup.loss(phase, self._batch(), ganzoo.Progress())
        gradients = ganzoo.jt.grad(sum(terms.values()), list(weights.values()))
        found = {f"term/{loss}/{phase.name}/{name}": term.numpy().reshape(()) for name, term in terms.items()}
        named = zip(weights, gradients)
        return {**found, **{f"grad/{loss}/{phase.name}/{name}": gradient.numpy() for name, gradient in named}}

    def _reals(self) -> Any:
        return ganzoo.jt.array(np.ascontiguousarray(self.reals))

    def _batch(self) -> ganzoo.Batch:
        rng: Any = FixedNumbers(self.arrays, self.crossover, self.paper)
        return ganzoo.Batch(self._reals(), LABELS, rng)


@pytest.fixture(scope="module")
def given() -> dict[str, np.ndarray]:
    return random_inputs()


@pytest.fixture(scope="module")
def expected(given, tmp_path_factory) -> dict[str, np.ndarray]:
    return run_reference("stylegan", given, tmp_path_factory.mktemp("stylegan"), cases=CASES, seed=SEED)


@pytest.fixture(scope="module", params=CASES)
def comparison(request, given, expected) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the results of ganzoo and of the reference for one case."""
    wanted = strip_prefix(expected, f"{request.param}/")
    weights = {name: value.astype(np.float32) for name, value in strip_prefix(wanted, "net/").items()}
    return GanzooResults(CASES[request.param], given, weights).results(), wanted


def test_no_input_of_a_relu_is_near_zero(comparison):
    assert comparison[1]["closest"] > 1e-5


def test_images_and_scores_match_the_reference(comparison):
    actual, wanted = comparison
    assert relative_error(actual["images"], wanted["images"]) < MAX_ERROR
    assert relative_error(actual["scores"], wanted["scores"]) < MAX_ERROR


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_term_matches_the_reference(comparison, loss):
    actual, wanted = (strip_prefix(each, f"term/{loss}/") for each in comparison)
    terms = {"r1": {"real", "fake", "penalty"}, "wgan-gp": {"real", "fake", "drift", "penalty"}}[loss]
    assert actual.keys() == wanted.keys() == {"generator/adversarial", *(f"discriminator/{name}" for name in terms)}
    for name, value in wanted.items():
        assert relative_error(actual[name], value) < MAX_ERROR, name


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_every_gradient_matches_the_reference(comparison, loss, network):
    actual, wanted = (strip_prefix(each, f"grad/{loss}/{network}/") for each in comparison)
    assert actual.keys() == wanted.keys()  # the weights that get a gradient in the reference
    for name, value in wanted.items():
        if value.any():
            assert relative_error(actual[name], value) < MAX_ERROR, name
        else:  # alpha is 0, so the weight has no effect
            assert not actual[name].any(), name
