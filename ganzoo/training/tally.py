"""What the phases of a tick report, added up on the device: how often they updated, and their means."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ganzoo import backend
from ganzoo.loss import Phase

Group = tuple[str, ...]  # the name of a phase and of the numbers it reported together


@dataclass(frozen=True)
class Report:
    """A tick in numbers: means by 'phase/name' over the updates that were made, of the terms of the loss and of other
    numbers; how many updates were `skipped`; and how many of one phase at most `in_a_row`, since training began."""

    losses: dict[str, float]
    watched: dict[str, float]
    skipped: int
    in_a_row: int


class Tally:
    """Collects what phases report without waiting for the numbers. Skipped updates are counted, and left out of the
    means."""

    def __init__(self) -> None:
        self._losses, self._watched = Sums(), Sums()
        self._streaks: dict[str, tuple[Any, Any]] = {}  # by phase: skipped in a row up to now, and at most

    @property
    def empty(self) -> bool:
        """Whether no phase has reported since the last fetch."""
        return not self._losses.runs

    def add(self, phase: Phase, terms: Mapping[str, Any], good: Any) -> None:
        """Count one run of a phase: its terms, and a Var (1,) that is 1 if it updated its networks, 0 if not."""
        self._losses.add(phase, terms, good)
        now, most = self._streaks.get(phase.name, (0.0, 0.0))
        now = (now + 1.0) * (1.0 - good)
        self._streaks[phase.name] = now, backend.jittor().maximum(now, most)

    def watch(self, phase: Phase, values: Mapping[str, Any], good: Any) -> None:
        """The same for numbers that are no part of the loss. One that is not finite is left out of the report."""
        self._watched.add(phase, values, good)

    def fetch(self) -> Report:
        """Wait for the numbers. The sums begin anew; rows of skipped updates go on."""
        most = [float(longest.item()) for _, longest in self._streaks.values()]
        skipped = self._losses.skipped()
        return Report(self._losses.means(), self._watched.means(), skipped, round(max(most, default=0.0)))


class Sums:
    """Sums over the updates that were made, as Vars, and how many these are."""

    def __init__(self) -> None:
        self.runs: dict[Group, int] = {}
        self._made: dict[Group, Any] = {}
        self._totals: dict[Group, dict[str, Any]] = {}

    def add(self, phase: Phase, values: Mapping[str, Any], good: Any) -> None:
        if not values:
            return
        jt, group = backend.jittor(), (phase.name, *values)
        self.runs[group] = self.runs.get(group, 0) + 1
        self._made[group] = good + self._made.get(group, 0.0)
        totals = self._totals.setdefault(group, {})
        for name, value in values.items():
            # Chosen and not multiplied by 0 or 1: NaN * 0 is NaN.
            totals[name] = jt.ternary(good, value, jt.zeros_like(value)) + totals.get(name, 0.0)

    def skipped(self) -> int:
        """How many runs made no update."""
        return sum(self.runs.values()) - round(sum(float(made.item()) for made in self._made.values()))

    def means(self) -> dict[str, float]:
        """The finite means of all keys that were part of an update. The sums begin anew."""
        sums: dict[str, tuple[float, float]] = {}
        for group, totals in self._totals.items():
            made = float(self._made[group].item())
            for name, value in totals.items():
                total, count = sums.get(f"{group[0]}/{name}", (0.0, 0.0))
                sums[f"{group[0]}/{name}"] = total + float(value.item()), count + made
        self.__init__()  # type: ignore[misc]
        means = {key: total / count for key, (total, count) in sorted(sums.items()) if count}
        return {key: mean for key, mean in means.items() if math.isfinite(mean)}
