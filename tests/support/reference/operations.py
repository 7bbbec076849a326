"""Reference results of single operations in PyTorch: optimizers, batch norm, a convolution, the gradient penalty."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

Tensors = dict[str, torch.Tensor]


def make_adam(weights: Iterable[nn.Parameter], settings: dict[str, float]) -> torch.optim.Adam:
    """Create PyTorch's Adam from settings with ganzoo's names."""
    betas = (settings["beta1"], settings["beta2"])
    rest = {"eps": settings["eps"], "weight_decay": settings["weight_decay"]}
    return torch.optim.Adam(weights, lr=settings["learning_rate"], betas=betas, **rest)


def optimizer(arrays: Tensors, kind: str, settings: dict[str, Any], rates: list[float]) -> Tensors:
    """Return the weights 'weight/NAME' and the optimizer's state 'SLOT/NAME' after an update with each of the learning
    `rates` and the gradients 'grad/STEP/NAME'."""
    weights = {name[7:]: nn.Parameter(value) for name, value in arrays.items() if name.startswith("weight/")}
    optimizer = _make_optimizer(kind, [{"params": [weight]} for weight in weights.values()], settings)
    for step, rate in enumerate(rates):
        for (name, weight), group in zip(weights.items(), optimizer.param_groups):
            weight.grad = arrays[f"grad/{step}/{name}"].clone()
            factors = (factor for prefix, factor in settings["multipliers"].items() if name.startswith(prefix))
            group["lr"] = rate * math.prod(factors)
        if settings["clip_norm"]:
            nn.utils.clip_grad_norm_(weights.values(), settings["clip_norm"])
        if settings["clip_value"]:
            nn.utils.clip_grad_value_(weights.values(), settings["clip_value"])
        optimizer.step()
        if settings["clip_weights"]:
            with torch.no_grad():
                for weight in weights.values():
                    weight.clamp_(-settings["clip_weights"], settings["clip_weights"])
    results = {f"weight/{name}": weight for name, weight in weights.items()}
    for name, weight in weights.items():
        state = optimizer.state[weight]
        results.update({f"{slot}/{name}": state[theirs] for slot, theirs in SLOTS.items() if theirs in state})
    return results


SLOTS = {
    "first": "exp_avg",
    "second": "exp_avg_sq",
    "mean_square": "square_avg",
    "velocity": "momentum_buffer",
}


def _make_optimizer(kind: str, groups: list[dict[str, Any]], settings: dict[str, Any]) -> torch.optim.Optimizer:
    """Create PyTorch's optimizer from settings with ganzoo's names."""
    rest = {"lr": settings["learning_rate"], "weight_decay": settings["weight_decay"]}
    if kind == "sgd":
        return torch.optim.SGD(groups, momentum=settings["momentum"], nesterov=settings["nesterov"], **rest)
    if kind == "rmsprop":
        return torch.optim.RMSprop(groups, alpha=settings["alpha"], eps=settings["eps"], **rest)
    betas = (settings["beta1"], settings["beta2"])
    return {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[kind](
        groups, betas=betas, eps=settings["eps"], **rest
    )


def batch_norm(arrays: Tensors, eps: float, momentum: float) -> Tensors:
    """Return output, gradients of sum(output * upstream) and running statistics, for training and inference mode."""
    x = arrays["x"].requires_grad_()
    layer = (nn.BatchNorm1d if x.ndim == 2 else nn.BatchNorm2d)(x.shape[1], eps, momentum)
    with torch.no_grad():
        for name in ("weight", "bias", "running_mean", "running_var"):
            getattr(layer, name).copy_(arrays[name])
    results = Tensors()
    for mode in ("train", "eval"):
        layer.train(mode == "train")
        y = layer(x)
        inputs = {"x": x, "weight": layer.weight, "bias": layer.bias}
        gradients = torch.autograd.grad((y * arrays["upstream"]).sum(), list(inputs.values()))
        results[f"{mode}/y"] = y
        results.update({f"{mode}/{name}": gradient for name, gradient in zip(inputs, gradients)})
    return {**results, "running_mean": layer.running_mean, "running_var": layer.running_var}


def gradient_penalty(arrays: Tensors) -> Tensors:
    """Return WGAN-GP's penalty of a critic conv-LReLU-conv-LReLU-linear, and its gradients for the critic's weights."""
    weights = {name[7:]: nn.Parameter(value) for name, value in arrays.items() if name.startswith("weight/")}

    def critic(x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.conv2d(x, weights["first.weight"], weights["first.bias"], padding=1)
        x = nn.functional.leaky_relu(x, 0.2)
        x = nn.functional.conv2d(x, weights["second.weight"], weights["second.bias"], stride=2, padding=1)
        x = nn.functional.leaky_relu(x, 0.2)
        return nn.functional.linear(x.flatten(1), weights["last.weight"], weights["last.bias"])

    mix = arrays["mix"]
    points = (mix * arrays["real"] + (1 - mix) * arrays["fake"]).requires_grad_()
    scores = critic(points)
    input_gradients = torch.autograd.grad(scores, points, torch.ones_like(scores), create_graph=True)[0]
    penalty = ((input_gradients.flatten(1).norm(2, dim=1) - 1) ** 2).mean()
    # The last bias shifts all scores equally, so the penalty does not depend on it.
    gradients = torch.autograd.grad(penalty, list(weights.values()), allow_unused=True, materialize_grads=True)
    return {"penalty": penalty, **{f"grad/{name}": gradient for name, gradient in zip(weights, gradients)}}


def convolution(arrays: Tensors, transposed: bool, **settings: int) -> Tensors:
    """Return y, the convolution of x with weight; the gradients of sum(y * upstream * (0.3 y + 1)) with respect to x
    and weight; and the gradients of a penalty on these gradients."""
    x, weight = arrays["x"].requires_grad_(), arrays["weight"].requires_grad_()
    convolve = nn.functional.conv_transpose2d if transposed else nn.functional.conv2d
    y = convolve(x, weight, **settings)
    loss = (y * arrays["upstream"] * (0.3 * y + 1)).sum()
    first = torch.autograd.grad(loss, [x, weight], create_graph=True)
    penalty = first[0].square().sum() + 0.1 * first[1].square().sum()
    second = torch.autograd.grad(penalty, [x, weight])
    return dict(zip(("y", "dx", "dweight", "ddx", "ddweight"), [y, *first, *second]))
