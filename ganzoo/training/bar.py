"""How far training is: a line that moves on a terminal, a line at each tick elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from tqdm import tqdm

FORMAT = "{desc} {percentage:3.0f}%|{bar:5}| {kimg} kimg, {remaining} left{postfix}"  # 80 columns with speed and losses


def in_kimg(images: int, goal: int) -> str:
    """Images as kimg, with the decimals that a training up to `goal` images needs."""
    return f"{images / 1000:.{1 if goal >= 10_000 else 3}f}"


class Bar:
    """Shows `images` of `goal` for the run `name`. A terminal that has gone stops nothing."""

    def __init__(self, name: str, images: int, goal: int) -> None:
        self.name, self.images, self.goal = name, images, goal
        self._on_terminal = sys.stderr.isatty()
        self._line = _Line(
            total=goal,
            initial=min(images, goal),
            desc=name.partition("-")[0],
            bar_format=FORMAT,
            mininterval=0.5,
            disable=not self._on_terminal,
        )

    def move(self, images: int) -> None:
        """Show that so many images are seen. Where the last batch goes beyond the goal, the bar doesn't."""
        self.images = images
        with contextlib.suppress(OSError):
            self._line.update(min(images, self.goal) - self._line.n)

    def tick(self, speed: float, losses: Mapping[str, float]) -> str:
        """Show the numbers of a tick, and return all of them as a line."""
        digits = 0 if speed >= 10 else 1
        said = [f"{speed:.{digits}f} img/s", *(f"{name} {value:.3g}" for name, value in losses.items())]
        line = f"{in_kimg(self.images, self.goal)} kimg: {', '.join(said)}"
        with contextlib.suppress(OSError):
            if self._on_terminal:
                self._line.numbers = [", ".join(said), f"{said[0]}, {_summed(losses)}", said[0]]
                self._line.refresh()
            else:
                print(f"{self.name}: {line}", file=sys.stderr, flush=True)
        return line

    def write(self, message: str) -> None:
        """Print a line above the bar."""
        with contextlib.suppress(OSError):
            self._line.write(message)
            sys.stdout.flush()

    def close(self) -> None:
        """Leave the bar as it is."""
        with contextlib.suppress(OSError):
            self._line.close()


class _Line(tqdm):  # type: ignore[misc]
    """Shows the longest of `numbers` that there is room for."""

    numbers: Sequence[str] = ()

    @property
    def format_dict(self) -> dict[str, Any]:
        known: dict[str, Any] = super().format_dict
        known["kimg"] = f"{in_kimg(self.n, self.total)}/{self.total / 1000:g}"
        room = known.get("ncols")
        for postfix in self.numbers:
            known["postfix"] = postfix
            if not room or len(self.format_meter(**{**known, "ncols": None})) <= room:
                break
        return known


def _summed(losses: Mapping[str, float]) -> str:
    """The losses by the first letter of their phase: 'D 1.38 G 0.69'."""
    sums: dict[str, float] = defaultdict(float)
    for name, value in losses.items():
        sums[name[:1].upper()] += value
    return " ".join(f"{letter} {value:.3g}" for letter, value in sums.items())
