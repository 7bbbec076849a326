"""The options of `ganzoo train stargan2`."""

from __future__ import annotations

from dataclasses import dataclass

from ganzoo import Options, option

MIN_SIZE, MAX_SIZE = 64, 512  # px
WING_SOURCE = "https://www.dropbox.com/s/tjxpypwpt38926e/wing.ckpt?dl=1"


@dataclass(frozen=True)
class StarGAN2Options(Options):
    """Options of `ganzoo train stargan2`."""

    size: int | None = option(
        None,
        "side of the images in px, a power of two [default: the nearest to the images' own; avatars: 64]",
        min=MIN_SIZE,
        max=MAX_SIZE,
        network=True,
    )
    w_hpf: float | None = option(
        None,
        "strength of the high-pass filtered skip connections, for faces; 0: none [default: 1 for celeba-hq, else 0]",
        min=0,
        network=True,
    )
    wing: str = option(
        "", "file of the landmark network's weights [default: wing.ckpt in the data directory]", when="w_hpf"
    )
    latent: int = option(16, "length of z", min=1, max=4096, network=True)
    style: int = option(64, "length of the style code", min=1, max=4096, network=True)
    hidden: int = option(512, "width of the mapping network", min=1, max=8192, network=True)
    channels_base: int = option(
        16384, "number of feature maps at full size, multiplied by that size in px", min=64, max=65536, network=True
    )
    channels_max: int = option(512, "maximum number of feature maps", min=1, max=4096, network=True)
    lambda_reg: float = option(1.0, "weight of the R1 penalty", min=0)
    lambda_sty: float = option(1.0, "weight of the style reconstruction loss", min=0)
    lambda_cyc: float = option(1.0, "weight of the cycle consistency loss", min=0)
    lambda_ds: float | None = option(None, "initial weight of the diversity loss [default: 2 for afhq, else 1]", min=0)
    ds_iter: int = option(
        100_000, "steps over which the weight of the diversity loss falls to 0", min=1, when="lambda_ds"
    )
    randcrop_prob: float = option(0.5, "probability of a random crop", min=0, max=1)
    learning_rate: float = option(1e-4, "learning rate of generator, style encoder and discriminator", above=0)
    mapping_rate: float = option(1e-6, "learning rate of the mapping network", above=0)
    beta1: float = option(0.0, "decay of Adam's first moment", min=0, max=0.999)
    beta2: float = option(0.99, "decay of Adam's second moment", min=0, max=0.9999)
    weight_decay: float = option(1e-4, "Adam's weight decay (L2)", min=0)
    ema: float = option(0.999, "decay per step of the networks' EMA", min=0, below=1)
