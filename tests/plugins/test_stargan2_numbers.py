"""Compares StarGAN v2 with the reference: outputs, terms and gradients of all four updates, and five iterations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from unittest import mock

import numpy as np
import pytest

import ganzoo
from tests.support.reference import needs_torch, relative_error, run_reference, strip_prefix

pytestmark = [pytest.mark.usefixtures("jittor"), needs_torch]

SIZE, COUNT, LATENT, STEPS, EMA_DECAY, DS_ITER = 64, 2, 16, 5, 0.9, 10
DOMAINS = ("bird", "cat", "dog")
SHAPE = {"size": SIZE, "style_dim": 16, "latent": LATENT, "hidden": 32, "max_channels": 32, "base": 256}
# The penalty has a larger weight than published, so that its gradient is not negligible.
LAMBDAS = {"reg": 20.0, "sty": 0.7, "ds": 2.0, "cyc": 1.3}
MAX_ERROR, MAX_ERROR_AFTER_STEPS = 1e-4, 1e-3  # relative errors
# Relative L2 errors of the weight changes of a tensor and of a whole network. The EMAs' changes have only two correct
# digits in float32. Adam turns gradients that are only rounding errors into full steps, so weights whose gradients are
# below ROUNDING times the network's largest gradient count only for the whole network.
MAX_CHANGE_ERROR, MAX_NETWORK_CHANGE_ERROR = 0.05, 0.02
ROUNDING = 1e-4
# Seeds of the weights for five iterations. If a number is near the kink of a ReLU or an L1 norm, rounding changes loss
# terms by up to 4e-3 and weights by more. Rounding depends on the processor and the number of threads, so if one seed
# fails, the next is tried. A wrong update disagrees with every seed.
SEEDS_OF_STEPS = (9, 15, 4, 5)
# The seeds of the weights are chosen so that no input of a ReLU is near zero.
CASES: dict[str, dict[str, Any]] = {
    "plain": {"seed": 29, "architecture": {"w_hpf": 0.0, **SHAPE}},
    "high-pass": {"seed": 51, "architecture": {"w_hpf": 1.0, **SHAPE}},
}
TERMS = {"D": {"real", "fake", "reg"}, "G": {"adv", "sty", "ds", "cyc"}}
PHASES = ("D-latent", "D-reference", "G-latent", "G-reference")
# Our names of the networks -> the reference's.
NAMES = {
    "generator": "generator",
    "mapping": "mapping_network",
    "encoder": "style_encoder",
    "discriminator": "discriminator",
}


def pictures(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return images uint8 (count, SIZE, SIZE, 3) with shapes of every size, as in natural images."""
    total = np.zeros((count, SIZE, SIZE, 3))
    for step in (2**power for power in range(SIZE.bit_length())):
        total += rng.standard_normal((count, SIZE // step, SIZE // step, 3)).repeat(step, 1).repeat(step, 2)
    return np.round(127.5 + 127.5 * np.tanh(0.5 * total)).astype(np.uint8)


def random_batch(seed: int, count: int = COUNT) -> dict[str, np.ndarray]:
    """Return the arrays of `tests.support.reference.stargan2_steps.Data`, but with images as uint8 (N, H, W, C)."""
    rng = np.random.default_rng(seed)
    found = {name: pictures(rng, count) for name in ("x", "reference", "reference2")}
    found.update({name: rng.standard_normal((count, LATENT), np.float32) for name in ("z", "z2")})
    # With two images, the third domain is missing, and its branches get no gradient.
    found.update({name: rng.permutation(len(DOMAINS)).repeat(count // 2)[:count] for name in ("y", "target")})
    for kind in ("mask", "fake_mask"):
        found.update({f"{kind}/{index}": rng.random((count, 1, 128, 128), np.float32) for index in range(2)})
    return found


def with_float_images(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the batch with images as float32 (N, C, H, W) in [-1, 1]."""

    def scaled(value: np.ndarray) -> np.ndarray:
        return value.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1.0 if value.dtype == np.uint8 else value

    return {name: scaled(value) for name, value in batch.items()}


def options(**given: Any) -> Any:
    from ganzoo_stargan2 import StarGAN2Options

    shape = {"size": SIZE, "style": SHAPE["style_dim"], "hidden": SHAPE["hidden"], "latent": LATENT}
    widths = {"channels_base": SHAPE["base"], "channels_max": SHAPE["max_channels"]}
    lambdas = {f"lambda_{name}": value for name, value in LAMBDAS.items()}
    return StarGAN2Options(**shape, **widths, **lambdas, **given)


def data() -> ganzoo.DataInfo:
    return ganzoo.DataInfo("drawn", 9, SIZE, 3, domains=DOMAINS)


class BatchWithLatents(ganzoo.Batch):
    """A batch that returns given latents instead of drawing them."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        jt = ganzoo.jt
        self.given_latents = iter([arrays["z"], arrays["z2"]])
        references = (jt.array(arrays["reference"]), jt.array(arrays["reference2"]))
        rng: Any = None  # nothing else is random
        super().__init__(jt.array(arrays["x"]).stop_grad(), arrays["y"], rng, references, arrays["target"])

    def latents(self, length: int) -> Any:
        return ganzoo.jt.array(next(self.given_latents))


class FixedMasks:
    """Replaces the landmark network by fixed masks: some for the sources, others for all images generated from them."""

    def __init__(self, arrays: dict[str, np.ndarray], sources: Any) -> None:
        self.arrays, self.sources = arrays, sources

    def masks(self, images: Any) -> list[Any]:
        kind = "mask" if images is self.sources else "fake_mask"
        return [ganzoo.jt.array(self.arrays[f"{kind}/{index}"]) for index in range(2)]


class GanzooResults:
    """The results of ganzoo for a case."""

    def __init__(self, w_hpf: float, arrays: dict[str, np.ndarray], weights: dict[str, np.ndarray]) -> None:
        from ganzoo_stargan2 import StarGAN2

        self.arrays, self.batch = arrays, BatchWithLatents(arrays)
        self.setup = StarGAN2().build(options(w_hpf=w_hpf), data(), ganzoo.TrainOptions())
        self.masks = self.fake_masks = None
        if w_hpf:
            loss: Any = self.setup.loss
            loss.landmarks = FixedMasks(arrays, self.batch.images)
            self.masks, self.fake_masks = loss.landmarks.masks(self.batch.images), loss.landmarks.masks(None)
        for name, theirs in NAMES.items():
            network = self.setup.networks[name]
            network.load_state(strip_prefix(weights, f"{theirs}/"))
            network.train()

    def results(self) -> dict[str, np.ndarray]:
        found = {name: var.numpy() for name, var in self._outputs().items()}
        for phase in self.setup.loss.phases:
            found.update(self._phase(phase))
        return found

    def _outputs(self) -> dict[str, Any]:
        generator, mapping, encoder, discriminator = (self.setup.networks[name] for name in NAMES)
        batch, target = self.batch, self.arrays["target"]
        found = {
            "style/latent": mapping(ganzoo.jt.array(self.arrays["z"]), target),
            "style/reference": encoder(batch.references[0], target),
            "style/source": encoder(batch.images, batch.labels),
            "score/real": discriminator(batch.images, batch.labels),
        }
        for kind in ("latent", "reference"):
            fake = found[f"image/{kind}"] = generator(batch.images, found[f"style/{kind}"], self.masks)
            found[f"image/{kind}-cycled"] = generator(fake, found["style/source"], self.fake_masks)
            found[f"score/{kind}"] = discriminator(fake, target)
        return found

    def _phase(self, phase: Any) -> dict[str, np.ndarray]:
        used = {
            (name, key): var
            for name in phase.networks
            for key, var in self.setup.networks[name].active_weights().items()
        }
        terms = self.setup.loss(phase, self.batch, ganzoo.Progress())
        gradients = ganzoo.jt.grad(sum(terms.values()), list(used.values()))
        found = {f"term/{phase.name}/{name}": term.numpy().reshape(()) for name, term in terms.items()}
        for (name, key), gradient in zip(used, gradients):
            found[f"grad/{phase.name}/{NAMES[name]}/{key}"] = gradient.numpy()
        return found


@pytest.fixture(scope="module")
def given() -> dict[str, np.ndarray]:
    return with_float_images(random_batch(5))


@pytest.fixture(scope="module")
def expected(given, tmp_path_factory) -> dict[str, np.ndarray]:
    architectures = {
        name: {**case, "architecture": {**case["architecture"], "domains": len(DOMAINS)}}
        for name, case in CASES.items()
    }
    return run_reference("stargan2", given, tmp_path_factory.mktemp("stargan2"), cases=architectures, lambdas=LAMBDAS)


@pytest.fixture(scope="module", params=CASES)
def comparison(request, given, expected) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the results of ganzoo and of the reference for one case."""
    wanted = strip_prefix(expected, f"{request.param}/")
    weights = {name: value.astype(np.float32) for name, value in strip_prefix(wanted, "net/").items()}
    return GanzooResults(CASES[request.param]["architecture"]["w_hpf"], given, weights).results(), wanted


def test_no_input_of_a_relu_is_near_zero(comparison):
    assert comparison[1]["closest"] > 3e-6


@pytest.mark.parametrize("kind", ["style", "image", "score"])
def test_outputs_match_the_reference(comparison, kind):
    actual, wanted = (strip_prefix(each, f"{kind}/") for each in comparison)
    assert len(actual) == {"style": 3, "image": 4, "score": 3}[kind]
    for name, value in actual.items():
        assert relative_error(value, wanted[name]) < MAX_ERROR, name


@pytest.mark.parametrize("phase", PHASES)
def test_every_loss_term_matches_the_reference(comparison, phase):
    actual, wanted = (strip_prefix(each, f"term/{phase}/") for each in comparison)
    assert actual.keys() == wanted.keys() == TERMS[phase[0]]
    for name, value in wanted.items():
        assert relative_error(actual[name], value) < MAX_ERROR, name


@pytest.mark.parametrize("phase", PHASES)
def test_every_gradient_matches_the_reference(comparison, phase):
    actual, wanted = (strip_prefix(each, f"grad/{phase}/") for each in comparison)
    assert actual.keys() == wanted.keys()  # the weights that get a gradient in the reference
    for name, value in wanted.items():
        assert relative_error(actual[name], value, scale(wanted, name)) < MAX_ERROR, name


def scale(gradients: dict[str, np.ndarray], name: str) -> float:
    """Return the magnitude to which the error of a gradient is relative, usually the gradient's own. A bias before an
    instance norm has no effect, so its gradient is only rounding errors; its error is relative to the gradient of the
    layer's weight. A branch for a domain without images has no gradient at all."""
    own = float(np.abs(gradients[name]).max())
    of_weight = float(np.abs(gradients[name.replace("bias", "weight")]).max())
    if of_weight == 0.0:
        return 1e-30
    return of_weight if own < 1e-12 * of_weight else own


class Trained:
    """Five iterations of ganzoo on batches of `random_batch`, with at most `micro_batch` images at once."""

    def __init__(self, batches: list[dict[str, np.ndarray]], weights: dict[str, np.ndarray], micro_batch: int) -> None:
        from ganzoo_stargan2 import StarGAN2

        from ganzoo.data.loader import ImageBatch
        from ganzoo.interfaces.train_options import TrainOptions
        from ganzoo.training.state import TrainState
        from ganzoo.training.step import Step

        given = options(w_hpf=0.0, ds_iter=DS_ITER, ema=EMA_DECAY)
        self.state = TrainState(StarGAN2(), given, data(), TrainOptions(seed=3, batch=micro_batch))
        for name, theirs in NAMES.items():
            values = strip_prefix(weights, f"{theirs}/")
            for network in (self.state.setup.networks[name], self.state.ema.copies.get(name)):
                if network is not None:
                    network.load_state(values)
        self.terms: dict[str, Any] = {}
        self.logged: dict[str, Any] = {}
        step = Step(self.state, 11, micro_batch, self._record(self.terms), self._record(self.logged))
        remaining_latents = latents(batches, micro_batch)

        def draw(batch: ganzoo.Batch, length: int) -> Any:
            return ganzoo.jt.array(next(remaining_latents))

        with mock.patch.object(ganzoo.Batch, "latents", draw):
            for batch in batches:
                references = np.stack([batch["reference"], batch["reference2"]])
                step(ImageBatch(batch["x"], batch["y"], references, batch["target"]))
                self.state.progress = self.state.progress.after(len(batch["x"]))
        assert next(remaining_latents, None) is None, "ganzoo drew fewer latents than the reference"

    def _record(self, target: dict[str, Any]) -> Any:
        def record(phase: Any, values: dict[str, Any], finite: Any) -> None:
            target.update({f"{self.state.progress.step}/{phase.name}/{name}": var for name, var in values.items()})

        return record

    def weights(self, ema: bool = False) -> dict[str, np.ndarray]:
        networks = self.state.ema.copies if ema else self.state.setup.networks
        return {f"{NAMES[name]}/{key}": var.numpy() for name in networks for key, var in networks[name].state().items()}


def latents(batches: list[dict[str, np.ndarray]], micro_batch: int) -> Iterator[np.ndarray]:
    """Yield the latents in the order in which ganzoo draws them: `z` and `z2` of each micro-batch in turn."""
    for batch in batches:
        for start in range(0, len(batch["x"]), micro_batch):
            for name in ("z", "z2"):
                yield batch[name][start : start + micro_batch]


@pytest.fixture(scope="module", params=[2, 4], ids=["whole", "accumulated"])
def trained(request, tmp_path_factory) -> tuple[Trained, dict[str, np.ndarray]]:
    """Return five iterations of ganzoo and of the reference, with two images or with four in micro-batches of two."""
    batches = [random_batch(100 + step, request.param) for step in range(STEPS)]
    given = {
        f"{step}/{name}": value for step in range(STEPS) for name, value in with_float_images(batches[step]).items()
    }
    architecture = {"w_hpf": 0.0, "domains": len(DOMAINS), **SHAPE}
    settings = {"lambdas": LAMBDAS, "ds_iter": DS_ITER, "decay": EMA_DECAY, "iterations": STEPS}
    for seed in SEEDS_OF_STEPS:
        expected = run_reference(
            "stargan2_train",
            given,
            tmp_path_factory.mktemp("trained"),
            architecture=architecture,
            seed=seed,
            **settings,
        )
        weights = {name: value.astype(np.float32) for name, value in strip_prefix(expected, "begin/").items()}
        found = Trained(batches, weights, micro_batch=2)
        if all(error < bound for _, error, bound in errors_of_steps(found, expected)):
            break
    return found, expected


# What differs, its relative error, and the error's bound.
Error = tuple[str, float, float]


def errors_of_steps(found: Trained, expected: dict[str, np.ndarray]) -> Iterator[Error]:
    yield from errors_of_terms(found, expected)
    for ema in (False, True):
        yield from errors_of_weights(found, expected, ema)
        yield from errors_of_changes(found, expected, ema)


def errors_of_terms(found: Trained, expected: dict[str, np.ndarray]) -> Iterator[Error]:
    for name, value in strip_prefix(expected, "term/").items():
        yield name, relative_error(found.terms[name].numpy().reshape(()), value), MAX_ERROR_AFTER_STEPS


def errors_of_weights(found: Trained, expected: dict[str, np.ndarray], ema: bool) -> Iterator[Error]:
    actual = found.weights(ema)
    for name, value in strip_prefix(expected, "ema/" if ema else "end/").items():
        yield name, relative_error(actual[name], value), MAX_ERROR_AFTER_STEPS


def errors_of_changes(found: Trained, expected: dict[str, np.ndarray], ema: bool) -> Iterator[Error]:
    begin, end = (strip_prefix(expected, prefix) for prefix in ("begin/", "ema/" if ema else "end/"))
    changes = {name: (value - begin[name], end[name] - begin[name]) for name, value in found.weights(ema).items()}
    for network in {name.split("/")[0] for name in changes}:
        pairs = {name: pair for name, pair in changes.items() if name.startswith(network)}
        sizes = {name: expected[f"gradient_size/{name}"] for name in pairs}
        largest = max(size.max() for size in sizes.values())
        for name, pair in pairs.items():
            significant = sizes[name] > ROUNDING * largest
            if significant.any():
                yield name, distance([(pair[0][significant], pair[1][significant])]), MAX_CHANGE_ERROR
        yield network, distance(pairs.values()), MAX_NETWORK_CHANGE_ERROR


def assert_small(errors: Iterable[Error]) -> None:
    for name, error, bound in errors:
        assert error < bound, name


def test_the_loss_terms_of_five_iterations_match_the_reference(trained):
    names = trained[0].terms.keys()
    assert names == strip_prefix(trained[1], "term/").keys()
    assert len(names) == STEPS * (2 * 3 + 2 * 4)
    assert_small(errors_of_terms(*trained))


def test_the_diversity_weight_falls_as_in_the_reference(trained):
    for step in range(STEPS):
        wanted = float(trained[1][f"lambda_ds/{step}"])
        assert wanted == pytest.approx(LAMBDAS["ds"] * (1 - step / DS_ITER))
        for phase in ("G-latent", "G-reference"):
            assert trained[0].logged[f"{step}/{phase}/lambda_ds"].item() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("ema", [False, True], ids=["weights", "EMA"])
def test_the_weights_after_five_iterations_match_the_reference(trained, ema):
    assert trained[0].weights(ema).keys() == strip_prefix(trained[1], "ema/" if ema else "end/").keys()
    assert_small(errors_of_weights(*trained, ema))


@pytest.mark.parametrize("ema", [False, True], ids=["weights", "EMA"])
def test_the_weight_changes_over_five_iterations_match_the_reference(trained, ema):
    assert_small(errors_of_changes(*trained, ema))


def distance(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> float:
    """Return the L2 distance between the actual and the expected numbers, relative to the norm of the expected ones."""
    actual, wanted = (np.concatenate([each.ravel() for each in side]) for side in zip(*pairs))
    return float(np.linalg.norm(actual - wanted) / np.linalg.norm(wanted))
