"""The controller of ADA's probability p (Karras et al. 2020, arXiv:2006.06676, section 3)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ganzoo import distributed
from ganzoo.backend import jittor
from ganzoo.checkpoints.description import AdaState

INTERVAL = 4  # steps between adjustments
RAMP = 500_000  # images in which p can go from 0 to 1


class Controller:
    """Raises p while r_t, the mean sign of the discriminator's scores of real images, is above `target`, and lowers it
    while r_t is below.

    The mean is over all scores since the last adjustment. Its sums stay on the device until then.
    """

    _signs: Any
    _scores: Any

    def __init__(self, target: float) -> None:
        self.target = target
        self.load(AdaState())

    def add(self, signs: Any, scores: Any, finite: Any) -> None:
        """Add a phase's sum of signs and its number of scores, Vars (1, 1) that are means over the ranks. They are
        ignored if `finite`, a Var (1,), is 0."""
        valid = finite.reshape((1, 1))
        totals = ((self._signs, signs), (self._scores, scores))
        self._signs, self._scores = (jittor().ternary(valid, total + new, total).stop_grad() for total, new in totals)

    def end_step(self, step: int, images: int) -> float | None:
        """Count a step of `images` images, the `step`-th of the run from 0. After every INTERVAL steps, adjust p and
        return r_t, or None if no score was finite."""
        self._images += images
        if (step + 1) % INTERVAL:
            return None
        state = self.state()
        r = state.signs / state.scores if state.scores else None
        self.load(AdaState(self.p if r is None else adjusted(self.p, r, self.target, state.images)))
        return r

    def state(self) -> AdaState:
        """Return p and the sums, for a checkpoint. Waits for the device."""
        # Sums are of whole numbers, but their means over the ranks are rounded.
        ranks = distributed.world_size()
        signs, scores = (round(float(each.item()) * ranks) for each in (self._signs, self._scores))
        return AdaState(self.p, self._images, signs, scores)

    def load(self, state: AdaState) -> None:
        """Continue from a checkpoint."""
        self.p, self._images = state.p, state.images
        # Two axes, because Jittor compiles an array (1,) into the kernel if its value is 0 or 1.
        ranks = distributed.world_size()
        self._signs, self._scores = (
            jittor().array(np.full((1, 1), total / ranks, np.float32)).stop_grad()
            for total in (state.signs, state.scores)
        )


def adjusted(p: float, r: float, target: float, images: int) -> float:
    """Return p after `images` images in which the mean sign was `r`."""
    return float(np.clip(p + np.sign(r - target) * images / RAMP, 0, 1))
