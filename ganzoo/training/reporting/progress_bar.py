"""Progress bar of training: updated in place on a terminal, one line per tick elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from ganzoo.progress_bars import bar_class, shows_widgets

FORMAT = "{desc} {percentage:3.0f}%|{bar:5}| {kimg} kimg, {remaining} left{postfix}"  # 80 columns with speed and losses


def format_kimg(images: int, goal: int) -> str:
    """Format a number of images as kimg, with as many decimals as a run of `goal` images needs."""
    return f"{images / 1000:.{1 if goal >= 10_000 else 3}f}"


class ProgressBar:
    """Progress bar of the run `name`: `images` of `goal`. Training continues if the terminal is closed."""

    def __init__(self, name: str, images: int, goal: int) -> None:
        self.name, self.images, self.goal = name, images, goal
        self._visible = shows_widgets() or sys.stderr.isatty()
        self._line = _line_class()(
            total=goal,
            initial=min(images, goal),
            desc=name.partition("-")[0],
            bar_format=FORMAT.replace("{bar:5}", "{bar}") if shows_widgets() else FORMAT,
            mininterval=0.5,
            disable=not self._visible,
        )

    def update(self, images: int) -> None:
        """Set the number of images seen. The bar ends at the goal, even if the last batch exceeds it."""
        self.images = images
        with contextlib.suppress(OSError):
            self._line.update(min(images, self.goal) - self._line.n)

    def tick(self, speed: float, losses: Mapping[str, float]) -> str:
        """Show the speed and losses of a tick, and return them with the progress as a line of text."""
        digits = 0 if speed >= 10 else 1
        parts = [f"{speed:.{digits}f} img/s", *(f"{name} {value:.3g}" for name, value in losses.items())]
        line = f"{format_kimg(self.images, self.goal)} kimg: {', '.join(parts)}"
        with contextlib.suppress(OSError):
            if self._visible:
                self._line.numbers = [", ".join(parts), f"{parts[0]}, {_summed(losses)}", parts[0]]
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
        """Close the bar, leaving it on the screen."""
        with contextlib.suppress(OSError):
            self._line.close()


def _line_class() -> Any:
    """Return the class of the bar, for this terminal or notebook."""

    class Line(bar_class()):  # type: ignore[misc]
        """A bar with the longest of `numbers` that fits the terminal. They are ordered from long to short."""

        numbers: Sequence[str] = ()

        @property
        def format_dict(self) -> dict[str, Any]:
            fields: dict[str, Any] = super().format_dict
            fields["kimg"] = f"{format_kimg(self.n, self.total)}/{self.total / 1000:g}"
            room = fields.get("ncols")
            for postfix in self.numbers:
                fields["postfix"] = postfix
                if not room or len(self.format_meter(**{**fields, "ncols": None})) <= room:
                    break
            return fields

    return Line


def _summed(losses: Mapping[str, float]) -> str:
    """Sum the losses by the first letter of their phase: 'D 1.38 G 0.69'."""
    sums: dict[str, float] = defaultdict(float)
    for name, value in losses.items():
        sums[name[:1].upper()] += value
    return " ".join(f"{letter} {value:.3g}" for letter, value in sums.items())
