"""PyTorch's side: everything that the authors do in an iteration, in their order, in eager mode and float32.

The networks are those that ganzoo's tests compare ganzoo with (tests/support/reference), so both sides have the same
layers. Some of their parts were written to be readable and are slow on a GPU: `_Blur`, `_with_stddev` and
`_cross_entropy` replace these.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from rows import DOMAINS, SEED, Row
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

Tensors = dict[str, torch.Tensor]


class RandomNumbers:
    """PyTorch's random numbers, or the same numbers as in the first step of a ganzoo run with `seed`. Numbers that the
    host needs are drawn on the host, because reading them back would wait for the GPU."""

    def __init__(self, seed: int | None = None) -> None:
        # ganzoo draws the noise of a step from a generator with the seeds [--seed, 2, number of the step].
        self.like_ganzoo, self.rng = seed is not None, np.random.default_rng([SEED if seed is None else seed, 2, 0])

    def normal(self, *shape: int) -> torch.Tensor:
        if not self.like_ganzoo:
            return torch.randn(shape)
        return _tensor(self.rng.standard_normal(shape, dtype="float32"))

    def crossover(self, levels: int) -> int:
        """Return the first layer that uses the second latent; each of the 1 + `levels` resolutions has two layers."""
        return 2 * (levels + 1) if self.rng.random() >= 0.9 else 2 * int(self.rng.integers(1, levels + 1))


class Side:
    """PyTorch's answers to the requests of serve.py."""

    def __init__(self, row: Row, channels_last: bool, device: str, precision: str) -> None:
        torch.manual_seed(0)
        torch.set_default_device(device)
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = precision != "fp32"
        torch.backends.cuda.matmul.allow_tf32 = False  # matrix products are float32 on both sides
        self.device = device
        self.autocast = torch.autocast(device, torch.bfloat16, enabled=precision == "amp")
        self.matrix_type = torch.bfloat16 if precision == "amp" else torch.float32
        layout = torch.channels_last if channels_last else torch.contiguous_format
        kind = {"stylegan": StyleGAN, "stargan2": StarGAN2, "gan": GAN, "lsgan": GAN}[row.model]
        self.training = kind(row, layout)

    def iterate(self) -> None:
        """Run one iteration, without waiting for the device."""
        with self.autocast:
            self.training.iterate()

    def wait(self) -> None:
        """Wait until everything has been computed."""
        if self.device == "cuda":
            torch.cuda.synchronize()

    def gpu_memory(self) -> int:
        """Return the peak of GPU memory that PyTorch has reserved, in bytes."""
        return torch.cuda.max_memory_reserved() if self.device == "cuda" else 0

    def losses(self, seed: int, path: str) -> dict[str, float]:
        """Return the losses of the first step by 'PHASE/TERM', with ganzoo's weights, its noise of this seed, and
        without dropout."""
        with np.load(path) as file:
            weights = {name: _tensor(file[name]) for name in file.files}
        self.training.random = RandomNumbers(seed)
        self.training.load(weights)
        with self.autocast:
            return {name: float(value.detach()) for name, value in self.training.iterate().items()}

    def work(self) -> list[float]:
        """Count the multiplications and additions in the convolutions and matrix products of an iteration, and the
        bytes of their inputs and results."""
        with WorkCounter() as counter:
            self.iterate()
        return [float(counter.flop), float(counter.bytes)]

    def matmul(self, size: int) -> None:
        """Multiply two square matrices."""
        if not hasattr(self, "matrix"):
            self.matrix = torch.randn(size, size).to(self.matrix_type)
        self.matrix @ self.matrix

    def copy(self, size: int) -> None:
        """Copy an array of `size` bytes."""
        if not hasattr(self, "arrays"):
            self.arrays = [torch.zeros(size // 4) for _ in range(2)]
        self.arrays[1].copy_(self.arrays[0])


class WorkCounter(TorchDispatchMode):
    """Sums the arithmetic operations, by PyTorch's formulas, and the bytes of their inputs and results. (PyTorch's own
    counter fails for second derivatives.)"""

    flop = bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if formula := flop_registry.get(func._overloadpacket):
            self.flop += formula(*args, **(kwargs or {}), out_val=result)
            arrays = [*args, *(result if isinstance(result, tuple) else [result])]
            self.bytes += sum(each.nbytes for each in arrays if isinstance(each, torch.Tensor))
        return result


def _tensor(array: Any) -> torch.Tensor:
    return torch.from_numpy(array).to(torch.get_default_device())


def _images(array: Any, layout: torch.memory_format) -> torch.Tensor:
    return (_tensor(array).permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous(memory_format=layout)


def _network_weights(weights: Tensors, network: str) -> Tensors:
    return {name.partition("/")[2]: value for name, value in weights.items() if name.startswith(f"{network}/")}


class _Blur(torch.autograd.Function):
    """Depthwise convolution whose kernel is symmetric, so that its gradient is the same convolution. The second
    derivative of a plain convolution would be a convolution per channel."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(weight)
        return F.conv2d(x, weight.to(x.dtype), padding=1, groups=x.shape[1])

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        return _Blur.apply(gradient, *ctx.saved_tensors), None


def _with_stddev(x: torch.Tensor, paper: bool) -> torch.Tensor:
    """Append a feature map with the mean standard deviation of the whole batch, computed in float32."""
    assert not paper  # `paper` stands for the design of the paper, which has smaller groups of images
    stddev = (x.float().var(0, unbiased=False) + 1e-8).sqrt().mean().to(x.dtype)
    return torch.cat([x, stddev.expand(len(x), 1, *x.shape[2:])], 1)


def _cross_entropy(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the binary cross-entropy in float32, because PyTorch refuses to compute it under autocast."""
    with torch.autocast(scores.device.type, enabled=False):
        return F.binary_cross_entropy(scores.float(), targets)


class StyleGAN:
    """StyleGAN with R1 in each step, style mixing and an EMA of the generator. `level` and `alpha` say which resolution
    is trained (4 << level), and how far it is faded in."""

    def __init__(self, row: Row, layout: torch.memory_format, architecture: Any = None) -> None:
        from tests.support.reference import stylegan
        from tests.support.reference.stylegan import Architecture, Discriminator, StyledGenerator

        stylegan.Blur.forward = lambda self, x: _Blur.apply(x, self.weight)
        stylegan._with_stddev = _with_stddev
        self.level, self.alpha = row.size.bit_length() - 3, 1.0
        self.architecture = architecture or Architecture(
            [min(512, 16384 // (4 << each)) for each in range(self.level + 1)]
        )
        self.generator, self.discriminator, self.ema = (
            kind(self.architecture).to(memory_format=layout)
            for kind in (StyledGenerator, Discriminator, StyledGenerator)
        )
        self.ema.load_state_dict(self.generator.state_dict())
        mapping = list(self.generator.style.parameters())
        groups = [{"params": self.generator.generator.parameters()}, {"params": mapping, "lr": 1e-5}]
        self.adams = {
            "generator": torch.optim.Adam(groups, lr=1e-3, betas=(0.0, 0.99)),
            "discriminator": torch.optim.Adam(self.discriminator.parameters(), lr=1e-3, betas=(0.0, 0.99)),
        }
        self.row, self.layout, self.batch, self.random = row, layout, row.images()["x"], RandomNumbers()

    @torch.no_grad()
    def load(self, weights: Tensors) -> None:
        for name in ("generator", "discriminator"):
            values = _network_weights(weights, name)
            for key, weight in getattr(self, name).names().items():
                weight.copy_(values.pop(key))
            assert not values, sorted(values)

    def fakes(self) -> torch.Tensor:
        noise = [self.random.normal(self.row.batch, 1, 4 << each, 4 << each) for each in range(self.level + 1)]
        latents = [self.random.normal(self.row.batch, self.architecture.code) for _ in range(2)]
        styles = [self.generator.style(each) for each in latents]
        crossover = self.random.crossover(self.level)
        chosen = [styles[layer >= crossover] for layer in range(2 * (self.level + 1))]
        # Both layers of a resolution get the same noise.
        return self.generator(chosen, [(each, each) for each in noise], self.level, self.alpha)

    def iterate(self) -> Tensors:
        _set_requires_grad(self.generator, False)
        _set_requires_grad(self.discriminator, True)
        self.discriminator.zero_grad()
        reals = _images(self.batch, self.layout).requires_grad_(True)
        scores = self.discriminator(reals, self.level, self.alpha)
        real = F.softplus(-scores).mean()
        real.backward(retain_graph=True)
        (gradient,) = torch.autograd.grad(scores.sum(), reals, create_graph=True)
        penalty = 5.0 * gradient.reshape(self.row.batch, -1).norm(2, dim=1).square().mean()
        penalty.backward()
        fake = F.softplus(self.discriminator(self.fakes(), self.level, self.alpha)).mean()
        fake.backward()
        self.adams["discriminator"].step()
        self.generator.zero_grad()
        _set_requires_grad(self.generator, True)
        _set_requires_grad(self.discriminator, False)
        adversarial = F.softplus(-self.discriminator(self.fakes(), self.level, self.alpha)).mean()
        adversarial.backward()
        self.adams["generator"].step()
        _update_ema(self.ema, self.generator, 0.999)
        discriminators = {"real": real, "fake": fake, "penalty": penalty}
        terms = {f"discriminator/{name}": value for name, value in discriminators.items()}
        return {**terms, "generator/adversarial": adversarial}


def _set_requires_grad(network: Any, value: bool) -> None:
    for weight in network.parameters():
        weight.requires_grad_(value)


@torch.no_grad()
def _update_ema(ema: Any, network: Any, decay: float) -> None:
    for old, new in zip(ema.parameters(), network.parameters()):
        old.mul_(decay).add_(new, alpha=1 - decay)


class StarGAN2:
    """StarGAN v2, which updates the discriminator twice and then the generator twice, and averages weights by EMA."""

    NAMES = {"mapping": "mapping_network", "encoder": "style_encoder"}  # ganzoo's name: the reference's, if different

    def __init__(self, row: Row, layout: torch.memory_format) -> None:
        from tests.support.reference.stargan2 import Architecture
        from tests.support.reference.stargan2_steps import Training

        lambdas = {"reg": 1.0, "sty": 1.0, "ds": 1.0, "cyc": 1.0}
        self.training = Training(Architecture(row.size, domains=len(DOMAINS)), lambdas)
        for network in self.training.networks.values():
            network.to(memory_format=layout)
        self.row, self.layout, self.batch, self.random = row, layout, row.images(), RandomNumbers()

    @torch.no_grad()
    def load(self, weights: Tensors) -> None:
        for ours in ("generator", "mapping", "encoder", "discriminator"):
            values = _network_weights(weights, ours)
            for key, weight in self.training.networks[self.NAMES.get(ours, ours)].named_parameters():
                weight.copy_(values.pop(key))
            assert not values, sorted(values)

    def iterate(self) -> Tensors:
        from tests.support.reference.stargan2_steps import Data

        found: dict[str, Any] = {name: _tensor(self.batch[name]) for name in ("y", "target")}
        found.update({name: _images(self.batch[name], self.layout) for name in ("x", "reference", "reference2")})
        found.update({name: self.random.normal(self.row.batch, 16) for name in ("z", "z2")})
        # Without masks of the face, because the benchmark trains without high-pass skips.
        phases = self.training.iteration(Data.of(found, masked=False))
        return {f"{phase}/{name}": value for phase, terms in phases.items() for name, value in terms.items()}


class GAN:
    """The basic GAN, or the `zoo` variant of LSGAN, both as in gan-jittor and PyTorch-GAN."""

    def __init__(self, row: Row, layout: torch.memory_format) -> None:
        from tests.support.reference import networks
        from tests.support.reference.training import Trainer, gan_step, zoo_step

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
                stage[2] = torch.nn.Dropout2d(0.25)  # the reference uses given masks
        for network in pair:
            network.to(memory_format=layout).train()
        adam = {"learning_rate": 2e-4, "beta1": 0.5, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0}
        self.trainer: Any = Trainer(*pair, {"generator": adam, "discriminator": adam})
        self.step = partial(gan_step, bce=_cross_entropy) if row.model == "gan" else zoo_step
        self.row, self.layout, self.batch, self.random = row, layout, row.images()["x"], RandomNumbers()

    def load(self, weights: Tensors) -> None:
        for name in ("generator", "discriminator"):
            network = getattr(self.trainer, name)
            network.load(_network_weights(weights, name))
            for module in network.modules():
                if isinstance(module, torch.nn.Dropout2d):
                    module.p = 0.0

    def iterate(self) -> Tensors:
        def latents() -> Iterator[torch.Tensor]:
            yield self.random.normal(self.row.batch, 100)

        # Step 1, because the trainer stores all gradients in step 0.
        self.step(self.trainer, 1, _images(self.batch, self.layout), latents())
        found = {name.removeprefix("term/1/"): value for name, value in self.trainer.record.items()}
        self.trainer.record.clear()
        return found
