"""What the PyTorch StarGAN v2 computes from one batch: outputs of all networks, terms, gradients of each phase.

Of all the numbers in front of a ReLU some are so near to zero that their sign is a matter of rounding, and one wrong
sign changes a whole gradient. So the offsets in front of each ReLU are `settled`: moved to where there is a gap between
the numbers that arrive there.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from .stargan2 import AdaIN, Plan, ResBlk
from .stargan2_steps import UPDATED, Data, Tensors, Training, draw

# How far an offset is moved at most, relative to the deviation of what arrives: less each time, as the generator and
# the style encoder also see what the generator made.
ROUNDS = (0.3, 0.03, 0.003, 0.0003)


def gradients(arrays: Tensors, cases: Mapping[str, dict[str, Any]], lambdas: Mapping[str, float]) -> Tensors:
    """Everything in each of the cases (a plan and a seed), from weights that are drawn here, all phases from the same.

    Gives CASE/'net/NETWORK/WEIGHT', 'style/...' (latent, reference, source), 'image/...', 'score/...' (real, fake),
    'term/PHASE/TERM', 'grad/PHASE/NETWORK/WEIGHT' of the weights that the phase updates, and 'closest', the smallest
    magnitude in front of a ReLU or an absolute value relative to what is typical there.
    """
    answers = Tensors()
    for name, settings in cases.items():
        torch.manual_seed(settings["seed"])
        plan = Plan(**settings["plan"])
        training = Training(plan, lambdas)
        draw(training)
        data = Data.of(arrays, masked=plan.w_hpf > 0)
        for reach in ROUNDS:
            _settle(training, data, reach)
        _round(training)
        answers.update({f"{name}/{key}": value for key, value in _results(training, data).items()})
    return answers


@torch.no_grad()
def _round(training: Training) -> None:
    """Round to what float32 can hold."""
    for network in training.networks.values():
        for weight in network.parameters():
            weight.copy_(weight.float())


@torch.no_grad()
def _outputs(training: Training, data: Data) -> Tensors:
    """What the networks give for the batch, each in its turn."""
    mapping, encoder = training.networks["mapping_network"], training.networks["style_encoder"]
    generator, discriminator = training.networks["generator"], training.networks["discriminator"]
    found = {
        "style/latent": mapping(data.z, data.target),
        "style/latent2": mapping(data.z2, data.target),
        "style/reference": encoder(data.reference, data.target),
        "style/reference2": encoder(data.reference2, data.target),
        "style/source": encoder(data.x, data.y),
        "score/real": discriminator(data.x, data.y),
    }
    for kind in ("latent", "latent2", "reference", "reference2"):
        fakes = found[f"image/{kind}"] = generator(data.x, found[f"style/{kind}"], data.masks)
        if not kind.endswith("2"):
            found[f"score/{kind}"] = discriminator(fakes, data.target)
            found[f"style/{kind}-again"] = encoder(fakes, data.target)
            found[f"image/{kind}-cycled"] = generator(fakes, found["style/source"], data.fake_masks)
    return found


def _results(training: Training, data: Data) -> Tensors:
    found = {f"net/{name}": weight for name, weight in training.weights().items()}
    closest: list[torch.Tensor] = []
    hooks = [
        module.register_forward_pre_hook(lambda _, inputs: closest.append(_nearest(inputs[0])))
        for network in training.networks.values()
        for module in network.modules()
        if isinstance(module, (nn.ReLU, nn.LeakyReLU))
    ]
    made = _outputs(training, data)
    for hook in hooks:
        hook.remove()
    for kind in ("latent", "reference"):
        closest.append(_nearest(made[f"style/{kind}-again"] - made[f"style/{kind}"]))
        closest.append(_nearest(made[f"image/{kind}"] - made[f"image/{kind}2"]))
        closest.append(_nearest(made[f"image/{kind}-cycled"] - data.x))
    for phase, updated in UPDATED.items():
        terms = training.gradients(phase, data)
        found.update({f"term/{phase}/{name}": term for name, term in terms.items()})
        for name in updated:
            for key, weight in training.networks[name].named_parameters():
                if weight.grad is not None:
                    found[f"grad/{phase}/{name}/{key}"] = weight.grad.clone()
    return {**found, **made, "closest": torch.stack(closest).min()}


def _nearest(x: torch.Tensor) -> torch.Tensor:
    return x.abs().min() / x.square().mean().sqrt()


@torch.no_grad()
def _settle(training: Training, data: Data, reach: float) -> None:
    """Nudge the offsets in front of every ReLU, from the first to the last, for all that a network sees at once."""
    made = _outputs(training, data)
    kinds = ("latent", "reference")
    fakes = [made[f"image/{kind}"] for kind in kinds]
    hooks = [hook for network in training.networks.values() for hook in _hooks(network, reach)]
    count = len(data.x)
    training.networks["mapping_network"](torch.cat([data.z, data.z2]), data.target.repeat(2))
    seen = torch.cat([data.x, data.reference, data.reference2, *fakes])
    training.networks["style_encoder"](seen, torch.zeros(5 * count, dtype=torch.long))
    training.networks["discriminator"](torch.cat([data.x, *fakes]), torch.zeros(3 * count, dtype=torch.long))
    styles = [made[f"style/{kind}"] for kind in ("latent", "latent2", "reference", "reference2", "source", "source")]
    masks = None
    if data.masks is not None:
        masks = tuple(torch.cat([first] * 4 + [second] * 2) for first, second in zip(data.masks, data.fake_masks))
    training.networks["generator"](torch.cat([data.x] * 4 + fakes), torch.cat(styles), masks)
    for hook in hooks:
        hook.remove()


def _hooks(network: nn.Module, reach: float) -> Iterator[Any]:
    """A hook wherever something arrives at a ReLU."""

    def behind(module: nn.Module, offset: torch.Tensor, share: float = 1.0) -> Any:
        return module.register_forward_hook(lambda _, inputs, out: _nudged(out, offset, share, reach))

    for module in network.modules():
        if isinstance(module, AdaIN):
            yield behind(module, module.fc.bias[len(module.fc.bias) // 2 :])
        elif isinstance(module, nn.InstanceNorm2d) and module.affine:
            yield behind(module, module.bias)
        elif isinstance(module, ResBlk) and not module.normalize:
            # The convolution's output is pooled first.
            yield module.relu2.register_forward_pre_hook(_before(module.conv1.bias, reach))
            yield behind(module, module.conv2.bias, 0.5**0.5)
        elif isinstance(module, nn.Sequential):
            for layer, after in itertools.pairwise(module):
                if isinstance(layer, (nn.Conv2d, nn.Linear)) and not isinstance(after, nn.Conv2d):
                    yield behind(layer, layer.bias)


def _before(offset: torch.Tensor, reach: float) -> Any:
    return lambda _, inputs: (_nudged(inputs[0], offset, 1.0, reach),)


def _nudged(x: torch.Tensor, offset: torch.Tensor, share: float, reach: float) -> torch.Tensor:
    """x with another offset, which comes into it by a `share`: zero falls into the widest gap near it."""
    features = x.shape[1]
    values, _ = x.transpose(0, 1).reshape(features, -1).sort(1)
    gaps = values.diff(dim=1)
    middles = (values[:, 1:] + values[:, :-1]) / 2
    gaps[middles.abs() > reach * x.std()] = 0.0
    widest = gaps.argmax(1, keepdim=True)
    found = gaps.gather(1, widest) > 0
    change = torch.where(found, -middles.gather(1, widest), 0.0).flatten()
    offset.add_(change / share)
    return x + change.reshape(1, -1, *[1] * (x.ndim - 2))
