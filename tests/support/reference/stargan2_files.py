"""Checkpoints of StarGAN v2 in the reference's format, and the styles, images and next update expected from them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from .stargan2 import Architecture
from .stargan2_steps import Data, Tensors, Training, randomise

LAMBDAS = {"reg": 1.0, "sty": 1.0, "ds": 1.0, "cyc": 1.0}


def write(folder: Path, training: Training, step: int, fan: Mapping[str, torch.Tensor] | None = None) -> None:
    """Save the three files of a step, NNNNNN_nets.ckpt, _nets_ema.ckpt and _optims.ckpt. `fan` is the state dict of the
    landmark network; the first two files also contain it if there are high-pass skips."""
    states = {name: network.state_dict() for name, network in training.networks.items()}
    ema = {name: network.state_dict() for name, network in training.ema.items()}
    if fan is not None:
        states, ema = {**states, "fan": fan}, {**ema, "fan": fan}
    optimizers = {name: optimizer.state_dict() for name, optimizer in training.optimizers.items()}
    for kind, content in (("nets", states), ("nets_ema", ema), ("optims", optimizers)):
        torch.save(content, folder / f"{step:06d}_{kind}.ckpt")


def files(arrays: Tensors, target: str, architecture: dict[str, Any], iterations: int, seed: int = 7) -> Tensors:
    """Train for some iterations in float32 on the batch in `arrays` (see `Data.of`), and save the files in the folder
    `target`. The arrays 'fan/NAME' are the landmark network's state dict.

    Then Adam updates each network once more, with random gradients for the weights that have optimizer states. Return
    'style/latent', 'style/reference', 'image/latent' and 'image/reference', computed with the EMA before this update;
    the random gradients as 'grad/NETWORK/WEIGHT'; and the updated weights as 'updated/NETWORK/WEIGHT'.
    """
    torch.manual_seed(seed)
    torch.set_default_dtype(torch.float32)
    single = {name: value.float() for name, value in arrays.items()}
    training = Training(Architecture(**architecture), LAMBDAS)
    randomise(training)
    _scale_ema(training)
    data = Data.of(single, masked="mask/0" in single)
    for _ in range(iterations):
        training.iteration(data)
    fan = {name[4:]: value for name, value in single.items() if name.startswith("fan/")}
    write(Path(target), training, iterations, fan or None)
    results = _translations(training, data)
    for name, network in training.networks.items():
        network.zero_grad()
        for key, weight in network.named_parameters():
            if weight in training.optimizers[name].state:
                weight.grad = 0.01 * torch.randn_like(weight)
                results[f"grad/{name}/{key}"] = weight.grad
        training.optimizers[name].step()
    results.update({f"updated/{name}": weight for name, weight in training.weights().items()})
    return {name: value.double() for name, value in results.items()}


@torch.no_grad()
def _scale_ema(training: Training) -> None:
    """Make the EMAs differ from the networks."""
    for network in training.ema.values():
        for weight in network.parameters():
            weight.mul_(1.05)


@torch.no_grad()
def _translations(training: Training, data: Data) -> Tensors:
    """Return styles and images computed with the EMAs, in float64."""
    networks = {name: copy.deepcopy(network).double() for name, network in training.ema.items()}
    found = {
        "style/latent": networks["mapping_network"](data.z.double(), data.target),
        "style/reference": networks["style_encoder"](data.reference.double(), data.target),
    }
    masks = None if data.masks is None else tuple(mask.double() for mask in data.masks)
    for kind in ("latent", "reference"):
        found[f"image/{kind}"] = networks["generator"](data.x.double(), found[f"style/{kind}"], masks)
    return found
