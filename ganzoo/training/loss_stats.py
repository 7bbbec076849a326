"""What the phases of a tick report: how often they updated, and means of their numbers."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ganzoo.interfaces.loss import Phase

MOST_WAITING = 1000  # runs of phases whose numbers are kept on the device


@dataclass(frozen=True)
class Report:
    """A tick in numbers: means by 'phase/name' over the updates that were made, of the terms of the loss and of other
    numbers; how many updates were `skipped`; and how many of one phase at most `in_a_row`, since training began."""

    losses: dict[str, float]
    watched: dict[str, float]
    skipped: int
    in_a_row: int


class LossStats:
    """Collects what phases report without waiting for the numbers, which stay where they are until they are fetched or
    too many. Skipped updates are counted, and left out of the means."""

    def __init__(self) -> None:
        self._waiting: list[
            tuple[str, bool, dict[str, Any], Any]
        ] = []  # phase, whether these are terms, numbers, finite
        self._skipped_now: dict[str, int] = defaultdict(int)  # in a row, by phase
        self._in_a_row = 0
        self.phases: set[str] = set()  # that have reported, ever
        self.names: set[str] = set()  # of what they reported, as in the statistics: 'losses/PHASE/NAME'
        self._begin()

    def _begin(self) -> None:
        self._runs = self._skipped = 0
        self._losses: dict[str, list[float]] = defaultdict(list)
        self._watched: dict[str, list[float]] = defaultdict(list)

    @property
    def empty(self) -> bool:
        """Whether no phase has reported since the last fetch."""
        return not self._runs

    def add(self, phase: Phase, terms: Mapping[str, Any], finite: Any) -> None:
        """Count one run of a phase: its terms, and a Var (1,) that is 1 if it updated its networks, 0 if not."""
        self._runs += 1
        self._wait(phase, True, terms, finite)

    def log(self, phase: Phase, values: Mapping[str, Any], finite: Any) -> None:
        """The same for numbers that are no part of the loss. One that is not finite is left out of the report."""
        self._wait(phase, False, values, finite)

    def _wait(self, phase: Phase, terms: bool, values: Mapping[str, Any], finite: Any) -> None:
        self._waiting.append((phase.name, terms, dict(values), finite))
        self.phases.add(phase.name)
        self.names |= {f"{'losses' if terms else 'watched'}/{phase.name}/{name}" for name in values}
        if len(self._waiting) >= MOST_WAITING:
            self._read()

    def _read(self) -> None:
        for phase, terms, values, finite in self._waiting:
            made = bool(finite.item())
            if terms:
                self._skipped_now[phase] = 0 if made else self._skipped_now[phase] + 1
                self._skipped += not made
                self._in_a_row = max(self._in_a_row, self._skipped_now[phase])
            if made:
                kept = self._losses if terms else self._watched
                for name, value in values.items():
                    kept[f"{phase}/{name}"].append(float(value.item()))
        self._waiting = []

    def fetch(self) -> Report:
        """Wait for the numbers. The means begin anew; rows of skipped updates go on."""
        self._read()
        report = Report(_means(self._losses), _means(self._watched), self._skipped, self._in_a_row)
        self._begin()
        return report


def _means(numbers: Mapping[str, list[float]]) -> dict[str, float]:
    """Those that are finite, by key."""
    means = {key: sum(values) / len(values) for key, values in sorted(numbers.items())}
    return {key: mean for key, mean in means.items() if math.isfinite(mean)}
