"""The options of `ganzoo train lsgan`, and the defaults of its two variants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ganzoo import Options, option


@dataclass(frozen=True)
class LSGANOptions(Options):
    """Options of `ganzoo train lsgan`."""

    variant: str = option(
        "zoo",
        "networks and loss: as in gan-jittor (zoo) or as in Jittor's tutorial (tutorial)",
        choices=("zoo", "tutorial"),
        network=True,
    )
    size: int = option(
        0, "side of the images in px, a multiple of 16; 0: 32 for zoo, 112 for tutorial", min=0, max=512, network=True
    )
    latent: int = option(0, "length of z; 0: 100 for zoo, 1024 for tutorial", min=0, network=True)
    learning_rate: float = option(2e-4, "learning rate of both networks", above=0)
    beta1: float = option(0.5, "decay of Adam's first moment", min=0, max=0.999)
    beta2: float = option(0.999, "decay of Adam's second moment", min=0, max=0.999999)
    norm_eps: float | None = option(
        None,
        "eps of batch normalisation [default: 0.8 for zoo, as in PyTorch-GAN; 1e-5 for tutorial]",
        above=0,
        network=True,
    )
    dropout: float = option(0.25, "dropout probability in the discriminator", min=0, max=0.99, when={"variant": "zoo"})
    conditional: bool = option(False, "make the domains of the data classes of the model", network=True)
    ema: float = option(0.0, "decay per step of the generator's EMA; 0: no EMA", min=0, below=1)


class VariantDefaults(NamedTuple):
    """A variant's values for options that the user leaves at 0 or None."""

    size: int
    latent: int
    norm_eps: float


# The zoo's eps of 0.8 is inherited from PyTorch-GAN, where it was passed by mistake; 1e-5 is Jittor's default.
VARIANT_DEFAULTS = {"zoo": VariantDefaults(32, 100, 0.8), "tutorial": VariantDefaults(112, 1024, 1e-5)}
