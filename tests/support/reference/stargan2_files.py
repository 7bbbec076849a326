"""Checkpoints of StarGAN v2 as the reference leaves them, and what they do: styles, images, the next update."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from .stargan2 import Plan
from .stargan2_steps import Data, Tensors, Training, draw

LAMBDAS = {"reg": 1.0, "sty": 1.0, "ds": 1.0, "cyc": 1.0}


def write(folder: Path, training: Training, step: int, fan: Mapping[str, torch.Tensor] | None = None) -> None:
    """Save the three files of a step, NNNNNN_nets.ckpt, _nets_ema.ckpt and _optims.ckpt. `fan` is the state dict of the
    landmark network, which the first two hold as well where there are high-pass skips."""
    states = {name: network.state_dict() for name, network in training.networks.items()}
    averages = {name: network.state_dict() for name, network in training.averages.items()}
    if fan is not None:
        states, averages = {**states, "fan": fan}, {**averages, "fan": fan}
    optimizers = {name: optimizer.state_dict() for name, optimizer in training.optimizers.items()}
    for kind, content in (("nets", states), ("nets_ema", averages), ("optims", optimizers)):
        torch.save(content, folder / f"{step:06d}_{kind}.ckpt")


def files(arrays: Tensors, target: str, plan: dict[str, Any], iterations: int, seed: int = 7) -> Tensors:
    """Train for some iterations on the batch in `arrays` (see `Data.of`), all of it in float32, and save the files in
    the folder `target`. `fan/NAME` among the arrays is the landmark network's state dict.

    Gives 'style/latent' and 'style/reference', 'image/latent' and 'image/reference' by the averages; and for the next
    update of each network a gradient 'grad/NETWORK/WEIGHT', of all weights that take part, and all its weights after
    an update of Adam's by that, 'updated/NETWORK/WEIGHT'.
    """
    torch.manual_seed(seed)
    torch.set_default_dtype(torch.float32)
    single = {name: value.float() for name, value in arrays.items()}
    training = Training(Plan(**plan), LAMBDAS)
    draw(training)
    _part(training)
    data = Data.of(single, masked="mask/0" in single)
    for _ in range(iterations):
        training.iteration(data)
    fan = {name[4:]: value for name, value in single.items() if name.startswith("fan/")}
    write(Path(target), training, iterations, fan or None)
    answers = _translations(training, data)
    for name, network in training.networks.items():
        network.zero_grad()
        for key, weight in network.named_parameters():
            if weight in training.optimizers[name].state:
                weight.grad = 0.01 * torch.randn_like(weight)
                answers[f"grad/{name}/{key}"] = weight.grad
        training.optimizers[name].step()
    answers.update({f"updated/{name}": weight for name, weight in training.weights().items()})
    return {name: value.double() for name, value in answers.items()}


@torch.no_grad()
def _part(training: Training) -> None:
    """Averages that are not the networks."""
    for average in training.averages.values():
        for weight in average.parameters():
            weight.mul_(1.05)


@torch.no_grad()
def _translations(training: Training, data: Data) -> Tensors:
    """By the averages, in float64."""
    networks = {name: copy.deepcopy(network).double() for name, network in training.averages.items()}
    found = {
        "style/latent": networks["mapping_network"](data.z.double(), data.target),
        "style/reference": networks["style_encoder"](data.reference.double(), data.target),
    }
    masks = None if data.masks is None else tuple(mask.double() for mask in data.masks)
    for kind in ("latent", "reference"):
        found[f"image/{kind}"] = networks["generator"](data.x.double(), found[f"style/{kind}"], masks)
    return found
