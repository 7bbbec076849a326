"""The interface of a loss, and the common GAN losses and penalties as plain functions.

A loss consists of phases, which every step runs in order. A phase computes named terms, whose sum updates the networks
that the phase names, and no others.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ganzoo.errors import ShapeError

if TYPE_CHECKING:
    import numpy as np

    from ganzoo.interfaces.networks import Generator
    from ganzoo.interfaces.progress import Progress


@dataclass(frozen=True)
class Phase:
    """A kind of update: its name, the networks it updates, and its `interval` (1: runs in every step)."""

    name: str
    networks: tuple[str, ...]
    interval: int = 1


@dataclass
class Batch:
    """The input of a phase: real `images` as a Var (N, C, H, W) in [-1, 1], their `labels` (N,), and `rng`, which draws
    noise. If the model draws references, `references` holds two Vars of N other images each. The n-th images of both
    belong to the same domain, whose label is the n-th of `targets` (N,).

    RGBA images (C = 4) have premultiplied colours: a transparent pixel is -1 in every channel.

    If the loader draws from each domain (`LoaderConfig.per_domain` or `paired`), `domains` holds a Var of N images of
    each, in the order of `DataInfo.domains`: `horses, zebras = batch.domains`. `images` are those of the first domain.

    `attributes` are those of `images`, a Var (N, A), or None if the data has none (see `DataInfo.attributes`);
    `domain_attributes` holds a Var (N, A) for each of `domains`.

    All phases of a step share one Batch. A phase may store in `cache` what a later phase reuses (e.g. the detached
    fakes). Scalar Vars that are not part of the loss but worth logging go into `logged` by name.

    With gradient accumulation, a step has several `micro_batches`, one Batch each, and the graphs that their caches
    retain add up in memory. With accumulation or several ranks, a Batch holds only part of the step's `global_size`
    images, starting at `offset`. `rng` has the same state in all parts of a step, so numbers drawn from it directly are
    the same in all of them, while `normal` and `uniform` draw separately for each image.
    """

    images: Any
    labels: np.ndarray
    rng: np.random.Generator
    references: tuple[Any, ...] = ()
    targets: Any = None
    micro_batches: int = 1
    offset: int = 0
    global_size: int | None = None
    domains: tuple[Any, ...] = ()
    attributes: Any = None
    domain_attributes: tuple[Any, ...] = ()
    cache: dict[str, Any] = field(default_factory=dict)
    logged: dict[str, Any] = field(default_factory=dict)
    _one_hot: dict[int, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.images.shape[0])

    def latents(self, length: int) -> Any:
        """Draw standard normal latents, a Var (N, length), from the run's seed."""
        return self.normal(length)

    def normal(self, *shape: int) -> Any:
        """Draw standard normal numbers, a Var (N, *shape), from the run's seed."""
        return self._local_rows(self.rng.standard_normal((self._step_size(), *shape), dtype="float32"))

    def uniform(self, *shape: int) -> Any:
        """Draw uniform numbers in [0, 1), a Var (N, *shape), from the run's seed."""
        return self._local_rows(self.rng.random((self._step_size(), *shape), dtype="float32"))

    def conditions(self, generator: Generator) -> tuple[Any, ...]:
        """Return what `generator`, and a discriminator that belongs to it, get besides latents or images: if it has
        classes, the images' labels as one-hot rows, in a tuple of one Var (N, classes); if it has attributes, those of
        the images, in a tuple of one Var (N, attributes). Otherwise the tuple is empty, so that
        `generator(z, *batch.conditions(generator))` always works.

        Fake images with the labels or attributes of the real ones have their frequencies in the data.
        """
        classes = generator.classes
        if generator.attributes:
            return (self._attributes(generator.attributes),)
        if not classes:
            return ()
        if classes not in self._one_hot:
            from ganzoo.backend import jittor

            self._one_hot[classes] = jittor().array(one_hot(self.labels, classes)).stop_grad()
        return (self._one_hot[classes],)

    def _attributes(self, count: int) -> Any:
        found = 0 if self.attributes is None else self.attributes.shape[1]
        if found != count:
            raise ShapeError(f"the generator takes {count} attributes, but the images have {found}.")
        return self.attributes

    def _step_size(self) -> int:
        return len(self) if self.global_size is None else self.global_size

    def _local_rows(self, drawn: np.ndarray) -> Any:
        """Select this Batch's rows of numbers that were drawn for the whole step."""
        from ganzoo.backend import jittor

        return jittor().array(drawn[self.offset : self.offset + len(self)])


def one_hot(labels: Any, classes: int) -> np.ndarray:
    """Return labels (N,) in 0...classes-1 as one-hot rows, float32 (N, classes)."""
    import numpy as np

    labels = np.asarray(labels)
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise ShapeError(f"labels must be in 0...{classes - 1}, but are in {labels.min()}...{labels.max()}.")
    rows: np.ndarray = np.eye(classes, dtype=np.float32)[labels.astype(np.int64)]
    return rows


class Loss(ABC):
    """Base class of losses. Subclasses list the phases and compute the terms of each.

    `panels` groups the curves in losses.png: it maps a title to a pattern of 'phase/name', which selects terms and
    logged values, e.g. {"G adversarial": "G-*/adv"}. By default each term has its own panel.
    """

    phases: tuple[Phase, ...]
    panels: Mapping[str, str] = {}

    @abstractmethod
    def __call__(self, phase: Phase, batch: Batch, progress: Progress) -> dict[str, Any]:
        """Return named terms, each a scalar Var that is already weighted and averaged over the batch."""


def binary_cross_entropy(logits: Any, real: bool) -> Any:
    """Mean of -log D for real, -log(1 - D) for fake, with D = sigmoid(logits) (Goodfellow et al. 2014, section 3).

    Sigmoid and logarithm are computed together, so that a confident discriminator yields neither infinity nor a zero
    gradient.
    """
    jt = _jt()
    _require_nonempty(logits)
    error = -logits if real else logits  # positive where the discriminator is wrong
    # Use one condition for max(error, 0) and |error|: jt.maximum and jt.abs assume different slopes at 0, and with them
    # the gradient there would be three times too large.
    positive = error > 0.0
    magnitude = jt.ternary(positive, error, -error)
    return (jt.ternary(positive, error, jt.zeros_like(error)) + jt.log(1.0 + jt.exp(-magnitude))).mean()


def least_squares(scores: Any, real: bool) -> Any:
    """Mean squared distance of the scores from 1 (real) or 0 (fake) (Mao et al. 2017, equation 9, without the 1/2)."""
    _require_nonempty(scores)
    return (scores - 1.0).sqr().mean() if real else scores.sqr().mean()


def hinge(scores: Any, real: bool) -> Any:
    """Mean of max(0, 1 - score) for real, max(0, 1 + score) for fake (Lim & Ye 2017, arXiv:1705.02894, section 3). This
    is the discriminator's loss; the generator's is `wasserstein(scores, real=True)`.
    """
    _require_nonempty(scores)
    margin = 1.0 - scores if real else 1.0 + scores
    # Not jt.maximum: see `binary_cross_entropy`.
    return _jt().ternary(margin > 0.0, margin, _jt().zeros_like(margin)).mean()


def wasserstein(scores: Any, real: bool) -> Any:
    """Mean of -score for real, of the score for fake (Arjovsky et al. 2017, arXiv:1701.07875, equations 2 and 3).

    The critic minimises `wasserstein(real_scores, real=True) + wasserstein(fake_scores, real=False)`, and the generator
    `wasserstein(fake_scores, real=True)`. The critic's weights need a bound, such as `gradient_penalty`.
    """
    _require_nonempty(scores)
    return -scores.mean() if real else scores.mean()


def gradient_penalty(discriminator: Any, real: Any, fake: Any, mix: Any) -> Any:
    """Mean of (|dD/dx| - 1)^2 at x between real and fake images (Gulrajani et al. 2017, equation 3), unweighted.

    `mix` is a Var (N, 1, 1, 1) of uniform numbers in [0, 1]. `fake` must be detached.
    """
    from ganzoo.backend.arrays import differentiable

    jt = _jt()
    _require_nonempty(real)
    points = differentiable(fake + mix * (real - fake))
    gradients = jt.grad(discriminator(points).sum(), points)
    norms = jt.sqrt(gradients.sqr().sum([1, 2, 3]) + 1e-12)
    return (norms - 1.0).sqr().mean()


def r1_penalty(scores: Any, real: Any) -> Any:
    """Mean of |dD/dx|^2 over real images x (Mescheder et al. 2018, equation 9), unweighted.

    `scores` are the discriminator's scores for `real`, a Var (N, C, H, W) made by `differentiable`.
    """
    _require_nonempty(real)
    return _jt().grad(scores.sum(), real).sqr().sum([1, 2, 3]).mean()


def _require_nonempty(x: Any) -> None:
    """Raise ShapeError for an empty batch. Jittor would return a mean of 0, whose gradient ends the process."""
    if 0 in x.shape:
        raise ShapeError(f"a loss was given an empty batch, of shape {tuple(x.shape)}.")


def _jt() -> Any:
    from ganzoo.backend import jittor

    return jittor()
