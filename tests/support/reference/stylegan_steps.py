"""What the PyTorch StyleGAN computes: images, scores, the terms of both losses, and the gradients of each phase.

Of the millions of numbers in front of a leaky ReLU some are so near to zero that their sign is a matter of rounding,
and one wrong sign changes a whole gradient. So the offsets in front of each ReLU are `settled`: moved by a little, to
where there is a gap between the numbers that arrive there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from .stylegan import Blur, Discriminator, Plan, StyledGenerator

Tensors = dict[str, torch.Tensor]
GAMMA, WEIGHT, DRIFT = 100.0, 10.0, 0.5  # of R1, WGAN-GP and its drift


class Case:
    """One resolution, one alpha, and the random numbers of a step."""

    def __init__(self, arrays: Tensors, size: int, alpha: float, crossover: int | None, **shape: Any) -> None:
        self.level, self.alpha, self.crossover = size.bit_length() - 3, alpha, crossover
        self.plan = Plan(**shape)
        self.reals, self.mix = arrays[f"reals/{size}"][:, : self.plan.colours], arrays["mix"]
        self.z = torch.cat([arrays["z/0"], arrays["z/1"]])
        second = 1 if self.plan.paper else 0
        sides = [4 << level for level in range(self.level + 1)]
        self.noises = [(arrays[f"noise/{side}/0"], arrays[f"noise/{side}/{second}"]) for side in sides]
        self.generator, self.discriminator = StyledGenerator(self.plan), Discriminator(self.plan)

    def fakes(self) -> torch.Tensor:
        layers = 2 * (self.level + 1)
        first, second = self.generator.style(self.z).chunk(2)
        begin = layers if self.crossover is None else self.crossover
        styles = [second if layer >= begin else first for layer in range(layers)]
        return self.generator(styles, self.noises, self.level, self.alpha)

    def scores(self, images: torch.Tensor) -> torch.Tensor:
        return self.discriminator(images, self.level, self.alpha)

    def between(self, fakes: torch.Tensor) -> torch.Tensor:
        return self.mix * self.reals + (1 - self.mix) * fakes

    def discriminator_terms(self, loss: str) -> Tensors:
        with torch.no_grad():
            fakes = self.fakes()
        reals = self.reals.clone().requires_grad_(True)
        real, fake = self.scores(reals), self.scores(fakes)
        if loss == "r1":
            (slope,) = torch.autograd.grad(real.sum(), reals, create_graph=True)
            penalty = GAMMA / 2 * slope.square().flatten(1).sum(1).mean()
            return {"real": F.softplus(-real).mean(), "fake": F.softplus(fake).mean(), "penalty": penalty}
        points = self.between(fakes).requires_grad_(True)
        (slope,) = torch.autograd.grad(self.scores(points).sum(), points, create_graph=True)
        penalty = WEIGHT * (slope.flatten(1).norm(dim=1) - 1).square().mean()
        drift = DRIFT * real.square().mean()
        return {"real": -real.mean(), "fake": fake.mean(), "drift": drift, "penalty": penalty}

    def generator_terms(self, loss: str) -> Tensors:
        scores = self.scores(self.fakes())
        return {"adversarial": -scores.mean() if loss == "wgan-gp" else F.softplus(-scores).mean()}


def steps(arrays: Tensors, cases: Mapping[str, dict[str, Any]], seed: int) -> Tensors:
    """Both losses and their gradients in each of the cases, on 'reals/SIDE' with 'z/0', 'z/1', 'mix' and the noise
    'noise/SIDE/0' and '/1'. Weights are drawn here, and settled.

    Gives, for each case, CASE/'net/NETWORK/WEIGHT', 'images', 'scores' (of the reals), 'term/LOSS/PHASE/TERM',
    'grad/LOSS/PHASE/WEIGHT' of the weights that take part, and 'closest', the smallest magnitude in front of a ReLU
    relative to what is typical there.
    """
    answers = Tensors()
    for name, settings in cases.items():
        torch.manual_seed(seed)
        case = Case(arrays, **settings)
        _draw(case)
        _settle(case)
        _round(case)
        answers.update({f"{name}/{key}": value for key, value in _results(case).items()})
    return answers


def _results(case: Case) -> Tensors:
    networks = {"generator": case.generator, "discriminator": case.discriminator}
    found = {f"net/{name}/{key}": value for name, each in networks.items() for key, value in each.names().items()}
    closest = _watch_relus(case)
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
def _draw(case: Case) -> None:
    """Weights from N(0, 1), which is what they are at the start; noise and offsets that are not zero."""
    for network in (case.generator, case.discriminator):
        for name, weight in network.names().items():
            if name.endswith(("adain.style.bias", "const")):
                weight += 0.2 * torch.randn_like(weight)
            elif name.endswith((".bias", ".noise")):
                weight.copy_(0.2 * torch.randn_like(weight))


@torch.no_grad()
def _round(case: Case) -> None:
    """Weights that ganzoo, in float32, can have just so."""
    for network in (case.generator, case.discriminator):
        for weight in network.parameters():
            weight.copy_(weight.float())


def _settle(case: Case) -> None:
    """Nudge the offsets in front of every ReLU, from the first to the last, and bring the scores to a usual size."""
    hooks = [relu.register_forward_pre_hook(_nudge(*place)) for relu, place in _offsets(case)]
    with torch.no_grad():
        fakes = case.fakes()
        images = torch.cat([case.reals, fakes, case.between(fakes)])
        scores = case.discriminator(images, case.level, case.alpha, batches=3)
        linear = case.discriminator.linear
        linear.kernel.div_(scores.std())
        linear.bias.sub_(scores.mean()).div_(scores.std()).add_(3.0)
    for hook in hooks:
        hook.remove()


def _offsets(case: Case) -> Iterator[tuple[nn.Module, tuple[nn.Parameter, bool]]]:
    """Each leaky ReLU, with the parameter that adds to what arrives there, and whether a blur comes in between."""
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


def _nudge(offset: nn.Parameter, blurred: bool) -> Any:
    """Changes an offset by a little, so that zero falls into the widest gap between the numbers around it."""

    def hook(relu: nn.LeakyReLU, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        (x,) = inputs
        features = x.shape[1]
        # A blur makes less of an offset at the border.
        share = Blur(1)(torch.ones(1, 1, *x.shape[2:])) if blurred else torch.ones(1, 1, *x.shape[2:])
        forbidden, _ = (-x / share).transpose(0, 1).reshape(features, -1).sort(1)
        gaps = forbidden.diff(dim=1)
        gaps[forbidden[:, 1:].abs() > 0.3 * x.std()] = 0.0
        widest = gaps.argmax(1, keepdim=True)
        change = (forbidden.gather(1, widest) + forbidden.gather(1, widest + 1)) / 2
        offset.add_(change.reshape(1, -1, 1, 1) if offset.ndim == 4 else change.flatten())
        return (x + change.reshape(1, -1, *[1] * (x.ndim - 2)) * share.reshape(1, 1, *x.shape[2:]),)

    return hook


def _watch_relus(case: Case) -> list[torch.Tensor]:
    closest: list[torch.Tensor] = []

    def note(relu: nn.LeakyReLU, inputs: tuple[torch.Tensor]) -> None:
        x = inputs[0].detach()
        closest.append(x.abs().min() / x.square().mean().sqrt())

    for module in [*case.generator.modules(), *case.discriminator.modules()]:
        if isinstance(module, nn.LeakyReLU):
            module.register_forward_pre_hook(note)
    return closest
