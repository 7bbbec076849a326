"""A history of generated images for the discriminator (Shrivastava et al. 2017)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ganzoo import distributed
from ganzoo.backend import jittor
from ganzoo.distributed import collectives
from ganzoo.errors import PluginError, ShapeError
from ganzoo.interfaces.networks import Network

if TYPE_CHECKING:
    from ganzoo.interfaces.loss import Batch

jt: Any = jittor()

_NO_SLOT = 2**31 - 1


class ReplayBuffer(Network):
    """Up to `capacity` generated images of `shape` (C, H, W), to show the discriminator older images too (Shrivastava
    et al. 2017, arXiv:1612.07828, section 2.3).

    Name it among the networks of `ganzoo.Setup`, without an optimizer or an EMA: its content is then saved in
    checkpoints, and kept if an update is skipped. It is not loaded for sampling.
    """

    def __init__(self, capacity: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        if capacity < 1:
            raise PluginError(f"a replay buffer needs a capacity of at least 1, not {capacity}.")
        self.images = jt.zeros((capacity, *shape)).stop_grad()
        self.seen = jt.zeros((1, 1), dtype="int32").stop_grad()  # the number of images that `query` was given

    def query(self, images: Any, batch: Batch) -> Any:
        """Give the buffer this batch's new images (N, C, H, W), and return as many for the discriminator, detached.

        Until the buffer is full, each image is stored and returned. From then on, with a probability of 1/2, an image
        is swapped for a random one from earlier steps; otherwise it is returned. In one step, a stored image is swapped
        at most once.
        """
        count, capacity, expected = len(batch), self.images.shape[0], (len(batch), *self.images.shape[1:])
        if tuple(images.shape) != expected or 0 in expected:
            raise ShapeError(f"a replay buffer expects images of shape {expected}, got {tuple(images.shape)}.")
        images, stored = images.detach(), self.images.detach()
        size, ranks = batch.global_size or count, distributed.data_parallel_size()
        choices = batch.rng.permutation(max(size, capacity))[:size]
        swapping = (batch.rng.random(size) < 0.5) & (choices < capacity)
        slots = np.where(swapping, choices, _NO_SLOT)

        # A step's images may come in several parts, in any order, so each image is treated by its position in the step.
        share = size // ranks
        local = batch.offset + np.arange(count)
        of_all_ranks = np.concatenate([local % share + rank * share for rank in range(ranks)])
        before_step = self.seen - _column([batch.offset % share * ranks])
        swapped, slot = _destinations(images, before_step, local, slots, capacity)
        returned = jt.ternary(_over_pixels(swapped), _rows(stored, swapped * slot), images)

        images = collectives.all_gather(images)
        _, slot = _destinations(images, before_step, of_all_ranks, slots, capacity)
        written = (slot == jt.index((len(of_all_ranks), capacity), 1)).int32()
        source = (written * jt.index(written.shape, 0)).sum([0]).reshape((-1, 1))
        replaced = written.sum([0]).reshape((-1, 1))
        self.images.update(jt.ternary(_over_pixels(replaced), _rows(images, source), stored))
        self.seen.update(self.seen + len(of_all_ranks))
        return returned


def _destinations(images: Any, before_step: Any, positions: np.ndarray, slots: np.ndarray, capacity: int) -> Any:
    """Return, as int32 (N, 1), which images are swapped for a stored one, and the slot in which each is stored.

    `positions` are the images' positions in the step, and `slots` (of the whole step) say which slot to swap with.
    `before_step` is the number of images seen before the step.
    """
    order, slot, nowhere = before_step + _column(positions), _column(slots[positions]), _column([_NO_SLOT])
    # A non-finite image is not swapped, so that the discriminator's loss is not finite either and the phase is skipped.
    finite = jt.isfinite(images.reshape((len(positions), -1)).sum([1])).int32().reshape((-1, 1))
    full = (order >= capacity).int32()
    swapped = full * (slot < before_step).int32() * finite
    return swapped, jt.ternary(full, jt.ternary(swapped, slot, nowhere.broadcast(slot)), order)


def _column(numbers: Any) -> Any:
    """Return integers as an int32 Var (N, 1)."""
    return jt.array(np.asarray(numbers, np.int32).reshape(-1, 1))


def _rows(images: Any, indices: Any) -> Any:
    """Return images[indices] for indices (K, 1)."""
    return images.reindex([indices.shape[0], *images.shape[1:]], ["@e0(i0,0)", "i1", "i2", "i3"], extras=[indices])


def _over_pixels(flags: Any) -> Any:
    """Reshape (N, 1) to (N, 1, 1, 1)."""
    return flags.reshape((-1, 1, 1, 1))
