"""A translation model without EMA, like CycleGAN: samples come from the trained networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganzoo.checkpoints import checkpoint
from ganzoo.sampling.latents import from_seeds
from tests.support import mean_colour

TRAIN = ["train", "mean-colour-without-ema", "--data", "pictures", "--batch", "4", "--kimg", "0.02", "--tick", "0.008"]
RUN = Path("experiments/00000-mean-colour-without-ema-pictures")


@pytest.fixture
def workspace(jittor, domains, add_model):
    add_model(mean_colour.MeanColourModelWithoutEMA())


def colours_of(image: np.ndarray) -> np.ndarray:
    """Return the mean colour of a uint8 image, scaled to [-1, 1]."""
    return image.astype(float).mean((0, 1)) / 127.5 - 1


def test_generate_uses_the_trained_weights(workspace, ganzoo):
    result = ganzoo(*TRAIN)
    assert result.exit_code == 0, result.output
    trained = checkpoint.read(checkpoint.newest(RUN)).tensors["net/colours/colours"]
    assert np.all(trained > 0.3)  # five updates of about 0.1 each; it began at 0
    source = "pictures/one/0.png"
    generated = ganzoo("generate", "0", "--source", source, "--domain", "one,two", "--seeds", "3", "--out", "out")
    assert generated.exit_code == 0, generated.output
    drawn = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(Path("out").rglob("*seed0003*.png"))]
    assert len(drawn) == 2
    for domain, image in enumerate(drawn):
        expected = trained[domain] + from_seeds([3], 5)[0, :3] / 3
        unclipped = np.abs(expected) < 0.6
        assert unclipped.any()
        np.testing.assert_allclose(colours_of(image)[unclipped], expected[unclipped], atol=0.1)


def test_samples_during_training_use_the_trained_weights(jittor):
    import ganzoo
    from ganzoo.interfaces.options import Options
    from ganzoo.interfaces.train_options import TrainOptions
    from ganzoo.training.state import TrainState

    state = TrainState(mean_colour.MeanColourModelWithoutEMA(), Options(), mean_colour.INFO, TrainOptions())
    state.setup.networks["colours"].load_state({"colours": mean_colour.COLOURS})
    translator = state.ema.translator()
    styles = translator.style_of_latents(ganzoo.jt.zeros((3, 5)), np.arange(3)).numpy()
    np.testing.assert_allclose(styles[:, 1:], mean_colour.COLOURS, atol=1e-6)


def test_a_discriminator_has_no_ema_copy(jittor):
    from ganzoo import Discriminator
    from ganzoo.interfaces.options import Options
    from ganzoo.interfaces.train_options import TrainOptions
    from ganzoo.training.state import TrainState

    class Critic(Discriminator):
        def execute(self, images):
            return images

    class Model(mean_colour.MeanColourModelWithoutEMA):
        def build(self, options, data, train):
            setup = super().build(options, data, train)
            setup.networks["critic"].__class__ = type("Critic", (Critic,), {})
            return setup

    state = TrainState(Model(), Options(), mean_colour.INFO, TrainOptions())
    assert set(state.ema.copies) == {"colours"}


def test_generate_requires_source_images_for_a_model_without_a_generator_network(workspace, ganzoo):
    assert ganzoo(*TRAIN).exit_code == 0
    result = ganzoo("generate")
    assert result.exit_code == 2
    assert "mean-colour-without-ema translates images: give the input with --source IMAGE|FOLDER." in result.stderr
    assert "Traceback" not in result.output
