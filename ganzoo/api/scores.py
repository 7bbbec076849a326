"""The result of an evaluation in Python."""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo.metrics.report import lines, save
from ganzoo.metrics.tasks import checkpoint_task, measure

if TYPE_CHECKING:
    from ganzoo.checkpoints.checkpoint import Checkpoint
    from ganzoo.registry.plugins import Registry


class Scores(dict[str, float]):
    """The value of each metric by name, such as `scores["fid"]`: means over pairs of domains or classes, if there are
    several. Translations with styles have a prefix, as in "latent/fid". `record` holds everything that the numbers
    depend on, and those of each pair or class. Printing shows the table of `ganzoo evaluate`."""

    def __init__(self, record: dict[str, Any]) -> None:
        self.record = record
        super().__init__(
            {
                f"{mode}/{name}" if mode else name: value
                for mode, numbers in record["mean"].items()
                for name, value in numbers.items()
            }
        )

    def __str__(self) -> str:
        return "\n".join(lines(self.record))

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def evaluate_run(
    saved: Checkpoint,
    folder: Path,
    registry: Registry,
    *,
    metrics: str | None,
    samples: int | None,
    max_real: int | None,
    quick: bool,
    against: str | None,
    per_class: bool,
    mode: str | None,
    seed: int,
    **networks: Any,
) -> Scores:
    """Measure a checkpoint, and add the record to those in its folder. Jittor must have been started. `networks` are
    arguments of `measure`."""
    named = None if metrics is None else registry.metrics_named(metrics)
    task = checkpoint_task(
        saved,
        folder,
        registry,
        against=against,
        samples=samples,
        max_real=max_real,
        mode=mode,
        seed=seed,
        quick=quick,
        per_class=per_class,
    )
    record = measure(task, named or registry.metrics_named(task.standard_metrics), seed=seed, **networks)
    save(folder, record)
    return Scores(record)
