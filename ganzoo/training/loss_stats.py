"""Statistics of the phases in a tick: how many updates were skipped, and means of the reported values."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ganzoo.interfaces.loss import Phase

MAX_PENDING = 1000  # phase runs whose values may stay on the device until they are read


@dataclass(frozen=True)
class Report:
    """Statistics of a tick. `losses` (loss terms) and `logged` (other values) hold means over the updates made, by
    'phase/name'. `skipped` is the number of skipped updates. `max_consecutive_skips` is the longest streak of skipped
    updates of one phase since training began or resumed."""

    losses: dict[str, float]
    logged: dict[str, float]
    skipped: int
    max_consecutive_skips: int


class LossStats:
    """Accumulator for the values of phases, which stay on the device until they are fetched or become too many. Skipped
    updates are counted, and excluded from the means."""

    def __init__(self) -> None:
        self._pending: list[tuple[str, bool, dict[str, Any], Any]] = []  # phase, whether loss terms, values, finite
        self._consecutive_skips: dict[str, int] = defaultdict(int)  # current streak of skipped updates, by phase
        self._max_consecutive_skips = 0
        self.phases: set[str] = set()  # all that have reported so far
        self.names: set[str] = set()  # all reported values: 'losses/PHASE/NAME', logged ones 'watched/PHASE/NAME'
        self._reset()

    def _reset(self) -> None:
        self._runs = self._skipped = 0
        self._losses: dict[str, list[float]] = defaultdict(list)
        self._logged: dict[str, list[float]] = defaultdict(list)

    @property
    def empty(self) -> bool:
        """Whether no phase has reported since the last fetch."""
        return not self._runs

    def add(self, phase: Phase, terms: Mapping[str, Any], finite: Any) -> None:
        """Add one run of a phase: its loss terms, and a Var (1,) that is 1 if its networks were updated, 0 if not."""
        self._runs += 1
        self._append(phase, True, terms, finite)

    def log(self, phase: Phase, values: Mapping[str, Any], finite: Any) -> None:
        """Add values that are not part of the loss. A mean that is not finite is omitted from the report."""
        self._append(phase, False, values, finite)

    def _append(self, phase: Phase, terms: bool, values: Mapping[str, Any], finite: Any) -> None:
        self._pending.append((phase.name, terms, dict(values), finite))
        self.phases.add(phase.name)
        self.names |= {f"{'losses' if terms else 'watched'}/{phase.name}/{name}" for name in values}
        if len(self._pending) >= MAX_PENDING:
            self._read()

    def _read(self) -> None:
        for phase, terms, values, finite in self._pending:
            updated = bool(finite.item())
            if terms:
                self._consecutive_skips[phase] = 0 if updated else self._consecutive_skips[phase] + 1
                self._skipped += not updated
                self._max_consecutive_skips = max(self._max_consecutive_skips, self._consecutive_skips[phase])
            if updated:
                collected = self._losses if terms else self._logged
                for name, value in values.items():
                    collected[f"{phase}/{name}"].append(float(value.item()))
        self._pending = []

    def fetch(self) -> Report:
        """Wait for the values and report them. Resets everything except the streaks of skipped updates."""
        self._read()
        report = Report(_means(self._losses), _means(self._logged), self._skipped, self._max_consecutive_skips)
        self._reset()
        return report


def _means(numbers: Mapping[str, list[float]]) -> dict[str, float]:
    """Return the mean of each list, omitting means that are not finite."""
    means = {key: sum(values) / len(values) for key, values in sorted(numbers.items())}
    return {key: mean for key, mean in means.items() if math.isfinite(mean)}
