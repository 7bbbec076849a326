"""A model that translates without styles, and whose translations a test can compute: it makes an image brighter from
domain 0 to 1, and darker from 1 to 0."""

from __future__ import annotations

from typing import Any

from ganzoo import Adam, Batch, DataInfo, DirectTranslator, Loss, Model, Options, Phase, Progress, Setup, TrainOptions

FORWARD, BACKWARD = (0, 1), (1, 0)


class ShiftLoss(Loss):
    """Pulls the shift towards 0.5."""

    phases = (Phase("shift", ("shift",)),)

    def __init__(self, network: Any) -> None:
        self.network = network

    def __call__(self, phase: Phase, batch: Batch, progress: Progress) -> dict[str, Any]:
        return {"distance": (self.network.shift - 0.5).sqr().mean()}


class ShiftModel(Model):
    """The model, with both directions or only the first."""

    name, summary, options, conditional = "shift", "shifts brightness", Options, True

    def __init__(self, directions: tuple[tuple[int, int], ...] = (FORWARD, BACKWARD)) -> None:
        self.directions = directions

    def build(self, options: Any, data: DataInfo, train: TrainOptions) -> Setup:
        from ganzoo import Network, jt

        class Shift(Network):
            def __init__(self) -> None:
                super().__init__()
                self.shift = jt.zeros((1, 1, 1, 1))

        network = Shift()

        class ShiftTranslator(DirectTranslator):
            directions = self.directions

            def translate(self, images: Any, direction: tuple[int, int]) -> Any:
                return images + network.shift if direction == FORWARD else images - network.shift

        return Setup({"shift": network}, {"shift": Adam(0.1)}, ShiftLoss(network), translator=ShiftTranslator())
