from __future__ import annotations

from types import SimpleNamespace

import pytest

import ganzoo
from ganzoo import differentiable, mark_real
from ganzoo.errors import PluginError
from ganzoo.interfaces.augmentation import augmenting


def test_a_discriminator_inside_another_gets_images_that_are_augmented_once(jittor):
    calls = []

    class Inner(ganzoo.Discriminator):
        def execute(self, images):
            return images.mean([1, 2, 3])

    class Outer(ganzoo.Discriminator):
        def __init__(self):
            super().__init__()
            self.inner = Inner()

        def execute(self, images):
            return self.inner(images)

    outer = Outer()
    outer.train()
    fake = SimpleNamespace(reals={}, augment=lambda images: calls.append(1) or images)
    with augmenting(fake):
        outer(jittor.ones((2, 1, 8, 8)))
    assert calls == [1]


def test_marks_of_real_images_follow_differentiable(jittor):
    fake = SimpleNamespace(reals={})
    images = jittor.ones((2, 1, 8, 8))
    assert mark_real(images) is images  # without training, it does nothing
    with augmenting(fake):
        leaf = differentiable(mark_real(images, rows=1))
        assert fake.reals[leaf.id] == (leaf, 1)
        assert differentiable(images + 1).id not in fake.reals


def test_images_must_not_be_passed_by_keyword(jittor):
    class D(ganzoo.Discriminator):
        def execute(self, images):
            return images.mean([1, 2, 3])

    d, images = D(), jittor.ones((2, 1, 8, 8))
    d.train()
    assert d(images=images).shape == [2]
    with augmenting(SimpleNamespace(reals={})), pytest.raises(PluginError, match="pass the images as the first"):
        d(images=images)
