"""Checkpoints of the reference implementation of StarGAN v2, in terms of our networks, whose weights have its names.

It leaves three files: NUMBER_nets.ckpt, NUMBER_nets_ema.ckpt (averages, without the discriminator) and
NUMBER_optims.ckpt. Each is a dict by network.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ganzoo import CheckpointError, Converted, Moments, OptionError

NETWORKS = {
    "generator": "generator",
    "mapping_network": "mapping",
    "style_encoder": "encoder",
    "discriminator": "discriminator",
}
AVERAGED = ("generator", "mapping", "encoder")
FILE = re.compile(r"(\d+_)(nets_ema|nets|optims)(\.ckpt)")
FILTER = "hpf.filter"  # of the high-pass skips: constants, from which their strength can be read

Arrays = dict[str, np.ndarray]


def parts(path: Path) -> dict[str, Path]:
    """The files of the checkpoint that `path` is one of, as far as they are there."""
    match = FILE.fullmatch(path.name)
    if match is None:
        return {}
    found = {kind: path.with_name(f"{match[1]}{kind}{match[3]}") for kind in ("nets", "nets_ema", "optims")}
    return {kind: each for kind, each in found.items() if each.exists() or each == path}


def convert(content: Any, given: Mapping[str, Any], wing: Mapping[str, np.ndarray] | None) -> Converted:
    """See `ganzoo.Model.convert`. `wing` are the landmark weights that the user named, if any."""
    files = content if isinstance(content, dict) and content.keys() & {"nets", "nets_ema", "optims"} else None
    if files is None:
        files = {"nets" if isinstance(content, dict) and "discriminator" in content else "nets_ema": content}
    averages, weights = _states(files.get("nets_ema")), _states(files.get("nets"))
    if not averages and not weights:
        raise CheckpointError("it holds no networks; name the _nets.ckpt or _nets_ema.ckpt of the same number.")
    whole = {**averages, **weights}
    for name in AVERAGED:
        if name not in whole:
            raise CheckpointError(f"it holds no {name}.")
    options = _options(whole)
    _agree(given, options)
    if options["w_hpf"]:
        found = _landmarks(files) or wing
        if found is None:
            raise CheckpointError("it has high-pass skips, but no landmark weights; name their file with --wing.")
        whole["landmarks"] = dict(found)
    return Converted(
        options=options,
        size=options["size"],
        channels=whole["generator"]["from_rgb.weight"].shape[1],
        trained=options["size"],
        weights=whole,
        averages={name: averages[name] for name in AVERAGED if name in averages},
        moments=_moments(files.get("optims"), weights),
        domains=tuple(str(number) for number in range(_count(whole["encoder"], r"unshared\.(\d+)\.bias"))),
    )


def _states(file: Any) -> dict[str, Arrays]:
    """The networks of a file by our names, without what is no weight."""
    if file is None:
        return {}
    if not isinstance(file, dict):
        raise CheckpointError("it holds no networks by name, as the reference's checkpoints do.")
    return {ours: _state(theirs, file[theirs]) for theirs, ours in NETWORKS.items() if theirs in file}


def _state(network: str, found: Any) -> Arrays:
    if not isinstance(found, dict) or not found:
        raise CheckpointError(f"its {network!r} is no state_dict.")
    state: Arrays = {}
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, np.ndarray):
            raise CheckpointError(f"its {network!r} is no state_dict: it holds {name!r}.")
        state[name.removeprefix("module.")] = value
    return {name: value.astype(np.float32) for name, value in state.items() if name != FILTER} | _strength(state)


def _strength(state: Arrays) -> Arrays:
    return {FILTER: state[FILTER]} if FILTER in state else {}


def _options(states: dict[str, Arrays]) -> dict[str, Any]:
    """The options that say how the networks are built, from the shapes of the weights."""
    generator, mapping, encoder = (states[name] for name in AVERAGED)
    try:
        size = 2 ** (_count(encoder, r"shared\.(\d+)\.conv1\.weight") + 2)
        width = generator["from_rgb.weight"].shape[0]
        skips = _count(generator, r"encode\.(\d+)\.conv1\.weight") > size.bit_length() - 1 - 4 + 2
        kernel = generator.pop(FILTER, None)
        strength = 1.0 if kernel is None else round(float(8 / kernel.max()), 6)
        return {
            "size": size,
            "w_hpf": strength if skips else 0.0,
            "latent": mapping["shared.0.weight"].shape[1],
            "hidden": mapping["shared.0.weight"].shape[0],
            "style": mapping["unshared.0.6.weight"].shape[0],
            "channels_base": width * size,
            "channels_max": max(value.shape[0] for name, value in encoder.items() if name.endswith("conv2.weight")),
        }
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        raise CheckpointError(f"it is of other networks than StarGAN v2's ({error}).") from error


def _count(state: Arrays, pattern: str) -> int:
    return sum(re.fullmatch(pattern, name) is not None for name in state)


def _agree(given: Mapping[str, Any], options: dict[str, Any]) -> None:
    """What the user asks for must be what the file has."""
    for name, value in options.items():
        if given.get(name, value) != value:
            raise OptionError(f"--{name.replace('_', '-')}: {given[name]}, but it is {value} in the file.")
    options.update({name: value for name, value in given.items() if name not in options})


def _landmarks(files: Mapping[str, Any]) -> Arrays | None:
    from ganzoo_stargan2.landmarks import wing_weights

    for kind in ("nets_ema", "nets"):
        file = files.get(kind)
        if isinstance(file, dict) and "fan" in file:
            return wing_weights(file["fan"])
    return None


def _moments(file: Any, weights: Mapping[str, Arrays]) -> dict[str, Moments]:
    """The states of the optimizers, for networks whose weights are there as well."""
    if not isinstance(file, dict):
        return {}
    named = {ours: file[theirs] for theirs, ours in NETWORKS.items() if theirs in file and ours in weights}
    return {name: Moments.of_torch(state, list(weights[name])) for name, state in named.items()}
