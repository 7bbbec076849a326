"""A model whose translations a test can compute: it shifts the mean colour of an image.

A style is a domain's number and a mean colour: the domain's colour plus a third of the latent, or the mean colour of a
reference image.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from ganzoo import Adam, Batch, DataInfo, Loss, Model, Phase, Progress, Setup, TrainOptions, Translator

DOMAINS = ("cat", "dog", "wild fox")
COLOURS = np.array([[-0.5, 0.0, 0.2], [0.4, 0.4, -0.2], [0.0, -0.6, 0.6]], np.float32)
INFO = DataInfo("animals", count=9, size=8, channels=3, domains=DOMAINS)


def make(colours: np.ndarray = COLOURS, count: int = 3) -> tuple[Any, Translator]:
    """Return a network whose only weight is the domains' colours, and its translator."""
    from ganzoo import Network, jt

    class Colours(Network):
        def __init__(self) -> None:
            super().__init__()
            self.colours = jt.array(colours)

    class MeanColourTranslator(Translator):
        latent = 5

        def style_of_latents(self, z: Any, domains: np.ndarray) -> Any:
            numbers = jt.array(np.asarray(domains, np.int32))
            return jt.concat([numbers.float32().unsqueeze(1), network.colours[numbers] + z[:, :count] / 3], 1)

        def style_of_images(self, images: Any, domains: np.ndarray) -> Any:
            numbers = jt.array(np.asarray(domains, np.float32))
            return jt.concat([numbers.unsqueeze(1), images.mean((2, 3))], 1)

        def translate(self, images: Any, styles: Any) -> Any:
            return images + (styles[:, 1:] - images.mean((2, 3))).unsqueeze(2).unsqueeze(3)

    network = Colours()
    return network, MeanColourTranslator()


class MeanColourModel(Model):
    """Model with the translator, for the registry."""

    name = "mean-colour"
    summary = "moves colours"
    conditional = True
    translates = True
    sampled = "colours"

    def build(self, options: Any, data: DataInfo, train: TrainOptions) -> Setup:
        network, translator = make(0 * COLOURS)
        loss: Any = None
        return Setup(
            networks={"colours": network, "critic": make(0 * COLOURS)[0]},
            optimizers={"colours": Adam(0.1), "critic": Adam(0.1)},
            loss=loss,
            generator=self.sampled,
            ema={"colours": 0.9},
            translator=translator if self.translates else None,
        )


class PullLoss(Loss):
    """Pulls the colours towards 1."""

    phases = (Phase("colours", ("colours",)), Phase("critic", ("critic",)))

    def __init__(self, networks: Any) -> None:
        self.networks = networks

    def __call__(self, phase: Phase, batch: Batch, progress: Any) -> dict[str, Any]:
        return {"distance": (self.networks[phase.name].colours - 1.0).sqr().mean()}


class MeanColourModelWithoutEMA(MeanColourModel):
    """The model with a loss and without an EMA, as in CycleGAN."""

    name = "mean-colour-without-ema"
    sampled = "generator"  # the default of `Setup.generator`; this model has no such network

    def build(self, options: Any, data: DataInfo, train: TrainOptions) -> Setup:
        setup = super().build(options, data, train)
        return dataclasses.replace(setup, loss=PullLoss(setup.networks), ema={})


def write_checkpoint(path: Path, data: DataInfo = INFO, colours: np.ndarray = COLOURS) -> None:
    """Write a checkpoint whose EMA has the given colours, and whose network has zeros."""
    from ganzoo.checkpoints import checkpoint
    from ganzoo.checkpoints.description import RunDescription, StateMetadata

    tensors = {"net/colours/colours": 0 * colours, "ema/colours/colours": colours, "net/critic/colours": colours}
    metadata = StateMetadata(Progress(), ema=("colours",))
    checkpoint.write(path, tensors, RunDescription("mean-colour", {}, data=data), metadata)
