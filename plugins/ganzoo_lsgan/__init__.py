"""LSGAN: convolutional networks with the least-squares loss. See README.md beside this file."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from ganzoo import Adam, DataInfo, Model, OptionError, Options, Setup, hookimpl, option


@dataclass(frozen=True)
class LSGANOptions(Options):
    """Options of `ganzoo train lsgan`."""

    variant: str = option(
        "zoo",
        "networks and loss: as in gan-jittor (zoo) or as in Jittor's tutorial (tutorial)",
        choices=("zoo", "tutorial"),
    )
    size: int = option(0, "side of the images in px, a multiple of 16; 0: 32 for zoo, 112 for tutorial", min=0, max=512)
    latent: int = option(0, "length of z; 0: 100 for zoo, 1024 for tutorial", min=0)
    learning_rate: float = option(2e-4, "learning rate of both networks", above=0)
    beta1: float = option(0.5, "decay of Adam's first moment", min=0, max=0.999)
    beta2: float = option(0.999, "decay of Adam's second moment", min=0, max=0.999999)
    norm_eps: float | None = option(
        None, "eps of batch normalisation [default: 0.8 for zoo, as in PyTorch-GAN; 1e-5 for tutorial]", above=0
    )
    dropout: float = option(0.25, "dropout probability in the discriminator", min=0, max=0.99, when={"variant": "zoo"})
    ema: float = option(0.0, "decay per step of the generator's EMA; 0: no EMA", min=0, below=1)


class VariantDefaults(NamedTuple):
    """A variant's values for options that the user leaves at 0 or None."""

    size: int
    latent: int
    norm_eps: float


# The zoo's eps of 0.8 is inherited from PyTorch-GAN, where it was passed by mistake; 1e-5 is Jittor's default.
VARIANT_DEFAULTS = {"zoo": VariantDefaults(32, 100, 0.8), "tutorial": VariantDefaults(112, 1024, 1e-5)}


class LSGAN(Model):
    """Two published variants of LSGAN, both for any image size that is a multiple of 16."""

    name = "lsgan"
    summary = "LSGAN: convolutional networks, least-squares loss"
    paper = "Mao et al., Least Squares Generative Adversarial Networks, 2017, arXiv:1611.04076"
    options = LSGANOptions
    defaults = {"data": "mnist", "batch": 64, "kimg": 12000.0}

    def resolve_options(self, options: LSGANOptions, data: DataInfo) -> LSGANOptions:
        defaults = VARIANT_DEFAULTS[options.variant]
        return dataclasses.replace(
            options,
            size=options.size or defaults.size,
            latent=options.latent or defaults.latent,
            norm_eps=options.norm_eps or defaults.norm_eps,
        )

    def image_size(self, options: LSGANOptions, data: DataInfo) -> int:
        size = options.size or VARIANT_DEFAULTS[options.variant].size
        if size % 16:
            raise OptionError(f"--size: {size} is not a multiple of 16 (the discriminator halves it four times).")
        return size

    def build(self, options: LSGANOptions, data: DataInfo) -> Setup:
        from ganzoo_lsgan import tutorial, zoo
        from ganzoo_lsgan.loss import LSGANLoss

        networks = {"zoo": zoo, "tutorial": tutorial}[options.variant]
        defaults = VARIANT_DEFAULTS[options.variant]
        latent, norm_eps = options.latent or defaults.latent, options.norm_eps or defaults.norm_eps
        generator = networks.Generator(latent, data.size, data.channels, norm_eps)
        if options.variant == "zoo":
            discriminator = zoo.Discriminator(data.size, data.channels, norm_eps, options.dropout)
        else:
            discriminator = tutorial.Discriminator(data.size, data.channels, norm_eps)
        adam = Adam(options.learning_rate, options.beta1, options.beta2)
        return Setup(
            networks={"generator": generator, "discriminator": discriminator},
            optimizers={"generator": adam, "discriminator": adam},
            loss=LSGANLoss(generator, discriminator, tutorial=options.variant == "tutorial"),
            ema={"generator": options.ema} if options.ema else {},
        )


@hookimpl
def ganzoo_models() -> Iterable[Model]:
    return [LSGAN()]
