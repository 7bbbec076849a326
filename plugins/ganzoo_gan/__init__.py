"""The basic GAN: two multilayer perceptrons. See README.md beside this file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ganzoo import Adam, DataInfo, Model, Options, Setup, TrainOptions, ZooModel, hookimpl, option, zoo_models


@dataclass(frozen=True)
class GANOptions(Options):
    """Options of `ganzoo train gan`."""

    size: int = option(28, "side of the images in px", min=4, max=256, network=True)
    latent: int = option(100, "length of z", min=1, network=True)
    learning_rate: float = option(2e-4, "learning rate of both networks", above=0)
    beta1: float = option(0.5, "decay of Adam's first moment", min=0, max=0.999)
    beta2: float = option(0.999, "decay of Adam's second moment", min=0, max=0.999999)
    norm_eps: float = option(
        0.8, "eps of batch normalisation; PyTorch-GAN and its ports use 0.8", above=0, network=True
    )
    conditional: bool = option(False, "make the domains of the data classes of the model", network=True)
    ema: float = option(0.0, "decay per step of the generator's EMA; 0: no EMA", min=0, below=1)


class GAN(Model):
    """Generator and discriminator of fully connected layers, trained with binary cross-entropy."""

    name = "gan"
    summary = "basic GAN: fully connected networks, binary cross-entropy"
    paper = "Goodfellow et al., Generative Adversarial Nets, 2014, arXiv:1406.2661"
    options = GANOptions
    defaults = {"data": "mnist", "batch": 64, "kimg": 12000.0}
    option_hints = dict.fromkeys(
        ("cond", "n_classes", "num_classes"), "--conditional; the classes are the domains of --data"
    )

    def build(self, options: GANOptions, data: DataInfo, train: TrainOptions) -> Setup:
        from ganzoo_gan.loss import GANLoss
        from ganzoo_gan.networks import MLPDiscriminator, MLPGenerator

        shape = (data.channels, data.size, data.size)
        classes = len(data.domains) if options.conditional else 0
        generator = MLPGenerator(options.latent, shape, options.norm_eps, classes)
        discriminator = MLPDiscriminator(shape, classes)
        adam = Adam(options.learning_rate, options.beta1, options.beta2)
        return Setup(
            networks={"generator": generator, "discriminator": discriminator},
            optimizers={"generator": adam, "discriminator": adam},
            loss=GANLoss(generator, discriminator),
            ema={"generator": options.ema} if options.ema else {},
        )


@hookimpl
def ganzoo_models() -> Iterable[Model]:
    return [GAN()]


@hookimpl
def ganzoo_zoo_models() -> Iterable[ZooModel]:
    return zoo_models(Path(__file__).parent / "weights")
