"""The options of `ganzoo train stylegan`."""

from __future__ import annotations

from dataclasses import dataclass

from ganzoo import Options, option

MIN_SIZE, MAX_SIZE = 4, 1024  # px
FUSED_FROM = 128  # px; from this resolution on, resampling is fused with its convolution


@dataclass(frozen=True)
class StyleGANOptions(Options):
    """Options of `ganzoo train stylegan`."""

    max_size: int | None = option(
        None,
        "the last resolution in px, a power of two [default: the nearest to the images' own]",
        min=MIN_SIZE,
        max=MAX_SIZE,
        network=True,
    )
    init_size: int = option(8, "the first resolution in px, a power of two", min=MIN_SIZE, max=MAX_SIZE)
    phase: float = option(
        600.0,
        "kimg that each resolution is faded in, and the same again that it is trained afterwards",
        above=0,
        max=100_000,
    )
    first_stage: float | None = option(
        None, "kimg at the first resolution [default: twice --phase]", above=0, max=100_000
    )
    loss: str = option("wgan-gp", "adversarial loss and penalty", choices=("wgan-gp", "r1"))
    conditional: bool = option(False, "make the domains of the data classes of the model", network=True)
    mixing: bool = option(False, "style mixing: from a random layer on, the style is that of a second latent")
    mixing_prob: float = option(0.9, "probability of style mixing", min=0, max=1, when="mixing")
    sched: bool = option(
        False,
        "take the batch and learning rate of each resolution from the table in the model's README, not from --batch",
    )
    learning_rate: float = option(0.001, "learning rate of both networks", above=0)
    mapping_rate: float = option(0.01, "learning rate multiplier of the mapping network", above=0)
    r1_gamma: float = option(10.0, "weight of the R1 penalty", min=0, when={"loss": "r1"})
    r1_interval: int = option(1, "apply R1 only every n-th step, with n times the weight", min=1, when={"loss": "r1"})
    lazy_correction: bool = option(
        False, "correct the discriminator's Adam for an --r1-interval above 1, as StyleGAN2 does", when={"loss": "r1"}
    )
    gp_weight: float = option(10.0, "weight of the gradient penalty", min=0, when={"loss": "wgan-gp"})
    drift: float = option(
        0.001,
        "weight of the drift penalty, which keeps the scores of real images near 0",
        min=0,
        when={"loss": "wgan-gp"},
    )
    ema: float = option(0.999, "decay per step of the generator's EMA", min=0, below=1, unless="ema_kimg")
    ema_kimg: float | None = option(
        None, "half-life of the generator's EMA in kimg, instead of --ema", above=0, max=10_000
    )
    latent: int = option(512, "length of z and w", min=1, network=True)
    mapping_layers: int = option(8, "number of fully connected layers from z to w", min=1, max=32, network=True)
    channels_base: int = option(
        16384, "number of feature maps at a resolution, times that resolution in px", min=4, network=True
    )
    channels_max: int = option(512, "maximum number of feature maps", min=1, network=True)
    from_rgb_activation: bool = option(True, "leaky ReLU after the discriminator's fromRGB convolutions", network=True)
    architecture: str = option(
        "port",
        "networks of the public PyTorch port, whose checkpoints can be imported, or of the paper",
        choices=("port", "paper"),
        network=True,
    )
    w_average: float = option(
        0.0,
        "decay of the running average of w; 0: no average, truncation estimates the mean of w",
        min=0,
        below=1,
        network=True,
    )
    blend_reals: bool = option(False, "blend real images with their half-size version while a resolution fades in")
    reset_optimizers: bool = option(False, "reset Adam's moments when a stage starts and when its fade-in ends")
