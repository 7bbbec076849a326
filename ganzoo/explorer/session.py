"""The run that the explorer shows: loaded and warmed up once, and again when training has saved a newer checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ganzoo.api.controls import Controls
from ganzoo.checkpoints.checkpoint import newest
from ganzoo.errors import GanzooError
from ganzoo.explorer import pictures
from ganzoo.explorer.images import DATA_PREFIX, Images
from ganzoo.explorer.state import State
from ganzoo.runs import Run
from ganzoo.sampling.plane import seed_at

if TYPE_CHECKING:
    from ganzoo.api.loaded import LoadedRun

POLL_SECONDS = 2.0  # between looks for a newer checkpoint


@dataclass(frozen=True)
class Shown:
    """A run whose networks are loaded, what can be chosen with it, images to translate, and the size (px) of its
    pictures."""

    run: LoadedRun
    controls: Controls
    images: Images
    size: int


class Session:
    """A run, what can be chosen with it, and images to translate.

    `reopen` loads a run's newest checkpoint; it is None if the user named a checkpoint, which is then never replaced.
    Except for `status` and `command`, the methods are called in the thread that owns Jittor.
    """

    def __init__(self, run: LoadedRun, name: str, reopen: Callable[[], LoadedRun] | None = None) -> None:
        self.name, self._opened, self._reopen = name, run, reopen
        self._shown: Shown | None = None  # replaced as a whole, because other threads read it
        self._steps: Iterator[None] | None = None  # towards showing a newer checkpoint
        self.message = "starting"
        self._looked = 0.0

    @property
    def ready(self) -> bool:
        return self._shown is not None

    @property
    def run(self) -> LoadedRun:
        return self._opened if self._shown is None else self._shown.run

    @property
    def controls(self) -> Controls | None:
        return None if self._shown is None else self._shown.controls

    @property
    def images(self) -> Images | None:
        return None if self._shown is None else self._shown.images

    def warm_up(self) -> None:
        """Load the networks, and draw the first pictures, for which Jittor may have to compile kernels."""
        self.message = "Loading the networks. Jittor may have to compile kernels, once for this machine."
        for _ in self._show(self._opened):
            pass
        self.message = ""

    def _show(self, run: LoadedRun) -> Iterator[None]:
        """Draw the first pictures of a run, one at each step, then show the run."""
        controls = run.controls
        # Uploads stay: a model that translates does so at one size, whatever the checkpoint.
        images = self.images or Images(run.data, run.validation() if controls.translates else None)
        size = run.data.size
        for state in _first_states(controls, images):
            drawn = pictures.draw(run, controls, state, images)
            if not controls.translates:
                size = drawn.shape[0]  # smaller than the data while training still has to grow the networks
            yield
        self._shown = Shown(run, controls, images, size)

    def look_for_newer(self) -> None:
        """Take a step towards showing the run's newest checkpoint, if it is newer than the one shown. A step loads the
        networks or draws one picture, for which Jittor may have to compile kernels: meanwhile, pictures wait."""
        if self._steps is None:
            if self._reopen is None or time.monotonic() - self._looked < POLL_SECONDS:
                return
            self._looked = time.monotonic()
            found = newest(self.run.path)
            if found is None or found.name == self.run.checkpoint.name:
                return
            self._steps = self._show_newest(self._reopen)
        try:
            next(self._steps)
        except (StopIteration, GanzooError):  # an error if, say, the folder was deleted: go on with what is loaded
            self._steps = None

    def _show_newest(self, reopen: Callable[[], LoadedRun]) -> Iterator[None]:
        run = reopen()
        if run.checkpoint.name != self.run.checkpoint.name:  # else the newer one is damaged
            yield from self._show(run)

    def draw(self, state: State) -> bytes:
        """Return the picture that a state shows, as PNG."""
        shown = self._require_shown()
        return pictures.png(pictures.draw(shown.run, shown.controls, state, shown.images))

    def command(self, state: State) -> str:
        """Return the command line that makes the same picture."""
        shown = self._require_shown()
        return pictures.command(self.name, shown.controls, state, shown.images)

    def _require_shown(self) -> Shown:
        assert self._shown is not None
        return self._shown

    def walk(self, stops: Sequence[State], steps: int) -> Iterator[np.ndarray]:
        """Return the frames uint8 (H, W, C) of a walk through the points and classes of favourites, with the psi and
        noise of the first."""
        shown = self._require_shown()
        look: dict[str, Any] = {}
        if shown.controls.style_layers:
            look |= {"psi": stops[0].psi, "noise": stops[0].noise}
        if shown.controls.classes:
            look["classes"] = [stop.class_ or shown.controls.classes[0] for stop in stops]
        if all(stop.whole for stop in stops):
            return shown.run.frames([seed_at(int(stop.x), int(stop.y)) for stop in stops], steps=steps, **look)
        return shown.run.frames(at=[stop.point for stop in stops], steps=steps, **look)

    def status(self) -> dict[str, Any]:
        """Return what the page shows about the run, ready for JSON."""
        shown = self._shown
        run = self._opened if shown is None else shown.run
        known = {
            "ready": shown is not None,
            "message": self.message,
            "name": self.name,
            "model": run.model,
            "data": run.data.name,
            "size": run.data.size if shown is None else shown.size,
            "kimg": run.kimg,
            "checkpoint": run.checkpoint.name,
            "training": self._reopen is not None and Run(run.path).in_use(),
            "report": self.report_exists(),
        }
        if shown is None:
            return known
        offered = [
            {"name": f"{DATA_PREFIX}{index}", "domain": run.data.domains[domain] if run.data.domains else ""}
            for index, domain in shown.images.offered.items()
        ]
        return {**known, "controls": vars(shown.controls), "offered": offered}

    def report_exists(self) -> bool:
        """Return whether the run's folder has a report."""
        return self._reopen is not None and (self.run.path / "report.html").is_file()


def _first_states(controls: Controls, images: Images) -> list[State]:
    """Return states that need every kernel which any state needs."""
    if controls.translates:
        blank = np.zeros((images.data.size, images.data.size, 3), np.uint8)
        source = images.add(pictures.png(blank), "IMAGE")
        if not controls.looks:
            return [State(source=source, direction=str(number)) for number in range(len(controls.directions))]
        return [State(source=source, psi=0.7, domain=controls.domains[0]), State(source=source, reference=source)]
    between = State(x=0.5, y=0.5)
    mixed = [State(mix=1, layers="0")] if controls.style_layers else []
    return [State(), between, *mixed]
