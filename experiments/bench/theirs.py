"""PyTorch's side: the authors' order of computation in eager mode and float32, with all that they do each iteration.

The networks are those that ganzoo's tests are held against (tests/reference), so both sides have the same layers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from rows import DOMAINS, Row
from torch.nn import functional as F

LATENT = 512


def prepare(row: Row, channels_last: bool) -> Callable[[], None]:
    """One iteration, to be called again and again."""
    torch.manual_seed(0)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    make = {"stylegan": _stylegan, "stargan2": _stargan2, "gan": _gan, "lsgan": _gan}[row.model]
    return make(row, layout)


def _images(array: Any, layout: torch.memory_format) -> torch.Tensor:
    return (torch.from_numpy(array).permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous(memory_format=layout)


def _stylegan(row: Row, layout: torch.memory_format) -> Callable[[], None]:
    from tests.reference.stylegan import Blur, Discriminator, Plan, StyledGenerator

    # In groups, as the authors do; the tests' own is for float64.
    Blur.forward = lambda self, x: F.conv2d(x, self.weight, padding=1, groups=x.shape[1])
    level = row.size.bit_length() - 3
    plan = Plan([min(512, 16384 // (4 << each)) for each in range(level + 1)])
    generator, discriminator, running = (
        kind(plan).to(memory_format=layout) for kind in (StyledGenerator, Discriminator, StyledGenerator)
    )
    running.load_state_dict(generator.state_dict())
    mapping = list(generator.style.parameters())
    groups = [{"params": generator.generator.parameters()}, {"params": mapping, "lr": 1e-5}]
    adams = {
        "generator": torch.optim.Adam(groups, lr=1e-3, betas=(0.0, 0.99)),
        "discriminator": torch.optim.Adam(discriminator.parameters(), lr=1e-3, betas=(0.0, 0.99)),
    }
    sides = [4 << each for each in range(level + 1)]
    given = row.images()["x"]

    def fakes() -> torch.Tensor:
        styles = [generator.style(torch.randn(row.batch, LATENT)) for _ in range(2)]
        crossover = 2 * int(torch.randint(1, level + 1, ())) if torch.rand(()) < 0.9 else 2 * len(sides)
        chosen = [styles[layer >= crossover] for layer in range(2 * len(sides))]
        noise = [torch.randn(row.batch, 1, side, side) for side in sides]
        return generator(chosen, [(each, each) for each in noise], level, 1.0)

    def requires(network: Any, wanted: bool) -> None:
        for weight in network.parameters():
            weight.requires_grad_(wanted)

    def iterate() -> None:
        requires(generator, False)
        requires(discriminator, True)
        discriminator.zero_grad()
        reals = _images(given, layout).requires_grad_(True)
        scores = discriminator(reals, level, 1.0)
        F.softplus(-scores).mean().backward(retain_graph=True)
        (slope,) = torch.autograd.grad(scores.sum(), reals, create_graph=True)
        (5.0 * slope.reshape(row.batch, -1).norm(2, dim=1).square().mean()).backward()
        F.softplus(discriminator(fakes(), level, 1.0)).mean().backward()
        adams["discriminator"].step()
        generator.zero_grad()
        requires(generator, True)
        requires(discriminator, False)
        F.softplus(-discriminator(fakes(), level, 1.0)).mean().backward()
        adams["generator"].step()
        _average(running, generator, 0.999)

    return iterate


@torch.no_grad()
def _average(running: Any, network: Any, decay: float) -> None:
    for kept, new in zip(running.parameters(), network.parameters()):
        kept.mul_(decay).add_(new, alpha=1 - decay)


def _stargan2(row: Row, layout: torch.memory_format) -> Callable[[], None]:
    from tests.reference.stargan2 import Plan
    from tests.reference.stargan2_steps import Data, Training

    training = Training(Plan(row.size, domains=len(DOMAINS)), {"reg": 1.0, "sty": 1.0, "ds": 1.0, "cyc": 1.0})
    for network in training.networks.values():
        network.to(memory_format=layout)
    given = row.images()

    def iterate() -> None:
        found: dict[str, Any] = {name: torch.from_numpy(given[name]) for name in ("y", "target")}
        found.update({name: _images(given[name], layout) for name in ("x", "reference", "reference2")})
        latents = {name: torch.randn(row.batch, 16) for name in ("z", "z2")}
        training.iteration(Data.of({**found, **latents}, masked=False))

    return iterate


def _gan(row: Row, layout: torch.memory_format) -> Callable[[], None]:
    from tests.reference import networks
    from tests.reference.training import Trainer, gan_step, zoo_step

    if row.model == "gan":
        pair: Any = (
            networks.MLPGenerator(row.size, row.channels, 100),
            networks.MLPDiscriminator(row.size, row.channels),
        )
    else:
        none = {str(index): torch.ones(1) for index in range(4)}
        pair = (
            networks.ZooGenerator(row.size, row.channels, 100),
            networks.ZooDiscriminator(row.size, row.channels, none),
        )
        for stage in pair[1].stages:
            stage[2] = torch.nn.Dropout2d(0.25)  # where the tests need a given mask
    for network in pair:
        network.to(memory_format=layout).train()
    adam = {"learning_rate": 2e-4, "beta1": 0.5, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0}
    trainer: Any = Trainer(*pair, {"generator": adam, "discriminator": adam})
    given, step = row.images()["x"], gan_step if row.model == "gan" else zoo_step

    def latents() -> Iterator[torch.Tensor]:
        yield torch.randn(row.batch, 100)

    numbers = itertools.count(1)  # of steps; at the first one the trainer keeps all gradients

    def iterate() -> None:
        step(trainer, next(numbers), _images(given, layout), latents())
        trainer.record.clear()

    return iterate
