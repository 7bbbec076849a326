"""Reference results of single operations in PyTorch: optimizers, norms, a convolution, the gradient penalty."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrizations

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


def norm(arrays: Tensors, groups: int) -> Tensors:
    """Return a group norm of x (`groups` 0: an instance norm), the gradients of a loss, and those of a penalty on these
    gradients."""
    inputs = [arrays[name].requires_grad_() for name in ("x", "weight", "bias")]
    x, weight, bias = inputs
    functional = nn.functional
    y = (
        functional.group_norm(x, groups, weight, bias)
        if groups
        else functional.instance_norm(x, None, None, weight, bias)
    )
    first = torch.autograd.grad((y * arrays["upstream"] * (0.3 * y + 1)).sum(), inputs, create_graph=True)
    penalty = first[0].square().sum() + 0.1 * first[1].square().sum()
    second = torch.autograd.grad(penalty, inputs, allow_unused=True, materialize_grads=True)
    return dict(zip(("y", "dx", "dweight", "dbias", "ddx", "ddweight", "ddbias"), [y, *first, *second]))


def spectral_norm(
    arrays: Tensors, kind: str, arguments: list[int], keywords: dict[str, int], steps: int, scale: int
) -> Tensors:
    """Train a spectrally normalised layer by `steps` steps of gradient descent on a loss with a gradient penalty, from
    the weight, bias, u and v. Return each step's outputs and gradients, and the final u, v and output in inference. The
    input is first enlarged by `scale`."""
    layer = getattr(nn, kind)(*arguments, **keywords)
    with torch.no_grad():
        layer.weight.copy_(arrays["weight"])
        layer.bias.copy_(arrays["bias"])
    parametrizations.spectral_norm(layer)
    network = nn.Sequential(nn.Upsample(scale_factor=scale), layer) if scale > 1 else layer
    norm, weights = layer.parametrizations.weight[0], [layer.parametrizations.weight.original, layer.bias]
    norm._u.copy_(arrays["u"])
    norm._v.copy_(arrays["v"])
    results = Tensors()
    for step in range(steps):
        x = arrays["x"].requires_grad_()
        y = network(x)
        slopes = torch.autograd.grad((y * y * arrays["upstream"]).sum(), x, create_graph=True)[0]
        loss = (y * arrays["upstream"]).sum() + 0.1 * slopes.square().sum()
        gradients = torch.autograd.grad(loss, weights)
        results.update({f"{step}/y": y, f"{step}/weight": gradients[0], f"{step}/bias": gradients[1]})
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients):
                weight -= 0.01 * gradient / gradient.norm()
    layer.eval()
    return {**results, "u": norm._u, "v": norm._v, "inference": network(arrays["x"])}


def adversarial(arrays: Tensors) -> Tensors:
    """Return the terms of the hinge loss and of the Wasserstein loss, with their gradients."""
    scores = arrays["scores"].requires_grad_()
    terms = {
        "hinge/True": torch.relu(1 - scores).mean(),
        "hinge/False": torch.relu(1 + scores).mean(),
        "wasserstein/True": -scores.mean(),
        "wasserstein/False": scores.mean(),
    }
    return {**terms, **{f"{name}/gradient": torch.autograd.grad(term, scores)[0] for name, term in terms.items()}}


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
