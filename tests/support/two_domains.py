"""A small model that draws images of two domains, as CycleGAN does: it learns the mean colour of both."""

from __future__ import annotations

from typing import Any

from ganzoo import Adam, Batch, DataInfo, LoaderConfig, Loss, Model, Phase, Setup, TrainOptions


class TwoDomains(Model):
    """Model whose two networks learn one domain each; `config` is its LoaderConfig."""

    name = "two-domains"
    summary = "the mean colours of two domains"
    conditional = True
    config = LoaderConfig(per_domain=True)

    def loader_config(self, options: Any) -> LoaderConfig:
        return self.config

    def build(self, options: Any, data: DataInfo, train: TrainOptions) -> Setup:
        from ganzoo import Generator, jt

        class Colour(Generator):
            latent = data.channels

            def __init__(self) -> None:
                super().__init__()
                self.colour = jt.zeros((1, data.channels, 1, 1))

            def execute(self, z: Any) -> Any:
                colours = self.colour + z.reshape((z.shape[0], data.channels, 1, 1))
                return jt.tanh(colours.broadcast((z.shape[0], data.channels, data.size, data.size)))

        networks = {"generator": Colour(), "other": Colour()}
        # The second network has no EMA, as a discriminator.
        return Setup(networks, dict.fromkeys(networks, Adam(0.01)), TwoDomainsLoss(networks), ema={"generator": 0.5})

    def sheets(self, inputs: Any) -> Any:
        shift = inputs.latents(inputs.data.channels)[: len(inputs.pixels[0])]
        yield "first", inputs.sheet(inputs.domains[0], inputs.pixels[1], inputs.networks["generator"](shift))
        yield "second", inputs.sheet(inputs.networks["other"](0.0 * shift))


class TwoDomainsLoss(Loss):
    """Squared distance of each network's images from the images of its domain."""

    phases = (Phase("colours", ("generator", "other")),)

    def __init__(self, networks: Any) -> None:
        self.networks = networks

    def __call__(self, phase: Phase, batch: Batch, progress: Any) -> dict[str, Any]:
        first, second = batch.domains
        z = batch.latents(int(first.shape[1]))
        return {
            "first": (self.networks["generator"](z) - first).sqr().mean(),
            "second": (self.networks["other"](z) - second).sqr().mean(),
        }
