"""A small data set with attributes, and a small GAN that uses them: each image has a single colour."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ganzoo import (
    Adam,
    Batch,
    DataError,
    DataInfo,
    Dataset,
    DataSource,
    Loss,
    Metric,
    Model,
    Phase,
    Setup,
    Stage,
    TrainOptions,
    least_squares,
)

NAMES = ("bright", "age")
COUNT = 10


class Shades(Dataset):
    """Grey images, as bright as their first attribute. Those in `unreadable` can't be read."""

    def __init__(
        self,
        names: tuple[str, ...] = NAMES,
        count: int = COUNT,
        domains: tuple[str, ...] = (),
        unreadable: Iterable[int] = (),
    ) -> None:
        self.info, self.unreadable = DataInfo("shades", count, 8, 1, domains, attributes=names), set(unreadable)

    def load(self, index: int, size: int | None = None) -> tuple[np.ndarray, int]:
        if index in self.unreadable:
            raise DataError(f"image {index} can't be read.")
        return np.full((size or 8, size or 8, 1), 20 * index % 256, np.uint8), index % max(1, len(self.info.domains))

    def attributes(self) -> np.ndarray:
        index = np.arange(self.info.count, dtype=np.float32)
        return np.stack([index * (20 / 255), index + 1], 1)[:, : len(self.info.attributes)]


class ShadesSource(DataSource):
    """The data set by name."""

    summary = "grey images"

    def __init__(self, name: str = "shades", names: tuple[str, ...] = NAMES) -> None:
        self.name, self.names = name, names  # type: ignore[misc]

    def open(self) -> Dataset:
        return Shades(self.names)


class ShadesGAN(Model):
    """A generator whose images have one colour, computed from the latent and the attributes. With `growing`, training
    has two stages."""

    name = "shades-gan"
    summary = "the smallest GAN with attributes"

    def __init__(self, growing: bool = False) -> None:
        self.growing = growing

    def stages(self, options: Any, train: TrainOptions, data: DataInfo) -> list[Stage]:
        sizes = [Stage(4, train.batch, images=4)] if self.growing else []
        return [*sizes, Stage(data.size, train.batch)]

    def build(self, options: Any, data: DataInfo, train: TrainOptions) -> Setup:
        from ganzoo import Discriminator, Generator, Linear, jt, tanh

        class Colour(Generator):
            latent, size = 2, data.size

            def __init__(self) -> None:
                super().__init__()
                self.attributes = len(data.attributes)
                self.layer = Linear(2 + self.attributes, data.channels)

            def grow(self, size: int, alpha: float) -> None:
                self.size = size

            def execute(self, z: Any, *attributes: Any) -> Any:
                colours = tanh(self.layer(jt.concat([z, *attributes], 1)))
                shape = z.shape[0], data.channels, self.size, self.size
                return colours.reshape((*shape[:2], 1, 1)).broadcast(shape)

        class Critic(Discriminator):
            def __init__(self) -> None:
                super().__init__()
                self.layer = Linear(data.channels + len(data.attributes), 1)

            def execute(self, images: Any, *attributes: Any) -> Any:
                return self.layer(jt.concat([images.mean([2, 3]), *attributes], 1))

        generator, critic = Colour(), Critic()
        return Setup(
            {"generator": generator, "critic": critic},
            {"generator": Adam(0.01), "critic": Adam(0.01)},
            ShadesLoss(generator, critic),
            ema={"generator": 0.5},
        )

    def sheets(self, inputs: Any) -> Any:
        conditions = [inputs.attributes()] if inputs.data.attributes else []
        yield "own", inputs.sheet(inputs.networks["generator"](inputs.latents(2), *conditions))


class ShadesLoss(Loss):
    """Least squares."""

    phases = (Phase("critic", ("critic",)), Phase("generator", ("generator",)))

    def __init__(self, generator: Any, critic: Any) -> None:
        self.generator, self.critic = generator, critic

    def __call__(self, phase: Phase, batch: Batch, progress: Any) -> dict[str, Any]:
        attributes = batch.conditions(self.generator)
        fakes = self.generator(batch.latents(2), *attributes)
        if phase.name == "generator":
            return {"fake": least_squares(self.critic(fakes, *attributes), real=True)}
        return {
            "real": least_squares(self.critic(batch.images, *attributes), real=True),
            "fake": least_squares(self.critic(fakes.detach(), *attributes), real=False),
        }


class Brightness(Metric):
    """Difference between the mean brightness of generated and of real images."""

    name = "brightness"
    summary = "difference of the mean brightness"

    def compute(self, evaluation: Any) -> dict[str, float]:
        means = [
            np.concatenate([*batches]).mean() for batches in (evaluation.generated_images(), evaluation.real_images())
        ]
        return {"brightness": float(abs(means[0] - means[1]))}


def register(registry: Any) -> Any:
    """Add the model, the data set, others with other attributes or none, and the metric to a registry."""
    registry.models[ShadesGAN.name] = ShadesGAN()
    registry.metrics[Brightness.name] = Brightness()
    for source in (ShadesSource(), ShadesSource("tints", ("bright", "hue")), ShadesSource("plain", ())):
        registry.datasets[source.name] = source
    return registry
