"""Import checkpoints of the reference implementation of StarGAN v2. Our networks use its weight names.

A checkpoint is three files: NUMBER_nets.ckpt, NUMBER_nets_ema.ckpt (EMA weights, without the discriminator) and
NUMBER_optims.ckpt. Each is a dict by network. Ports to Jittor write the same files, but their NUMBER_optims.ckpt
contains the states of Jittor's optimizers, which are not imported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ganzoo import AdamMoments, CheckpointError, ImportedWeights, OptionError, data_dir
from ganzoo_stargan2.options import MAX_SIZE, MIN_SIZE, WING_SOURCE

NETWORKS = {
    "generator": "generator",
    "mapping_network": "mapping",
    "style_encoder": "encoder",
    "discriminator": "discriminator",
}
EMA_NETWORKS = ("generator", "mapping", "encoder")
KINDS = ("nets", "nets_ema", "optims")
FILE = re.compile(r"(\d+_)(nets_ema|nets|optims)(\.ckpt)")
MAX_DOMAINS = 1000  # limits the memory: a small file can list many domains, and each needs large layers
FILTER = "hpf.filter"  # constant kernel of the high-pass skips; their strength is read from it
HIGH_PASS = np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]], np.float32)

Arrays = dict[str, np.ndarray]


def checkpoint_files(path: Path) -> dict[str, Path]:
    """Return `path` and the existing files of the same checkpoint, by kind; {} if `path`'s name doesn't match FILE."""
    match = FILE.fullmatch(path.name)
    if match is None:
        return {}
    found = {kind: path.with_name(f"{match[1]}{kind}{match[3]}") for kind in KINDS}
    return {kind: each for kind, each in found.items() if each.exists() or each == path}


def import_weights(content: Any, given: Mapping[str, Any]) -> ImportedWeights:
    """See `ganzoo.Model.import_weights`."""
    files = _files(content)
    weights, ema = _states(files.get("nets")), _states(files.get("nets_ema"))
    merged = {**ema, **weights}
    _check_complete(files, merged)
    strengths = [_pop_hpf_strength(states) for states in (weights, ema)]
    dimensions = _dimensions(weights, ema)
    options = _options(merged, dimensions, strengths[0] or strengths[1], given)
    if options["w_hpf"]:
        merged["landmarks"] = _landmarks(files, given)
    optimizers = files.get("optims") if weights else None
    from_jittor = optimizers is not None and any(map(_is_jittor_optimizer, optimizers.values()))
    if from_jittor:
        optimizers = None
    return ImportedWeights(
        options={**_settings(optimizers), **given, **options},
        size=dimensions["size"],
        channels=dimensions["channels"],
        trained_size=dimensions["size"],
        weights=merged,
        ema={name: ema[name] for name in EMA_NETWORKS if name in ema},
        moments=_moments(optimizers, weights),
        domains=tuple(map(str, range(dimensions["domains"]))),
        notes=("optimizers: left out (Jittor's, not PyTorch's); Adam's moments are reset",) if from_jittor else (),
    )


def _files(content: Any) -> dict[str, dict[str, Any]]:
    """Return the contents of the files by kind. For a single file, the kind is inferred from its content."""
    files = content if isinstance(content, dict) and content.keys() & set(KINDS) else {_kind(content): content}
    if not all(isinstance(file, dict) for file in files.values()):
        raise CheckpointError("it holds no networks by name, unlike StarGAN v2's checkpoints.")
    return files


def _kind(content: Any) -> str:
    networks = content if isinstance(content, dict) else {}
    if any(
        isinstance(each, dict) and ("param_groups" in each or _is_jittor_optimizer(each)) for each in networks.values()
    ):
        return "optims"
    return "nets" if "discriminator" in networks else "nets_ema"


def _is_jittor_optimizer(optimizer: Any) -> bool:
    """Return whether this is the state of a Jittor optimizer."""
    return isinstance(optimizer, dict) and "defaults" in optimizer


def _states(file: Mapping[str, Any] | None) -> dict[str, Arrays]:
    """Return the networks of a file under our names."""
    return {ours: _state(theirs, file[theirs]) for theirs, ours in NETWORKS.items() if theirs in file} if file else {}


def _state(network: str, found: Any) -> Arrays:
    if not isinstance(found, dict) or not found:
        raise CheckpointError(f"its {network!r} is not a state_dict.")
    state: Arrays = {}
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, np.ndarray):
            raise CheckpointError(f"its {network!r} is not a state_dict: it holds {name!r}.")
        state[name.removeprefix("module.")] = value.astype(np.float32, copy=False)
    return state


def _check_complete(files: Mapping[str, Any], networks: Mapping[str, Arrays]) -> None:
    """Raise CheckpointError if a network needed for translation is missing."""
    if not networks and "optims" in files:
        raise CheckpointError("it holds optimizers only; put NUMBER_nets.ckpt or NUMBER_nets_ema.ckpt beside it.")
    for theirs, ours in NETWORKS.items():
        if ours in EMA_NETWORKS and ours not in networks:
            raise CheckpointError(f"it holds no {theirs!r}, unlike StarGAN v2's checkpoints.")


def _pop_hpf_strength(states: Mapping[str, Arrays]) -> float | None:
    """Remove the kernel of the high-pass skips from the generator's weights and return their strength, or None if there
    is no kernel."""
    kernel = states.get("generator", {}).pop(FILTER, None)
    if kernel is None:
        return None
    middle = float(kernel.flat[4]) if kernel.size == HIGH_PASS.size else 0.0
    if not middle > 0 or not np.allclose(kernel.reshape(3, 3), HIGH_PASS * (middle / 8), rtol=1e-5):
        raise CheckpointError(f"its generator's {FILTER!r} is not the filter of StarGAN v2.")
    return float(f"{8 / middle:.6g}")  # undo rounding: the file has 8 / strength as a float32


def _dimensions(weights: Mapping[str, Arrays], ema: Mapping[str, Arrays]) -> dict[str, int]:
    """Return the dimensions of the networks. CheckpointError if two networks contradict each other."""
    states = [
        (theirs, f"{theirs}{which}", group[ours])
        for which, group in (("", weights), (" (EMA)", ema))
        for theirs, ours in NETWORKS.items()
        if ours in group
    ]
    dimensions: dict[str, tuple[int, str]] = {}
    for network, name, state in states:
        try:
            found = list(_read(network, state))
        except CheckpointError as error:
            raise CheckpointError(f"its {name} is not StarGAN v2's: {error}") from error
        for dimension, value in found:
            known, where = dimensions.setdefault(dimension, (value, name))
            if known != value:
                raise CheckpointError(
                    f"its networks don't belong to one model: {dimension} is {known} in {where}, but {value} in {name}."
                )
    size, channels = dimensions["size"][0], dimensions["channels"][0]
    if not MIN_SIZE <= size <= MAX_SIZE or channels not in (1, 3):
        raise CheckpointError(
            f"it is for images of {size} px and {channels} channels; stargan2 makes images of {MIN_SIZE} to {MAX_SIZE} "
            "px, grey or RGB."
        )
    if dimensions["domains"][0] > MAX_DOMAINS:
        raise CheckpointError(f"it is for {dimensions['domains'][0]:,} domains; the maximum is {MAX_DOMAINS:,}.")
    return {dimension: value for dimension, (value, _) in dimensions.items()}


def _read(network: str, state: Arrays) -> Iterator[tuple[str, int]]:
    """Infer the dimensions of a network from the shapes of its weights. CheckpointError if such a weight is missing."""
    if network == "mapping_network":
        yield from zip(("hidden", "latent"), _shape(state, "shared.0.weight", 2))
        yield "style", _shape(state, "unshared.0.6.weight", 2)[0]
        yield "domains", _count(state, r"unshared\.\d+\.6\.bias")
        return
    first = {"generator": "from_rgb", "style_encoder": "shared.0", "discriminator": "main.0"}[network]
    yield from zip(("width", "channels"), _shape(state, f"{first}.weight", 4))
    if network == "generator":
        yield "style", _shape(state, "decode.0.norm1.fc.weight", 2)[1]
        return
    halvings = _count(state, r"(shared|main)\.\d+\.conv1\.weight")
    yield "size", 4 << halvings
    if network == "style_encoder":
        yield "style", _shape(state, "unshared.0.weight", 2)[0]
        yield "domains", _count(state, r"unshared\.\d+\.bias")
    else:
        yield "domains", _shape(state, f"main.{halvings + 4}.weight", 4)[0]


def _shape(state: Arrays, name: str, axes: int) -> tuple[int, ...]:
    if name not in state:
        raise CheckpointError(f"it lacks {name!r}.")
    if state[name].ndim != axes or 0 in state[name].shape:
        raise CheckpointError(f"{name!r} has the shape {state[name].shape}.")
    return state[name].shape


def _count(state: Arrays, pattern: str) -> int:
    return sum(re.fullmatch(pattern, name) is not None for name in state)


def _options(
    networks: Mapping[str, Arrays], dimensions: Mapping[str, int], strength: float | None, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the options that determine the networks. OptionError if the user's options contradict them."""
    size = dimensions["size"]
    blocks = _count(networks["generator"], r"encode\.\d+\.conv1\.weight")
    blocks_without_skips = size.bit_length() - 5 + 2  # a block per halving to 16 px, and two at 16 px
    if blocks not in (blocks_without_skips, blocks_without_skips + 1):  # skips add a block
        raise CheckpointError(f"its networks don't belong to one model: no generator of {size} px has {blocks} blocks.")
    if strength is None:
        strength = given.get("w_hpf") or 1.0  # not recorded in old files
    options = {
        "size": size,
        "w_hpf": strength if blocks > blocks_without_skips else 0.0,
        "latent": dimensions["latent"],
        "hidden": dimensions["hidden"],
        "style": dimensions["style"],
        "channels_base": dimensions["width"] * size,
        "channels_max": max(
            (value.shape[0] for name, value in networks["encoder"].items() if name.endswith("conv2.bias")), default=1
        ),
    }
    for name, value in options.items():
        if given.get(name, value) != value:
            raise OptionError(f"--{name.replace('_', '-')}: {given[name]}, but it is {value} in the file.")
    return options


def _landmarks(files: Mapping[str, Any], given: Mapping[str, Any]) -> Arrays:
    """Return the weights of the landmark network: from the file that the user names, else from the checkpoint, else
    from the file that training would use."""
    from ganzoo_stargan2.landmarks import read_wing, wing_weights

    included = next((file["fan"] for file in files.values() if "fan" in file), None)
    default = data_dir() / "wing.ckpt"
    if included is not None and not given.get("wing"):
        return wing_weights(included)
    if not given.get("wing") and not default.exists():
        raise CheckpointError(
            "it has high-pass skips, but no landmark weights. Get wing.ckpt from "
            f"{WING_SOURCE} and name it with --wing, or put it at {default}."
        )
    try:
        return read_wing(Path(given.get("wing") or default).expanduser())
    except CheckpointError as error:
        raise OptionError(f"--wing: {error}") from error


def _settings(file: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the optimizers' settings as options. `_moments` validates the rest of the file."""
    try:
        rates = {name: file[name]["param_groups"][0] for name in ("generator", "mapping_network")} if file else {}
        return {
            "learning_rate": float(rates["generator"]["lr"]),
            "mapping_rate": float(rates["mapping_network"]["lr"]),
            "beta1": float(rates["generator"]["betas"][0]),
            "beta2": float(rates["generator"]["betas"][1]),
            "weight_decay": float(rates["generator"]["weight_decay"]),
        }
    except (LookupError, TypeError, ValueError):
        return {}


def _moments(file: Mapping[str, Any] | None, weights: Mapping[str, Arrays]) -> dict[str, AdamMoments]:
    """Return the optimizer states of the networks whose weights are given."""
    found = {}
    for theirs, ours in NETWORKS.items():
        if file and theirs in file and ours in weights:
            try:
                found[ours] = AdamMoments.from_torch(file[theirs], list(weights[ours]))
            except CheckpointError as error:
                raise CheckpointError(f"{theirs}: {error}") from error
    return found
