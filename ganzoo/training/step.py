"""A training step: the gradients and updates of every phase that is due."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from ganzoo import backend, distributed
from ganzoo.backend import updates
from ganzoo.backend.arrays import from_images, scalar
from ganzoo.data.loader import ImageBatch
from ganzoo.distributed import collectives
from ganzoo.errors import OptionError, PluginError, RunError, ShapeError
from ganzoo.interfaces import layers
from ganzoo.interfaces.loss import Batch, Phase
from ganzoo.interfaces.networks import Network
from ganzoo.interfaces.replay_buffer import ReplayBuffer
from ganzoo.interfaces.stages import Stage
from ganzoo.registry.setup_validation import check_terms
from ganzoo.training.state import TrainState

# Callback for the values of a phase by name, and a Var (1,) that is 1 if the networks were updated, 0 if not.
OnNumbers = Callable[[Phase, dict[str, Any], Any], None]
AUGMENTATION = Phase("augmentation", ())  # under this name, what the augmentation logs is reported


def to_device(
    batch: ImageBatch, rng: np.random.Generator, micro_batches: int = 1, offset: int = 0, global_size: int | None = None
) -> Batch:
    """Convert uint8 images (N, H, W, C) to a Batch of float32 images (N, C, H, W) in [-1, 1]."""
    references = () if batch.references is None else tuple(from_images(images) for images in batch.references)
    domains = () if batch.domains is None else tuple(from_images(images) for images in batch.domains)
    images = domains[0] if domains else from_images(batch.images)
    attributes = None if batch.attributes is None else _constant_rows(batch.attributes)
    domain_attributes = () if batch.domain_attributes is None else tuple(map(_constant_rows, batch.domain_attributes))
    return Batch(
        images,
        batch.labels,
        rng,
        references,
        batch.targets,
        micro_batches,
        offset,
        global_size,
        domains,
        attributes,
        domain_attributes,
    )


def _constant_rows(rows: np.ndarray) -> Any:
    return backend.jittor().array(rows).stop_grad()


def split_batch(batch: ImageBatch, micro_batch: int | None) -> list[ImageBatch]:
    """Split a batch into the fewest micro-batches of at most `micro_batch` images (of each domain), as equal in size as
    possible."""
    ends = list(accumulate(micro_batch_sizes(len(batch.labels), micro_batch), initial=0))
    return [batch.slice(start, end) for start, end in pairwise(ends)]


def micro_batch_sizes(images: int, micro_batch: int | None) -> list[int]:
    """Return the sizes of the micro-batches that `split_batch` makes, largest first."""
    count = -(-images // (micro_batch or images))
    return [images // count + (number < images % count) for number in range(count)]


def micro_batch_limit(stage: Stage, micro_batch: int | None) -> int | None:
    """Return the smaller of the stage's and the user's limits of the micro-batch size; None if there is no limit."""
    return min((size for size in (micro_batch, stage.micro_batch) if size), default=None)


def check_micro_batches(networks: Mapping[str, Network], stages: Sequence[Stage], micro_batch: int | None) -> None:
    """Raise OptionError if a network would compute batch statistics over a single image, which would turn batch
    normalisation into instance normalisation. Statistics cover the images of all ranks, so one rank may have a single
    image."""
    norms = (layers.BatchNorm, backend.jittor().nn.BatchNorm)
    found = [
        name
        for name, network in networks.items()
        if any(isinstance(each, norms) and each.is_train for each in network.modules())
    ]
    for stage in stages:
        limit = micro_batch_limit(stage, micro_batch)
        if (
            found
            and distributed.world_size() * min(micro_batch_sizes(stage.batch // distributed.world_size(), limit)) == 1
        ):
            limited = f" in micro-batches of at most {limit}" if limit and stage.batch > 1 else ""
            raise OptionError(
                f"--batch {stage.batch}{limited}: batch normalisation in the {' and the '.join(found)} needs at least "
                "two images at once; over a single image it would be instance normalisation."
            )


class Step:
    """Training step on a state. All noise, including Jittor's own (dropout), is seeded by the run's seed and the step's
    number, so a step is reproducible without any saved random state.

    If `mpirun` started several processes, each handles its share of the images. Terms, gradients and buffers are
    averaged over the ranks, so the networks stay identical on all of them.

    A phase whose loss or gradients are not all finite leaves weights, optimizers' state and buffers unchanged. The
    device decides this, so the host does not wait.
    """

    def __init__(
        self,
        state: TrainState,
        seed: int,
        micro_batch: int | None,
        on_terms: OnNumbers,
        on_logged: OnNumbers = lambda phase, values, finite: None,
    ) -> None:
        self.state, self.seed, self.micro_batch = state, seed, micro_batch
        self.on_terms, self.on_logged = on_terms, on_logged
        self.phases = state.setup.loss.phases
        for network in state.setup.networks.values():
            network.train()

    def __call__(self, images: ImageBatch) -> None:
        """Run one step on `images`."""
        starting = self.state.advance()
        if starting:
            self.unused_weights = UnusedWeights(self.state)
            self.buffers = Buffers(self.state)
        step = self.state.progress.step
        backend.seed(self.seed, 1, step)
        batches = self._batches(images)
        with distributed.data_parallel():
            for index, phase in enumerate(self.phases):
                if step % phase.interval == 0:
                    self._run(phase, batches, [self.seed, 3, step, index])
                    backend.run_pending()  # frees this phase's activations before the next one allocates its own
        if starting:
            self.buffers.check_assignments()
        self.state.ema.update()
        backend.run_pending()
        if self.state.augmenter is not None:
            longest = max(phase.interval for phase in self.phases)
            logged = self.state.augmenter.end_step(step, self.state.batch, longest)
            if logged:
                values = {name: np.float64(value) for name, value in logged.items()}
                self.on_logged(AUGMENTATION, values, np.float64(1))

    def _batches(self, images: ImageBatch) -> list[Batch]:
        """Return the step's micro-batches. Each has its own random generator with the same seed, so the noise depends
        neither on the number of micro-batches nor on the number of ranks."""
        micro_batches = split_batch(images, micro_batch_limit(self.state.upcoming().stage, self.micro_batch))
        local_size, batches = len(images.labels), []
        offset = distributed.rank() * local_size
        for micro_batch in micro_batches:
            rng = np.random.default_rng([self.seed, 2, self.state.progress.step])
            batches.append(
                to_device(micro_batch, rng, len(micro_batches), offset, distributed.world_size() * local_size)
            )
            offset += len(micro_batch.labels)
        return batches

    def _run(self, phase: Phase, batches: list[Batch], key: Sequence[int]) -> None:
        """Run a phase. `key` seeds the augmentation of its images."""
        augmenter = self.state.augmenter
        optimizers = [self.state.optimizers[name] for name in phase.networks]
        weights = [weight for optimizer in optimizers for weight in optimizer.weights.values()]
        total = sum(len(batch) for batch in batches)
        gradients: list[Any] = []
        means: dict[str, Any] = {}
        logged: dict[str, Any] = {}
        self.buffers.save()
        for batch in batches:
            share = len(batch) / total
            with augmenter.phase(key, batch) if augmenter else contextlib.nullcontext():
                terms = self._terms(phase, batch)
            loss = sum(terms.values())
            part = self._gradients(phase, loss * share if share < 1 else loss, weights)
            gradients = [a + b for a, b in zip(gradients, part)] if gradients else part
            for name, term in terms.items():
                _accumulate(means, name, term, share)
            for name, value in batch.logged.items():
                _accumulate(logged, name, value, share)
            batch.logged.clear()
            if len(batches) > 1:
                backend.run_pending()  # frees this micro-batch's activations before the next one
        gradients = collectives.all_reduce_mean(gradients)
        means, logged = (dict(zip(each, collectives.all_reduce_mean(list(each.values())))) for each in (means, logged))
        finite = self._update(phase, gradients, means, logged)
        self.buffers.restore(finite)
        if augmenter is not None:
            augmenter.end_phase(finite)
        self.on_terms(phase, means, finite)
        self.on_logged(phase, logged, finite)

    def _terms(self, phase: Phase, batch: Batch) -> dict[str, Any]:
        try:
            terms = self.state.setup.loss(phase, batch, self.state.progress)
        except ShapeError as error:
            raise ShapeError(f"phase {phase.name!r}: {error}") from error
        check_terms(phase, terms)
        return terms

    def _update(self, phase: Phase, gradients: list[Any], means: dict[str, Any], logged: dict[str, Any]) -> Any:
        """Update the phase's networks if its terms and gradients are finite, and return whether they are, as a Var.
        Adds the gradient norms and scheduled learning rates to `logged`."""
        optimizers = {name: self.state.optimizers[name] for name in phase.networks}
        gradients = [gradient.detach() for gradient in gradients]  # otherwise Jittor retains their graph
        by_optimizer: dict[str, list[Any]] = {}
        for name, optimizer in optimizers.items():
            by_optimizer[name], gradients = gradients[: len(optimizer.weights)], gradients[len(optimizer.weights) :]
        norms = {f"gradient_norm/{name}": updates.norm(each) for name, each in by_optimizer.items()}
        logged.update(norms)
        finite = backend.all_finite([*means.values(), *norms.values()])
        for name, optimizer in optimizers.items():
            optimizer.step(by_optimizer[name], finite)
            if optimizer.scheduled:
                logged[f"learning_rate/{name}"] = scalar(optimizer.learning_rate)
        return finite

    def _gradients(self, phase: Phase, loss: Any, weights: list[Any]) -> list[Any]:
        if not self.unused_weights.is_pending(phase):
            return backend.gradients(loss, weights)
        gradients, missing = backend.gradients_and_missing(loss, weights)
        self.unused_weights.record(phase, missing)
        return gradients


def _accumulate(means: dict[str, Any], name: str, value: Any, share: float) -> None:
    """Add a micro-batch's value, weighted by its share of the batch. Detaching the value lets its graph be freed."""
    part = value.detach() * share if share < 1 else value.detach()
    means[name] = means[name] + part if name in means else part


class Buffers:
    """Buffers of the networks, which forward passes update: batch norm statistics, the average of w, replay buffers."""

    def __init__(self, state: TrainState) -> None:
        self.networks = state.setup.networks
        networks = self.networks.values()
        self._arrays = {(name, key): var for name in self.networks for key, var in self.networks[name].state().items()}
        self.vars = [var for var in self._arrays.values() if var.is_stop_grad()]
        pools = [each for network in networks for each in network.modules() if isinstance(each, ReplayBuffer)]
        self._same_on_all_ranks = {id(var) for pool in pools for var in pool.state().values()}

    def check_assignments(self) -> None:
        """Raise PluginError if a forward pass assigned a new array to an attribute of a network."""
        for name, network in self.networks.items():
            for key, var in network.state().items():
                if self._arrays.get((name, key)) is not var:
                    raise PluginError(
                        f"a forward pass assigned a new array to {name}.{key}. Change a buffer with `Var.update`, so "
                        "that it can be restored if an update is skipped; begin the name of a temporary array with '_'."
                    )

    def save(self) -> None:
        """Save the current values, without copying them."""
        self._saved = [(var, var.id, var.detach()) for var in self.vars]

    def restore(self, finite: Any) -> None:
        """Restore the saved values if `finite` is 0; otherwise average the changed buffers over the ranks."""
        changed = [(var, value) for var, identity, value in self._saved if var.id != identity]
        averaged = [pair for pair in changed if id(pair[0]) not in self._same_on_all_ranks]
        exact = [pair for pair in changed if id(pair[0]) in self._same_on_all_ranks]
        means = collectives.all_reduce_mean([var for var, _ in averaged])
        for (var, value), new in zip(averaged + exact, means + [var for var, _ in exact]):
            var.update(backend.jittor().ternary(finite, new, value))
        self._saved = []


class UnusedWeights:
    """Detector of weights that get no gradient from any phase, which Jittor would silently leave untrained.

    It examines the first run of each phase, and decides once every phase has run.
    """

    def __init__(self, state: TrainState) -> None:
        self._pending_phases = {phase.name for phase in state.setup.loss.phases}
        self.weights = {name: list(optimizer.weights) for name, optimizer in state.optimizers.items()}
        self._without_gradient = {(name, key) for name, keys in self.weights.items() for key in keys}

    def is_pending(self, phase: Phase) -> bool:
        """Return whether this phase has not been examined yet."""
        return phase.name in self._pending_phases

    def record(self, phase: Phase, missing: list[int]) -> None:
        """Record the positions of the weights that the phase's loss does not depend on. RunError if every phase has run
        and some weight got no gradient from any of them."""
        weights = [(network, key) for network in phase.networks for key in self.weights[network]]
        self._without_gradient -= {weight for position, weight in enumerate(weights) if position not in set(missing)}
        self._pending_phases.discard(phase.name)
        if self._without_gradient and not self._pending_phases:
            named = sorted(f"{network}.{key}" for network, key in self._without_gradient)
            more = f" and {len(named) - 4} more" if len(named) > 4 else ""
            raise RunError(
                f"no phase gives a gradient to {', '.join(named[:4])}{more}: these weights would never be trained. "
                "Use them in the loss, or call stop_grad() on them."
            )
