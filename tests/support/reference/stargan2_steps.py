"""Training of StarGAN v2 in PyTorch: the four updates of an iteration in sequence, without shared computations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from .stargan2 import Architecture, build, ema_copies

Tensors = dict[str, torch.Tensor]
Masks = tuple[torch.Tensor, torch.Tensor]
# The networks that each update changes. Gradients of other networks are ignored.
UPDATED = {
    "D-latent": ("discriminator",),
    "D-reference": ("discriminator",),
    "G-latent": ("generator", "mapping_network", "style_encoder"),
    "G-reference": ("generator",),
}
RATES = {"generator": 1e-4, "mapping_network": 1e-6, "style_encoder": 1e-4, "discriminator": 1e-4}


@dataclass
class Data:
    """One batch: images x of the domains y; latents and references of the domains `target`; masks for x and for its
    translations."""

    x: torch.Tensor
    y: torch.Tensor
    z: torch.Tensor
    z2: torch.Tensor
    reference: torch.Tensor
    reference2: torch.Tensor
    target: torch.Tensor
    masks: Masks | None = None
    fake_masks: Masks | None = None

    @classmethod
    def of(cls, arrays: Tensors, masked: bool) -> Data:
        """Create a batch from arrays with the names of the fields; masks are 'mask/0', 'mask/1', 'fake_mask/0' ..."""
        masks, fake_masks = (_pair(arrays, kind) if masked else None for kind in ("mask", "fake_mask"))
        return cls(
            arrays["x"],
            arrays["y"].long(),
            arrays["z"],
            arrays["z2"],
            arrays["reference"],
            arrays["reference2"],
            arrays["target"].long(),
            masks,
            fake_masks,
        )


def _pair(arrays: Tensors, kind: str) -> Masks:
    return arrays[f"{kind}/0"], arrays[f"{kind}/1"]


class Training:
    """Networks with their optimizers and EMAs, and the weights of the loss terms; the diversity weight falls to 0."""

    def __init__(
        self, architecture: Architecture, lambdas: Mapping[str, float], ds_iter: int = 100_000, decay: float = 0.999
    ) -> None:
        self.networks: dict[str, Any] = build(architecture)
        self.ema: dict[str, Any] = ema_copies(self.networks)
        self.lambdas, self.initial_ds, self.ds_iter = dict(lambdas), lambdas["ds"], ds_iter
        self.decay = decay
        self.optimizers = {
            name: torch.optim.Adam(network.parameters(), lr=RATES[name], betas=(0.0, 0.99), eps=1e-8, weight_decay=1e-4)
            for name, network in self.networks.items()
        }

    def terms(self, phase: str, data: Data) -> Tensors:
        """Return the terms of a phase, weighted and signed so that the phase minimises their sum."""
        terms = self._discriminator_terms if phase.startswith("D") else self._generator_terms
        return terms(data, phase.endswith("latent"))

    def _style(self, data: Data, latent: bool) -> torch.Tensor:
        if latent:
            return self.networks["mapping_network"](data.z, data.target)
        return self.networks["style_encoder"](data.reference, data.target)

    @torch.no_grad()
    def _other_style(self, data: Data, latent: bool) -> torch.Tensor:
        """Return the second style of the diversity loss, which gets no gradient."""
        if latent:
            return self.networks["mapping_network"](data.z2, data.target)
        return self.networks["style_encoder"](data.reference2, data.target)

    def _discriminator_terms(self, data: Data, latent: bool) -> Tensors:
        discriminator = self.networks["discriminator"]
        x = data.x.clone().requires_grad_(True)
        real = discriminator(x, data.y)
        (gradient,) = torch.autograd.grad(real.sum(), x, create_graph=True)
        with torch.no_grad():
            fakes = self.networks["generator"](data.x, self._style(data, latent), data.masks)
        return {
            "real": _cross_entropy(real, 1.0),
            "fake": _cross_entropy(discriminator(fakes, data.target), 0.0),
            "reg": self.lambdas["reg"] * 0.5 * gradient.square().flatten(1).sum(1).mean(),
        }

    def _generator_terms(self, data: Data, latent: bool) -> Tensors:
        generator, encoder = self.networks["generator"], self.networks["style_encoder"]
        style, other = self._style(data, latent), self._other_style(data, latent)
        fakes = generator(data.x, style, data.masks)
        scores = self.networks["discriminator"](fakes, data.target)
        with torch.no_grad():
            others = generator(data.x, other, data.masks)
        cycled = generator(fakes, encoder(data.x, data.y), data.fake_masks)
        return {
            "adv": _cross_entropy(scores, 1.0),
            "sty": self.lambdas["sty"] * (encoder(fakes, data.target) - style).abs().mean(),
            "ds": -self.lambdas["ds"] * (fakes - others).abs().mean(),
            "cyc": self.lambdas["cyc"] * (cycled - data.x).abs().mean(),
        }

    def gradients(self, phase: str, data: Data) -> Tensors:
        """Return the terms of a phase, and leave the gradients of their sum in the `grad` of the weights."""
        for network in self.networks.values():
            network.zero_grad()
        terms = self.terms(phase, data)
        torch.stack(list(terms.values())).sum().backward()
        return terms

    def iteration(self, data: Data) -> dict[str, Tensors]:
        """Run all four updates, then update the EMAs and the diversity weight. Return the terms by phase."""
        found = {}
        for phase, updated in UPDATED.items():
            found[phase] = {name: term.detach() for name, term in self.gradients(phase, data).items()}
            for name in updated:
                self.optimizers[name].step()
        with torch.no_grad():
            for name, copy in self.ema.items():
                for old, new in zip(copy.parameters(), self.networks[name].parameters()):
                    old.copy_(new + self.decay * (old - new))
        if self.lambdas["ds"] > 0:
            self.lambdas["ds"] -= self.initial_ds / self.ds_iter
        return found

    def weights(self) -> Tensors:
        """Return copies of all weights by 'NETWORK/WEIGHT'."""
        return _named(self.networks)

    @torch.no_grad()
    def round(self) -> None:
        """Round the weights to float32, which leaves only two digits of the mapping network's small steps."""
        for network in self.networks.values():
            for weight in network.parameters():
                weight.copy_(weight.float())

    def gradient_sizes(self) -> Tensors:
        """Return the magnitude of each weight's gradients: the root of Adam's second moment."""
        return {
            f"{name}/{key}": self.optimizers[name].state[weight]["exp_avg_sq"].sqrt()
            for name, network in self.networks.items()
            for key, weight in network.named_parameters()
        }


def _named(networks: Mapping[str, Any]) -> Tensors:
    return {
        f"{name}/{key}": weight.detach().clone()
        for name, network in networks.items()
        for key, weight in network.named_parameters()
    }


def _cross_entropy(logits: torch.Tensor, target: float) -> torch.Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


@torch.no_grad()
def randomise(training: Training) -> None:
    """Make biases and scales differ from 0 and 1, round all weights to float32, and copy them to the EMAs."""
    for network in training.networks.values():
        for weight in network.parameters():
            if weight.ndim == 1:
                weight.add_(0.2 * torch.randn_like(weight))
            weight.copy_(weight.float())
    for name, copy in training.ema.items():
        copy.load_state_dict(training.networks[name].state_dict())


def train(arrays: Tensors, architecture: dict[str, Any], iterations: int, seed: int, **settings: Any) -> Tensors:
    """Train on 'N/...' (see `Data.of`) for N = 0, 1, ..., from random weights.

    Return 'begin/NETWORK/WEIGHT', 'end/...', 'ema/...', 'gradient_size/...', 'term/N/PHASE/TERM', and the diversity
    weight 'lambda_ds/N'.
    """
    torch.manual_seed(seed)
    training = Training(Architecture(**architecture), **settings)
    randomise(training)
    results = {f"begin/{name}": weight for name, weight in training.weights().items()}
    for number in range(iterations):
        prefix = f"{number}/"
        batch = {name[len(prefix) :]: value for name, value in arrays.items() if name.startswith(prefix)}
        results[f"lambda_ds/{number}"] = torch.tensor(training.lambdas["ds"])
        for phase, terms in training.iteration(Data.of(batch, masked=architecture.get("w_hpf", 0.0) > 0)).items():
            results.update({f"term/{number}/{phase}/{name}": term for name, term in terms.items()})
        training.round()
    results.update({f"end/{name}": weight for name, weight in training.weights().items()})
    results.update({f"gradient_size/{name}": size for name, size in training.gradient_sizes().items()})
    return {**results, **{f"ema/{name}": weight for name, weight in _named(training.ema).items()}}
