"""The original's training, in PyTorch, until it is stopped.

    python pytorch.py SETTINGS.json

The networks, losses and updates are those of experiments/bench/torch_side.py; the schedules are added here. All images
are in memory, so that loading costs nothing. Every few thousand images, the generator's weights and their average
(EMA), which the original samples with, are written to a file in the folder `out`, with ganzoo's names.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "experiments" / "bench"), str(ROOT)]

import torch  # noqa: E402
import torch_side  # noqa: E402
from torch.nn import functional as F  # noqa: E402

LAYOUT = torch.channels_last  # no slower than contiguous tensors for StyleGAN's preset, at any size
# Random crops of StarGAN v2: their probability, area and ratio of the sides.
CROPS, MIN_AREA, RATIOS = 0.5, 0.8, (0.9, 1.1)


class Settings:
    """What run.py decided: the options of the model, resolved by ganzoo, and the folder of the images."""

    def __init__(self, path: Path) -> None:
        content = json.loads(path.read_text())
        self.model, self.options, self.domains = content["model"], content["options"], content["domains"]
        self.batch, self.flip, self.every = content["batch"], content["flip"], content["every"]
        self.out, self.data = Path(content["out"]), Path(content["data"])
        self.sizes: list[int] = content["sizes"]
        self.rng = np.random.default_rng(0)
        self.labels = np.load(self.data / "labels.npy")

    def images(self, size: int) -> np.ndarray:
        return np.load(self.data / f"{size}.npy", mmap_mode="r")


class Images:
    """Random batches of the images of one size, mirrored at random if the data set allows it."""

    def __init__(self, settings: Settings, size: int) -> None:
        self.settings, self.pixels = settings, np.ascontiguousarray(settings.images(size))
        self.order = np.empty(0, np.int64)

    def next(self, count: int) -> np.ndarray:
        """Return the next images of an epoch in random order; the incomplete last batch is dropped."""
        if len(self.order) < count:
            self.order = self.settings.rng.permutation(len(self.pixels))
        chosen, self.order = self.order[:count], self.order[count:]
        return self.at(chosen)

    def at(self, chosen: np.ndarray) -> np.ndarray:
        found = self.pixels[chosen]
        if self.settings.flip:
            mirrored = self.settings.rng.random(len(chosen)) < 0.5
            found[mirrored] = found[mirrored, :, ::-1]
        return found


class Row:
    """What torch_side reads of a row of the benchmark."""

    def __init__(self, settings: Settings, size: int) -> None:
        self.model, self.size, self.batch = settings.model, size, settings.batch
        self.channels = settings.images(size).shape[3]

    def images(self) -> dict[str, Any]:
        return {"x": None}


class GANTraining:
    """gan and lsgan, as in gan-jittor and PyTorch-GAN. Neither averages weights."""

    def __init__(self, settings: Settings) -> None:
        self.images = Images(settings, settings.sizes[0])
        self.training = torch_side.GAN(Row(settings, settings.sizes[0]), LAYOUT)  # type: ignore[arg-type]
        self.batch = settings.batch

    def load(self, weights: dict[str, torch.Tensor]) -> None:
        trainer = self.training.trainer
        for name in ("generator", "discriminator"):
            getattr(trainer, name).load(torch_side._network_weights(weights, name))

    def iterate(self) -> None:
        self.training.batch = self.images.next(self.batch)
        self.training.iterate()

    def weights(self) -> dict[str, torch.Tensor]:
        return {f"net/generator/{name}": value for name, value in self.training.trainer.generator.entries().items()}

    def position(self) -> dict[str, float]:
        return {"stage": 0, "stage_images": 0, "size": self.images.pixels.shape[1], "alpha": 1.0}


class StyleGANTraining:
    """StyleGAN as in rosinality's port: each resolution is faded in over `phase` images, then trained for as many."""

    def __init__(self, settings: Settings) -> None:
        from tests.support.reference.stylegan import Architecture

        options, self.settings = settings.options, settings
        if options["loss"] != "r1" or not options["mixing"]:
            sys.exit("torch_side.py has StyleGAN only with --loss r1 and --mixing.")
        widths = [
            min(options["channels_max"], options["channels_base"] // side)
            for side in (4 << level for level in range(settings.sizes[-1].bit_length() - 2))
        ]
        architecture = Architecture(widths, options["latent"], options["mapping_layers"])
        row = Row(settings, settings.sizes[-1])
        self.training = torch_side.StyleGAN(row, LAYOUT, architecture)  # type: ignore[arg-type]
        self.phase, self.stage = 1000 * options["phase"], -1
        self.begin_stage()

    def begin_stage(self) -> None:
        self.stage, self.used = self.stage + 1, 0
        self.images = Images(self.settings, self.settings.sizes[self.stage])
        self.training.level = self.settings.sizes[self.stage].bit_length() - 3

    def load(self, weights: dict[str, torch.Tensor]) -> None:
        self.training.load(weights)
        self.training.ema.load_state_dict(self.training.generator.state_dict())

    def iterate(self) -> None:
        last = self.stage == len(self.settings.sizes) - 1
        if self.used > 2 * self.phase and not last:
            self.begin_stage()
        self.training.alpha = self.alpha
        self.training.batch = self.images.next(self.settings.batch)
        self.training.iterate()
        self.used += self.settings.batch

    @property
    def alpha(self) -> float:
        return 1.0 if self.stage == 0 else min(1.0, (self.used + 1) / self.phase)

    def weights(self) -> dict[str, torch.Tensor]:
        networks = {"net": self.training.generator, "ema": self.training.ema}
        return {
            f"{kind}/generator/{name}": value
            for kind, network in networks.items()
            for name, value in network.names().items()
        }

    def position(self) -> dict[str, float]:
        size = self.settings.sizes[self.stage]
        return {"stage": self.stage, "stage_images": self.used, "size": size, "alpha": self.alpha}


class StarGAN2Training:
    """StarGAN v2: images of a batch from random domains, and two references from one random domain."""

    NAMES = {"mapping_network": "mapping", "style_encoder": "encoder"}  # the reference's name: ganzoo's

    def __init__(self, settings: Settings) -> None:
        from tests.support.reference.stargan2 import Architecture
        from tests.support.reference.stargan2_steps import Training

        options, self.settings = settings.options, settings
        self.images = Images(settings, settings.sizes[0])
        architecture = Architecture(
            settings.sizes[0],
            options["style"],
            options["latent"],
            options["hidden"],
            settings.domains,
            options["channels_max"],
            options["channels_base"],
        )
        weights = {name: options[f"lambda_{name}"] for name in ("reg", "sty", "ds", "cyc")}
        self.training = Training(architecture, weights, options["ds_iter"], options["ema"])
        for network in self.training.networks.values():
            network.to(memory_format=LAYOUT)
        self.members = [np.flatnonzero(settings.labels == domain) for domain in range(settings.domains)]

    @torch.no_grad()
    def load(self, weights: dict[str, torch.Tensor]) -> None:
        for theirs, network in self.training.networks.items():
            values = torch_side._network_weights(weights, self.NAMES.get(theirs, theirs))
            for name, weight in network.named_parameters():
                weight.copy_(values[name])
        for name, copy in self.training.ema.items():
            copy.load_state_dict(self.training.networks[name].state_dict())

    def draw(self, domains: np.ndarray) -> torch.Tensor:
        chosen = np.array([self.settings.rng.choice(self.members[domain]) for domain in domains])
        images = torch_side._images(self.images.at(chosen), torch.contiguous_format)
        return torch.stack([self.cropped(image) for image in images]).contiguous(memory_format=LAYOUT)

    def cropped(self, image: torch.Tensor) -> torch.Tensor:
        rng, side = self.settings.rng, image.shape[1]
        if rng.random() >= CROPS:
            return image
        area = side**2 * rng.uniform(MIN_AREA, 1)
        ratio = np.exp(rng.uniform(*np.log(RATIOS)))
        width, height = (min(side, round(float(np.sqrt(area * each)))) for each in (ratio, 1 / ratio))
        left, top = rng.integers(side - width + 1), rng.integers(side - height + 1)
        part = image[None, :, top : top + height, left : left + width]
        return F.interpolate(part, size=(side, side), mode="bilinear")[0]

    def iterate(self) -> None:
        from tests.support.reference.stargan2_steps import Data

        y, target = self.settings.rng.integers(self.settings.domains, size=(2, self.settings.batch))
        x, reference, reference2 = self.draw(y), self.draw(target), self.draw(target)
        z, z2 = torch.randn(2, self.settings.batch, self.settings.options["latent"])
        labels, targets = torch.from_numpy(y), torch.from_numpy(target)
        self.training.iteration(Data(x, labels, z, z2, reference, reference2, targets))

    def weights(self) -> dict[str, torch.Tensor]:
        networks = {"net": self.training.networks, "ema": self.training.ema}
        return {
            f"{kind}/{self.NAMES.get(theirs, theirs)}/{name}": weight
            for kind, members in networks.items()
            for theirs in self.training.ema
            for name, weight in members[theirs].named_parameters()
        }

    def position(self) -> dict[str, float]:
        return {"stage": 0, "stage_images": 0, "size": self.settings.sizes[0], "alpha": 1.0}


TRAININGS: dict[str, Any] = {
    "gan": GANTraining,
    "lsgan": GANTraining,
    "stylegan": StyleGANTraining,
    "stargan2": StarGAN2Training,
}


def save(path: Path, training: Any, step: int, images: int) -> None:
    progress = {"step": step, "images": images, **training.position()}
    arrays = {name: value.detach().contiguous().numpy() for name, value in training.weights().items()}
    temporary = path.with_suffix(".part")
    with temporary.open("wb") as file:
        np.savez(file, progress=json.dumps(progress), **arrays)
    os.replace(temporary, path)


def main() -> None:
    settings = Settings(Path(sys.argv[1]))
    torch.manual_seed(0)
    policy = os.environ.get("OMP_WAIT_POLICY", "not set")
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads, OMP_WAIT_POLICY {policy}", flush=True)
    training = TRAININGS[settings.model](settings)
    with np.load(settings.out / "initial.npz") as file:
        training.load({name: torch.from_numpy(file[name]) for name in file.files})
    step, saved = 0, 0
    while True:
        training.iterate()
        step += 1
        images = step * settings.batch
        if images >= saved + settings.every:
            saved = images
            save(settings.out / f"{images:010}.npz", training, step, images)


if __name__ == "__main__":
    main()
