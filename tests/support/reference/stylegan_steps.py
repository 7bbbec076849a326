"""StyleGAN in PyTorch on one batch: images, scores, the terms of both losses, and the gradients of each phase.

Some of the millions of inputs of leaky ReLUs are so near zero that their sign depends on rounding errors, and a wrong
sign changes a whole gradient. So the biases before each ReLU are changed slightly, until zero lies in a gap between its
inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from .stylegan import Architecture, Blur, Discriminator, StyledGenerator

Tensors = dict[str, torch.Tensor]
R1_GAMMA, GP_WEIGHT, DRIFT_WEIGHT = 100.0, 10.0, 0.5


class Case:
    """One resolution, one alpha, and the random numbers of a step."""

    def __init__(self, arrays: Tensors, size: int, alpha: float, crossover: int | None, **shape: Any) -> None:
        self.level, self.alpha, self.crossover = size.bit_length() - 3, alpha, crossover
        self.architecture = Architecture(**shape)
        self.labels = arrays["labels"] if self.architecture.classes else None
        self.reals, self.mix = arrays[f"reals/{size}"][:, : self.architecture.colours], arrays["mix"]
        self.z = torch.cat([arrays["z/0"], arrays["z/1"]])
        second = 1 if self.architecture.paper else 0
        sides = [4 << level for level in range(self.level + 1)]
        self.noises = [(arrays[f"noise/{side}/0"], arrays[f"noise/{side}/{second}"]) for side in sides]
        self.generator, self.discriminator = StyledGenerator(self.architecture), Discriminator(self.architecture)

    def fakes(self) -> torch.Tensor:
        layers = 2 * (self.level + 1)
        labels = () if self.labels is None else (self.labels.repeat(2, 1),)
        first, second = self.generator.style(self.z, *labels).chunk(2)
        crossover = layers if self.crossover is None else self.crossover
        styles = [second if layer >= crossover else first for layer in range(layers)]
        return self.generator(styles, self.noises, self.level, self.alpha)

    def scores(self, images: torch.Tensor) -> torch.Tensor:
        return self.discriminator(images, self.level, self.alpha, labels=self.labels)

    def between(self, fakes: torch.Tensor) -> torch.Tensor:
        """Return the points between real and generated images at which WGAN-GP's penalty is computed."""
        return self.mix * self.reals + (1 - self.mix) * fakes

    def discriminator_terms(self, loss: str) -> Tensors:
        with torch.no_grad():
            fakes = self.fakes()
        reals = self.reals.clone().requires_grad_(True)
        real, fake = self.scores(reals), self.scores(fakes)
        if loss == "r1":
            (gradient,) = torch.autograd.grad(real.sum(), reals, create_graph=True)
            penalty = R1_GAMMA / 2 * gradient.square().flatten(1).sum(1).mean()
            return {"real": F.softplus(-real).mean(), "fake": F.softplus(fake).mean(), "penalty": penalty}
        points = self.between(fakes).requires_grad_(True)
        (gradient,) = torch.autograd.grad(self.scores(points).sum(), points, create_graph=True)
        penalty = GP_WEIGHT * (gradient.flatten(1).norm(dim=1) - 1).square().mean()
        drift = DRIFT_WEIGHT * real.square().mean()
        return {"real": -real.mean(), "fake": fake.mean(), "drift": drift, "penalty": penalty}

    def generator_terms(self, loss: str) -> Tensors:
        scores = self.scores(self.fakes())
        return {"adversarial": -scores.mean() if loss == "wgan-gp" else F.softplus(-scores).mean()}


def steps(arrays: Tensors, cases: Mapping[str, dict[str, Any]], seed: int) -> Tensors:
    """Compute both losses and their gradients for each case, with random weights. The inputs are the arrays
    'reals/SIDE', 'z/0', 'z/1', 'mix', 'noise/SIDE/0' and 'noise/SIDE/1'.

    Return these arrays, whose names begin with the case's: 'net/NETWORK/WEIGHT', 'images', 'scores' (of the reals),
    'term/LOSS/PHASE/TERM', 'grad/LOSS/PHASE/WEIGHT' of the weights in use, and 'closest', the smallest magnitude of an
    input of a ReLU, divided by the root mean square of that ReLU's inputs.
    """
    results = Tensors()
    for name, settings in cases.items():
        torch.manual_seed(seed)
        case = Case(arrays, **settings)
        _randomise(case)
        _avoid_zeros(case)
        _round(case)
        results.update({f"{name}/{key}": value for key, value in _results(case).items()})
    return results


def _results(case: Case) -> Tensors:
    networks = {"generator": case.generator, "discriminator": case.discriminator}
    found = {f"net/{name}/{key}": value for name, each in networks.items() for key, value in each.names().items()}
    closest = _record_closest(case)
    found.update({"images": case.fakes(), "scores": case.scores(case.reals)})
    for loss in ("r1", "wgan-gp"):
        for phase, network in networks.items():
            network.zero_grad()
            terms = getattr(case, f"{phase}_terms")(loss)
            torch.stack(list(terms.values())).sum().backward()
            found.update({f"term/{loss}/{phase}/{key}": term for key, term in terms.items()})
            gradients = {key: weight.grad for key, weight in network.names().items() if weight.grad is not None}
            found.update({f"grad/{loss}/{phase}/{key}": gradient.clone() for key, gradient in gradients.items()})
            for each in networks.values():
                each.zero_grad()
    return {**found, "closest": torch.stack(closest).min()}


@torch.no_grad()
def _randomise(case: Case) -> None:
    """Make noise weights and biases differ from zero. Other weights are from N(0, 1) already."""
    for network in (case.generator, case.discriminator):
        for name, weight in network.names().items():
            if name.endswith(("adain.style.bias", "const")):
                weight += 0.2 * torch.randn_like(weight)
            elif name.endswith((".bias", ".noise")):
                weight.copy_(0.2 * torch.randn_like(weight))


@torch.no_grad()
def _round(case: Case) -> None:
    """Round the weights to float32, ganzoo's precision."""
    for network in (case.generator, case.discriminator):
        for weight in network.parameters():
            weight.copy_(weight.float())


def _avoid_zeros(case: Case) -> None:
    """Shift the biases before every ReLU, from first to last, and scale the scores to mean 3 and deviation 1."""
    hooks = [relu.register_forward_pre_hook(_shift(*bias)) for relu, bias in _biases(case)]
    with torch.no_grad():
        fakes = case.fakes()
        images = torch.cat([case.reals, fakes, case.between(fakes)])
        scores = case.discriminator(images, case.level, case.alpha, batches=3, labels=case.labels)
        linear = case.discriminator.linear
        linear.kernel.div_(scores.std())
        linear.bias.sub_(scores.mean()).div_(scores.std()).add_(3.0)
    for hook in hooks:
        hook.remove()


def _biases(case: Case) -> Iterator[tuple[nn.Module, tuple[nn.Parameter, bool]]]:
    """Yield each leaky ReLU with the parameter that is added to its input, and whether a blur comes between them."""
    for network in (case.generator.style, case.discriminator):
        for module in network.modules():
            layers = list(module) if isinstance(module, nn.Sequential) else []
            for index, layer in enumerate(layers):
                if isinstance(layer, nn.LeakyReLU):
                    before = next(each for each in reversed(layers[:index]) if hasattr(each, "bias"))
                    yield layer, (before.bias, False)
    for block in case.generator.generator.progression:
        first = block.upsampling()
        yield block.lrelu1, (block.conv1.input, False) if first is None else (first.bias, not block.paper)
        yield block.lrelu2, (block.conv2.bias, False)


def _shift(bias: nn.Parameter, blurred: bool) -> Any:
    """Return a ReLU's hook that changes a bias slightly, so that zero lies in the widest gap between the inputs near
    zero."""

    def hook(relu: nn.LeakyReLU, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        (x,) = inputs
        features = x.shape[1]
        # A blur reduces the effect of a bias at the border.
        effect = Blur(1)(torch.ones(1, 1, *x.shape[2:])) if blurred else torch.ones(1, 1, *x.shape[2:])
        zeros, _ = (-x / effect).transpose(0, 1).reshape(features, -1).sort(1)
        gaps = zeros.diff(dim=1)
        gaps[zeros[:, 1:].abs() > 0.3 * x.std()] = 0.0
        widest = gaps.argmax(1, keepdim=True)
        change = (zeros.gather(1, widest) + zeros.gather(1, widest + 1)) / 2
        bias.add_(change.reshape(1, -1, 1, 1) if bias.ndim == 4 else change.flatten())
        return (x + change.reshape(1, -1, *[1] * (x.ndim - 2)) * effect.reshape(1, 1, *x.shape[2:]),)

    return hook


def _record_closest(case: Case) -> list[torch.Tensor]:
    """Return a list to which every leaky ReLU will append the smallest magnitude of its input, divided by the input's
    root mean square."""
    closest: list[torch.Tensor] = []

    def record(relu: nn.LeakyReLU, inputs: tuple[torch.Tensor]) -> None:
        x = inputs[0].detach()
        closest.append(x.abs().min() / x.square().mean().sqrt())

    for module in [*case.generator.modules(), *case.discriminator.modules()]:
        if isinstance(module, nn.LeakyReLU):
            module.register_forward_pre_hook(record)
    return closest
