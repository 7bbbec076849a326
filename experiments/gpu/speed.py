"""Comparison with PyTorch: losses, and the time of an iteration."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import kit
from jobs import JOBS
from sides import NoAnswer, Process

SIDES = tuple(os.environ.get("GZ_SIDES", "ganzoo,torch,torch-channels-last").split(","))
TURN_SECONDS, TURNS = (0.1, 2) if kit.SMALL else (0.25, 5)


def losses(precision: str = "fp32") -> None:
    """Compare one step of both sides from the same weights with the same noise. Losses computed
    after the step's first update also test gradients and Adam."""
    ours, theirs = Process("ganzoo", precision), Process("torch", precision)
    for name in JOBS.losses:
        if kit.past_deadline():
            kit.report("losses", row=name, precision=precision, skipped="late")
            continue
        try:
            with tempfile.TemporaryDirectory(dir=kit.WORK) as folder:
                path = str(Path(folder, "weights.npz"))
                for side in (ours, theirs):
                    side.request("row", name)
                ours.request("save_weights", path)
                found, expected = ours.request("losses"), theirs.request("losses", path)
            differences = {key: abs(found[key] - value) / max(1.0, abs(value)) for key, value in expected.items()}
            kit.report(
                "losses", row=name, precision=precision, worst=max(differences.values()), ours=found, theirs=expected
            )
        except (NoAnswer, KeyError, OSError) as error:
            kit.report("losses", row=name, precision=precision, error=repr(error)[:1500])
    for side in (ours, theirs):
        side.close()


def speed(precision: str = kit.DEFAULT_PRECISION, kind: str = "speed") -> None:
    """Time iterations, the sides taking turns. Nothing else may run meanwhile."""
    sides: dict[str, Process] = {}
    for name in getattr(JOBS, kind):
        if kit.past_deadline():
            kit.report("speed", row=name, precision=precision, skipped="late")
            continue
        row = Row(name, precision, sides)
        row.start()
        for _ in range(TURNS):
            row.turn()
        row.report()
    for side in sides.values():
        side.close()


class Row:
    """The turns of one row, on processes that all rows share."""

    def __init__(self, name: str, precision: str, sides: dict[str, Process]) -> None:
        self.name, self.precision, self.sides = name, precision, sides
        self.first: dict[str, float] = {}
        self.turns: dict[str, list[dict[str, float]]] = {}

    def start(self) -> None:
        """Run the first iterations of each side, one side after the other; these compile kernels and choose
        algorithms."""
        for each in SIDES:
            if each not in self.sides or self.sides[each].ended():
                self.sides[each] = Process(each, self.precision)
            try:
                began = time.perf_counter()
                self.sides[each].request("row", self.name)
                self.sides[each].request("iterate", 0)
                self.first[each] = time.perf_counter() - began
                self.sides[each].request("iterate", 0.2)
                self.turns[each] = []
            except NoAnswer as error:
                self.fail(each, error)

    def turn(self) -> None:
        for each in list(self.turns):
            try:
                self.turns[each].append(self.sides[each].request("iterate", TURN_SECONDS))
            except NoAnswer as error:
                self.turns.pop(each)
                self.fail(each, error)

    def fail(self, side: str, error: NoAnswer) -> None:
        kit.report("speed", row=self.name, precision=self.precision, side=side, error=str(error))

    def report(self) -> None:
        summaries = {side: self.summary(side) for side in self.turns}
        theirs = [summaries[side]["ms"] for side in summaries if side.startswith("torch")]
        ratio = min(theirs) / summaries["ganzoo"]["ms"] if theirs and "ganzoo" in summaries else None
        still_running = [name for name, side in self.sides.items() if side.abandoned and side.child.poll() is None]
        shared = {"beside": still_running, "load": os.getloadavg()[0]}
        kit.report("speed", row=self.name, precision=self.precision, ratio=ratio, sides=summaries, **shared)

    def summary(self, side: str) -> dict[str, Any]:
        turns = self.turns[side]
        walls = [1e3 * turn["wall"] for turn in turns]
        return {
            "ms": statistics.median(walls),
            "low_ms": min(walls),
            "high_ms": max(walls),
            "host_ms": 1e3 * min(turn["host"] for turn in turns),
            "first_s": self.first[side],
            "gpu_gb": max(turn["memory"] for turn in turns) / 2**30,
        }
