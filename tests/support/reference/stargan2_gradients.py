"""StarGAN v2 in PyTorch on one batch: outputs of all networks, loss terms, and the gradients of each phase.

Some inputs of ReLUs are so near zero that their sign depends on rounding errors, and a wrong sign changes a whole
gradient. So the biases before each ReLU are changed until zero lies in a gap between the ReLU's inputs.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from .stargan2 import AdaIN, Architecture, ResBlk
from .stargan2_steps import UPDATED, Data, Tensors, Training, randomise

# Maximum change of a bias in each round, relative to the standard deviation of the ReLU's inputs. The maximum falls,
# because generator and style encoder also process generated images, which change with the generator's biases.
MAX_SHIFTS = (0.3, 0.03, 0.003, 0.0003)


def gradients(arrays: Tensors, cases: Mapping[str, dict[str, Any]], lambdas: Mapping[str, float]) -> Tensors:
    """Return the results for each case (an architecture and a seed) with random weights, the same for all phases.

    Names: CASE/'net/NETWORK/WEIGHT', 'style/...' (latent, reference, source), 'image/...', 'score/...' (real, fake),
    'term/PHASE/TERM', 'grad/PHASE/NETWORK/WEIGHT' of the weights that the phase updates, and 'closest': over all ReLUs
    and absolute values, the minimum of `_nearest` of their inputs.
    """
    results = Tensors()
    for name, settings in cases.items():
        torch.manual_seed(settings["seed"])
        architecture = Architecture(**settings["architecture"])
        training = Training(architecture, lambdas)
        randomise(training)
        data = Data.of(arrays, masked=architecture.w_hpf > 0)
        for max_shift in MAX_SHIFTS:
            _avoid_zeros(training, data, max_shift)
        _round(training)
        results.update({f"{name}/{key}": value for key, value in _results(training, data).items()})
    return results


@torch.no_grad()
def _round(training: Training) -> None:
    """Round the weights to float32."""
    for network in training.networks.values():
        for weight in network.parameters():
            weight.copy_(weight.float())


@torch.no_grad()
def _outputs(training: Training, data: Data) -> Tensors:
    """Return the outputs of all networks for the batch."""
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
    outputs = _outputs(training, data)
    for hook in hooks:
        hook.remove()
    for kind in ("latent", "reference"):
        closest.append(_nearest(outputs[f"style/{kind}-again"] - outputs[f"style/{kind}"]))
        closest.append(_nearest(outputs[f"image/{kind}"] - outputs[f"image/{kind}2"]))
        closest.append(_nearest(outputs[f"image/{kind}-cycled"] - data.x))
    for phase, updated in UPDATED.items():
        terms = training.gradients(phase, data)
        found.update({f"term/{phase}/{name}": term for name, term in terms.items()})
        for name in updated:
            for key, weight in training.networks[name].named_parameters():
                if weight.grad is not None:
                    found[f"grad/{phase}/{name}/{key}"] = weight.grad.clone()
    return {**found, **outputs, "closest": torch.stack(closest).min()}


def _nearest(x: torch.Tensor) -> torch.Tensor:
    """Return the smallest magnitude in x, divided by the root mean square of x."""
    return x.abs().min() / x.square().mean().sqrt()


@torch.no_grad()
def _avoid_zeros(training: Training, data: Data, max_shift: float) -> None:
    """Shift the biases before every ReLU, from first to last, while each network processes all of its inputs."""
    outputs = _outputs(training, data)
    kinds = ("latent", "reference")
    fakes = [outputs[f"image/{kind}"] for kind in kinds]
    hooks = [hook for network in training.networks.values() for hook in _hooks(network, max_shift)]
    count = len(data.x)
    training.networks["mapping_network"](torch.cat([data.z, data.z2]), data.target.repeat(2))
    images = torch.cat([data.x, data.reference, data.reference2, *fakes])
    training.networks["style_encoder"](images, torch.zeros(5 * count, dtype=torch.long))
    training.networks["discriminator"](torch.cat([data.x, *fakes]), torch.zeros(3 * count, dtype=torch.long))
    styles = [outputs[f"style/{kind}"] for kind in ("latent", "latent2", "reference", "reference2", "source", "source")]
    masks = None
    if data.masks is not None:
        masks = tuple(torch.cat([first] * 4 + [second] * 2) for first, second in zip(data.masks, data.fake_masks))
    training.networks["generator"](torch.cat([data.x] * 4 + fakes), torch.cat(styles), masks)
    for hook in hooks:
        hook.remove()


def _hooks(network: nn.Module, max_shift: float) -> Iterator[Any]:
    """Register hooks that shift the bias before each ReLU, and yield them."""

    def after(module: nn.Module, bias: torch.Tensor, scale: float = 1.0) -> Any:
        return module.register_forward_hook(lambda _, inputs, out: _shifted(out, bias, scale, max_shift))

    for module in network.modules():
        if isinstance(module, AdaIN):
            yield after(module, module.fc.bias[len(module.fc.bias) // 2 :])
        elif isinstance(module, nn.InstanceNorm2d) and module.affine:
            yield after(module, module.bias)
        elif isinstance(module, ResBlk) and not module.normalize:
            # The convolution's output is pooled before the ReLU.
            yield module.relu2.register_forward_pre_hook(_before(module.conv1.bias, max_shift))
            yield after(module, module.conv2.bias, 0.5**0.5)
        elif isinstance(module, nn.Sequential):
            for layer, next_layer in itertools.pairwise(module):
                if isinstance(layer, (nn.Conv2d, nn.Linear)) and not isinstance(next_layer, nn.Conv2d):
                    yield after(layer, layer.bias)


def _before(bias: torch.Tensor, max_shift: float) -> Any:
    return lambda _, inputs: (_shifted(inputs[0], bias, 1.0, max_shift),)


def _shifted(x: torch.Tensor, bias: torch.Tensor, scale: float, max_shift: float) -> torch.Tensor:
    """Change `bias`, which x contains as a summand (times `scale`), so that zero lies in the widest nearby gap between
    the values of each feature. Return the new x."""
    features = x.shape[1]
    values, _ = x.transpose(0, 1).reshape(features, -1).sort(1)
    gaps = values.diff(dim=1)
    middles = (values[:, 1:] + values[:, :-1]) / 2
    gaps[middles.abs() > max_shift * x.std()] = 0.0
    widest = gaps.argmax(1, keepdim=True)
    found = gaps.gather(1, widest) > 0
    change = torch.where(found, -middles.gather(1, widest), 0.0).flatten()
    bias.add_(change / scale)
    return x + change.reshape(1, -1, *[1] * (x.ndim - 2))
