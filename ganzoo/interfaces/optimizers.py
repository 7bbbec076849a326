"""Optimizers: their settings, and how they update the weights of a network.

The runtime keeps their state, saves it in checkpoints, and skips updates that are not finite.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from ganzoo.errors import CheckpointError, OptionError
from ganzoo.interfaces.schedules import LearningRate, LearningRateSchedule, check_number

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class WeightUpdate:
    """What an optimizer needs to update a weight: the float32 Vars `weight`, `slots` and `gradient` of equal shape, the
    learning rate `rate`, and the number of the weight's updates, including this one (`step`). The gradient is already
    clipped, and the rate multiplied."""

    weight: Any
    slots: tuple[Any, ...]
    gradient: Any
    rate: float
    step: int


def _arrays(pending: Sequence[WeightUpdate]) -> list[tuple[Any, ...]]:
    return [(each.weight, *each.slots) for each in pending]


@dataclass(frozen=True)
class Optimizer(ABC):
    """Base class of optimizers. An instance holds the settings for one network.

    `learning_rate` is per update: a number or a schedule, such as `ganzoo.LinearDecay`. `multipliers` scale it for
    weights whose names start with a given prefix, e.g. {"mapping.": 0.01}. `weight_decay` is added to the gradient (L2
    regularisation).

    `clip_norm` scales the network's gradients down to this Euclidean norm if it is larger (Pascanu et al. 2013,
    algorithm 1). `clip_value` then limits each element of the gradients to [-clip_value, clip_value]. `clip_weights`
    limits each weight to [-clip_weights, clip_weights] after an update (Arjovsky et al. 2017, algorithm 1). The logged
    gradient norm is that before clipping. OptionError if a value is out of range.

    A subclass sets `name`, under which checkpoints store its state, and `slots`, the names of the arrays that it keeps
    for each weight. They have the weight's shape and start at 0.
    """

    name: ClassVar[str]
    slots: ClassVar[tuple[str, ...]]

    learning_rate: LearningRate
    weight_decay: float = field(default=0.0, kw_only=True)
    multipliers: Mapping[str, float] = field(default_factory=dict, kw_only=True)
    clip_norm: float | None = field(default=None, kw_only=True)
    clip_value: float | None = field(default=None, kw_only=True)
    clip_weights: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.learning_rate, LearningRateSchedule):
            check_number(self, "learning_rate", lambda rate: rate >= 0, "a number of at least 0 or a schedule")
        check_number(self, "weight_decay", lambda decay: decay >= 0, "a number of at least 0")
        for name in ("clip_norm", "clip_value", "clip_weights"):
            if getattr(self, name) is not None:
                check_number(self, name, lambda limit: limit > 0, "a number above 0")

    @abstractmethod
    def update(self, pending: Sequence[WeightUpdate], finite: Any) -> Iterator[tuple[Any, ...]]:
        """Yield the new value of each weight, followed by those of its slots. If `finite`, a Var (1,), is 0, these must
        equal the old ones, whatever the gradients are."""


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam (Kingma & Ba 2015, algorithm 1), with the weight decay of PyTorch's `Adam`."""

    name = "adam"
    slots = ("first", "second")

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("beta1", "beta2"):
            check_number(self, name, lambda beta: 0 <= beta < 1, "a number of at least 0 and below 1")
        check_number(self, "eps", lambda eps: eps >= 0, "a number of at least 0")

    def update(self, pending: Sequence[WeightUpdate], finite: Any) -> Iterator[tuple[Any, ...]]:
        import numpy as np

        from ganzoo.backend import updates

        scalars = np.array([self._scalars(each.rate, each.step) for each in pending])
        return updates.adam(_arrays(pending), [each.gradient for each in pending], scalars, finite, self)

    def _scalars(self, rate: float, steps: int) -> tuple[float, float]:
        """Return the learning rate and eps of the `steps`-th update, both with bias correction."""
        correction1, correction2 = 1 - self.beta1**steps, math.sqrt(1 - self.beta2**steps)
        return rate * correction2 / correction1, self.eps * correction2

    def with_lazy_regularisation(self, interval: int) -> Adam:
        """Return these settings, corrected for a regularisation term that updates the network on its own in every
        `interval`-th step (Karras et al. 2020, arXiv:1912.04958, appendix B).

        With c = interval / (interval + 1), the learning rate is multiplied by c, and the betas become their c-th
        powers. The factor is a multiplier of all weights, so it also applies to schedules and `Stage.learning_rate`.
        """
        if interval < 1:
            raise OptionError(f"the interval of lazy regularisation is {interval}, not a number of at least 1.")
        c = interval / (interval + 1)
        multipliers = {**self.multipliers, "": c * self.multipliers.get("", 1.0)}
        return dataclasses.replace(self, beta1=self.beta1**c, beta2=self.beta2**c, multipliers=multipliers)


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2): an update first
    multiplies each weight by 1 - learning rate * `weight_decay`, as PyTorch's `AdamW` does."""

    name = "adamw"

    weight_decay: float = field(default=0.01, kw_only=True)

    def update(self, pending: Sequence[WeightUpdate], finite: Any) -> Iterator[tuple[Any, ...]]:
        from ganzoo.backend import updates

        amounts = [each.rate * self.weight_decay for each in pending]
        decayed = updates.decay([each.weight for each in pending], amounts, finite)
        adam = Adam(self.learning_rate, self.beta1, self.beta2, self.eps)
        return adam.update([dataclasses.replace(each, weight=weight) for each, weight in zip(pending, decayed)], finite)


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """RMSprop (Tieleman & Hinton 2012, lecture 6.5): the gradient is divided by the root of its mean square, a running
    average with decay `alpha`, as in PyTorch's `RMSprop`."""

    name = "rmsprop"
    slots = ("mean_square",)

    alpha: float = 0.99
    eps: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "alpha", lambda alpha: 0 <= alpha < 1, "a number of at least 0 and below 1")
        check_number(self, "eps", lambda eps: eps >= 0, "a number of at least 0")

    def update(self, pending: Sequence[WeightUpdate], finite: Any) -> Iterator[tuple[Any, ...]]:
        from ganzoo.backend import updates

        gradients, rates = [each.gradient for each in pending], [each.rate for each in pending]
        return updates.rmsprop(_arrays(pending), gradients, rates, finite, self.alpha, self.eps, self.weight_decay)


@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent with momentum: the velocity v becomes `momentum` * v + gradient, and the weight moves
    by -learning rate * v, as in PyTorch's `SGD`. With `nesterov`, it moves by -learning rate * (gradient + momentum *
    v) (Sutskever et al. 2013, section 2)."""

    name = "sgd"
    slots = ("velocity",)

    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "momentum", lambda momentum: 0 <= momentum < 1, "a number of at least 0 and below 1")
        if self.nesterov:
            check_number(self, "momentum", lambda momentum: momentum > 0, "above 0, which nesterov needs")

    def update(self, pending: Sequence[WeightUpdate], finite: Any) -> Iterator[tuple[Any, ...]]:
        from ganzoo.backend import updates

        gradients, rates = [each.gradient for each in pending], [each.rate for each in pending]
        return updates.sgd(_arrays(pending), gradients, rates, finite, self.momentum, self.nesterov, self.weight_decay)


@dataclass(frozen=True)
class AdamMoments:
    """Adam's state for one network: the first and second moment of each weight, and the number of its updates."""

    first: Mapping[str, np.ndarray]
    second: Mapping[str, np.ndarray]
    steps: Mapping[str, int]

    @classmethod
    def from_torch(cls, state: Any, names: Sequence[str]) -> AdamMoments:
        """Convert the state_dict of a PyTorch Adam over the weights `names`, in this order. CheckpointError if `state`
        is something else."""
        import numpy as np

        try:
            keys = [key for group in state["param_groups"] for key in group["params"]]
            if len(keys) != len(names):
                raise CheckpointError(f"its optimizer has {len(keys)} parameters, but the network has {len(names)}.")
            found = {name: state["state"][key] for name, key in zip(names, keys) if key in state["state"]}
            steps = {name: int(each["step"]) for name, each in found.items()}
            if min(steps.values(), default=0) < 0:
                raise ValueError("a negative number of updates")
            return cls(
                {name: each["exp_avg"].astype(np.float32, copy=False) for name, each in found.items()},
                {name: each["exp_avg_sq"].astype(np.float32, copy=False) for name, each in found.items()},
                steps,
            )
        except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            raise CheckpointError("its optimizer state is not from torch.optim.Adam.") from error

    def select(self, names: Iterable[str]) -> AdamMoments:
        """Return the moments of only these weights."""
        known = [name for name in names if name in self.steps]
        first, second = ({name: each[name] for name in known} for each in (self.first, self.second))
        return AdamMoments(first, second, {name: self.steps[name] for name in known})
