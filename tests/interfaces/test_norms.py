"""Instance, group and spectral norm compared with PyTorch in float64, with gradients of gradients."""

from __future__ import annotations

import numpy as np
import pytest

import ganzoo
from ganzoo.errors import PluginError
from tests.support.reference import needs_torch, relative_error, run_reference

pytestmark = pytest.mark.usefixtures("jittor")


@needs_torch
@pytest.mark.parametrize(
    ("shape", "groups"),
    [
        ((2, 4, 5, 6), 0),
        ((2, 4, 5, 6), 2),
        ((2, 4, 5, 6), 1),
        ((3, 6), 2),
        ((2, 6, 7), 3),
    ],
)
@pytest.mark.parametrize("mean", [0.5, 30.0])
def test_norms_and_their_derivatives_equal_the_reference(shape, groups, mean, tmp_path):
    rng, jt = np.random.default_rng(3), ganzoo.jt
    channels = shape[1]
    arrays = {
        "x": rng.normal(mean, 1.5, shape),
        "weight": rng.uniform(0.5, 2.0, channels),
        "bias": rng.standard_normal(channels),
        "upstream": rng.standard_normal(shape),
    }
    arrays = {name: value.astype(np.float32) for name, value in arrays.items()}
    expected = run_reference("norm", arrays, tmp_path, groups=groups)
    layer = ganzoo.GroupNorm(groups, channels) if groups else ganzoo.InstanceNorm(channels, affine=True)
    layer.weight.update(jt.array(arrays["weight"]))
    layer.bias.update(jt.array(arrays["bias"]))
    inputs = [jt.array(arrays["x"]), layer.weight, layer.bias]
    y = layer(inputs[0])
    first = jt.grad((y * jt.array(arrays["upstream"]) * (0.3 * y + 1)).sum(), inputs)
    second = jt.grad(first[0].sqr().sum() + 0.1 * first[1].sqr().sum(), inputs)
    jt.sync_all()
    for name, var in zip(("y", "dx", "dweight", "dbias", "ddx", "ddweight", "ddbias"), [y, *first, *second]):
        assert relative_error(var, expected[name]) < 1e-4, name


def test_an_instance_norm_without_affine_weights_has_no_state():
    layer = ganzoo.InstanceNorm(3)
    assert not layer.state_dict()
    y = layer(ganzoo.jt.array(np.random.default_rng(0).normal(50, 3, (2, 3, 8, 8)).astype(np.float32))).numpy()
    np.testing.assert_allclose(y.mean((2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(y.std((2, 3)), 1, rtol=1e-5)


LAYERS = {
    "Conv": (lambda: ganzoo.Conv(3, 4, 3, stride=2, padding=1), "Conv2d", (3, 4, 3), {"stride": 2, "padding": 1}),
    "grouped": (lambda: ganzoo.Conv(4, 6, 3, padding=1, groups=2), "Conv2d", (4, 6, 3), {"padding": 1, "groups": 2}),
    "ConvTranspose": (
        lambda: ganzoo.ConvTranspose(3, 4, 4, 2, 1),
        "ConvTranspose2d",
        (3, 4, 4),
        {"stride": 2, "padding": 1},
    ),
    "UpsampledConv": (lambda: ganzoo.UpsampledConv(3, 4), "Conv2d", (3, 4, 3), {"padding": 1}),
    "Linear": (lambda: ganzoo.Linear(6, 4), "Linear", (6, 4), {}),
}


@needs_torch
@pytest.mark.parametrize("name", LAYERS)
def test_spectral_norm_equals_the_reference_over_several_steps_with_a_gradient_penalty(name, tmp_path):
    make, kind, arguments, keywords = LAYERS[name]
    jt, rng, steps = ganzoo.jt, np.random.default_rng(1), 4
    layer = make()
    normalised = ganzoo.spectral_norm(layer)
    x = rng.standard_normal((2, 6) if name == "Linear" else (2, arguments[0], 6, 6), dtype=np.float32)
    images = jt.array(x)
    upstream = rng.standard_normal(normalised(images).shape, dtype=np.float32)
    arrays = {"x": x, "upstream": upstream, "weight": layer.weight, "bias": layer.bias}
    arrays.update({"u": normalised.u, "v": normalised.v})
    arrays = {key: each if isinstance(each, np.ndarray) else each.numpy() for key, each in arrays.items()}
    settings = {"kind": kind, "arguments": arguments, "keywords": keywords, "steps": steps}
    expected = run_reference("spectral_norm", arrays, tmp_path, **settings, scale=2 if name == "UpsampledConv" else 1)
    for step in range(steps):
        images = ganzoo.differentiable(images)
        y = normalised(images)
        slopes = jt.grad((y.sqr() * jt.array(upstream)).sum(), images)
        loss = (y * jt.array(upstream)).sum() + 0.1 * slopes.sqr().sum()
        gradients = jt.grad(loss, [layer.weight, layer.bias])
        jt.sync_all()
        for key, var in (("y", y), ("weight", gradients[0]), ("bias", gradients[1])):
            assert relative_error(var, expected[f"{step}/{key}"]) < 1e-4, (step, key)
        for weight, gradient in zip((layer.weight, layer.bias), gradients):
            values = gradient.numpy()
            weight.update(jt.array(weight.numpy() - np.float32(0.01) * values / np.linalg.norm(values)))
    assert relative_error(normalised.u, expected["u"]) < 1e-4
    assert relative_error(normalised.v, expected["v"]) < 1e-4
    normalised.is_train = False
    assert relative_error(normalised(images), expected["inference"]) < 1e-4
    assert relative_error(normalised.u, expected["u"]) < 1e-4


def test_init_dcgan_estimates_the_singular_values_of_the_new_weights():
    class Critic(ganzoo.Discriminator):
        def __init__(self) -> None:
            super().__init__()
            self.layers = ganzoo.jt.nn.Sequential(ganzoo.spectral_norm(ganzoo.Conv(3, 16, 3)), ganzoo.LeakyReLU())
            self.norm = ganzoo.GroupNorm(4, 16)
            self.plain = ganzoo.InstanceNorm(16)

        def execute(self, images):
            return self.norm(self.plain(self.layers(images)))

    critic = Critic()
    ganzoo.init_dcgan(critic, 0.02)
    weight = critic.layers[0].layer.weight.numpy()
    assert abs(weight.std() - 0.02) < 0.003
    matrix, norm = weight.reshape(16, -1), critic.layers[0]
    assert norm.u.numpy() @ matrix @ norm.v.numpy() > 0.9 * np.linalg.svd(matrix)[1][0]
    assert 0 < critic.norm.weight.numpy().std() < 0.1
    assert not critic.norm.bias.numpy().any()


def test_the_embedding_of_a_class_projection_can_be_normalised():
    projection = ganzoo.ClassProjection(3, 5)
    weight = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    projection.embedding.weight.update(ganzoo.jt.array(weight))
    normalised = ganzoo.spectral_norm(projection)
    features = np.random.default_rng(1).standard_normal((4, 5)).astype(np.float32)
    labels = np.eye(3, dtype=np.float32)[[0, 2, 1, 2]]
    for _ in range(50):  # until the power method has converged
        scores = normalised(ganzoo.jt.array(features), ganzoo.jt.array(labels)).numpy()
    embeddings = labels.astype(np.float64) @ (weight / np.linalg.norm(weight.astype(np.float64), 2)).T
    np.testing.assert_allclose(scores, (embeddings * features).sum(1, keepdims=True), rtol=1e-4, atol=1e-6)


def test_spectral_norm_refuses_other_layers():
    with pytest.raises(PluginError, match="Linear, UpsampledConv or ClassProjection, got BatchNorm"):
        ganzoo.spectral_norm(ganzoo.BatchNorm(3))
