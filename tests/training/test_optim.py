"""Adam agrees with PyTorch's. Its state is saved and loaded, and gradients are accumulated."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import ganzoo
from ganzoo.backend import operations
from ganzoo.errors import CheckpointError
from tests.support.reference import needs_torch, recording, relative_error, run_reference, strip_prefix

pytestmark = pytest.mark.usefixtures("jittor")

SHAPES = {"first": (4, 3), "second": (5,)}


def optimizer(settings: ganzoo.Adam):
    """Return an optimizer of a new network with weights of all SHAPES. The initial weights are always the same."""
    from ganzoo.training.optim import Optimizer

    class Weights(ganzoo.Network):
        def __init__(self) -> None:
            super().__init__()
            rng = np.random.default_rng(1)
            for name, shape in SHAPES.items():
                setattr(self, name, ganzoo.jt.array(rng.standard_normal(shape, dtype=np.float32)))

    return Optimizer(Weights(), settings)


def gradients(steps: int) -> list[dict[str, np.ndarray]]:
    """Return gradients of very different magnitudes, as in training."""
    rng = np.random.default_rng(2)
    sizes = {name: 10.0 ** rng.uniform(-4, 1, shape) for name, shape in SHAPES.items()}
    return [
        {name: (sizes[name] * rng.standard_normal(shape)).astype(np.float32) for name, shape in SHAPES.items()}
        for _ in range(steps)
    ]


def apply(optimizer, per_step: list[dict[str, np.ndarray]], finite=None) -> None:
    for gradient in per_step:
        optimizer.step([ganzoo.jt.array(gradient[name]) for name in optimizer.weights], finite)
        ganzoo.jt.sync_all()


def numbers(variables) -> dict[str, np.ndarray]:
    return {name: var.numpy() for name, var in variables.items()}


@needs_torch
@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize(
    "settings",
    [
        ganzoo.Adam(2e-2, beta1=0.5),
        ganzoo.Adam(2e-2, beta1=0.0, beta2=0.99, eps=1e-3),
        ganzoo.Adam(2e-2, weight_decay=0.3),
    ],
    ids=["usual", "no-momentum-large-eps", "weight-decay"],
)
def test_updates_match_pytorch(settings, ours, tmp_path, monkeypatch):
    if not ours:  # as on a GPU, or where our operations could not be compiled
        monkeypatch.setattr(operations, "_operations", None)
    steps = 30  # more than 25, after which 1 - 0.5**t rounds to 1 in float32
    adam, per_step = optimizer(settings), gradients(steps)
    before = numbers(adam.weights)
    apply(adam, per_step)
    arrays = {f"weight/{name}": value for name, value in before.items()}
    arrays.update({f"grad/{step}/{name}": value for step, each in enumerate(per_step) for name, value in each.items()})
    expected = run_reference("adam", arrays, tmp_path, steps=steps, settings=dataclasses.asdict(settings))
    for name, weight in numbers(adam.weights).items():
        moved = weight.astype(np.float64) - before[name]
        assert relative_error(moved, expected[f"weight/{name}"] - before[name]) < 1e-4, name
    for name, moment in adam.state().items():
        assert relative_error(moment, expected[name]) < 1e-5, name


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1.0], ids=str)
@pytest.mark.parametrize("ours", [True, False])
def test_a_skipped_update_changes_nothing_but_the_count(value, ours, monkeypatch):
    adam, per_step = optimizer(ganzoo.Adam(0.25, weight_decay=0.1)), gradients(5)
    if not ours:  # as on a GPU, or where our operations could not be compiled
        monkeypatch.setattr(operations, "_operations", None)
    apply(adam, per_step[:3])
    before = numbers({**adam.weights, **adam.state()})
    for gradient in per_step[3:]:
        bad = {name: np.where(each > 0, np.float32(value), each) for name, each in gradient.items()}
        apply(adam, [bad], ganzoo.jt.zeros(1))
    for name, var in numbers({**adam.weights, **adam.state()}).items():
        np.testing.assert_array_equal(var, before[name])
    assert adam.steps == dict.fromkeys(SHAPES, 5)
    apply(adam, per_step[3:], ganzoo.jt.ones(1))
    after = numbers({**adam.weights, **adam.state()})
    assert all(np.isfinite(after[name]).all() and (after[name] != before[name]).all() for name in after)


def test_the_first_update_has_the_length_of_the_learning_rate():
    """Bias correction makes the length independent of the gradient's magnitude."""
    adam, (gradient,) = optimizer(ganzoo.Adam(0.25, beta1=0.9, beta2=0.999, eps=1e-12)), gradients(1)
    before = numbers(adam.weights)
    apply(adam, [gradient])
    assert set(adam.steps.values()) == {1}
    for name, weight in numbers(adam.weights).items():
        np.testing.assert_allclose(weight - before[name], -0.25 * np.sign(gradient[name]), rtol=1e-4)


def test_a_weight_added_later_starts_with_a_full_step():
    """With the update count of the other weights, its first step would be up to ten times as long."""
    adam, per_step = optimizer(ganzoo.Adam(0.25, beta1=0.0, beta2=0.99, eps=1e-12)), gradients(41)
    adam.set_active(["first"])
    before = numbers(adam.network.state())
    apply(adam, per_step[:40])
    assert adam.steps == {"first": 40, "second": 0}
    np.testing.assert_array_equal(adam.network.state()["second"].numpy(), before["second"])
    adam.set_active(SHAPES)
    apply(adam, per_step[40:])
    moved = adam.weights["second"].numpy() - before["second"]
    np.testing.assert_allclose(moved, -0.25 * np.sign(per_step[40]["second"]), rtol=1e-4)
    assert adam.steps == {"first": 41, "second": 1}


def test_a_multiplier_scales_the_steps_of_the_weights_it_names():
    adam, (gradient,) = optimizer(ganzoo.Adam(0.25, eps=1e-12, multipliers={"sec": 0.01})), gradients(1)
    before = numbers(adam.weights)
    apply(adam, [gradient])
    for name, rate in (("first", 0.25), ("second", 0.0025)):
        moved = adam.weights[name].numpy() - before[name]
        np.testing.assert_allclose(moved, -rate * np.sign(gradient[name]), rtol=2e-4)


def test_a_reset_optimizer_is_a_new_one():
    adam, per_step = optimizer(ganzoo.Adam(0.25, eps=1e-12)), gradients(4)
    apply(adam, per_step[:3])
    adam.reset()
    before = numbers(adam.weights)
    apply(adam, per_step[3:])
    for name, weight in numbers(adam.weights).items():
        np.testing.assert_allclose(weight - before[name], -0.25 * np.sign(per_step[3][name]), rtol=1e-4)


def test_an_update_leaves_weights_trainable_and_moments_not():
    adam = optimizer(ganzoo.Adam(0.1))
    apply(adam, gradients(1))
    assert adam.network.trainable().keys() == SHAPES.keys()
    assert all(var.is_stop_grad() for var in adam.state().values())


def test_a_restored_optimizer_continues_identically():
    settings = ganzoo.Adam(0.1, beta1=0.5, weight_decay=0.01)
    adam, per_step = optimizer(settings), gradients(6)
    apply(adam, per_step[:3])
    weights, moments = numbers(adam.network.state()), numbers(adam.state())
    apply(adam, per_step[3:])

    restored = optimizer(settings)
    restored.network.load_state(weights)
    restored.load_state(moments, dict.fromkeys(SHAPES, 3))
    apply(restored, per_step[3:])
    assert restored.steps == adam.steps == dict.fromkeys(SHAPES, 6)
    for name, weight in numbers(adam.weights).items():
        np.testing.assert_array_equal(restored.weights[name].numpy(), weight)
    for name, moment in numbers(adam.state()).items():
        np.testing.assert_array_equal(restored.state()[name].numpy(), moment)


@pytest.mark.parametrize("damage", ["lacks", "extra", "shape"])
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(damage):
    adam = optimizer(ganzoo.Adam(0.1))
    state = {name: np.ones(var.shape, np.float32) for name, var in adam.state().items()}
    if damage == "lacks":
        del state["second/first"]
    elif damage == "extra":
        state["first/third"] = np.ones(3, np.float32)
    else:
        state["first/first"] = np.ones((3, 4), np.float32)
    with pytest.raises(CheckpointError):
        adam.load_state(state, dict.fromkeys(SHAPES, 5))
    assert not any(adam.steps.values())
    assert not any(value.any() for value in numbers(adam.state()).values())


SIZE, CHANNELS, BATCH = 8, 3, 5


def plain_model():
    """Return the basic GAN without batch norm in the generator, so that micro-batches are exact."""
    from ganzoo_gan.loss import GANLoss
    from ganzoo_gan.networks import MLPDiscriminator

    nn = ganzoo.jt.nn

    class PlainGenerator(ganzoo.Generator):
        def __init__(self, latent: int, shape: tuple) -> None:
            super().__init__()
            self.latent, self._shape = latent, shape
            self.lower, self.upper = nn.Linear(latent, 16), nn.Linear(16, int(np.prod(shape)))

        def execute(self, z):
            x = nn.leaky_relu(self.lower(z), 0.2)
            return ganzoo.tanh(self.upper(x)).reshape((z.shape[0], *self._shape))

    class Plain(ganzoo.Model):
        name = "plain"
        summary = "without batch norm"

        def build(self, options, data, train):
            shape = (data.channels, data.size, data.size)
            networks = {
                "generator": PlainGenerator(recording.LATENT, shape),
                "discriminator": MLPDiscriminator(shape),
            }
            return ganzoo.Setup(networks, {name: ganzoo.Adam(1e-3) for name in networks}, GANLoss(*networks.values()))

    return Plain()


@pytest.fixture(scope="module", params=[None, 2], ids=["whole-batch", "micro-batches-of-2-2-1"])
def comparison(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    optimizers = recording.adam_settings(generator_eps=1e-5, discriminator_eps=1e-5)
    return recording.compare(
        "plain",
        plain_model(),
        ganzoo.Options(),
        SIZE,
        CHANNELS,
        folder,
        optimizers=optimizers,
        batch=BATCH,
        micro_batch=request.param,
    )


@needs_torch
def test_micro_batches_add_up_to_the_gradient_of_the_batch(comparison):
    for network in ("generator", "discriminator"):
        assert max(comparison.errors(f"grad/{network}/").values()) < 1e-4


@needs_torch
def test_micro_batches_report_the_terms_of_the_batch(comparison):
    assert max(comparison.errors("term/").values()) < 1e-4


@needs_torch
def test_micro_batches_count_as_one_update(comparison):
    assert comparison.updates == {"generator": recording.STEPS, "discriminator": recording.STEPS}
    for network in ("generator", "discriminator"):
        changes = strip_prefix(comparison.actual, f"change/{network}/")
        assert len(changes) == {"generator": 4, "discriminator": 6}[network]
        assert max(comparison.errors(f"change/{network}/").values()) < 1e-3
