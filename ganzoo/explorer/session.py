"""The run that the explorer shows: loaded and warmed up once, and again when training has saved a newer checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
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


class Session:
    """A run, what can be chosen with it, and images to translate.

    `reopen` loads a run's newest checkpoint; it is None if a checkpoint was named, which stays. Except for `status`,
    the methods are called in the thread that owns Jittor.
    """

    def __init__(self, run: LoadedRun, name: str, reopen: Callable[[], LoadedRun] | None = None) -> None:
        self.run, self.name, self._reopen = run, name, reopen
        self.controls: Controls | None = None
        self.images: Images | None = None
        self.message = "starting"
        self._looked = 0.0

    @property
    def ready(self) -> bool:
        return self.controls is not None and self.images is not None

    def warm_up(self) -> None:
        """Load the networks, and draw the first pictures, for which Jittor may have to compile kernels."""
        self.message = "Loading the networks. Jittor may have to compile kernels, once for this machine."
        run, controls = self.run, self.run.controls
        images = Images(run.data, run.validation() if controls.translates else None)
        for state in _first_states(controls, images):
            pictures.draw(run, controls, state, images)
        self.controls, self.images, self.message = controls, images, ""

    def look_for_newer(self) -> None:
        """Load the run's newest checkpoint if there is a newer one."""
        if self._reopen is None or time.monotonic() - self._looked < POLL_SECONDS:
            return
        self._looked = time.monotonic()
        found = newest(self.run.path)
        if found is None or found.name == self.run.checkpoint.name:
            return
        try:
            run = self._reopen()
            if run.checkpoint.name == self.run.checkpoint.name:  # the newer one is damaged
                return
            self.controls = run.controls
        except GanzooError:  # say, the folder was deleted: go on with what is loaded
            return
        self.run = run

    def draw(self, state: State) -> bytes:
        """Return the picture that a state shows, as PNG."""
        return pictures.png(pictures.draw(self.run, *self._loaded(state)))

    def command(self, state: State) -> str:
        """Return the command line that makes the same picture."""
        return pictures.command(self.name, *self._loaded(state))

    def _loaded(self, state: State) -> tuple[Controls, State, Images]:
        assert self.controls is not None
        assert self.images is not None
        return self.controls, state, self.images

    def walk(self, stops: Sequence[State], steps: int) -> Iterator[np.ndarray]:
        """Return the frames uint8 (H, W, C) of a walk through the points and classes of favourites, with the psi and
        noise of the first."""
        assert self.controls is not None
        look: dict[str, Any] = {}
        if self.controls.style_layers:
            look |= {"psi": stops[0].psi, "noise": stops[0].noise}
        if self.controls.classes:
            look["classes"] = [stop.class_ or self.controls.classes[0] for stop in stops]
        if all(stop.whole for stop in stops):
            return self.run.frames([seed_at(int(stop.x), int(stop.y)) for stop in stops], steps=steps, **look)
        return self.run.frames(at=[stop.point for stop in stops], steps=steps, **look)

    def status(self) -> dict[str, Any]:
        """Return what the page shows about the run, ready for JSON."""
        run, controls = self.run, self.controls
        known = {
            "ready": self.ready,
            "message": self.message,
            "name": self.name,
            "model": run.model,
            "data": run.data.name,
            "size": run.data.size,
            "kimg": run.kimg,
            "checkpoint": run.checkpoint.name,
            "training": self._reopen is not None and Run(run.path).in_use(),
            "report": self.report_exists(),
        }
        if controls is None or self.images is None:
            return known
        offered = [
            {"name": f"{DATA_PREFIX}{index}", "domain": run.data.domains[domain] if run.data.domains else ""}
            for index, domain in self.images.offered.items()
        ]
        return {**known, "controls": vars(controls), "offered": offered}

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
