"""The common losses: values and gradients, also where the textbook formulas overflow."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ganzoo
from ganzoo import Batch
from tests.support.reference import needs_torch, random_weights, relative_error, run_reference, strip_prefix

pytestmark = pytest.mark.usefixtures("jittor")

LOGITS = np.float32([-100, -50, -20, -5, -1, -1e-4, 0, 1e-4, 1, 5, 20, 50, 100])
SIGN = {True: -1.0, False: 1.0}  # the loss is softplus(SIGN[real] * logit)


def value_and_gradient(loss, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    var = ganzoo.jt.array(scores)
    value = loss(var)
    gradient = ganzoo.jt.grad(value, var)
    ganzoo.jt.sync_all()
    return value.numpy(), gradient.numpy()


@pytest.mark.parametrize("real", [True, False])
@pytest.mark.parametrize("logit", LOGITS)
def test_cross_entropy_is_finite_and_correct_at_every_logit(logit, real):
    signed_logit = SIGN[real] * np.float64(logit)
    value, gradient = value_and_gradient(
        lambda scores: ganzoo.binary_cross_entropy(scores, real=real), np.full((2, 1), logit, np.float32)
    )
    np.testing.assert_allclose(value, np.logaddexp(0.0, signed_logit), rtol=1e-6, atol=1e-7)
    # The mean over two equal scores halves each gradient. Float32 has no values below 1e-38.
    np.testing.assert_allclose(
        gradient, np.full((2, 1), SIGN[real] / (1.0 + np.exp(-signed_logit)) / 2), rtol=1e-5, atol=1e-37
    )


@pytest.mark.parametrize("real", [True, False])
def test_cross_entropy_is_the_mean_over_the_batch(real):
    scores = LOGITS.reshape(-1, 1)
    signed_logits = SIGN[real] * scores.astype(np.float64)
    value, gradient = value_and_gradient(lambda var: ganzoo.binary_cross_entropy(var, real=real), scores)
    np.testing.assert_allclose(value, [np.logaddexp(0.0, signed_logits).mean()], rtol=1e-6)
    np.testing.assert_allclose(
        gradient, SIGN[real] / (1.0 + np.exp(-signed_logits)) / len(scores), rtol=1e-5, atol=1e-37
    )


@pytest.mark.parametrize(("real", "target"), [(True, 1.0), (False, 0.0)])
def test_least_squares_is_the_mean_squared_distance_to_the_target(real, target):
    scores = np.float32([[-3.0], [0.0], [0.4], [1.0], [7.0]])
    value, gradient = value_and_gradient(lambda var: ganzoo.least_squares(var, real=real), scores)
    np.testing.assert_allclose(value, [np.mean((scores - target) ** 2.0)], rtol=1e-6)
    np.testing.assert_allclose(gradient, 2 * (scores - target) / len(scores), rtol=1e-6)


@needs_torch
def test_hinge_and_wasserstein_losses_equal_the_reference_also_at_the_kink(tmp_path):
    scores = np.float32([-100, -1.5, -1, -1 + 1e-6, -0.3, 0, 0.4, 1 - 1e-6, 1, 1.5, 100]).reshape(-1, 1)
    expected = run_reference("adversarial", {"scores": scores}, tmp_path)
    for name in ("hinge", "wasserstein"):
        for real in (True, False):
            value, gradient = value_and_gradient(lambda var: getattr(ganzoo, name)(var, real=real), scores)  # noqa: B023
            np.testing.assert_allclose(value, [expected[f"{name}/{real}"]], rtol=1e-6, atol=1e-6)
            np.testing.assert_allclose(gradient, expected[f"{name}/{real}/gradient"], rtol=1e-6)


def critic(weights: dict):
    """conv - leaky ReLU - conv - leaky ReLU - linear, as in the reference's `gradient_penalty`."""
    nn = ganzoo.jt.nn

    def score(x):
        x = nn.leaky_relu(nn.conv2d(x, weights["first.weight"], weights["first.bias"], padding=1), 0.2)
        x = nn.leaky_relu(nn.conv2d(x, weights["second.weight"], weights["second.bias"], stride=2, padding=1), 0.2)
        return nn.linear(x.reshape((x.shape[0], -1)), weights["last.weight"], weights["last.bias"])

    return score


CRITIC = {
    "first.weight": (4, 3, 3, 3),
    "first.bias": (4,),
    "second.weight": (5, 4, 3, 3),
    "second.bias": (5,),
    "last.weight": (1, 5 * 4 * 4),
    "last.bias": (1,),
}


@pytest.fixture
def penalty_inputs() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(8)
    arrays = {f"weight/{name}": value for name, value in random_weights(CRITIC.items(), rng).items()}
    for name in ("real", "fake"):
        arrays[name] = rng.uniform(-1, 1, (5, 3, 8, 8)).astype(np.float32)
    return {**arrays, "mix": rng.random((5, 1, 1, 1), dtype=np.float32)}


@needs_torch
def test_gradient_penalty_and_its_gradients_equal_the_reference(penalty_inputs, tmp_path):
    jt = ganzoo.jt
    expected = run_reference("gradient_penalty", penalty_inputs, tmp_path)
    weights = {name: jt.array(value) for name, value in strip_prefix(penalty_inputs, "weight/").items()}
    real, fake, mix = (jt.array(penalty_inputs[name]).stop_grad() for name in ("real", "fake", "mix"))
    penalty = ganzoo.gradient_penalty(critic(weights), real, fake, mix)
    found = dict(zip(weights, jt.grad(penalty, list(weights.values()))))
    jt.sync_all()
    assert relative_error(penalty.numpy().reshape(()), expected["penalty"]) < 1e-4
    # Biases shift the scores without changing their slope, as long as no ReLU flips.
    for name in weights:
        if name.endswith("bias"):
            assert not expected[f"grad/{name}"].any()
            assert not found[name].numpy().any()
        else:
            assert relative_error(found[name], expected[f"grad/{name}"]) < 1e-4, name


def test_gradient_penalty_of_a_linear_critic_is_exact():
    """D(x) = a . x has the slope |a| everywhere, so the penalty is (|a| - 1)^2 whatever the images."""
    jt = ganzoo.jt
    slope = np.random.default_rng(9).standard_normal((1, 3 * 4 * 4), dtype=np.float32)
    weight = jt.array(slope)
    images = jt.array(np.random.default_rng(10).standard_normal((2, 3, 4, 4), dtype=np.float32)).stop_grad()
    mix = jt.array(np.float32([0.2, 0.9]).reshape(2, 1, 1, 1))
    penalty = ganzoo.gradient_penalty(
        lambda x: jt.nn.linear(x.reshape((2, -1)), weight, jt.zeros(1)), images, -images, mix
    )
    gradient = jt.grad(penalty, weight)
    jt.sync_all()
    norm = np.linalg.norm(slope.astype(np.float64))
    np.testing.assert_allclose(penalty.numpy(), [(norm - 1) ** 2], rtol=1e-5)
    np.testing.assert_allclose(gradient.numpy(), 2 * (norm - 1) * slope / norm, rtol=1e-4)


def test_gradient_penalty_is_finite_where_the_critic_is_flat():
    jt = ganzoo.jt
    weight = jt.array(np.zeros((1, 3 * 4 * 4), np.float32))
    images = jt.array(np.random.default_rng(11).standard_normal((2, 3, 4, 4), dtype=np.float32)).stop_grad()
    mix = jt.array(np.full((2, 1, 1, 1), 0.5, np.float32))
    penalty = ganzoo.gradient_penalty(
        lambda x: jt.nn.linear(x.reshape((2, -1)), weight, jt.zeros(1)), images, images, mix
    )
    gradient = jt.grad(penalty, weight)
    jt.sync_all()
    np.testing.assert_allclose(penalty.numpy(), [1.0], rtol=1e-5)
    assert np.isfinite(gradient.numpy()).all()


@given(
    size=st.integers(1, 12),
    cuts=st.lists(st.integers(0, 12), max_size=4),
    draw=st.sampled_from(["normal", "uniform"]),
    seed=st.integers(0, 2**31),
)
def test_parts_of_a_batch_draw_the_numbers_of_the_whole_batch(size, cuts, draw, seed):
    edges = sorted({0, size, *(cut for cut in cuts if cut < size)})
    expected = [getattr(_batch(size, 0, size, seed), draw)(3, 2).numpy()]
    parts = [_batch(end - start, start, size, seed) for start, end in itertools.pairwise(edges)]
    np.testing.assert_array_equal(np.concatenate([getattr(each, draw)(3, 2).numpy() for each in parts]), *expected)
    # Numbers drawn directly from `rng` are common to all parts.
    assert len({each.rng.random() for each in parts}) == 1


def _batch(count: int, offset: int, size: int, seed: int) -> Batch:
    images = np.zeros((count, 1, 1, 1), np.float32)
    return Batch(images, np.zeros(count), np.random.default_rng(seed), offset=offset, global_size=size)


def test_the_conditions_of_a_batch_are_its_labels_as_one_hot_rows():
    batch = Batch(ganzoo.jt.zeros((3, 1, 2, 2)), np.array([2, 0, 1]), np.random.default_rng(0))
    (labels,) = batch.conditions(_generator(classes=3))
    assert labels.numpy().tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    assert batch.conditions(_generator(classes=3))[0] is labels
    assert batch.conditions(_generator()) == ()


def _generator(classes: int = 0, attributes: int = 0) -> Any:
    return SimpleNamespace(classes=classes, attributes=attributes)


def test_the_conditions_of_a_batch_for_a_generator_with_attributes_are_those_of_its_images():
    attributes = ganzoo.jt.array(np.float32([[1, 2], [3, 4], [5, 6]]))
    batch = Batch(ganzoo.jt.zeros((3, 1, 2, 2)), np.zeros(3, int), np.random.default_rng(0), attributes=attributes)
    assert batch.conditions(_generator(attributes=2)) == (attributes,)
    assert batch.conditions(_generator()) == ()


@pytest.mark.parametrize("found", [None, 3])
def test_a_generator_with_another_number_of_attributes_than_the_data_is_an_error(found):
    attributes = None if found is None else ganzoo.jt.zeros((2, found))
    batch = Batch(ganzoo.jt.zeros((2, 1, 2, 2)), np.zeros(2, int), np.random.default_rng(0), attributes=attributes)
    with pytest.raises(ganzoo.GanzooError, match=f"takes 2 attributes, but the images have {found or 0}"):
        batch.conditions(_generator(attributes=2))


def test_a_label_that_is_no_class_is_an_error():
    batch = Batch(ganzoo.jt.zeros((2, 1, 2, 2)), np.array([0, 3]), np.random.default_rng(0))
    with pytest.raises(ganzoo.GanzooError, match=r"labels must be in 0\.\.\.2, but are in 0\.\.\.3"):
        batch.conditions(_generator(classes=3))
