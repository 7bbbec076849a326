"""Progressive StyleGAN. See README.md beside this file."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ganzoo import (
    Adam,
    DataInfo,
    ImportedWeights,
    Model,
    OptionError,
    Setup,
    Stage,
    TrainOptions,
    ZooModel,
    hookimpl,
    zoo_models,
)
from ganzoo_stylegan.options import MAX_SIZE, MIN_SIZE, StyleGANOptions

# For --sched: images per update and learning rates by resolution. Other resolutions use --batch and --learning-rate.
BATCH_SIZES = {4: 512, 8: 256, 16: 128, 32: 64, 64: 32, 128: 32, 256: 32}
PAPER_BATCH_SIZES = {4: 128, 8: 128, 16: 128, 32: 64, 64: 32, 128: 16, 256: 8, 512: 4, 1024: 4}  # on one GPU
LEARNING_RATES = {128: 0.0015, 256: 0.002, 512: 0.003, 1024: 0.003}


class StyleGAN(Model):
    """Generator with a mapping network and AdaIN, and a progressive discriminator."""

    name = "stylegan"
    summary = "progressive StyleGAN: mapping network, style mixing, truncation; up to 1024 px"
    paper = "Karras et al., A Style-Based Generator Architecture for GANs, 2019, arXiv:1812.04948"
    options = StyleGANOptions
    defaults = {"data": "symbols", "batch": 32, "kimg": 25000.0, "tick": 20.0, "snapshot": 5}
    presets = {
        "paper": {
            "architecture": "paper",
            "loss": "r1",
            "mixing": True,
            "sched": True,
            "first_stage": 600.0,
            "ema_kimg": 10.0,
            "w_average": 0.995,
            "blend_reals": True,
            "reset_optimizers": True,
        }
    }

    option_hints = {
        **dict.fromkeys(("img_size", "image_size", "resolution", "size"), "--max-size"),
        **dict.fromkeys(("cond", "n_classes", "num_classes"), "--conditional; the classes are the domains of --data"),
        "ckpt": "--resume with a run; `ganzoo import stylegan` makes a run of a checkpoint of style-based-gan-pytorch",
        "gamma": "--r1-gamma",
        "cbase": "--channels-base",
        "cmax": "--channels-max",
        "map_depth": "--mapping-layers",
        "cfg": "--preset",
        "no_from_rgb_activate": "--no-from-rgb-activation",
        "n_critic": "Omit it: the networks are updated in turn.",
        "gen_sample": "--tick, in thousands of images",
    }

    def resolve_options(self, options: StyleGANOptions, data: DataInfo) -> StyleGANOptions:
        return dataclasses.replace(options, max_size=self.image_size(options, data))

    def image_size(self, options: StyleGANOptions, data: DataInfo) -> int:
        nearest = 2 ** round(math.log2(data.size))
        return options.max_size or max(MIN_SIZE, min(nearest, MAX_SIZE))

    def check(self, options: StyleGANOptions, train: TrainOptions, data: DataInfo, new: bool) -> Sequence[str]:
        if options.loss == "r1" and options.lazy_correction and options.r1_interval == 1:
            raise OptionError("--lazy-correction has no effect with --r1-interval 1.")
        return ()

    def stages(self, options: StyleGANOptions, train: TrainOptions, data: DataInfo) -> Sequence[Stage]:
        for name, size in (("max-size", data.size), ("init-size", options.init_size)):
            if size & (size - 1):
                raise OptionError(f"--{name}: {size} is not a power of two.")
        if options.init_size > data.size:
            raise OptionError(f"--init-size: {options.init_size} px is more than the last resolution, {data.size} px.")
        sizes = [2**power for power in range(2, 11) if options.init_size <= 2**power <= data.size]
        return [self._stage(options, train, size, size == sizes[0], size == sizes[-1]) for size in sizes]

    def _stage(self, options: StyleGANOptions, train: TrainOptions, size: int, first: bool, last: bool) -> Stage:
        batch, rate = train.batch, options.learning_rate
        if options.sched:
            batches = PAPER_BATCH_SIZES if options.architecture == "paper" else BATCH_SIZES
            batch, rate = batches.get(size, batch), LEARNING_RATES.get(size, rate)
        kimg = options.first_stage if first and options.first_stage else 2 * options.phase
        return Stage(
            size=size,
            batch=batch,
            images=None if last else round(kimg * 1000),
            fade=0 if first else round(options.phase * 1000),
            learning_rate=rate,
            ema_decay=None if options.ema_kimg is None else 0.5 ** (batch / (options.ema_kimg * 1000)),
            reset=options.reset_optimizers,
        )

    def build(self, options: StyleGANOptions, data: DataInfo, train: TrainOptions) -> Setup:
        from ganzoo_stylegan.loss import StyleGANLoss
        from ganzoo_stylegan.networks import Generator, NetworkConfig, StyleDiscriminator

        config = NetworkConfig(
            data.size,
            data.channels,
            options.latent,
            options.mapping_layers,
            options.channels_base,
            options.channels_max,
            options.architecture == "paper",
            len(data.domains) if options.conditional else 0,
        )
        generator = Generator(config, options.w_average)
        discriminator = StyleDiscriminator(config, options.from_rgb_activation)
        adam = Adam(options.learning_rate, beta1=0.0, beta2=0.99)
        if options.loss == "r1" and options.lazy_correction:
            adam = adam.with_lazy_regularisation(options.r1_interval)
        slow = Adam(options.learning_rate, beta1=0.0, beta2=0.99, multipliers={"mapping.layers.": options.mapping_rate})
        return Setup(
            networks={"generator": generator, "discriminator": discriminator},
            optimizers={"generator": slow, "discriminator": adam},
            loss=StyleGANLoss(generator, discriminator, options),
            ema={"generator": options.ema},
        )

    def checkpoint_files(self, path: Path) -> Mapping[str, Path]:
        from ganzoo_stylegan.importing import checkpoint_files

        return checkpoint_files(path)

    def import_weights(self, content: Any, given: Mapping[str, Any]) -> ImportedWeights:
        """Reads files of the public PyTorch port (style-based-gan-pytorch) and of its ports to Jittor: a generator or
        its EMA (NUMBER.model, with NUMBER.discrim-model if it is in the same folder), or all networks with their
        optimizers (train_step-N.model). States of Jittor's optimizers are left out.

        The files usually have weights up to 1024 px. By default only the trained resolutions are imported. If
        --max-size is larger, the untrained weights up to it are imported as well, and training continues there. Widths
        are taken from the file.
        """
        from ganzoo_stylegan.importing import import_weights

        return import_weights(content, given)


@hookimpl
def ganzoo_models() -> Iterable[Model]:
    return [StyleGAN()]


@hookimpl
def ganzoo_zoo_models() -> Iterable[ZooModel]:
    return zoo_models(Path(__file__).parent / "weights")
