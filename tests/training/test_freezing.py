"""--freeze-d: the first blocks of a discriminator aren't trained."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from ganzoo_gan import GAN, GANOptions
from ganzoo_lsgan import LSGAN, LSGANOptions
from ganzoo_stargan2 import StarGAN2, StarGAN2Options
from ganzoo_stylegan import StyleGAN, StyleGANOptions

from ganzoo.data.loader import ImageBatch
from ganzoo.errors import OptionError, PluginError
from ganzoo.interfaces.dataset import DataInfo
from ganzoo.interfaces.train_options import TrainOptions
from ganzoo.training.freezing import frozen_weights
from ganzoo.training.state import TrainState
from ganzoo.training.step import Step
from tests.support.shades import ShadesGAN

pytestmark = pytest.mark.usefixtures("jittor")

TINY = DataInfo("tiny", 10, 8, 1, ("cat", "dog"))
STYLEGAN = StyleGANOptions(
    max_size=16, init_size=8, phase=0.004, latent=4, mapping_layers=2, channels_base=64, channels_max=4
)


def frozen(model: Any, options: Any, size: int, blocks: int) -> set[str]:
    setup = model.build(options, dataclasses.replace(TINY, size=size), TrainOptions())
    (names,) = frozen_weights(setup, blocks).values()
    return names


def layers(names: set[str]) -> set[str]:
    return {name.rpartition(".")[0] for name in names}


def test_blocks_count_from_the_image():
    gan = GAN(), GANOptions(size=8, conditional=True)
    assert layers(frozen(*gan, 8, 1)) == {"layers.0"}
    assert layers(frozen(*gan, 8, 2)) == {"layers.0", "layers.2"}
    zoo = LSGAN(), LSGANOptions(size=16)
    assert layers(frozen(*zoo, 16, 2)) == {"layers.0", "layers.3", "layers.6"}
    assert layers(frozen(*zoo, 16, 4)) >= {"layers.7", "layers.11", "layers.14"}
    tutorial = LSGAN(), LSGANOptions(variant="tutorial", size=16)
    assert layers(frozen(*tutorial, 16, 2)) == {"layers.0", "layers.2", "layers.3"}
    options = StarGAN2Options(size=64, channels_max=4, channels_base=64, w_hpf=0.0)
    assert {name.rsplit(".", 2)[0] for name in frozen(StarGAN2(), options, 64, 1)} == {"main", "main.1"}
    assert {name.split(".")[1] for name in frozen(StarGAN2(), options, 64, 4)} == set("01234")
    assert layers(frozen(StyleGAN(), STYLEGAN, 16, 1)) == {"from_rgb.2", "blocks.2.conv1", "blocks.2.conv2"}
    assert {name.split(".")[1] for name in frozen(StyleGAN(), STYLEGAN, 16, 2)} == {"1", "2"}


def test_more_blocks_than_there_are_and_models_without_any_are_refused():
    with pytest.raises(OptionError, match=r"--freeze-d 3: the discriminator has only 2 blocks that can be frozen"):
        frozen(GAN(), GANOptions(size=8), 8, 3)
    with pytest.raises(OptionError, match="--freeze-d 1: this model does not say which blocks"):
        frozen(ShadesGAN(), None, 8, 1)
    setup = GAN().build(GANOptions(size=8), TINY, TrainOptions())
    assert frozen_weights(setup, 0) == {}


def test_a_block_without_weights_is_an_error_of_the_plugin(monkeypatch):
    from ganzoo_gan.networks import MLPDiscriminator

    monkeypatch.setattr(MLPDiscriminator, "freezable_blocks", lambda self: [("layer.",)])
    with pytest.raises(
        PluginError,
        match=r"freezable_blocks of the discriminator has \('layer\.',\), but no weight's name starts with that",
    ):
        frozen(GAN(), GANOptions(size=8), 8, 1)


def run(step: Step, steps: int) -> None:
    state = step.state
    for _ in range(steps):
        size = state.upcoming().stage.size
        pixels = np.random.default_rng(state.progress.step).integers(0, 256, (4, size, size, 1), dtype=np.uint8)
        step(ImageBatch(pixels, np.zeros(4, np.int64)))
        state.count_step()


def changed(before: dict[str, np.ndarray], after: dict[str, np.ndarray], prefix: str) -> set[str]:
    return {name[len(prefix) :] for name in after if name.startswith(prefix) and (before[name] != after[name]).any()}


def test_frozen_weights_keep_their_values_and_their_optimizer_its_state():
    state = TrainState(GAN(), GANOptions(size=8, latent=4), TINY, TrainOptions(batch=4, freeze_d=1))
    before = state.tensors()
    run(Step(state, 0, None, lambda *_: None), 3)
    after = state.tensors()
    names = {"layers.0.weight", "layers.0.bias"}
    for prefix in ("net/discriminator/", "adam/discriminator/first/", "adam/discriminator/second/"):
        others = {name[len(prefix) :] for name in after if name.startswith(prefix)} - names
        assert changed(before, after, prefix) == others
    steps = state.optimizers["discriminator"].steps
    assert {name for name, count in steps.items() if not count} == names
    assert changed(before, after, "net/generator/") >= {"layers.0.weight", "layers.11.bias"}


def test_in_a_model_that_grows_the_blocks_are_those_of_the_last_resolutions():
    data = dataclasses.replace(TINY, size=16)
    state = TrainState(StyleGAN(), STYLEGAN, data, TrainOptions(batch=4, kimg=1, freeze_d=1))
    before, step = state.tensors(), Step(state, 0, None, lambda *_: None)
    run(step, 2)  # at 8 px
    at_8 = changed(before, state.tensors(), "net/discriminator/")
    assert {"from_rgb.1.weight", "blocks.1.conv1.weight"} <= at_8
    run(step, 4)  # 16 px fade in, and are then there alone
    after = state.tensors()
    assert state.position.stage.size == 16
    assert not state.position.fading
    trained = changed(before, after, "net/discriminator/")
    assert "blocks.1.conv1.weight" in trained
    assert not {name for name in trained if name.startswith(("from_rgb.2.", "blocks.2."))}
    assert "synthesis.blocks.2.conv1.weight" in changed(before, after, "net/generator/")
