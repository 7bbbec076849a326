"""Checkpoints of the public PyTorch port of StyleGAN, and of its translations to Jittor, in terms of our networks.

A file is the state_dict of a generator, or a dict with any of `generator`, `discriminator`, `g_running` (the
generator's average), `g_optimizer` and `d_optimizer`. It usually has weights for all resolutions up to 1024 px, of
which training has come to some.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ganzoo import CheckpointError, Converted, Moments, OptionError
from ganzoo_stylegan import FUSED_FROM

STATES = ("generator", "discriminator", "g_running")
OPTIMIZERS = {"generator": "g_optimizer", "discriminator": "d_optimizer"}

# Names there and here; the first {} is the level, the second what kind of weight it is.
GENERATOR = {
    r"style\.(\d+)\.linear\.(weight_orig|bias)": "mapping.layers.{}.{}",
    r"generator\.progression\.(\d+)\.conv1\.input": "synthesis.blocks.{}.const",
    r"generator\.progression\.(\d+)\.conv1\.1\.conv\.(weight_orig|bias)": "synthesis.blocks.{}.conv1.{}",
    r"generator\.progression\.(\d+)\.conv1\.0\.(weight|bias)": "synthesis.blocks.{}.conv1.{}",
    r"generator\.progression\.(\d+)\.conv2\.conv\.(weight_orig|bias)": "synthesis.blocks.{}.conv2.{}",
    **{
        pattern: name
        for n in (1, 2)
        for pattern, name in (
            (rf"generator\.progression\.(\d+)\.noise{n}\.weight_orig", f"synthesis.blocks.{{}}.layer{n}.noise"),
            (
                rf"generator\.progression\.(\d+)\.adain{n}\.style\.linear\.(weight_orig|bias)",
                f"synthesis.blocks.{{}}.layer{n}.adain.style.{{}}",
            ),
        )
    },
    r"generator\.to_rgb\.(\d+)\.conv\.(weight_orig|bias)": "synthesis.to_rgb.{}.{}",
}
DISCRIMINATOR = {
    r"progression\.(\d+)\.conv1\.0\.conv\.(weight_orig|bias)": "blocks.{}.conv1.{}",
    r"progression\.(\d+)\.conv2\.[01]\.conv\.(weight_orig|bias)": "blocks.{}.conv2.{}",
    r"progression\.(\d+)\.conv2\.1\.(weight|bias)": "blocks.{}.conv2.{}",
    r"from_rgb\.(\d+)\.(?:0\.)?conv\.(weight_orig|bias)": "from_rgb.{}.{}",
    r"linear\.linear\.(weight_orig|bias)": "linear.{}",
}
# Kernels of blurs, and the scaled copies of weights that Jittor keeps beside them.
NO_WEIGHT = re.compile(r".*\.(weight|weight_flip)")
FUSED = re.compile(r"(?:generator\.)?progression\.(\d+)\.conv(?:1\.0|2\.1)\.bias")
UNFUSED = re.compile(r"(?:generator\.)?progression\.(\d+)\.conv(?:1\.1|2\.1)\.conv\.bias")

Arrays = dict[str, np.ndarray]


def convert(content: Any, given: Mapping[str, Any]) -> Converted:
    """See `ganzoo.Model.convert`."""
    parts = _parts(content)
    states = {name: _state(name, parts[name]) for name in STATES if name in parts}
    generator = states.get("g_running") or states.get("generator")
    if not generator:
        raise CheckpointError("it holds no generator.")
    inside = _trained(generator)
    size = int(given.get("max_size") or inside)
    levels = size.bit_length() - 2
    if f"synthesis.to_rgb.{levels - 1}.bias" not in generator:
        raise OptionError(f"--max-size: the file has no weights for {size} px.")
    first = given.get("init_size") or min(8, inside)
    if first > inside:
        raise OptionError(f"--init-size: {first} px is more than the {inside} px that the file was trained to.")
    options = {**_options(generator), "max_size": size, "init_size": first}
    if "discriminator" in parts:
        options["from_rgb_activation"] = any(name.startswith("from_rgb.0.0.") for name in parts["discriminator"])
    _agree(given, options)
    kept = {name: _up_to(levels, state) for name, state in states.items()}
    weights = {name: kept[name] for name in OPTIMIZERS if name in kept}
    return Converted(
        options=options,
        size=size,
        channels=_channels(generator),
        trained=min(inside, size),
        weights={"generator": kept.get("g_running", {}), **weights},
        averages={"generator": kept["g_running"]} if "g_running" in kept else {},
        moments={
            name: _moments(parts[OPTIMIZERS[name]], list(states[name]), weights[name])
            for name in weights
            if _has_moments(parts.get(OPTIMIZERS[name]))
        },
    )


def _parts(content: Any) -> dict[str, Any]:
    """The content as the larger form of the two, with plain names."""
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise CheckpointError("it holds no weights by name, as a state_dict does.")
    if not content.keys() & set(STATES):
        content = {"g_running": content}
    parts = dict(content)
    for name in STATES:
        if name in parts:
            if not isinstance(parts[name], dict) or not all(isinstance(key, str) for key in parts[name]):
                raise CheckpointError(f"its {name!r} is no state_dict.")
            parts[name] = {key[7:] if key.startswith("module.") else key: value for key, value in parts[name].items()}
    return parts


def _state(which: str, found: Mapping[str, Any]) -> Arrays:
    """A state_dict under our names, in its order."""
    what, last = "generator", None
    if which == "discriminator":  # which counts levels from the finest
        what = which
        levels = [int(match[1]) for name in found if (match := re.match(r"progression\.(\d+)\.", name))]
        last = max(levels, default=0)
    state: Arrays = {}
    for name, value in found.items():
        ours = _renamed(name, last)
        if ours is None and NO_WEIGHT.fullmatch(name):
            continue
        if ours is None or ours in state or not isinstance(value, np.ndarray):
            raise CheckpointError(f"it is of another network than StyleGAN's {what}: it holds {name!r}.")
        state[ours] = value.astype(np.float32)
        _check_fused(name, last)
    if not state:
        raise CheckpointError(f"it is of another network than StyleGAN's {what}.")
    return state


def _renamed(name: str, last: int | None) -> str | None:
    """Our name for a weight; None if it is not known. `last` is the number of the discriminator's level of 4 px; None
    for the generator."""
    for pattern, ours in (GENERATOR if last is None else DISCRIMINATOR).items():
        match = re.fullmatch(pattern, name)
        if match:
            words = ["weight" if word == "weight_orig" else word for word in match.groups()]
            if name.startswith("style."):  # between the linear layers there are activations
                words[0] = str((int(words[0]) - 1) // 2)
            elif last is not None and words[0].isdigit():
                words[0] = str(last - int(words[0]))
            return ours.format(*words)
    return None


def _check_fused(name: str, last: int | None) -> None:
    for pattern, fused in ((FUSED, True), (UNFUSED, False)):
        match = pattern.fullmatch(name)
        if match:
            size = 4 << (int(match[1]) if last is None else last - int(match[1]))
            if fused != (size >= FUSED_FROM):
                how = "fused with its convolution" if fused else "not fused with its convolution"
                raise CheckpointError(f"its resampling at {size} px is {how}, unlike in ganzoo: {name!r}.")


def _trained(generator: Arrays) -> int:
    """The finest resolution in px that has been trained: biases begin at zero."""
    levels = [level for level in range(9) if generator.get(f"synthesis.to_rgb.{level}.bias", np.zeros(1)).any()]
    if not levels:
        raise CheckpointError("its generator is not trained: the biases of all convolutions to RGB are zero.")
    return 4 << levels[-1]


def _options(generator: Arrays) -> dict[str, Any]:
    """The options that say how the networks are built, from the shapes of the weights."""
    sizes = [4 << level for level in range(9) if f"synthesis.blocks.{level}.conv2.bias" in generator]
    widths = [_length(generator, f"synthesis.blocks.{level}.conv2.bias") for level in range(len(sizes) or 1)]
    latent = _length(generator, "mapping.layers.0.bias")
    most = max(widths)
    least = max((size * width for size, width in zip(sizes, widths) if width > 1), default=sizes[0])
    for base in (16384, least):
        if [max(1, min(base // size, most)) for size in sizes] == widths:
            break
    else:
        shown = ", ".join(f"{size} px: {width}" for size, width in zip(sizes, widths))
        raise CheckpointError(f"its numbers of feature maps ({shown}) don't follow from --channels-base and -max.")
    depth = sum(name.startswith("mapping.") and name.endswith(".bias") for name in generator)
    return {"latent": latent, "mapping_layers": depth, "channels_base": base, "channels_max": most}


def _channels(generator: Arrays) -> int:
    channels = _length(generator, "synthesis.to_rgb.0.bias")
    if channels not in (1, 3):
        raise CheckpointError(f"it makes images of {channels} channels; stylegan makes grey or RGB ones.")
    return channels


def _length(generator: Arrays, name: str) -> int:
    """That of a bias. CheckpointError if it is not there, or is none."""
    if name not in generator:
        raise CheckpointError(f"its generator lacks weights: {name!r}.")
    if generator[name].ndim != 1 or not generator[name].size:
        raise CheckpointError(f"its generator's {name!r} has the shape {generator[name].shape}.")
    return len(generator[name])


def _agree(given: Mapping[str, Any], options: dict[str, Any]) -> None:
    """What the user asks for must be what the file has."""
    for name, value in {**options, "architecture": "port", "w_average": 0.0}.items():
        if given.get(name, value) != value:
            raise OptionError(f"--{name.replace('_', '-')}: {given[name]}, but it is {value} in the file.")
    options.update({name: value for name, value in given.items() if name not in options})


def _up_to(levels: int, state: Arrays) -> Arrays:
    """The weights of the first so many resolutions, and those that belong to none."""
    kept = {}
    for name, value in state.items():
        match = re.search(r"(?:blocks|_rgb)\.(\d+)\.", name)
        if match is None or int(match[1]) < levels:
            kept[name] = value
    return kept


def _has_moments(optimizer: Any) -> bool:
    """Whether this is a PyTorch optimizer's state; Jittor's own keeps other things, and begins afresh."""
    return isinstance(optimizer, dict) and {"param_groups", "state"} <= optimizer.keys()


def _moments(optimizer: Any, names: list[str], weights: Arrays) -> Moments:
    """The state of PyTorch's Adam, which goes by the order of parameters: the synthesis network's come first."""
    ordered = [name for name in names if not name.startswith("mapping.")]
    ordered += [name for name in names if name.startswith("mapping.")]
    return Moments.of_torch(optimizer, ordered).of(weights)
