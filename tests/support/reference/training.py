"""The training steps of the basic GAN and LSGAN in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from . import networks
from .operations import make_adam

Tensors = dict[str, torch.Tensor]


class Trainer:
    """The two networks, their optimizers, and a record of everything that a step computes."""

    def __init__(
        self, generator: networks.NamedNetwork, discriminator: networks.NamedNetwork, adam: dict[str, dict[str, float]]
    ) -> None:
        self.generator, self.discriminator, self.record = generator, discriminator, Tensors()
        self.optimizers = {
            "generator": make_adam(generator.parameters(), adam["generator"]),
            "discriminator": make_adam(discriminator.parameters(), adam["discriminator"]),
        }

    def update(self, step: int, name: str, terms: Tensors) -> None:
        """Run one phase: record the loss terms, differentiate their sum, record the gradients, update the network."""
        network, optimizer = getattr(self, name), self.optimizers[name]
        optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        self.record.update({f"term/{step}/{name}/{key}": term for key, term in terms.items()})
        if step == 0:
            gradients = {key: weight.grad.clone() for key, weight in network.weights().items()}
            self.record.update({f"grad/{name}/{key}": gradient for key, gradient in gradients.items()})
        optimizer.step()


def gan_step(
    trainer: Trainer,
    step: int,
    real: torch.Tensor,
    latents: Iterator[torch.Tensor],
    bce: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = functional.binary_cross_entropy,
) -> None:
    """Update the generator, then the discriminator on the same fakes, made before the generator's update."""
    one, zero = torch.ones(len(real), 1), torch.zeros(len(real), 1)
    fakes = trainer.generator(next(latents))
    trainer.update(step, "generator", {"adversarial": bce(trainer.discriminator(fakes), one)})
    real_loss = bce(trainer.discriminator(real), one)
    fake_loss = bce(trainer.discriminator(fakes.detach()), zero)
    trainer.update(step, "discriminator", {"real": real_loss / 2, "fake": fake_loss / 2})


def zoo_step(trainer: Trainer, step: int, real: torch.Tensor, latents: Iterator[torch.Tensor]) -> None:
    """Like `gan_step`, with squared distances to 1 and 0."""
    mse, one, zero = nn.MSELoss(), torch.ones(len(real), 1), torch.zeros(len(real), 1)
    fakes = trainer.generator(next(latents))
    trainer.update(step, "generator", {"adversarial": mse(trainer.discriminator(fakes), one)})
    real_loss = mse(trainer.discriminator(real), one)
    fake_loss = mse(trainer.discriminator(fakes.detach()), zero)
    trainer.update(step, "discriminator", {"real": 0.5 * real_loss, "fake": 0.5 * fake_loss})


def tutorial_step(trainer: Trainer, step: int, real: torch.Tensor, latents: Iterator[torch.Tensor]) -> None:
    """Update the discriminator, with unhalved losses, then the generator on other latents."""
    with torch.no_grad():
        fakes = trainer.generator(next(latents))
    real_loss = ((trainer.discriminator(real) - 1) ** 2).mean()
    fake_loss = (trainer.discriminator(fakes) ** 2).mean()
    trainer.update(step, "discriminator", {"real": real_loss, "fake": fake_loss})
    fakes = trainer.generator(next(latents))
    trainer.update(step, "generator", {"adversarial": ((trainer.discriminator(fakes) - 1) ** 2).mean()})


def _networks(arrays: Tensors, model: str, size: int, channels: int, latent: int, classes: int) -> tuple[Any, Any]:
    shape = size, channels, latent, classes
    if model == "gan":
        return networks.MLPGenerator(*shape), networks.MLPDiscriminator(size, channels, classes)
    if model == "zoo":
        masks = {name[5:]: mask for name, mask in arrays.items() if name.startswith("mask/")}
        return networks.ZooGenerator(*shape), networks.ZooDiscriminator(size, channels, masks, classes)
    if model == "tutorial":
        return networks.TutorialGenerator(*shape), networks.TutorialDiscriminator(size, channels, classes)
    return networks.PlainGenerator(size, channels, latent), networks.MLPDiscriminator(size, channels)


STEPS: dict[str, Callable[..., None]] = {
    "gan": gan_step,
    "plain": gan_step,
    "zoo": zoo_step,
    "tutorial": tutorial_step,
}


def train(arrays: Tensors, model: str, steps: int, adam: dict[str, dict[str, float]], **shape: int) -> Tensors:
    """Train from the weights 'net/...' on 'images/STEP' (uint8, NHWC) and 'labels/STEP' (one-hot; of width 0 without
    classes), with 'latents/0', 'latents/1', ... in order.

    Return 'term/STEP/PHASE/TERM', the first step's 'grad/NETWORK/WEIGHT', the trained 'net/...' and 'samples',
    generated in inference mode from the latents 'sampled' and 'sampled-labels'.
    """
    generator, discriminator = _networks(arrays, model, **shape)
    both = {"generator": generator, "discriminator": discriminator}
    for name, network in both.items():
        prefix = f"net/{name}/"
        network.load({key[len(prefix) :]: value for key, value in arrays.items() if key.startswith(prefix)})
        network.train()
    trainer = Trainer(generator, discriminator, adam)
    latents = iter([arrays[f"latents/{n}"] for n in range(sum(name.startswith("latents/") for name in arrays))])
    for step in range(steps):
        real = (arrays[f"images/{step}"] / 255 * 2 - 1).permute(0, 3, 1, 2)
        generator.labels = discriminator.labels = arrays[f"labels/{step}"]
        STEPS[model](trainer, step, real, latents)
    assert next(latents, None) is None, "ganzoo drew more latents than the reference"
    results = dict(trainer.record)
    for name, network in both.items():
        results.update({f"net/{name}/{key}": value for key, value in network.entries().items()})
    generator.eval()
    generator.labels = arrays["sampled-labels"]
    return {**results, "samples": generator(arrays["sampled"])}
