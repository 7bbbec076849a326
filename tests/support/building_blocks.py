"""A tiny model that uses the building blocks together: norms, spectral normalisation, hinge loss, replay buffer."""

from __future__ import annotations

from typing import Any

import numpy as np

import ganzoo
from ganzoo import Adam, Batch, DataInfo, Loss, Model, Phase, Progress, Setup, TrainOptions

CAPACITY = 7
BATCH = 4


class BuildingBlocks(Model):
    """Generator with an instance and a group norm, spectrally normalised discriminator."""

    name = "building-blocks"
    summary = "every building block once"

    def build(self, options: Any, data: DataInfo, train: TrainOptions) -> Setup:
        jt = ganzoo.jt
        side = data.size // 2

        class Generator(ganzoo.Generator):
            latent = 3

            def __init__(self) -> None:
                super().__init__()
                self.first = ganzoo.Linear(3, 4 * side * side)
                self.group = ganzoo.GroupNorm(2, 4)
                self.second = ganzoo.UpsampledConv(4, 4, bias=False)
                self.instance = ganzoo.InstanceNorm(4, affine=True)
                self.last = ganzoo.Conv(4, data.channels, 1)

            def execute(self, z: Any) -> Any:
                x = self.group(self.first(z).reshape((z.shape[0], 4, side, side)))
                return ganzoo.tanh(self.last(self.instance(self.second(x))))

        class Discriminator(ganzoo.Discriminator):
            def __init__(self) -> None:
                super().__init__()
                self.layers = jt.nn.Sequential(
                    ganzoo.spectral_norm(ganzoo.Conv(data.channels, 4, 4, stride=2, padding=1)), ganzoo.LeakyReLU()
                )
                self.score = ganzoo.spectral_norm(ganzoo.Linear(4 * side * side, 1))

            def execute(self, images: Any) -> Any:
                return self.score(self.layers(images).reshape((images.shape[0], -1)))

        generator, discriminator = Generator(), Discriminator()
        for network in (generator, discriminator):
            ganzoo.init_dcgan(network, 0.1)
        pool = ganzoo.ReplayBuffer(CAPACITY, (data.channels, data.size, data.size))
        adam = Adam(0.01, beta1=0.5)
        return Setup(
            {"generator": generator, "discriminator": discriminator, "pool": pool},
            {"generator": adam, "discriminator": adam},
            BuildingBlocksLoss(generator, discriminator, pool),
            ema={"generator": 0.9},
        )


class BuildingBlocksLoss(Loss):
    """Hinge loss on the discriminator, which also sees older fakes. The term of the phase `bad` is infinite."""

    phases = (Phase("discriminator", ("discriminator",)), Phase("generator", ("generator",)))
    bad = ""

    def __init__(self, generator: Any, discriminator: Any, pool: Any) -> None:
        self.generator, self.discriminator, self.pool = generator, discriminator, pool

    def __call__(self, phase: Phase, batch: Batch, progress: Progress) -> dict[str, Any]:
        fakes = self.generator(batch.latents(3))
        spoilt = float("inf") if phase.name == self.bad else 0.0
        if phase.name == "generator":
            return {"adversarial": ganzoo.wasserstein(self.discriminator(fakes), real=True) + spoilt}
        fakes = self.pool.query(fakes, batch)
        return {
            "real": ganzoo.hinge(self.discriminator(batch.images), real=True) + spoilt,
            "fake": ganzoo.hinge(self.discriminator(fakes), real=False),
        }


class Training:
    """Training of the model in this process, on noise. With several ranks, each takes its share of every batch."""

    def __init__(self, micro_batch: int | None = None, seed: int = 0) -> None:
        from ganzoo.training.loss_stats import LossStats
        from ganzoo.training.state import TrainState
        from ganzoo.training.step import Step

        train = ganzoo.TrainOptions(batch=BATCH, seed=seed)
        self.state = TrainState(BuildingBlocks(), ganzoo.Options(), DataInfo("noise", 9, 8, 1), train)
        self.loss_stats = LossStats()
        self.step = Step(self.state, 0, micro_batch, self.loss_stats.add, self.loss_stats.log)

    def run(self, bad: str = "") -> int:
        """Run a step, in which the loss of the phase `bad` is infinite. Return the number of skipped updates."""
        from ganzoo import distributed
        from ganzoo.data.loader import ImageBatch

        self.state.setup.loss.bad = bad
        rng = np.random.default_rng(self.state.progress.step)
        images = ImageBatch(rng.integers(0, 256, (BATCH, 8, 8, 1), np.uint8), np.zeros(BATCH, np.int64))
        share = BATCH // distributed.world_size()
        self.step(images.slice(distributed.rank() * share, (distributed.rank() + 1) * share))
        self.state.progress = self.state.progress.after(BATCH)
        return self.loss_stats.fetch().skipped
