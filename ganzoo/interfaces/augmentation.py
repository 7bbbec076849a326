"""Where augmentation enters: at the images that a `Discriminator` sees while training computes a loss.

Training defines the augmentation (`ganzoo.training.augmentation`); here it is handed to the discriminators, so that no
model needs to know of it. An augmentation that adapts to the scores of real images recognises these by marks, which
`Batch.images` and `Batch.references` have from the start.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Protocol

from ganzoo.backend import arrays


class Augmentation(Protocol):
    """The augmentation of one phase. `reals` holds, by the id of a Var, the marked Var and how many of its rows are
    real."""

    reals: dict[int, tuple[Any, int]]

    def augment(self, images: Any) -> Any:
        """Return the augmented images (N, C, H, W)."""

    def observe(self, scores: Any, real_rows: int, boundary: float) -> None:
        """Take note of the discriminator's scores, of which those of the first `real_rows` images are of real ones.
        At a score of `boundary`, an image is as likely real as generated."""


_current: Augmentation | None = None


def current() -> Augmentation | None:
    """Return the augmentation in effect; None outside of training, and inside a discriminator."""
    return _current


@contextlib.contextmanager
def augmenting(augmentation: Augmentation | None) -> Iterator[None]:
    """Within the body, discriminators in training mode see augmented images; with None, the images as they are."""
    global _current
    previous, _current = _current, augmentation
    try:
        yield
    finally:
        _current = previous


def mark_real(images: Any, rows: int | None = None) -> Any:
    """Mark a Var (N, C, H, W) as real images and return it; with `rows`, only its first rows are real.

    Adaptive augmentation (`--augment ada`) is steered by the discriminator's scores of real images. It knows
    `batch.images`, and what `differentiable` makes of it. Mark other Vars that are computed from real images, such as
    real images that are blended with their half-size version, or real images that are concatenated with fakes.
    """
    if _current is not None:
        _current.reals[images.id] = images, images.shape[0] if rows is None else rows
    return images


def differentiable(x: Any) -> Any:
    """Return `x`, detached from its graph, as a Var for which gradients can be computed, like torch's
    x.detach().requires_grad_(). Without this, real images have no gradients."""
    leaf = arrays.differentiable(x)
    if _current is not None and x.id in _current.reals:
        mark_real(leaf, _current.reals[x.id][1])
    return leaf
