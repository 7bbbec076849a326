"""A class-conditional DCGAN with hinge loss and spectral norm. See README.md beside this package."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ganzoo import Adam, DataInfo, Model, Options, Setup, TrainOptions, hookimpl, option


@dataclass(frozen=True)
class DCGANOptions(Options):
    """Options of `ganzoo train conditional-dcgan`."""

    size: int = option(32, "side of the images in px", choices=(16, 32, 64, 128), network=True)
    latent: int = option(100, "length of the latent vector", min=1, network=True)
    width: int = option(32, "feature maps of the largest layers; each halving doubles them", min=1, network=True)
    learning_rate: float = option(2e-4, "learning rate of the generator; the discriminator's is twice as high", above=0)
    ema: float = option(0.99, "decay per step of the generator's EMA", min=0, below=1)


class ConditionalDCGAN(Model):
    """DCGAN's networks, with the label as an input of both."""

    name, options, conditional = "conditional-dcgan", DCGANOptions, True
    summary = "class-conditional DCGAN: hinge loss, spectral norm, projection discriminator"
    paper = "Miyato & Koyama, cGANs with Projection Discriminator, 2018, arXiv:1802.05637"
    defaults = {"data": "mnist", "batch": 64, "kimg": 1000.0}

    def build(self, options: DCGANOptions, data: DataInfo, train: TrainOptions) -> Setup:
        from example_conditional_dcgan.loss import HingeLoss
        from example_conditional_dcgan.networks import Generator, ProjectionDiscriminator

        shape = options.width, data.size, data.channels, len(data.domains)
        generator, discriminator = Generator(options.latent, *shape), ProjectionDiscriminator(*shape)
        return Setup(
            networks={"generator": generator, "discriminator": discriminator},
            optimizers={
                "generator": Adam(options.learning_rate, beta1=0.0, beta2=0.9),
                "discriminator": Adam(2 * options.learning_rate, beta1=0.0, beta2=0.9),
            },
            loss=HingeLoss(generator, discriminator),
            ema={"generator": options.ema},
        )


@hookimpl
def ganzoo_models() -> Iterable[Model]:
    return [ConditionalDCGAN()]
