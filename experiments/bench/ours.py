"""ganzoo's side: the step that `ganzoo train` takes, with its loss, optimizers and averages, on images in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from rows import DOMAINS, Row

OPTIONS: dict[str, dict[str, Any]] = {
    "stylegan": {"loss": "r1", "mixing": True},
    "stargan2": {},
    "gan": {},
    "lsgan": {},
}


def prepare(row: Row) -> Callable[[], None]:
    """One iteration, to be called again and again; what is pending has been computed when it returns."""
    from ganzoo import DataInfo, TrainOptions, backend, plugins
    from ganzoo.data.loader import ImageBatch
    from ganzoo.options import resolve
    from ganzoo.training.state import TrainState
    from ganzoo.training.step import Step
    from ganzoo.training.tally import Tally

    backend.start("cpu")
    model = plugins.load().model(row.model)
    domains = DOMAINS if row.model == "stargan2" else ()
    data = DataInfo("drawn", 1000, row.size, row.channels, domains=domains)
    given = {**OPTIONS[row.model], **({"max_size": row.size, "init_size": row.size} if row.model == "stylegan" else {})}
    options = model.settled(resolve(model.options, given), data)
    train = resolve(TrainOptions, {"batch": row.batch}, model.defaults)
    state = TrainState(model, options, data, train)
    model.begin(options, state.setup.networks)
    tally = Tally()
    step = Step(state, 0, None, tally.add, tally.watch)
    images = batch_of(row, ImageBatch)

    def iterate() -> None:
        step(images)
        state.progress = state.progress.after(row.batch)
        backend.wait()

    return iterate


def batch_of(row: Row, kind: Any) -> Any:
    given = row.images()
    if row.model != "stargan2":
        return kind(given["x"], np.zeros(row.batch, np.int64))
    references = np.stack([given["reference"], given["reference2"]])
    return kind(given["x"], given["y"], references, given["target"])
