"""What the axes of weights stand for is found by building networks for other data."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from ganzoo_gan import GAN, GANOptions
from ganzoo_lsgan import LSGAN, LSGANOptions
from ganzoo_stargan2 import StarGAN2, StarGAN2Options

from ganzoo.interfaces.dataset import DataInfo
from ganzoo.interfaces.train_options import TrainOptions
from ganzoo.training.layout import Axis, Layout
from tests.support.shades import ShadesGAN

pytestmark = pytest.mark.usefixtures("jittor")

ANIMALS = DataInfo("animals", 10, 8, 3, ("cat", "dog", "fox"))


def layout(model: Any, options: Any = None, data: DataInfo = ANIMALS) -> Layout:
    return Layout(lambda data: model.build(options, data, TrainOptions()), data)


def test_classes_are_the_last_inputs_of_a_layer_that_also_has_latents():
    found = layout(GAN(), GANOptions(size=8, latent=5, conditional=True))
    assert found.conditions == {
        ("generator", "layers.0.weight"): ("domains", Axis(1, 5, 1)),
        ("discriminator", "projection.embedding.weight"): ("domains", Axis(1, 0, 1)),
    }
    assert found.conditional


def test_a_model_without_classes_has_no_such_axes():
    found = layout(GAN(), GANOptions(size=8))
    assert not found.conditions
    assert not found.conditional


def test_attributes_are_found_like_classes():
    found = layout(ShadesGAN(), data=DataInfo("shades", 10, 8, 1, attributes=("bright", "age")))
    assert found.conditions["generator", "layer.weight"] == ("attributes", Axis(1, 2, 1))
    assert found.conditions["critic", "layer.weight"] == ("attributes", Axis(1, 1, 1))
    assert not layout(ShadesGAN(), data=DataInfo("plain", 10, 8, 1)).conditional


def test_arrays_of_which_there_is_one_for_each_domain_are_found_by_their_numbers():
    options = StarGAN2Options(size=64, channels_max=4, channels_base=64, hidden=4, style=3, w_hpf=0.0)
    found = layout(StarGAN2(), options, dataclasses.replace(ANIMALS, size=64))
    assert found.by_domain["mapping", "unshared.2.2.weight"] == (2, "unshared.{}.2.weight")
    assert found.by_domain["encoder", "unshared.0.bias"] == (0, "unshared.{}.bias")
    assert {network for network, _ in found.by_domain} == {"mapping", "encoder"}
    heads = {key: axis for key, (_, axis) in found.conditions.items()}
    assert heads == {("discriminator", f"main.8.{name}"): Axis(0, 0, 1) for name in ("weight", "bias")}


def test_image_channels_may_be_flattened_with_the_pixels():
    axes = layout(GAN(), GANOptions(size=8)).channel_axes(1)
    assert axes == {
        ("generator", "layers.11.weight"): Axis(0, 0, 64),
        ("generator", "layers.11.bias"): Axis(0, 0, 64),
        ("discriminator", "layers.0.weight"): Axis(1, 0, 64),
    }


@pytest.mark.parametrize("variant", ["zoo", "tutorial"])
def test_outputs_are_the_first_axis_except_in_transposed_convolutions(variant):
    found = layout(LSGAN(), LSGANOptions(variant=variant, size=16), dataclasses.replace(ANIMALS, size=16))
    axes = found.channel_axes(1)
    outputs = {network: found.is_output((network, name), axis.index) for (network, name), axis in axes.items()}
    assert outputs == {"generator": True, "discriminator": False}
    assert len(axes) == 3


def test_a_model_that_cannot_be_built_for_other_data_has_no_known_axes():
    class OnlyThree(GAN):
        def build(self, options, data, train):
            assert (len(data.domains), data.channels) == (3, 3)
            return super().build(options, data, train)

    found = layout(OnlyThree(), GANOptions(size=8, conditional=True))
    assert not found.conditions
    assert not found.channel_axes(1)
