"""Learning rates that change during training.

A schedule is a function of the progress alone, so a run that is resumed in the middle of a decay continues exactly.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from ganzoo.errors import OptionError


class LearningRateSchedule(ABC):
    """A learning rate as a function of progress. It can be the `learning_rate` of every optimizer."""

    @abstractmethod
    def at(self, fraction: float) -> float:
        """Return the learning rate after this `fraction` of training, in [0, 1] (see `Progress.fraction`)."""


LearningRate: TypeAlias = float | LearningRateSchedule


@dataclass(frozen=True)
class _Decay(LearningRateSchedule):
    """What decays from `initial` to `end_value` have in common."""

    initial: float
    start: float = 0.0
    end_value: float = 0.0

    def __post_init__(self) -> None:
        for name in ("initial", "end_value"):
            check_number(self, name, lambda rate: rate >= 0, "a number of at least 0")
        check_number(self, "start", lambda start: 0 <= start < 1, "a fraction of at least 0 and below 1")

    def _part(self, fraction: float) -> float:
        """Return how much of the decay is over, in [0, 1]."""
        return min(1.0, max(0.0, (fraction - self.start) / (1 - self.start)))


@dataclass(frozen=True)
class LinearDecay(_Decay):
    """Constant at `initial`, then linear from the fraction `start` of training to `end_value` at its end.

    With `start` 0.5 this is the schedule of CycleGAN (Zhu et al. 2017, arXiv:1703.10593). OptionError if a value is out
    of range.
    """

    def at(self, fraction: float) -> float:
        return self.initial + (self.end_value - self.initial) * self._part(fraction)


@dataclass(frozen=True)
class CosineDecay(_Decay):
    """Constant at `initial`, then half a cosine from the fraction `start` of training to `end_value` at its end
    (Loshchilov & Hutter 2017, arXiv:1608.03983, equation 5, without restarts). OptionError if a value is out of
    range."""

    def at(self, fraction: float) -> float:
        return self.end_value + (self.initial - self.end_value) * (1 + math.cos(math.pi * self._part(fraction))) / 2


@dataclass(frozen=True)
class StepDecay(LearningRateSchedule):
    """`initial`, multiplied by `factor` at each of the `milestones`, which are fractions of training. OptionError if a
    value is out of range."""

    initial: float
    milestones: tuple[float, ...]
    factor: float = 0.1

    def __post_init__(self) -> None:
        check_number(self, "initial", lambda rate: rate >= 0, "a number of at least 0")
        check_number(self, "factor", lambda factor: factor > 0, "a number above 0")
        ordered = list(self.milestones) == sorted(set(self.milestones))
        if not ordered or not all(0 < milestone < 1 for milestone in self.milestones):
            raise OptionError(
                f"StepDecay: milestones is {self.milestones!r}, not increasing fractions between 0 and 1."
            )

    def at(self, fraction: float) -> float:
        return self.initial * self.factor ** sum(milestone <= fraction for milestone in self.milestones)


def rate_at(learning_rate: LearningRate, fraction: float) -> float:
    """Return a constant or scheduled learning rate after this fraction of training."""
    return learning_rate.at(fraction) if isinstance(learning_rate, LearningRateSchedule) else learning_rate


def check_number(settings: Any, name: str, valid: Callable[[float], bool], expected: str) -> None:
    """Raise OptionError, saying what was `expected`, unless the attribute `name` is a finite number that is `valid`."""
    value = getattr(settings, name)
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not valid(value):
        raise OptionError(f"{type(settings).__name__}: {name} is {value!r}, not {expected}.")
