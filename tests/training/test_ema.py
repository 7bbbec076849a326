"""Images are sampled from a second copy of a network. With an EMA, the copy holds the averaged weights; without one,
the current weights."""

from __future__ import annotations

import numpy as np
import pytest

import ganzoo
from tests.support.reference import random_weights

pytestmark = pytest.mark.usefixtures("jittor")

SHAPES = {
    "linear.weight": (2, 3),
    "linear.bias": (2,),
    "norm.weight": (2,),
    "norm.bias": (2,),
    "norm.running_mean": (2,),
    "norm.running_var": (2,),
}
RNG_SEEDS = (1, 2, 3)


def network():
    class Small(ganzoo.Network):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.norm = ganzoo.jt.nn.Linear(3, 2), ganzoo.BatchNorm(2)

        def execute(self, x):
            return self.norm(self.linear(x))

    return Small()


def fill(network, seed: int) -> dict[str, np.ndarray]:
    filled = random_weights(SHAPES.items(), np.random.default_rng(seed))
    network.load_state(filled)
    return filled


def numbers(network) -> dict[str, np.ndarray]:
    ganzoo.jt.sync_all()
    return {name: var.numpy() for name, var in network.state().items()}


def make_ema(decay: float | None):
    """Return a network, its EMA, and the network's weights."""
    from ganzoo.training.ema import EMA

    source, copy = network(), network()
    filled = fill(source, 0)
    return source, EMA({"g": source}, {"g": copy}, {} if decay is None else {"g": decay}), filled


@pytest.mark.parametrize("decay", [0.5, 0.999])
def test_weights_follow_the_recursion_and_statistics_are_copied(decay):
    source, ema, filled = make_ema(decay)
    expected = {name: value.astype(np.float64) for name, value in filled.items()}
    for seed in RNG_SEEDS:
        filled = fill(source, seed)
        ema.update()
        ganzoo.jt.sync_all()
        for name, value in filled.items():
            expected[name] = value if "running" in name else decay * expected[name] + (1 - decay) * value
    found = numbers(ema.network("g"))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-6)


def test_an_average_starts_from_the_weights_themselves():
    _, ema, filled = make_ema(0.999)
    found = numbers(ema.network("g"))
    for name, value in filled.items():
        np.testing.assert_array_equal(found[name], value)


def test_averaging_changes_nothing_in_the_network_itself():
    source, ema, filled = make_ema(0.5)
    fill(source, 1)
    filled = fill(source, 2)
    ema.update()
    found = numbers(source)
    for name, value in filled.items():
        np.testing.assert_array_equal(found[name], value)
    assert source.trainable().keys() == {name for name in SHAPES if "running" not in name}


def test_without_a_decay_the_sampled_network_is_a_copy_of_the_current_one():
    source, ema, filled = make_ema(None)
    for seed in RNG_SEEDS:
        filled = fill(source, seed)
        ema.update()
        found = numbers(ema.network("g"))
        for name, value in filled.items():
            np.testing.assert_array_equal(found[name], value)


def test_without_an_update_the_copy_does_not_follow_the_network():
    source, ema, filled = make_ema(None)
    copy = ema.network("g")
    fill(source, 1)
    found = numbers(copy)
    for name, value in filled.items():
        np.testing.assert_array_equal(found[name], value)


@pytest.mark.parametrize("decay", [None, 0.9])
def test_the_sampled_network_uses_its_running_statistics(decay):
    source, ema, filled = make_ema(decay)
    sampled = ema.network("g")
    x = np.random.default_rng(5).standard_normal((4, 3), dtype=np.float32)
    linear = x @ filled["linear.weight"].T + filled["linear.bias"]
    expected = (linear - filled["norm.running_mean"]) / np.sqrt(filled["norm.running_var"] + 1e-5)
    expected = expected * filled["norm.weight"] + filled["norm.bias"]
    np.testing.assert_allclose(sampled(ganzoo.jt.array(x)).numpy(), expected, rtol=1e-4, atol=1e-5)
    source(ganzoo.jt.array(x))  # training continues with its own statistics
    assert not np.array_equal(numbers(source)["norm.running_mean"], filled["norm.running_mean"])


def test_a_stage_can_set_the_decay():
    source, ema, filled = make_ema(0.999)
    ema.decay = 0.25
    new = fill(source, 1)
    ema.update()
    found = numbers(ema.network("g"))["linear.weight"]
    expected = 0.25 * filled["linear.weight"] + 0.75 * new["linear.weight"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_unused_weights_are_not_averaged():
    source, ema, filled = make_ema(0.5)
    source.active_weights = lambda: {name: var for name, var in source.trainable().items() if name != "linear.bias"}
    new = fill(source, 1)
    ema.update()
    found = numbers(ema.network("g"))
    np.testing.assert_array_equal(found["linear.bias"], filled["linear.bias"])
    assert not np.array_equal(found["linear.weight"], filled["linear.weight"])
    np.testing.assert_array_equal(found["norm.running_mean"], new["norm.running_mean"])
