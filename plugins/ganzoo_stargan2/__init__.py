"""StarGAN v2. See README.md beside this file."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo import (
    Adam,
    DataInfo,
    ImportedWeights,
    LoaderConfig,
    Model,
    OptionError,
    Setup,
    Stage,
    TrainOptions,
    ZooModel,
    data_dir,
    hookimpl,
    zoo_models,
)
from ganzoo_stargan2.options import MAX_SIZE, MIN_SIZE, WING_SOURCE, StarGAN2Options

if TYPE_CHECKING:
    import click

    from ganzoo import Network

BATCH = 8  # minimum images per update; gradients of smaller batches are accumulated
# The authors' settings for their data sets; other data sets get DEFAULTS.
PRESETS = {"afhq": {"w_hpf": 0.0, "lambda_ds": 2.0}, "celeba-hq": {"w_hpf": 1.0, "lambda_ds": 1.0}}
DEFAULTS = {"w_hpf": 0.0, "lambda_ds": 1.0}
SIZES = {"avatars": 64}  # px; at their 128 px, a step takes four times as long, too long for a first try on a CPU


class StarGAN2(Model):
    """Generator with an AdaIN decoder, mapping network, style encoder, and discriminator with a branch per domain."""

    name = "stargan2"
    summary = "StarGAN v2: diverse translation of images between domains; 64 to 512 px"
    paper = "Choi et al., StarGAN v2: Diverse Image Synthesis for Multiple Domains, 2020, arXiv:1912.01865"
    options = StarGAN2Options
    defaults = {"data": "avatars", "batch": BATCH, "kimg": 800.0, "tick": 8.0, "snapshot": 5}
    conditional = True
    option_hints = {
        "latent_dim": "--latent",
        "style_dim": "--style",
        "hidden_dim": "--hidden",
        "f_lr": "--mapping-rate",
        "wing_path": "--wing",
        "resume_iter": "--resume latest; `ganzoo import stargan2` turns a checkpoint of stargan-v2 into a run",
        "src_dir": "`ganzoo generate --source` with a run.",
        "ref_dir": "`ganzoo generate --reference` with a run.",
        "lm_path": "`ganzoo data align` has --landmarks.",
    }

    def resolve_options(self, options: StarGAN2Options, data: DataInfo) -> StarGAN2Options:
        preset = _preset(data)
        return dataclasses.replace(
            options,
            size=self.image_size(options, data),
            w_hpf=preset["w_hpf"] if options.w_hpf is None else options.w_hpf,
            lambda_ds=preset["lambda_ds"] if options.lambda_ds is None else options.lambda_ds,
        )

    def image_size(self, options: StarGAN2Options, data: DataInfo) -> int:
        nearest = 2 ** round(math.log2(data.size))
        return options.size or SIZES.get(_known_name(data)) or max(MIN_SIZE, min(nearest, MAX_SIZE))

    def check(self, options: StarGAN2Options, train: TrainOptions, data: DataInfo, new: bool) -> Sequence[str]:
        if data.size & (data.size - 1):
            raise OptionError(f"--size: {data.size} is not a power of two.")
        if options.channels_base < data.size:
            raise OptionError(f"--channels-base: {options.channels_base} is less than the size, {data.size} px.")
        if len(data.domains) < 2:
            found = f"only the domain {data.domains[0]!r}" if data.domains else "no domains"
            raise OptionError(
                f"--data {train.data}: it has {found}, but stargan2 translates between two or more. "
                "Give a folder with a subfolder of images for each."
            )
        if options.w_hpf and data.channels != 3:
            raise OptionError("--w-hpf: landmarks are found in RGB images only; train with --w-hpf 0.")
        if options.w_hpf and new:
            self._wing(options, " (the default for this data)" if options.w_hpf == _preset(data)["w_hpf"] else "")
        warnings = []
        if {"train", "val"} <= {name.lower() for name in data.domains}:
            warnings.append(
                f"the domains are {', '.join(data.domains)}. If these are splits, the folder must hold only train and "
                "val."
            )
        if train.batch < BATCH:
            warnings.append(
                f"--batch {train.batch}: gradients are accumulated over {BATCH} images (the method's batch size) for "
                f"each update; {train.batch} go through the networks at once."
            )
        return warnings

    def stages(self, options: StarGAN2Options, train: TrainOptions, data: DataInfo) -> Sequence[Stage]:
        small = train.batch < BATCH
        return (Stage(data.size, max(BATCH, train.batch), micro_batch=train.batch if small else None),)

    def loader_config(self, options: StarGAN2Options) -> LoaderConfig:
        return LoaderConfig(references=True, crop_probability=options.randcrop_prob)

    def build(self, options: StarGAN2Options, data: DataInfo, train: TrainOptions) -> Setup:
        from ganzoo_stargan2.loss import StarGAN2Loss
        from ganzoo_stargan2.networks import Discriminator, Generator, MappingNetwork, StyleEncoder
        from ganzoo_stargan2.translator import Landmarks, StarGAN2Translator

        widths = options.channels_max, options.channels_base, data.channels
        w_hpf, domains = float(options.w_hpf or 0), len(data.domains)
        generator = Generator(data.size, options.style, options.channels_max, w_hpf, *widths[1:])
        mapping = MappingNetwork(options.latent, options.style, domains, options.hidden)
        encoder = StyleEncoder(data.size, options.style, domains, *widths)
        discriminator = Discriminator(data.size, domains, *widths)
        networks: dict[str, Network] = {
            "generator": generator,
            "mapping": mapping,
            "encoder": encoder,
            "discriminator": discriminator,
        }
        trained = tuple(networks)  # without the landmark network
        landmarks = None
        if w_hpf:
            from ganzoo_stargan2.landmarks import FAN

            networks["landmarks"] = fan = FAN()
            landmarks = Landmarks(fan)
        return Setup(
            networks=networks,
            optimizers={name: self._adam(options, name) for name in trained},
            loss=StarGAN2Loss(generator, mapping, encoder, discriminator, options, landmarks),
            ema=dict.fromkeys(("generator", "mapping", "encoder"), options.ema),
            translator=StarGAN2Translator(generator, mapping, encoder, options.latent, landmarks),
        )

    def _adam(self, options: StarGAN2Options, name: str) -> Adam:
        rate = options.mapping_rate if name == "mapping" else options.learning_rate
        return Adam(rate, options.beta1, options.beta2, weight_decay=options.weight_decay)

    def load_pretrained(self, options: StarGAN2Options, networks: Mapping[str, Network]) -> None:
        if "landmarks" in networks:
            from ganzoo_stargan2.landmarks import read_wing

            networks["landmarks"].load_state(read_wing(self._wing(options)))

    def checkpoint_files(self, path: Path) -> Mapping[str, Path]:
        from ganzoo_stargan2.importing import checkpoint_files

        return checkpoint_files(path)

    def import_weights(self, content: Any, given: Mapping[str, Any]) -> ImportedWeights:
        """Reads NUMBER_nets_ema.ckpt or NUMBER_nets.ckpt of the reference implementation (stargan-v2) or of one of its
        ports to Jittor, together with the other files of the same number in the folder (EMA, weights, PyTorch
        optimizers).

        Sizes, widths and optimizer settings are taken from the files. Name the domains with --domains in the order of
        training, the sorted order of their folder names; otherwise they are called 0, 1, 2.
        """
        from ganzoo_stargan2.importing import import_weights

        return import_weights(content, given)

    def _wing(self, options: StarGAN2Options, remark: str = "") -> Path:
        """Return the file of the landmark weights. If it is missing, OptionError says where to get it."""
        path = Path(options.wing).expanduser() if options.wing else data_dir() / "wing.ckpt"
        if not path.is_file():
            raise OptionError(
                f"--w-hpf {options.w_hpf:g}{remark} needs landmark weights, but there is no file {path}. Get wing.ckpt "
                f"from {WING_SOURCE} and put it there, or name it with --wing; or train with --w-hpf 0."
            )
        return path


def _preset(data: DataInfo) -> dict[str, float]:
    """Return the authors' settings for this data set, or DEFAULTS."""
    return PRESETS.get(_known_name(data), DEFAULTS)


def _known_name(data: DataInfo) -> str:
    """Return a data set's name, spelled as in PRESETS."""
    return data.name.lower().replace("_", "-")


@hookimpl
def ganzoo_models() -> Iterable[Model]:
    return [StarGAN2()]


@hookimpl
def ganzoo_zoo_models() -> Iterable[ZooModel]:
    return zoo_models(Path(__file__).parent / "weights")


@hookimpl
def ganzoo_data_commands() -> Iterable[click.Command]:
    from ganzoo_stargan2.align_command import align

    return [align]
