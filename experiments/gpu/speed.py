"""Compares ganzoo with PyTorch: the losses, and the time of an iteration."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import kit
from jobs import JOBS
from sides import NoAnswer, SideProcess

SIDE_NAMES = tuple(os.environ.get("GZ_SIDES", "ganzoo,torch,torch-channels-last").split(","))
TURN_SECONDS, TURNS = (0.1, 2) if kit.SMALL else (0.25, 5)


def losses(precision: str = "fp32") -> None:
    """Compare one step of both sides from the same weights with the same noise. Losses computed after the step's first
    update also test gradients and Adam."""
    ours, theirs = SideProcess("ganzoo", precision), SideProcess("torch", precision)
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
                found, expected = ours.request("losses", 0), theirs.request("losses", 0, path)
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
    sides: dict[str, SideProcess] = {}
    for name in getattr(JOBS, kind):
        if kit.past_deadline():
            kit.report("speed", row=name, precision=precision, skipped="late")
            continue
        timer = RowTimer(name, precision, sides)
        timer.start()
        for _ in range(TURNS):
            timer.turn()
        timer.report()
    for side in sides.values():
        side.close()


class RowTimer:
    """Times one row of the benchmark, in turns. The processes of the sides are shared by all rows."""

    def __init__(self, name: str, precision: str, sides: dict[str, SideProcess]) -> None:
        self.name, self.precision, self.sides = name, precision, sides
        self.first_seconds: dict[str, float] = {}
        self.turns: dict[str, list[dict[str, float]]] = {}

    def start(self) -> None:
        """Run each side's first iterations, which compile kernels and choose algorithms, one side after the other."""
        for side_name in SIDE_NAMES:
            if side_name not in self.sides or self.sides[side_name].ended():
                self.sides[side_name] = SideProcess(side_name, self.precision)
            try:
                began = time.perf_counter()
                self.sides[side_name].request("row", self.name)
                self.sides[side_name].request("iterate", 0)
                self.first_seconds[side_name] = time.perf_counter() - began
                self.sides[side_name].request("iterate", 0.2)
                self.turns[side_name] = []
            except NoAnswer as error:
                self.fail(side_name, error)

    def turn(self) -> None:
        for side_name in list(self.turns):
            try:
                self.turns[side_name].append(self.sides[side_name].request("iterate", TURN_SECONDS))
            except NoAnswer as error:
                self.turns.pop(side_name)
                self.fail(side_name, error)

    def fail(self, side_name: str, error: NoAnswer) -> None:
        kit.report("speed", row=self.name, precision=self.precision, side=side_name, error=str(error))

    def report(self) -> None:
        summaries = {side_name: self.summary(side_name) for side_name in self.turns}
        theirs = [summary["ms"] for side_name, summary in summaries.items() if side_name.startswith("torch")]
        ratio = min(theirs) / summaries["ganzoo"]["ms"] if theirs and "ganzoo" in summaries else None
        still_running = [name for name, side in self.sides.items() if side.abandoned and side.child.poll() is None]
        shared = {"beside": still_running, "load": os.getloadavg()[0]}
        kit.report("speed", row=self.name, precision=self.precision, ratio=ratio, sides=summaries, **shared)

    def summary(self, side_name: str) -> dict[str, Any]:
        turns = self.turns[side_name]
        walls = [1e3 * turn["wall"] for turn in turns]
        return {
            "ms": statistics.median(walls),
            "low_ms": min(walls),
            "high_ms": max(walls),
            "host_ms": 1e3 * min(turn["host"] for turn in turns),
            "first_s": self.first_seconds[side_name],
            "gpu_gb": max(turn["memory"] for turn in turns) / 2**30,
        }
