"""The replay buffer compared with an independent simulation in NumPy, whole and in parts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import ganzoo
from ganzoo import Batch
from ganzoo.errors import PluginError, ShapeError
from ganzoo.registry.setup_validation import check_setup
from ganzoo.testing import check_model
from tests.support.building_blocks import BuildingBlocks, Training

pytestmark = pytest.mark.usefixtures("jittor")

SHAPE = (2, 3, 4)
CAPACITY = 5


class Simulation:
    """The replay buffer's rules, one image at a time. Each image is a number."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.capacity, self.stored = capacity, []

    def query(self, images: list[float], rng: np.random.Generator) -> list[float]:
        order, coins = rng.permutation(max(len(images), self.capacity)), rng.random(len(images))
        earlier, returned = len(self.stored), []
        for number, image in enumerate(images):
            slot = order[number]
            if len(self.stored) < self.capacity:
                self.stored.append(image)
                returned.append(image)
            elif coins[number] < 0.5 and slot < earlier:
                returned.append(self.stored[slot])
                self.stored[slot] = image
            else:
                returned.append(image)
        return returned


def pictures(numbers) -> np.ndarray:
    """Return images, each filled with its number, plus a pattern that is the same for all."""
    pattern = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    return np.float32(list(numbers)).reshape(-1, 1, 1, 1) + pattern / 64


def batch(count: int, offset: int, size: int, seed: int) -> Batch:
    images = ganzoo.jt.zeros((count, *SHAPE))
    return Batch(images, np.zeros(count), np.random.default_rng(seed), offset=offset, global_size=size)


@pytest.mark.parametrize("parts", [[1], [4], [2, 1, 1], [3, 1], [8], [7], [3, 4]])
def test_images_are_stored_and_swapped_as_in_the_simulation_whatever_the_parts_of_a_step(parts):
    pool, simulated, size = ganzoo.ReplayBuffer(CAPACITY, SHAPE), Simulation(), sum(parts)
    old = 0
    for step in range(12):
        numbers = np.arange(step * size, (step + 1) * size)
        expected = simulated.query(list(numbers), np.random.default_rng(step))
        returned, offset = [], 0
        for count in parts:
            images = ganzoo.jt.array(pictures(numbers[offset : offset + count]))
            returned.append(pool.query(images, batch(count, offset, size, step)).numpy())
            offset += count
        np.testing.assert_array_equal(np.concatenate(returned), pictures(expected))
        np.testing.assert_array_equal(pool.images.numpy()[: len(simulated.stored)], pictures(simulated.stored))
        assert pool.seen.numpy().tolist() == [[(step + 1) * size]]
        old += sum(number < step * size for number in expected)
    assert old


def test_returned_images_have_no_gradient():
    pool, weight = ganzoo.ReplayBuffer(1, SHAPE), ganzoo.jt.ones(1)
    images = ganzoo.jt.array(pictures([3])) * weight
    loss = (pool.query(images, batch(1, 0, 1, 0)) * weight).sum()
    np.testing.assert_allclose(ganzoo.jt.grad(loss, weight).numpy(), [pictures([3]).sum()], rtol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_non_finite_image_is_always_returned_so_that_the_update_is_skipped(value):
    pool = ganzoo.ReplayBuffer(2, SHAPE)
    pool.query(ganzoo.jt.array(pictures([0, 1])), batch(2, 0, 2, 0))
    bad = pictures([5])
    bad[0, 1, 2, 3] = value
    for seed in range(6):
        returned = pool.query(ganzoo.jt.array(bad), batch(1, 0, 1, seed)).numpy()
        np.testing.assert_array_equal(returned, bad)
    np.testing.assert_array_equal(pool.images.numpy(), pictures([0, 1]))


def test_only_images_of_the_right_shape_are_taken():
    pool = ganzoo.ReplayBuffer(2, SHAPE)
    for shape in ((2, 2, 3, 5), (3, *SHAPE), (2, 2, 3)):
        with pytest.raises(ShapeError) as caught:
            pool.query(ganzoo.jt.zeros(shape), batch(2, 0, 2, 0))
        assert str(caught.value) == f"a replay buffer expects images of shape (2, 2, 3, 4), got {shape}."
    with pytest.raises(PluginError, match="a capacity of at least 1, not 0"):
        ganzoo.ReplayBuffer(0, SHAPE)


def test_a_model_with_every_building_block_passes_the_contract_test():
    check_model(BuildingBlocks(), size=8, channels=(1,))


def test_the_buffer_has_no_parameters_and_is_not_sampled():
    state = Training().state
    assert state.setup.networks["pool"].parameter_count() == 0
    assert "pool" not in state.ema.copies
    translating = dataclasses.replace(state.setup, translator=object())
    assert translating.sampling_networks() == ["generator"]
    assert {name for name in state.tensors() if "pool" in name} == {"net/pool/images", "net/pool/seen"}


def test_an_ema_of_a_replay_buffer_is_refused():
    setup = Training().state.setup
    with pytest.raises(PluginError, match="there is an EMA of 'pool', a replay buffer"):
        check_setup(dataclasses.replace(setup, ema={"pool": 0.9}))


@pytest.mark.parametrize("resumed", [1, 2, 4])
def test_a_run_that_is_resumed_continues_bit_for_bit(resumed):
    """The buffer holds 7 images; each step adds 4."""
    whole, first = Training(), Training()
    for _ in range(5):
        whole.run()
    for _ in range(resumed):
        first.run()
    second = Training(seed=5)
    second.state.load(first.state.tensors(), first.state.metadata())
    second.step.seed = 0
    for _ in range(5 - resumed):
        second.run()
    expected, found = whole.state.tensors(), second.state.tensors()
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


@pytest.mark.parametrize("steps", [1, 3])
def test_a_skipped_update_leaves_the_buffer_unchanged(steps):
    training = Training()
    for _ in range(steps):
        training.run()
    before = training.state.tensors()
    assert training.run(bad="discriminator") == 1
    after = training.state.tensors()
    for name in ("net/pool/images", "net/pool/seen"):
        np.testing.assert_array_equal(after[name], before[name], err_msg=name)
    assert training.run() == 0
    assert training.state.tensors()["net/pool/seen"] == 4 * (steps + 1)


def test_micro_batches_fill_the_buffer_like_a_whole_batch():
    whole, split = Training(), Training(micro_batch=1)
    for _ in range(4):
        whole.run()
        split.run()
    expected, found = whole.state.tensors(), split.state.tensors()
    np.testing.assert_array_equal(found["net/pool/seen"], expected["net/pool/seen"])
    # Each micro-batch runs an iteration of the power method, so the weights differ a little.
    np.testing.assert_allclose(found["net/pool/images"], expected["net/pool/images"], atol=0.01)
