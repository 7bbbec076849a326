"""The augmentation of a run: which images it transforms, with which random numbers, and how strongly."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ganzoo.backend import jittor
from ganzoo.backend.arrays import constant
from ganzoo.distributed import collectives
from ganzoo.errors import OptionError, PluginError
from ganzoo.interfaces.augmentation import augmenting, mark_real
from ganzoo.interfaces.dataset import DataInfo
from ganzoo.interfaces.loss import Batch
from ganzoo.interfaces.train_options import TrainOptions
from ganzoo.training.augmentation import ada, diffaugment
from ganzoo.training.augmentation.controller import INTERVAL, Controller

if TYPE_CHECKING:
    from ganzoo.interfaces.networks import Network


class Augmenter:
    """Augments the images of discriminators with `--augment`. With ada, p is fixed, or steered by a controller.

    `knows_reals` says whether a discriminator has been given images that are marked as real.
    """

    def __init__(self, options: TrainOptions, data: DataInfo) -> None:
        self.kind = options.augment
        self.channels = (1, 3, 4) if data.channels == 4 else (1, 3)  # which the images of discriminators may have
        self.mirror = data.flip if options.flip is None else options.flip
        adaptive = self.kind == "ada" and options.augment_p is None
        self.controller = Controller(options.ada_target) if adaptive else None
        self._fixed_p = options.augment_p or 0.0
        self._signs: list[Any] = []  # of the current phase, and the numbers of scores
        self._scores: list[Any] = []
        self._steps, self.knows_reals = 0, False

    @property
    def p(self) -> float:
        """The probability of each transformation of ada."""
        return self.controller.p if self.controller else self._fixed_p

    @contextlib.contextmanager
    def phase(self, key: Sequence[int], batch: Batch) -> Iterator[None]:
        """Within the body, which computes the loss of a micro-batch, augment what discriminators see. The random
        numbers depend only on `key`, on the position of the images in the step's batch, and on how many discriminators
        were called before."""
        augmentation = PhaseAugmentation(self, key, batch)
        with augmenting(augmentation):
            for images in (batch.images, *batch.references, *batch.domains):
                mark_real(images)
            yield

    def transform(self, images: Any, rng: np.random.Generator, count: int, rows: np.ndarray) -> Any:
        """Return the augmented images (N, C, H, W), which are the `rows` (N,) of `count` images drawn for."""
        shape = tuple(images.shape[1:])
        if len(shape) != 3 or shape[0] not in self.channels:
            known = "1, 3 or 4" if 4 in self.channels else "1 or 3"
            raise PluginError(
                f"--augment {self.kind} needs images (N, C, H, W) of {known} channels as a discriminator's first "
                f"argument, got {tuple(images.shape)}."
            )
        if self.kind == "diffaugment":
            return diffaugment.apply(images, _select(diffaugment.draw(rng, count, shape), rows))
        if self.p == 0:
            return images
        return ada.apply(images, _select(ada.draw(rng, count, shape, self.p, self.mirror), rows))

    def observe(self, scores: Any, total: int, real: int, boundary: float) -> None:
        """Add up the signs of the scores, minus `boundary`, of the first `real` of `total` images."""
        self.knows_reals = True
        if self.controller is None:
            return
        jt = jittor()
        scores = scores.detach().reshape((total, -1))
        # Selects the rows; the comparisons are unreliable for NaN, which `isfinite` recognises.
        counted = jt.isfinite(scores).float32() * constant((np.arange(total) < real)[:, None])
        limit = constant(np.full((1, 1), boundary))
        signs = (scores > limit).float32() - (scores < limit).float32()
        self._signs.append((signs * counted).sum().reshape((1, 1)))
        self._scores.append(counted.sum().reshape((1, 1)))

    def end_phase(self, finite: Any) -> None:
        """Count the scores of a phase unless its update was skipped, that is if `finite`, a Var (1,), is 0."""
        if self.controller is not None and self._scores:
            signs, scores = collectives.all_reduce_mean([sum(self._signs), sum(self._scores)])
            self.controller.add(signs, scores, finite)
        self._signs, self._scores = [], []

    def end_step(self, step: int, images: int, longest_interval: int) -> dict[str, float]:
        """Count a step of `images` images, adjust p if that is due, and return the values to log.

        PluginError if the steps of this process contained every phase, and no discriminator was given real images.
        """
        if self.controller is None:
            return {}
        self._steps += 1
        if not self.knows_reals and self._steps >= max(INTERVAL, longest_interval):
            raise PluginError(
                "--augment ada adapts to the scores of real images, but no discriminator was given any: pass it "
                "batch.images, or mark other real images with ganzoo.mark_real. A fixed --augment-p needs no marks."
            )
        logged = {"p": self.controller.p}
        r = self.controller.end_step(step, images)
        return logged if r is None else {**logged, "r_t": r}


class PhaseAugmentation:
    """The augmentation of a micro-batch in one phase; see `interfaces.augmentation.Augmentation`."""

    def __init__(self, augmenter: Augmenter, key: Sequence[int], batch: Batch) -> None:
        self.augmenter, self.key, self.batch = augmenter, key, batch
        self.reals: dict[int, tuple[Any, int]] = {}
        self._calls = 0
        self._rows = 0

    def augment(self, images: Any) -> Any:
        """Draw for the whole step's images, and use the rows of this micro-batch. If there are several images for each
        of the batch, as with concatenated reals and fakes, each part of N rows belongs to the N images of the batch."""
        local, total = len(self.batch), self.batch.global_size or len(self.batch)
        self._rows = int(images.shape[0])
        parts, rest = divmod(self._rows, local)
        key = [*self.key, self._calls]
        self._calls += 1
        if rest:  # not one per image of the batch: the numbers depend on the division into micro-batches
            rng = np.random.default_rng([*key, self.batch.offset])
            return self.augmenter.transform(images, rng, self._rows, np.arange(self._rows))
        rows = np.arange(parts)[:, None] * total + self.batch.offset + np.arange(local)
        return self.augmenter.transform(images, np.random.default_rng(key), parts * total, rows.ravel())

    def observe(self, scores: Any, real_rows: int, boundary: float) -> None:
        """See `Augmenter.observe`. Of several results of a discriminator, the first are the scores."""
        first = scores[0] if isinstance(scores, (list, tuple)) else scores
        self.augmenter.observe(first, self._rows, real_rows, boundary)


def _select(parameters: Mapping[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values[rows] for name, values in parameters.items()}


def check_augmentable(options: TrainOptions, networks: Mapping[str, Network]) -> None:
    """Raise OptionError if the model has no discriminator that could be given augmented images."""
    if options.augment != "none" and not has_discriminator(networks):
        raise OptionError(f"--augment {options.augment} has no effect: the model has no ganzoo.Discriminator.")


def has_discriminator(networks: Mapping[str, Network]) -> bool:
    """Return whether a network is a `Discriminator`, or contains one."""
    from ganzoo.interfaces.networks import Discriminator  # not at the top: it needs a started Jittor

    return any(isinstance(module, Discriminator) for network in networks.values() for module in network.modules())
