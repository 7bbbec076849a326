"""LSGAN: convolutional networks with the least-squares loss. See README.md beside this file."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from ganzoo import Adam, DataInfo, Model, OptionError, Setup, TrainOptions, ZooModel, hookimpl, zoo_models
from ganzoo_lsgan.options import VARIANT_DEFAULTS, LSGANOptions


class LSGAN(Model):
    """Two published variants of LSGAN: `zoo`, as in gan-jittor (a zoo of GANs for Jittor that follows PyTorch-GAN), and
    `tutorial`, as in the LSGAN tutorial on Jittor's website. Both take any image size that is a multiple of 16."""

    name = "lsgan"
    summary = "LSGAN: convolutional networks, least-squares loss"
    paper = "Mao et al., Least Squares Generative Adversarial Networks, 2017, arXiv:1611.04076"
    options = LSGANOptions
    defaults = {"data": "mnist", "batch": 64, "kimg": 12000.0}
    option_hints = dict.fromkeys(
        ("cond", "n_classes", "num_classes"), "--conditional; the classes are the domains of --data"
    )

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

    def build(self, options: LSGANOptions, data: DataInfo, train: TrainOptions) -> Setup:
        from ganzoo_lsgan import tutorial, zoo
        from ganzoo_lsgan.loss import LSGANLoss

        networks = {"zoo": zoo, "tutorial": tutorial}[options.variant]
        defaults = VARIANT_DEFAULTS[options.variant]
        latent, norm_eps = options.latent or defaults.latent, options.norm_eps or defaults.norm_eps
        classes = len(data.domains) if options.conditional else 0
        generator = networks.Generator(latent, data.size, data.channels, norm_eps, classes)
        if options.variant == "zoo":
            discriminator = zoo.Discriminator(data.size, data.channels, norm_eps, options.dropout, classes)
        else:
            discriminator = tutorial.Discriminator(data.size, data.channels, norm_eps, classes)
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


@hookimpl
def ganzoo_zoo_models() -> Iterable[ZooModel]:
    return zoo_models(Path(__file__).parent / "weights")
