"""Augmented images and their gradients, first and second, agree with an independent computation in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ganzoo.backend.arrays import differentiable
from ganzoo.training.augmentation import ada, diffaugment
from tests.support import augmentation as exact

COUNT = 6
SHAPES = [(3, 8, 8), (1, 28, 28), (3, 15, 15), (3, 12, 20), (4, 8, 8)]


def outputs(library, augment, images, weight):
    """Return the augmented images, the gradient of a score of them, and the gradient, with respect to a weight, of the
    squared norm of that gradient, as in R1."""
    hidden = augment(images)
    score = ((hidden * weight) ** 3 if library is torch else (hidden * weight) * (hidden * weight).sqr()).sum()
    if library is torch:
        (first,) = torch.autograd.grad(score, images, create_graph=True)
        (second,) = torch.autograd.grad((first**2).sum(), weight)
    else:
        first = library.grad(score, images)
        second = library.grad(first.sqr().sum(), weight)
    return [(each.detach() if library is torch else each).numpy() for each in (hidden, first, second)]


def assert_agree(jittor, ours, theirs, shape):
    rng = np.random.default_rng(0)
    images, weight = rng.uniform(-1, 1, (COUNT, *shape)), rng.uniform(0.5, 1.5, (COUNT, *shape))
    images, weight = images.astype(np.float32), weight.astype(np.float32)
    made = outputs(jittor, ours, differentiable(jittor.array(images)), differentiable(jittor.array(weight)))
    leaves = (torch.from_numpy(each.astype(np.float64)).requires_grad_() for each in (images, weight))
    expected = outputs(torch, theirs, *leaves)
    for one, two in zip(made, expected):
        assert np.linalg.norm(one - two) <= 1e-5 * np.linalg.norm(two)
        assert np.abs(one - two).max() <= 1e-4 * np.abs(two).max()


@pytest.mark.parametrize("shape", SHAPES)
def test_diffaugment(jittor, shape):
    parameters = diffaugment.draw(np.random.default_rng(1), COUNT, shape)
    assert_agree(
        jittor,
        lambda images: diffaugment.apply(images, parameters),
        lambda images: exact.diffaugment(images, parameters),
        shape,
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_ada(jittor, shape):
    size, rng = shape[1:], np.random.default_rng(2)
    geometry, colour = ada.draw_geometry(rng, COUNT, size, 0.8, True), ada.draw_colour(rng, COUNT, 0.8)
    parameters = ada.draw(np.random.default_rng(2), COUNT, shape, 0.8, True)
    assert_agree(
        jittor,
        lambda images: ada.apply(images, parameters),
        lambda images: exact.ada(images, geometry, colour),
        shape,
    )


@pytest.mark.parametrize("name", ["ada", "diffaugment"])
def test_transparent_images_stay_transparent(jittor, name):
    shape, rng = (4, 8, 8), np.random.default_rng(3)
    module, settings = (ada, (0.8, True)) if name == "ada" else (diffaugment, ())
    parameters = module.draw(rng, COUNT, shape, *settings)
    images = differentiable(jittor.array(np.full((COUNT, *shape), -1, np.float32)))
    augmented = module.apply(images, parameters)
    np.testing.assert_allclose(augmented.numpy(), -1, atol=1e-5)
    assert np.isfinite(jittor.grad(augmented.sqr().sum(), images).numpy()).all()


@pytest.mark.parametrize("name", ["ada", "diffaugment"])
def test_colours_of_opaque_rgba_images_are_augmented_like_rgb(jittor, name):
    module, settings = (ada, (0.8, True)) if name == "ada" else (diffaugment, ())
    images = np.random.default_rng(4).uniform(-1, 1, (COUNT, 4, 8, 8)).astype(np.float32)
    images[:, 3] = 1
    rgba, rgb = (
        module.apply(
            jittor.array(images[:, :channels]),
            module.draw(np.random.default_rng(5), COUNT, (channels, 8, 8), *settings),
        ).numpy()
        for channels in (4, 3)
    )
    outside = rgba[:, 3:] < 0  # shifted in or cut out by diffaugment
    assert np.abs(np.where(outside, 0, rgba[:, :3] - rgb)).max() < 1e-5
    assert (rgba[:, 3] == -1).any() == (name == "diffaugment")
