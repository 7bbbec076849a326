"""PyTorch's side: the authors' order of computation in eager mode and float32, with all that they do each iteration.

The networks are those that ganzoo's tests are held against (tests/support/reference), so both sides have the same
layers. Where these are written for the eye and slow on a GPU, `_Blur`, `_with_stddev` and `_cross_entropy` take their
place.
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

LATENT = 512
Terms = dict[str, torch.Tensor]


class Random:
    """PyTorch's random numbers; or ganzoo's, of the first step of a run. What the host must know it draws by itself, as
    reading a number back would wait for the GPU."""

    def __init__(self, ganzoos: bool = False) -> None:
        self.ganzoos, self.rng = ganzoos, np.random.default_rng([SEED, 2, 0])

    def normal(self, *shape: int) -> torch.Tensor:
        if not self.ganzoos:
            return torch.randn(shape)
        return _tensor(self.rng.standard_normal(shape, dtype="float32"))

    def crossover(self, levels: int) -> int:
        """The first layer of the second latent, of two layers at each of 1 + `levels` resolutions."""
        return 2 * (levels + 1) if self.rng.random() >= 0.9 else 2 * int(self.rng.integers(1, levels + 1))


class Side:
    """Answers the requests of serve.py."""

    def __init__(self, row: Row, channels_last: bool, device: str, precision: str) -> None:
        torch.manual_seed(0)
        torch.set_default_device(device)
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = precision != "fp32"
        torch.backends.cuda.matmul.allow_tf32 = False  # matrix products are float32 on both sides
        self.device = device
        self.autocast = torch.autocast(device, torch.bfloat16, enabled=device == "cuda" and precision == "amp")
        layout = torch.channels_last if channels_last else torch.contiguous_format
        kind = {"stylegan": StyleGAN, "stargan2": StarGAN2, "gan": GAN, "lsgan": GAN}[row.model]
        self.training = kind(row, layout)

    def iterate(self) -> None:
        """One iteration, as far as the host waits for it."""
        with self.autocast:
            self.training.iterate()

    def wait(self) -> None:
        """Wait until everything has been computed."""
        if self.device == "cuda":
            torch.cuda.synchronize()

    def gpu_memory(self) -> int:
        """Bytes, the most that PyTorch has taken of a GPU."""
        return torch.cuda.max_memory_reserved() if self.device == "cuda" else 0

    def losses(self, path: str) -> dict[str, float]:
        """Those of the first step, by 'PHASE/TERM', with ganzoo's weights and noise, without dropout."""
        with np.load(path) as file:
            weights = {name: _tensor(file[name]) for name in file.files}
        self.training.random = Random(ganzoos=True)
        self.training.load(weights)
        with self.autocast:
            return {name: float(value.detach()) for name, value in self.training.iterate().items()}

    def arithmetic(self) -> float:
        """Multiplications and additions of an iteration's convolutions and matrix products."""
        with Counter() as counter:
            self.iterate()
        return float(counter.total)

    def product(self, side: int) -> None:
        """The product of two square matrices."""
        if not hasattr(self, "matrix"):
            self.matrix = torch.randn(side, side)
        self.matrix @ self.matrix


class Counter(TorchDispatchMode):
    """Adds up what PyTorch's formulas say of each operation. (Its own counter fails at gradients of gradients.)"""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if formula := flop_registry.get(func._overloadpacket):
            self.total += formula(*args, **(kwargs or {}), out_val=result)
        return result


def _tensor(array: Any) -> torch.Tensor:
    return torch.from_numpy(array).to(torch.get_default_device())


def _images(array: Any, layout: torch.memory_format) -> torch.Tensor:
    return (_tensor(array).permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous(memory_format=layout)


def _of(weights: Terms, network: str) -> Terms:
    return {name.partition("/")[2]: value for name, value in weights.items() if name.startswith(f"{network}/")}


class _Blur(torch.autograd.Function):
    """A convolution in groups with a symmetric kernel, which is its own gradient. As a plain convolution its second
    derivative would be one convolution for each channel."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(weight)
        return F.conv2d(x, weight.to(x.dtype), padding=1, groups=x.shape[1])

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        return _Blur.apply(gradient, *ctx.saved_tensors), None


def _with_stddev(x: torch.Tensor, paper: bool) -> torch.Tensor:
    """Append the standard deviation of the whole batch, computed at once and in float32."""
    assert not paper
    spread = (x.float().var(0, unbiased=False) + 1e-8).sqrt().mean().to(x.dtype)
    return torch.cat([x, spread.expand(len(x), 1, *x.shape[2:])], 1)


def _cross_entropy(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy in float32; autocast refuses it."""
    with torch.autocast(scores.device.type, enabled=False):
        return F.binary_cross_entropy(scores.float(), targets)


class StyleGAN:
    """R1 as a part of each step, style mixing, an average of the generator."""

    def __init__(self, row: Row, layout: torch.memory_format) -> None:
        from tests.support.reference import stylegan
        from tests.support.reference.stylegan import Discriminator, Plan, StyledGenerator

        stylegan.Blur.forward = lambda self, x: _Blur.apply(x, self.weight)
        stylegan._with_stddev = _with_stddev
        self.level = row.size.bit_length() - 3
        plan = Plan([min(512, 16384 // (4 << each)) for each in range(self.level + 1)])
        self.generator, self.discriminator, self.running = (
            kind(plan).to(memory_format=layout) for kind in (StyledGenerator, Discriminator, StyledGenerator)
        )
        self.running.load_state_dict(self.generator.state_dict())
        mapping = list(self.generator.style.parameters())
        groups = [{"params": self.generator.generator.parameters()}, {"params": mapping, "lr": 1e-5}]
        self.adams = {
            "generator": torch.optim.Adam(groups, lr=1e-3, betas=(0.0, 0.99)),
            "discriminator": torch.optim.Adam(self.discriminator.parameters(), lr=1e-3, betas=(0.0, 0.99)),
        }
        self.row, self.layout, self.given, self.random = row, layout, row.images()["x"], Random()

    @torch.no_grad()
    def load(self, weights: Terms) -> None:
        for name in ("generator", "discriminator"):
            values = _of(weights, name)
            for key, weight in getattr(self, name).names().items():
                weight.copy_(values.pop(key))
            assert not values, sorted(values)

    def fakes(self) -> torch.Tensor:
        noise = [self.random.normal(self.row.batch, 1, 4 << each, 4 << each) for each in range(self.level + 1)]
        styles = [self.generator.style(self.random.normal(self.row.batch, LATENT)) for _ in range(2)]
        crossover = self.random.crossover(self.level)
        chosen = [styles[layer >= crossover] for layer in range(2 * (self.level + 1))]
        return self.generator(chosen, [(each, each) for each in noise], self.level, 1.0)

    def iterate(self) -> Terms:
        _requires(self.generator, False)
        _requires(self.discriminator, True)
        self.discriminator.zero_grad()
        reals = _images(self.given, self.layout).requires_grad_(True)
        scores = self.discriminator(reals, self.level, 1.0)
        real = F.softplus(-scores).mean()
        real.backward(retain_graph=True)
        (slope,) = torch.autograd.grad(scores.sum(), reals, create_graph=True)
        penalty = 5.0 * slope.reshape(self.row.batch, -1).norm(2, dim=1).square().mean()
        penalty.backward()
        fake = F.softplus(self.discriminator(self.fakes(), self.level, 1.0)).mean()
        fake.backward()
        self.adams["discriminator"].step()
        self.generator.zero_grad()
        _requires(self.generator, True)
        _requires(self.discriminator, False)
        adversarial = F.softplus(-self.discriminator(self.fakes(), self.level, 1.0)).mean()
        adversarial.backward()
        self.adams["generator"].step()
        _average(self.running, self.generator, 0.999)
        discriminators = {"real": real, "fake": fake, "penalty": penalty}
        terms = {f"discriminator/{name}": value for name, value in discriminators.items()}
        return {**terms, "generator/adversarial": adversarial}


def _requires(network: Any, wanted: bool) -> None:
    for weight in network.parameters():
        weight.requires_grad_(wanted)


@torch.no_grad()
def _average(running: Any, network: Any, decay: float) -> None:
    for kept, new in zip(running.parameters(), network.parameters()):
        kept.mul_(decay).add_(new, alpha=1 - decay)


class StarGAN2:
    """All four updates and the averages."""

    NAMES = {"mapping": "mapping_network", "encoder": "style_encoder"}  # where ganzoo's are others

    def __init__(self, row: Row, layout: torch.memory_format) -> None:
        from tests.support.reference.stargan2 import Plan
        from tests.support.reference.stargan2_steps import Training

        lambdas = {"reg": 1.0, "sty": 1.0, "ds": 1.0, "cyc": 1.0}
        self.training = Training(Plan(row.size, domains=len(DOMAINS)), lambdas)
        for network in self.training.networks.values():
            network.to(memory_format=layout)
        self.row, self.layout, self.given, self.random = row, layout, row.images(), Random()

    @torch.no_grad()
    def load(self, weights: Terms) -> None:
        for ours in ("generator", "mapping", "encoder", "discriminator"):
            values = _of(weights, ours)
            for key, weight in self.training.networks[self.NAMES.get(ours, ours)].named_parameters():
                weight.copy_(values.pop(key))
            assert not values, sorted(values)

    def iterate(self) -> Terms:
        from tests.support.reference.stargan2_steps import Data

        found: dict[str, Any] = {name: _tensor(self.given[name]) for name in ("y", "target")}
        found.update({name: _images(self.given[name], self.layout) for name in ("x", "reference", "reference2")})
        found.update({name: self.random.normal(self.row.batch, 16) for name in ("z", "z2")})
        phases = self.training.iteration(Data.of(found, masked=False))
        return {f"{phase}/{name}": value for phase, terms in phases.items() for name, value in terms.items()}


class GAN:
    """The basic GAN, or LSGAN."""

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
                stage[2] = torch.nn.Dropout2d(0.25)  # where the tests need a given mask
        for network in pair:
            network.to(memory_format=layout).train()
        adam = {"learning_rate": 2e-4, "beta1": 0.5, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0}
        self.trainer: Any = Trainer(*pair, {"generator": adam, "discriminator": adam})
        self.step = partial(gan_step, bce=_cross_entropy) if row.model == "gan" else zoo_step
        self.row, self.layout, self.given, self.random = row, layout, row.images()["x"], Random()

    def load(self, weights: Terms) -> None:
        for name in ("generator", "discriminator"):
            network = getattr(self.trainer, name)
            network.load(_of(weights, name))
            for module in network.modules():
                if isinstance(module, torch.nn.Dropout2d):
                    module.p = 0.0

    def iterate(self) -> Terms:
        def latents() -> Iterator[torch.Tensor]:
            yield self.random.normal(self.row.batch, 100)

        # Not step 0, at which the trainer keeps all gradients.
        self.step(self.trainer, 1, _images(self.given, self.layout), latents())
        found = {name.removeprefix("term/1/"): value for name, value in self.trainer.record.items()}
        self.trainer.record.clear()
        return found
