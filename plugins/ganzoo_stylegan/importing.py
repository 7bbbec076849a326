"""Import checkpoints of the public PyTorch port of StyleGAN and of its ports to Jittor.

A file holds the state_dict of a generator, or a dict with any of `generator`, `discriminator`, `g_running` (the
generator's EMA), `g_optimizer` and `d_optimizer`. It usually has weights for all resolutions up to 1024 px, even if
only some have been trained. One of the Jittor ports saves the state_dict of the discriminator separately, as
NUMBER.discrim-model beside NUMBER.model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ganzoo import AdamMoments, CheckpointError, ImportedWeights, OptionError
from ganzoo_stylegan.options import FUSED_FROM

STATES = ("generator", "discriminator", "g_running")
OPTIMIZERS = {"generator": "g_optimizer", "discriminator": "d_optimizer"}

# Their names -> our names. The first {} is the level, the second the kind of weight.
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
# Scales and offsets of instance norms: Jittor's norms have them by default, PyTorch's don't.
AFFINE = re.compile(r"(generator\.progression\.\d+\.adain[12])\.norm\.(weight|bias)")
# Our names of weights that are zero until their resolution is trained.
ZERO_INITIALISED = re.compile(r"synthesis\.(?:to_rgb|blocks)\.([0-8])\.(?:(?:conv[12]\.)?bias|layer[12]\.noise)")
FILE = re.compile(r"(\d+)\.(model|discrim-model)")
FUSED = re.compile(r"(?:generator\.)?progression\.(\d+)\.conv(?:1\.0|2\.1)\.bias")
UNFUSED = re.compile(r"(?:generator\.)?progression\.(\d+)\.conv(?:1\.1|2\.1)\.conv\.bias")

Arrays = dict[str, np.ndarray]


def checkpoint_files(path: Path) -> dict[str, Path]:
    """Return the files of a generator and its discriminator, given the `path` of either; {} if the discriminator has no
    file."""
    match = FILE.fullmatch(path.name)
    found = {"generator": path.with_suffix(".model"), "discriminator": path.with_suffix(".discrim-model")}
    if match is None or not found["discriminator"].exists():
        return {}
    return {name: each for name, each in found.items() if each.exists()}


def import_weights(content: Any, given: Mapping[str, Any]) -> ImportedWeights:
    """See `ganzoo.Model.import_weights`."""
    entries = _entries(content)
    folded = [name for name in ("generator", "g_running") if name in entries and _fold_norms(entries[name])]
    states = {name: _state(name, entries[name]) for name in STATES if name in entries}
    generator = states.get("g_running") or states.get("generator")
    if not generator:
        raise CheckpointError("it holds a discriminator but no generator. Put NUMBER.model in the same folder.")
    trained = _trained_size(generator)
    size = int(given.get("max_size") or trained)
    levels = size.bit_length() - 2
    if f"synthesis.to_rgb.{levels - 1}.bias" not in generator:
        raise OptionError(f"--max-size: the file has no weights for {size} px.")
    first = given.get("init_size") or min(8, trained)
    if first > trained:
        raise OptionError(f"--init-size: {first} px is more than the {trained} px that the file was trained to.")
    options = {**_options(generator), "max_size": size, "init_size": first}
    if "discriminator" in entries:
        options["from_rgb_activation"] = any(name.startswith("from_rgb.0.0.") for name in entries["discriminator"])
    _check_given(given, options)
    kept = {name: _truncate_levels(levels, state) for name, state in states.items()}
    weights = {name: kept[name] for name in OPTIMIZERS if name in kept}
    optimizers = {
        name: entries[theirs]
        for name, theirs in OPTIMIZERS.items()
        if name in weights and _has_moments(entries.get(theirs)) and name not in folded
    }
    return ImportedWeights(
        options=options,
        size=size,
        channels=_channels(generator),
        trained_size=min(trained, size),
        weights={"generator": kept.get("g_running", {}), **weights},
        ema={"generator": kept["g_running"]} if "g_running" in kept else {},
        moments={
            name: _moments(optimizer, list(states[name]), weights[name]) for name, optimizer in optimizers.items()
        },
        notes=tuple(_notes(entries, optimizers, folded)),
    )


def _notes(entries: Mapping[str, Any], optimizers: Mapping[str, Any], folded: Sequence[str]) -> Iterator[str]:
    if folded:
        yield "scales and offsets of the instance norms: folded into the style layers"
    for name, theirs in OPTIMIZERS.items():
        if theirs in entries and name not in optimizers:
            reason = (
                "its instance norms were folded away"
                if _has_moments(entries[theirs])
                else "a Jittor optimizer, not a PyTorch one"
            )
            yield f"{theirs}: left out ({reason}); Adam's moments are reset"


def _entries(content: Any) -> dict[str, Any]:
    """Return a file's content as a dict of state_dicts, without the prefix 'module.' of weights. A state_dict that is
    the whole content becomes 'g_running'."""
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise CheckpointError("it holds no weights by name, unlike a state_dict.")
    if "g_ema" in content:
        raise CheckpointError(
            "it is a StyleGAN2 checkpoint (stylegan2-pytorch), whose networks differ. stylegan reads files of "
            "style-based-gan-pytorch and of its ports to Jittor."
        )
    if not content.keys() & set(STATES):
        content = {"g_running": content}
    entries = dict(content)
    for name in STATES:
        if name in entries:
            state = entries[name]
            if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
                raise CheckpointError(f"its {name!r} is not a state_dict.")
            entries[name] = {key[7:] if key.startswith("module.") else key: value for key, value in state.items()}
    return entries


def _fold_norms(state: dict[str, Any]) -> bool:
    """Fold the scales `a` and offsets `b` of a generator's instance norms into the style layers that follow, in place.
    Return whether there were any.

    A style layer outputs gamma and beta, and gamma (a x + b) + beta = (gamma a) x + (beta + gamma b).
    """
    norms = {name: state.pop(name) for name in list(state) if AFFINE.fullmatch(name)}
    for prefix in sorted({name.rpartition(".norm.")[0] for name in norms}):
        scale, offset = norms.get(f"{prefix}.norm.weight"), norms.get(f"{prefix}.norm.bias")
        for kind in ("weight_orig", "bias"):
            name = f"{prefix}.style.linear.{kind}"
            if not _shapes_match(state.get(name), scale, offset):
                raise CheckpointError(f"its instance norm {prefix + '.norm'!r} does not fit the style layer after it.")
            gamma, beta = np.split(state[name].astype(np.float64).T, 2, -1)
            state[name] = np.concatenate([gamma * scale, beta + gamma * offset], -1).T
    return bool(norms)


def _shapes_match(layer: Any, scale: Any, offset: Any) -> bool:
    if not all(isinstance(each, np.ndarray) for each in (layer, scale, offset)):
        return False
    return bool(layer.ndim and scale.shape == offset.shape == (len(layer) / 2,))


def _is_derived(name: str, state: Mapping[str, Any]) -> bool:
    """Whether this is a blur kernel, or the scaled copy that Jittor stores beside a weight."""
    layer, _, kind = name.rpartition(".")
    originals = {f"{layer}.weight_orig", f"{layer}.weight_flip"} & state.keys()
    return kind == "weight_flip" or (kind == "weight" and bool(originals))


def _state(network: str, found: Mapping[str, Any]) -> Arrays:
    """Return a state_dict under our names, in the original order."""
    kind, last = "generator", None
    if network == "discriminator":  # the discriminator counts levels from the finest
        kind = network
        levels = [int(match[1]) for name in found if (match := re.match(r"progression\.(\d+)\.", name))]
        last = max(levels, default=0)
    for name in found:
        _check_fused(name, last)
    state: Arrays = {}
    for name, value in found.items():
        ours = _ganzoo_name(name, last)
        if ours is None and _is_derived(name, found):
            continue
        if ours is None or ours in state or not isinstance(value, np.ndarray):
            raise CheckpointError(f"it does not belong to StyleGAN's {kind}: it holds {name!r}.")
        state[ours] = value.astype(np.float32)
    if not state:
        raise CheckpointError(f"it does not belong to StyleGAN's {kind}.")
    return state


def _ganzoo_name(name: str, last: int | None) -> str | None:
    """Return our name for a weight, or None if the weight is unknown. `last` is the number of the discriminator's 4 px
    level; None for the generator."""
    for pattern, ours in (GENERATOR if last is None else DISCRIMINATOR).items():
        match = re.fullmatch(pattern, name)
        if match:
            groups = ["weight" if group == "weight_orig" else group for group in match.groups()]
            if name.startswith("style."):  # the indices also count the activations in between
                groups[0] = str((int(groups[0]) - 1) // 2)
            elif last is not None and groups[0].isdigit():
                groups[0] = str(last - int(groups[0]))
            return ours.format(*groups)
    return None


def _check_fused(name: str, last: int | None) -> None:
    for pattern, fused in ((FUSED, True), (UNFUSED, False)):
        match = pattern.fullmatch(name)
        if match:
            size = 4 << (int(match[1]) if last is None else last - int(match[1]))
            if fused != (size >= FUSED_FROM):
                how = "fused with its convolution" if fused else "not fused with its convolution"
                raise CheckpointError(f"its resampling at {size} px is {how}, unlike in ganzoo: {name!r}.")


def _trained_size(generator: Arrays) -> int:
    """Return the finest resolution in px that has been trained: the finest with a bias or noise weight other than
    the initial 0. If all of these are 0, return the finest resolution in the file."""
    levels = [
        (int(match[1]), value.any()) for name, value in generator.items() if (match := ZERO_INITIALISED.fullmatch(name))
    ]
    trained = [level for level, moved in levels if moved]
    return 4 << max(trained or [level for level, _ in levels] or [0])


def _options(generator: Arrays) -> dict[str, Any]:
    """From the shapes of the weights, infer the options that determine the networks."""
    sizes = [4 << level for level in range(9) if f"synthesis.blocks.{level}.conv2.bias" in generator]
    widths = [_length(generator, f"synthesis.blocks.{level}.conv2.bias") for level in range(len(sizes) or 1)]
    latent = _length(generator, "mapping.layers.0.bias")
    channels_max = max(widths)
    base_from_widths = max((size * width for size, width in zip(sizes, widths) if width > 1), default=sizes[0])
    for base in (16384, base_from_widths):
        if [max(1, min(base // size, channels_max)) for size in sizes] == widths:
            break
    else:
        shown = ", ".join(f"{size} px: {width}" for size, width in zip(sizes, widths))
        raise CheckpointError(f"its numbers of feature maps ({shown}) don't follow from --channels-base and -max.")
    depth = sum(name.startswith("mapping.") and name.endswith(".bias") for name in generator)
    return {"latent": latent, "mapping_layers": depth, "channels_base": base, "channels_max": channels_max}


def _channels(generator: Arrays) -> int:
    channels = _length(generator, "synthesis.to_rgb.0.bias")
    if channels not in (1, 3):
        raise CheckpointError(f"it makes images of {channels} channels; stylegan makes grey or RGB ones.")
    return channels


def _length(generator: Arrays, name: str) -> int:
    """Return the length of a bias. CheckpointError if it is missing or not a vector."""
    if name not in generator:
        raise CheckpointError(f"its generator lacks weights: {name!r}.")
    if generator[name].ndim != 1 or not generator[name].size:
        raise CheckpointError(f"its generator's {name!r} has the shape {generator[name].shape}.")
    return len(generator[name])


def _check_given(given: Mapping[str, Any], options: dict[str, Any]) -> None:
    """Raise OptionError if a given option contradicts the file. Add the other given options to `options`."""
    for name, value in {**options, "architecture": "port", "w_average": 0.0}.items():
        if given.get(name, value) != value:
            raise OptionError(f"--{name.replace('_', '-')}: {given[name]}, but it is {value} in the file.")
    options.update({name: value for name, value in given.items() if name not in options})


def _truncate_levels(levels: int, state: Arrays) -> Arrays:
    """Return the weights of the first `levels` resolutions, and the weights that belong to no resolution."""
    kept = {}
    for name, value in state.items():
        match = re.search(r"(?:blocks|_rgb)\.(\d+)\.", name)
        if match is None or int(match[1]) < levels:
            kept[name] = value
    return kept


def _has_moments(optimizer: Any) -> bool:
    """Whether this is the state of a PyTorch optimizer. States of Jittor's optimizers differ and are not imported."""
    return isinstance(optimizer, dict) and {"param_groups", "state"} <= optimizer.keys()


def _moments(optimizer: Any, names: list[str], weights: Arrays) -> AdamMoments:
    """Convert the state of PyTorch's Adam. It lists the parameters in the order of `names`, except that those of the
    mapping network come last."""
    ordered = [name for name in names if not name.startswith("mapping.")]
    ordered += [name for name in names if name.startswith("mapping.")]
    return AdamMoments.from_torch(optimizer, ordered).select(weights)
