"""A phase with a non-finite loss or gradient is skipped: its networks are not updated, and all else is as before."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import pytest

import ganzoo
from ganzoo.data.loader import ImageBatch
from ganzoo.interfaces.train_options import TrainOptions
from ganzoo.training.loss_stats import LossStats, Report
from ganzoo.training.state import TrainState
from ganzoo.training.step import Step
from tests.support.kernels import loaded_kernels

pytestmark = pytest.mark.usefixtures("jittor")

BATCH = 4
VALUES = {"nan": np.nan, "inf": np.inf, "-inf": -np.inf}


def gan() -> tuple[Any, Any, Any]:
    from ganzoo_gan import GAN, GANOptions

    return GAN(), GANOptions(size=8, ema=0.9), ganzoo.DataInfo("made-up", 100, 8, 1)


def lsgan() -> tuple[Any, Any, Any]:
    from ganzoo_lsgan import LSGAN, LSGANOptions

    return LSGAN(), LSGANOptions(size=16, ema=0.9), ganzoo.DataInfo("made-up", 100, 16, 3)


def stylegan() -> tuple[Any, Any, Any]:
    from ganzoo_stylegan import StyleGAN, StyleGANOptions

    widths = {"latent": 8, "mapping_layers": 2, "channels_base": 128, "channels_max": 8}
    # w_average is the decay of the average of w, a statistic that a skipped step must not change.
    options = StyleGANOptions(init_size=8, max_size=8, w_average=0.9, loss="r1", **widths)
    return StyleGAN(), options, ganzoo.DataInfo("made-up", 100, 8, 3)


def stargan2() -> tuple[Any, Any, Any]:
    from ganzoo_stargan2 import StarGAN2, StarGAN2Options

    data = ganzoo.DataInfo("made-up", 100, 64, 3, ("cat", "dog"))
    widths = {"channels_base": 512, "channels_max": 8, "hidden": 8, "style": 8, "latent": 4}
    return StarGAN2(), StarGAN2().resolve_options(StarGAN2Options(**widths), data), data


MODELS = {build.__name__: build for build in (gan, lsgan, stylegan, stargan2)}


def in_the_loss(value: float) -> Callable[..., None]:
    """Return a function that makes a term non-finite, but not its gradients."""

    def spoil(terms: dict[str, Any], batch: Any, weight: Any) -> None:
        name = next(iter(terms))
        terms[name] = terms[name] + ganzoo.jt.array(np.full(1, value, np.float32))

    return spoil


def by_a_logarithm(terms: dict[str, Any], batch: Any, weight: Any) -> None:
    """Make a term NaN in a kernel, as happens in practice."""
    name = next(iter(terms))
    terms[name] = terms[name] + ganzoo.jt.log(-1.0 - terms[name].sqr())


def in_one_gradient(terms: dict[str, Any], batch: Any, weight: Any) -> None:
    """Make the gradient of one element of one weight infinite; the term stays finite."""
    number = weight.reshape((-1,))[:1]
    name = next(iter(terms))
    terms[name] = terms[name] + ganzoo.jt.sqrt(number - number.detach())


def in_a_huge_gradient(terms: dict[str, Any], batch: Any, weight: Any) -> None:
    """Make a gradient so large that its square, in Adam's second moment, is infinite."""
    number = weight.reshape((-1,))[:1]
    name = next(iter(terms))
    terms[name] = terms[name] + 1e30 * (number - number.detach())


class SpoiledLoss(ganzoo.Loss):
    """A loss that is made non-finite by `spoil`, or by a pixel of value `pixel`, in micro-batch number `index` of the
    phases `bad`."""

    def __init__(self, loss: ganzoo.Loss, networks: Any) -> None:
        self.loss, self.phases, self.networks = loss, loss.phases, networks
        self.bad: Collection[str] = ()
        self.spoil: Callable[..., None] | None = None
        self.pixel: float | None = None
        self.index, self._calls = 0, 0

    def begin(self) -> None:
        """Start a step: count its micro-batches from 0."""
        self._calls = 0

    def __call__(self, phase: ganzoo.Phase, batch: ganzoo.Batch, progress: ganzoo.Progress) -> dict[str, Any]:
        chosen = phase.name in self.bad and self._calls % batch.micro_batches == self.index
        self._calls += 1
        images = batch.images
        if chosen and self.pixel is not None:
            spot = np.zeros(images.shape, np.float32)
            spot[-1, 0, 3, 5] = self.pixel
            batch.images = images + ganzoo.jt.array(spot)
        terms = self.loss(phase, batch, progress)
        batch.images = images
        if chosen and self.spoil is not None:
            # A weight that every stage and phase uses.
            weight = list(self.networks[phase.networks[0]].active_weights().values())[-1]
            self.spoil(terms, batch, weight)
        return terms


class Training:
    """Training of a tiny model whose loss can be made non-finite."""

    def __init__(self, name: str, micro_batch: int | None = None) -> None:
        model, options, self.data = MODELS[name]()
        self.state = TrainState(model, options, self.data, TrainOptions(seed=0, batch=BATCH))
        self.loss = SpoiledLoss(self.state.setup.loss, self.state.setup.networks)
        object.__setattr__(self.state.setup, "loss", self.loss)
        self.loss_stats = LossStats()
        self.step = Step(self.state, 0, micro_batch, self.loss_stats.add, self.loss_stats.log)
        self.phases = [phase.name for phase in self.loss.phases]

    def run(self, bad: Collection[str] = (), spoil: Callable[..., None] | None = None, **where: Any) -> Report:
        self.loss.bad, self.loss.spoil, self.loss.pixel = bad, spoil, where.get("pixel")
        self.loss.index = where.get("index", 0)
        self.loss.begin()
        rng = np.random.default_rng(self.state.progress.step)
        pixels = rng.integers(0, 256, (3, BATCH, self.data.size, self.data.size, self.data.channels), np.uint8)
        domains = np.arange(BATCH) % max(len(self.data.domains), 1)
        self.step(ImageBatch(pixels[0], domains, pixels[1:], domains[::-1].copy()))
        self.state.progress = self.state.progress.after(BATCH)
        return self.loss_stats.fetch()

    def tensors(self) -> dict[str, np.ndarray]:
        return self.state.tensors()


def changed(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> set[str]:
    assert before.keys() == after.keys()
    assert all(np.isfinite(value).all() for value in after.values())
    return {name for name, value in after.items() if not np.array_equal(value, before[name])}


def trained(names: Collection[str]) -> set[str]:
    return {name for name in names if not name.startswith("ema/")}


SPOILED = {
    **{f"loss-{name}": in_the_loss(value) for name, value in VALUES.items()},
    "logarithm": by_a_logarithm,
    "gradient": in_one_gradient,
    "huge-gradient": in_a_huge_gradient,
}


@pytest.mark.parametrize("how", SPOILED)
@pytest.mark.parametrize("name", MODELS)
def test_a_step_with_non_finite_values_changes_nothing(name, how):
    training = Training(name)
    assert training.run().skipped == 0
    before = training.tensors()
    report = training.run(training.phases, SPOILED[how])
    assert (report.skipped, report.max_consecutive_skips) == (len(training.phases), 1)
    assert report.losses == report.logged == {}
    assert trained(changed(before, training.tensors())) == set()  # EMAs still move towards the weights
    report = training.run()
    assert (report.skipped, report.max_consecutive_skips) == (0, 1)
    assert all(np.isfinite(value) for value in [*report.losses.values(), *report.logged.values()])
    moved = changed(before, training.tensors())
    for network, optimizer in training.state.optimizers.items():
        for weight in optimizer.weights:
            assert f"adam/{network}/second/{weight}" in moved, weight
            assert optimizer.steps[weight] == 3 * sum(network in phase.networks for phase in training.loss.phases)


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("name", MODELS)
def test_a_non_finite_pixel_stops_only_the_discriminator(name, value):
    training = Training(name)
    bad = [phase.name for phase in training.loss.phases if phase.networks == ("discriminator",)]
    training.run()
    before = training.tensors()
    # In StarGAN v2, the generator's phase reuses translations of the same images, so it is skipped too.
    report = training.run(bad, pixel=VALUES[value])
    moved = changed(before, training.tensors())
    # The generator's phase may update the statistics of the discriminator's batch norm.
    assert not any("/discriminator/" in name and "running" not in name for name in moved)
    if name != "stargan2":
        assert report.skipped == 1
        assert any(name.startswith("net/generator/") for name in moved)
        assert not any(key.startswith("discriminator/") for key in report.losses)
        assert any(key.startswith("generator/") for key in report.losses)
    assert training.run().skipped == 0


STATISTICS = {"gan": "running_var", "lsgan": "running_var", "stylegan": "w_average"}


@pytest.mark.parametrize("name", STATISTICS)
def test_running_statistics_of_a_skipped_phase_are_restored(name, monkeypatch):
    """The forward pass with non-finite latents changes the running statistics before the phase is skipped."""
    training = Training(name)
    training.run()
    before = training.tensors()
    keys = {key for key in before if key.startswith("net/generator/") and key.endswith(STATISTICS[name])}
    with monkeypatch.context() as patched:
        patched.setattr(ganzoo.Batch, "latents", lambda self, length: ganzoo.jt.array(np.full((BATCH, length), np.nan)))
        report = training.run()
    assert report.skipped == len(training.phases)
    assert trained(changed(before, training.tensors())) == set()
    training.run()
    assert keys
    assert keys <= changed(before, training.tensors())


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("name", MODELS)
def test_one_bad_micro_batch_skips_the_update(name, index):
    training = Training(name, micro_batch=2)
    training.run()
    before = training.tensors()
    report = training.run(training.phases, by_a_logarithm, index=index)
    assert report.skipped == len(training.phases)
    assert trained(changed(before, training.tensors())) == set()
    assert training.run().skipped == 0
    assert changed(before, training.tensors())


def test_consecutive_skips_are_counted_by_phase():
    training = Training("gan")
    reports = [training.run(bad, in_the_loss(np.nan)) for bad in (["generator"], ["generator"], ["discriminator"], [])]
    assert [report.skipped for report in reports] == [1, 1, 1, 0]
    assert [report.max_consecutive_skips for report in reports] == [1, 2, 2, 2]


def test_skipping_compiles_no_kernel():
    """Neither skipped steps nor many more steps after them compile a kernel."""
    training = Training("gan")
    for bad in ([], [], training.phases, []):
        training.run(bad, by_a_logarithm)
    before = loaded_kernels()
    assert before
    for bad in (["generator"], [], training.phases, *[[]] * 30):
        training.run(bad, by_a_logarithm)
    assert loaded_kernels() == before
