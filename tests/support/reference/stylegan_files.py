"""Checkpoints in the format of the public PyTorch port, and the images and the next update expected from them."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .stylegan import Architecture, Discriminator, StyledGenerator

Tensors = dict[str, torch.Tensor]
RATE = 0.001


def files(arrays: Tensors, target: str, size: int, updates: int, **shape: Any) -> Tensors:
    """Save files of networks with all resolutions of `shape`, trained up to `size` px, in the folder `target`:

    * ema-zip, ema-legacy: a generator's EMA in PyTorch's two file formats
    * ema-data-parallel: the same EMA with DataParallel's names
    * step: networks, EMA and Adam's state after `updates` updates with the gradients 'grad/UPDATE/NETWORK/WEIGHT'
    * step-ids: the same as step, with the parameter numbers of old PyTorch versions
    * affine: a generator whose instance norms have scales and offsets
    * other: another network

    Return 'images' of the EMA, 'generator/images' and 'affine/images', all computed from 'z' and 'noise/SIDE', and all
    weights 'net/NETWORK/WEIGHT' after one more update.
    """
    torch.manual_seed(7)
    level = size.bit_length() - 3
    architecture = Architecture(**shape)
    networks = {
        "generator": StyledGenerator(architecture).float(),
        "discriminator": Discriminator(architecture).float(),
    }
    for network in networks.values():
        _train(network, level)
    ema = copy.deepcopy(networks["generator"])
    with torch.no_grad():
        for weight in ema.parameters():
            weight.mul_(1.05)
    save(ema.state_dict(), Path(target), "ema-zip", "ema-legacy")
    save({f"module.{name}": value for name, value in ema.state_dict().items()}, Path(target), "ema-data-parallel")

    optimizers = {name: _adam(network) for name, network in networks.items()}
    for update in range(updates):
        _update(arrays, update, networks, optimizers)
    step: dict[str, Any] = {name: network.state_dict() for name, network in networks.items()}
    step["generator"] = {f"module.{name}": value for name, value in step["generator"].items()}
    step.update({f"{name[0]}_optimizer": optimizer.state_dict() for name, optimizer in optimizers.items()})
    step["g_running"] = ema.state_dict()
    save(step, Path(target), "step")
    numbered = {name: _with_ids(value) if "optimizer" in name else value for name, value in step.items()}
    save(numbered, Path(target), "step-ids")
    save(nn.Linear(3, 2).float().state_dict(), Path(target), "other")
    affine = _affine(architecture, networks["generator"], level)
    save(affine.state_dict(), Path(target), "affine")

    before = {"affine": affine, "generator": copy.deepcopy(networks["generator"])}
    _update(arrays, updates, networks, optimizers)
    results = {"images": _images(ema, arrays, level).double()}
    results.update({f"{name}/images": _images(each, arrays, level).double() for name, each in before.items()})
    for name, network in networks.items():
        results.update({f"net/{name}/{key}": value.double() for key, value in network.names().items()})
    return results


def save(content: Any, folder: Path, name: str, legacy: str | None = None) -> None:
    torch.save(content, folder / f"{name}.model")
    if legacy is not None:
        torch.save(content, folder / f"{legacy}.model", _use_new_zipfile_serialization=False)


@torch.no_grad()
def _train(network: Any, level: int) -> None:
    """Change weights as if in training. Weights of finer resolutions stay as initialised, with biases of zero."""
    last = 4 << level
    for name, weight in network.names().items():
        parts = name.split(".")
        index = next((int(part) for part in parts if part.isdigit()), 0)
        if parts[0] in ("mapping", "linear") or 4 << index <= last:
            weight.add_(0.2 * torch.randn_like(weight))
        if "to_rgb" in parts:
            weight.mul_(0.3)  # so that images are mostly within [-1, 1]


@torch.no_grad()
def _affine(architecture: Architecture, generator: StyledGenerator, level: int) -> StyledGenerator:
    """Return a copy whose instance norms have scales and offsets; at finer resolutions, these are still 1 and 0."""
    affine = StyledGenerator(replace(architecture, affine_norms=True)).float()
    affine.load_state_dict(generator.state_dict(), strict=False)
    for block in affine.generator.progression[: level + 1]:
        for adain in (block.adain1, block.adain2):
            adain.norm.weight.add_(0.3 * torch.randn_like(adain.norm.weight))
            adain.norm.bias.add_(0.3 * torch.randn_like(adain.norm.bias))
    return affine


def _adam(network: nn.Module) -> torch.optim.Adam:
    """Create Adam. The mapping network has its own parameter group, after the synthesis network's."""
    if isinstance(network, Discriminator):
        return torch.optim.Adam(network.parameters(), lr=RATE, betas=(0.0, 0.99))
    optimizer = torch.optim.Adam(network.generator.parameters(), lr=RATE, betas=(0.0, 0.99))
    optimizer.add_param_group({"params": network.style.parameters(), "lr": RATE * 0.01, "mult": 0.01})
    return optimizer


def _update(arrays: Tensors, update: int, networks: dict[str, Any], optimizers: dict[str, torch.optim.Adam]) -> None:
    for name, network in networks.items():
        for key, weight in network.names().items():
            gradient = arrays.get(f"grad/{update}/{name}/{key}")
            weight.grad = None if gradient is None else gradient.float()
        optimizers[name].step()


def _with_ids(state: dict[str, Any]) -> dict[str, Any]:
    """Convert an optimizer's state to the format before PyTorch 1.6: parameters are identified by their addresses in
    memory, and steps are plain integers."""
    ids = {index: 140_000_000_000_000 - 72 * index for group in state["param_groups"] for index in group["params"]}
    groups = [{**group, "params": [ids[index] for index in group["params"]]} for group in state["param_groups"]]
    moments = {ids[index]: {**each, "step": int(each["step"])} for index, each in state["state"].items()}
    return {"state": moments, "param_groups": groups}


@torch.no_grad()
def _images(generator: StyledGenerator, arrays: Tensors, level: int) -> torch.Tensor:
    generator = copy.deepcopy(generator).double()
    w = generator.style(arrays["z"])
    noises = [(arrays[f"noise/{4 << index}"],) * 2 for index in range(level + 1)]
    return generator([w] * (2 * level + 2), noises, level, 1.0).clamp(-1, 1)
