"""WGAN-GP: a critic whose gradient norm is kept near 1. See README.md beside this package.

ganzoo imports this module for every `--help`, so it must be light: Jittor is imported inside `build`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ganzoo import Adam, DataInfo, Model, Options, Setup, TrainOptions, hookimpl, option


@dataclass(frozen=True)
class WGANGPOptions(Options):
    """Options of `ganzoo train wgan-gp`; the defaults are from Gulrajani et al. 2017, algorithm 1."""

    size: int = option(32, "side of the images in px", choices=(16, 32, 64, 128), network=True)
    latent: int = option(128, "length of the latent vector", min=1, network=True)
    width: int = option(64, "channels of the critic's first layer; each halving doubles them", min=1, network=True)
    n_critic: int = option(5, "critic updates per generator update", min=1)
    penalty: float = option(10.0, "weight of the gradient penalty", min=0)
    learning_rate: float = option(1e-4, "learning rate of both networks", above=0)
    beta1: float = option(0.0, "decay of Adam's first moment", min=0, max=0.999)
    beta2: float = option(0.9, "decay of Adam's second moment", min=0, max=0.999999)


class WGANGP(Model):
    """Convolutional generator and critic, trained with the Wasserstein loss and a gradient penalty."""

    name = "wgan-gp"
    summary = "WGAN-GP: convolutional networks, Wasserstein loss with gradient penalty"
    paper = "Gulrajani et al., Improved Training of Wasserstein GANs, 2017, arXiv:1704.00028"
    options = WGANGPOptions
    # 200,000 critic updates and 40,000 generator updates.
    defaults = {"data": "mnist", "batch": 64, "kimg": 12800.0}

    def build(self, options: WGANGPOptions, data: DataInfo, train: TrainOptions) -> Setup:
        from example_wgan_gp.loss import WGANGPLoss
        from example_wgan_gp.networks import Critic, Generator

        generator = Generator(options.latent, options.width, data.size, data.channels)
        critic = Critic(options.width, data.size, data.channels)
        adam = Adam(options.learning_rate, options.beta1, options.beta2)
        return Setup(
            networks={"generator": generator, "critic": critic},
            optimizers={"generator": adam, "critic": adam},
            loss=WGANGPLoss(generator, critic, options.n_critic, options.penalty),
        )


@hookimpl
def ganzoo_models() -> Iterable[Model]:
    return [WGANGP()]
