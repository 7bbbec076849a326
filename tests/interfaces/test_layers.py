"""Layers compared with PyTorch and NumPy in float64, also where Jittor's own batch norm fails."""

from __future__ import annotations

import numpy as np
import pytest

import ganzoo
from tests.support.reference import needs_torch, relative_error, run_reference

pytestmark = pytest.mark.usefixtures("jittor")

CHANNELS = 3


def batch_norm(x: np.ndarray, folder, eps=1e-3, make=None) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Apply a batch norm to `x`, in training and at inference, in ganzoo and in PyTorch. Return the outputs, gradients
    and running statistics of ganzoo, and those of PyTorch. `folder` is for files that PyTorch's process reads."""
    rng = np.random.default_rng(1)
    arrays = {
        "weight": rng.uniform(0.5, 2.0, CHANNELS),
        "bias": rng.standard_normal(CHANNELS),
        "running_mean": rng.standard_normal(CHANNELS),
        "running_var": rng.uniform(0.5, 2.0, CHANNELS),
        "upstream": rng.standard_normal(x.shape),
        "x": x,
    }
    arrays = {name: value.astype(np.float32) for name, value in arrays.items()}
    layer = (make or ganzoo.BatchNorm)(CHANNELS, eps=eps, momentum=0.3)
    return _run(layer, arrays), run_reference("batch_norm", arrays, folder, eps=eps, momentum=0.3)


def _run(layer, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    jt = ganzoo.jt
    for name in ("weight", "bias", "running_mean", "running_var"):
        getattr(layer, name).update(jt.array(arrays[name]))
    x, upstream = jt.array(arrays["x"]), jt.array(arrays["upstream"])
    found = {}
    for mode in ("train", "eval"):
        layer.is_train = mode == "train"
        y = layer(x)
        gradients = jt.grad((y * upstream).sum(), [x, layer.weight, layer.bias])
        jt.sync_all()
        found.update(
            {f"{mode}/{name}": var.numpy() for name, var in zip(("y", "x", "weight", "bias"), (y, *gradients))}
        )
    return {**found, "running_mean": layer.running_mean.numpy(), "running_var": layer.running_var.numpy()}


@needs_torch
@pytest.mark.parametrize("shape", [(6, CHANNELS), (4, CHANNELS, 5, 7)])
def test_batch_norm_matches_pytorch(shape, tmp_path):
    x = np.random.default_rng(2).normal(1.0, 2.0, shape)
    actual, expected = batch_norm(x, tmp_path)
    assert actual.keys() == expected.keys()
    for name in expected:
        assert relative_error(actual[name], expected[name]) < 1e-5, name


@needs_torch
def test_batch_norm_is_accurate_when_the_mean_is_much_larger_than_the_deviation(tmp_path):
    """This is why we have our own layer: Jittor's variance, E[x^2] - E[x]^2, has no correct digit here."""
    x = np.random.default_rng(3).normal(1000.0, 0.01, (4, CHANNELS, 5, 7))

    def worst(make) -> dict[str, float]:
        actual, expected = batch_norm(x, tmp_path, 1e-5, make)
        return {name: relative_error(actual[name], expected[name]) for name in ("train/y", "train/x")}

    ours, jittors = worst(ganzoo.BatchNorm), worst(ganzoo.jt.nn.BatchNorm)
    # A mean near 1000 is known to 3e-5 in float32, which is 0.003 of the deviation.
    assert max(ours.values()) < 0.01
    assert min(jittors.values()) > 0.1


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_without_affine_weights_only_normalises(training):
    x = np.random.default_rng(5).normal(1.0, 2.0, (6, CHANNELS, 3, 3)).astype(np.float32)
    plain, affine = ganzoo.BatchNorm(CHANNELS, affine=False), ganzoo.BatchNorm(CHANNELS)
    assert {*plain.state_dict()} == {"running_mean", "running_var"}
    for layer in (plain, affine):
        layer(ganzoo.jt.array(x))
        layer.is_train = training
    actual, expected = plain(ganzoo.jt.array(x)).numpy(), affine(ganzoo.jt.array(x)).numpy()
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)
    network = ganzoo.jt.nn.Sequential(plain)
    ganzoo.init_dcgan(network, 0.02)  # has nothing to initialise


def test_batch_norm_of_a_single_value_stores_a_finite_variance():
    """One image of one pixel has no unbiased variance. PyTorch refuses it; here it must not cause NaN."""
    layer = ganzoo.BatchNorm(CHANNELS)
    y = layer(ganzoo.jt.array(np.ones((1, CHANNELS, 1, 1), np.float32)))
    ganzoo.jt.sync_all()
    np.testing.assert_array_equal(y.numpy().ravel(), np.zeros(CHANNELS))
    np.testing.assert_allclose(layer.running_var.numpy(), np.full(CHANNELS, 0.9), rtol=1e-6)


def test_batch_norm_does_not_train_its_statistics():
    layer = ganzoo.BatchNorm(CHANNELS)
    layer(ganzoo.jt.array(np.random.default_rng(4).standard_normal((4, CHANNELS), dtype=np.float32)))
    ganzoo.jt.sync_all()
    assert layer.running_mean.is_stop_grad()
    assert layer.running_var.is_stop_grad()


def test_batch_norm_at_inference_leaves_its_statistics_alone():
    layer = ganzoo.BatchNorm(CHANNELS)
    layer.is_train = False
    layer(ganzoo.jt.array(np.full((4, CHANNELS), 5.0, np.float32)))
    ganzoo.jt.sync_all()
    np.testing.assert_array_equal(layer.running_mean.numpy(), np.zeros(CHANNELS))
    np.testing.assert_array_equal(layer.running_var.numpy(), np.ones(CHANNELS))


@pytest.mark.parametrize("shape", [(2, 3, 1, 1), (1, 2, 3, 5)])
def test_upsampling_repeats_each_pixel_and_its_gradient_adds_them_up(shape):
    jt = ganzoo.jt
    rng = np.random.default_rng(6)
    x = rng.standard_normal(shape, dtype=np.float32)
    large = x.repeat(2, axis=2).repeat(2, axis=3)
    upstream = rng.standard_normal(large.shape, dtype=np.float32)
    small = jt.array(x)
    y = ganzoo.upsample_nearest(small)
    gradient = jt.grad((y * jt.array(upstream)).sum(), small)
    jt.sync_all()
    np.testing.assert_array_equal(y.numpy(), large)
    n, c, h, w = shape
    np.testing.assert_allclose(gradient.numpy(), upstream.reshape(n, c, h, 2, w, 2).sum((3, 5)), rtol=1e-5, atol=1e-6)


def test_centre_and_deviation_returns_the_centred_feature_maps_and_their_standard_deviation():
    """Its results are x - mean and sqrt(variance + eps), for each map of each image."""
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((2, 3, 16, 16)) * [[[[0.01]], [[1.0]], [[30.0]]]] + 100).astype(np.float32)
    centred, deviation = (each.numpy() for each in ganzoo.centre_and_deviation(ganzoo.jt.array(x), eps=1e-5))
    exact = x.astype(np.float64)
    assert relative_error(centred, exact - exact.mean((2, 3), keepdims=True)) < 1e-4
    assert relative_error(deviation, np.sqrt(exact.var((2, 3), keepdims=True) + 1e-5)) < 1e-5


def test_pick_selects_the_row_of_each_label_and_gives_the_others_no_gradient():
    jt, labels = ganzoo.jt, np.array([2, 0, 1])
    values = jt.array(np.random.default_rng(0).standard_normal((3, 3, 4)).astype(np.float32))
    picked = ganzoo.pick(values, labels)
    assert np.array_equal(picked.numpy(), values.numpy()[np.arange(3), labels])
    gradient = jt.grad((picked * picked).sum(), values).numpy()
    assert np.array_equal(np.abs(gradient).sum(2) > 0, np.eye(3, dtype=bool)[labels])


def test_pooling_returns_the_mean_of_four_pixels():
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 4)).astype(np.float32)
    expected = (x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]) / 4
    assert relative_error(ganzoo.average_pool(ganzoo.jt.array(x)).numpy(), expected) < 1e-6


def derivatives(layer, x: np.ndarray, weight: np.ndarray) -> list[np.ndarray]:
    """Return a layer's output, the gradients of a loss, and the gradients of a penalty on those gradients."""
    jt = ganzoo.jt
    inputs = [jt.array(x), jt.array(weight)]
    y = layer(*inputs)
    slopes = jt.array(np.cos(np.arange(y.numel(), dtype=np.float32)).reshape(y.shape))
    first = jt.grad((y * slopes * (0.3 * y + 1)).sum(), inputs)
    second = jt.grad(first[0].sqr().sum() + 0.1 * first[1].sqr().sum(), inputs)
    return [var.numpy() for var in (y, *first, *second)]


@pytest.mark.parametrize("in_channels", [4, 256])
@pytest.mark.parametrize("name", ["upsampled", "pooled"])
def test_fused_resampling_convolutions_match_two_steps(name, in_channels):
    rng = np.random.default_rng(4)
    x = rng.standard_normal((2, in_channels, 6, 4), dtype=np.float32)
    weight = rng.standard_normal((in_channels + 16, in_channels, 3, 3), dtype=np.float32)

    def two_steps(x, weight):
        if name == "upsampled":
            return ganzoo.conv2d(ganzoo.upsample_nearest(x), weight, padding=1)
        return ganzoo.average_pool(ganzoo.conv2d(x, weight, padding=1))

    actual = derivatives(getattr(ganzoo, f"{name}_conv2d"), x, weight)
    for value, expected in zip(actual, derivatives(two_steps, x, weight)):
        assert relative_error(value, expected) < 1e-5


def test_linear_has_the_derivatives_of_numpy():
    rng = np.random.default_rng(5)
    x, weight = rng.standard_normal((3, 5), dtype=np.float32), rng.standard_normal((7, 5), dtype=np.float32)
    y, *found = derivatives(ganzoo.linear, x, weight)
    x, weight = x.astype(np.float64), weight.astype(np.float64)
    product = x @ weight.T
    slopes = np.cos(np.arange(product.size)).reshape(product.shape)
    upstream = slopes * (0.6 * product + 1)
    first = upstream @ weight, upstream.T @ x
    # U is the loss's gradient with respect to the output y, and depends on x and W. The gradients with respect to x and
    # W are U W and U^T x, so the penalty is |U W|^2 + 0.1 |U^T x|^2.
    grad_upstream = 2 * first[0] @ weight.T + 0.2 * x @ first[1].T
    grad_product = 0.6 * slopes * grad_upstream
    second = (
        grad_product @ weight + 0.2 * upstream @ first[1],
        grad_product.T @ x + 2 * upstream.T @ first[0],
    )
    for value, expected in zip((y, *found), (product, *first, *second)):
        assert relative_error(value, expected) < 1e-5


def test_layers_match_jittors():
    jt = ganzoo.jt
    pairs = [
        (ganzoo.Conv(3, 8, 3, 2, padding=1), jt.nn.Conv(3, 8, 3, 2, padding=1)),
        (
            ganzoo.ConvTranspose(3, 8, 3, 2, padding=1, output_padding=1),
            jt.nn.ConvTranspose(3, 8, 3, 2, padding=1, output_padding=1),
        ),
        (ganzoo.UpsampledConv(3, 8), jt.nn.Conv(3, 8, 3, padding=1)),
    ]
    for name, positional, named in (
        ("Conv", (4, 8, (3, 1), (2, 1), (1, 0)), {"groups": 2}),
        ("Conv", (4, 8, 3, 1, 2), {"dilation": 2, "groups": 2}),
        ("ConvTranspose", (4, 8, 3, (2, 1), (1, 0)), {}),
        ("ConvTranspose", (4, 8, 3, 1, 2), {"dilation": 2}),
        ("ConvTranspose", (4, 8, 3, 2, 1), {"groups": 2}),
    ):
        pairs.append(tuple(getattr(module, name)(*positional, **named) for module in (ganzoo, jt.nn)))
    for ours, theirs in pairs:
        x = jt.randn(2, ours.in_channels, 6, 6)
        theirs.load_state_dict(ours.state_dict())
        large = ganzoo.upsample_nearest(x) if isinstance(ours, ganzoo.UpsampledConv) else x
        assert relative_error(ours(x), theirs(large).numpy()) < 1e-5
    ours, theirs = ganzoo.Linear(5, 4), jt.nn.Linear(5, 4)
    theirs.load_state_dict(ours.state_dict())
    z = jt.randn(3, 5)
    assert relative_error(ours(z), theirs(z).numpy()) < 1e-5


def test_tanh_has_a_gradient_everywhere():
    jt = ganzoo.jt
    values = np.array([-1e30, -200, -89, -46, -20, -3, -1e-4, 0, 0.5, 10, 19, 21, 45, 50, 100, 1e30] * 4, np.float32)
    x = jt.array(values)
    y = ganzoo.tanh(x)
    expected = np.tanh(values.astype(np.float64))
    assert np.abs(y.numpy() - expected).max() < 1e-6
    (gradient,) = jt.grad(y.sum(), [x])
    assert np.abs(gradient.numpy() - (1 - expected**2)).max() < 1e-6
    assert np.array_equal(ganzoo.Tanh()(x).numpy(), y.numpy())
    assert not np.isfinite(ganzoo.tanh(jt.array(np.array([np.nan, np.inf, 1.0], np.float32))).numpy()[:2]).any()
