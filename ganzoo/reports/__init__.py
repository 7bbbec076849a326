"""The report of a run: one page with its samples, curves, numbers and warnings, without a server or network."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ganzoo.errors import OptionError
from ganzoo.files import atomic_write, output_folder, write_error
from ganzoo.reports.cache import ReportCache
from ganzoo.reports.facts import read_facts
from ganzoo.reports.page import comparison_page, run_page

if TYPE_CHECKING:
    from ganzoo.registry.plugins import Registry
    from ganzoo.runs import Run

FILE = "report.html"


def render(
    run: Run, registry: Registry | None = None, *, state: str | None = None, cache: ReportCache | None = None
) -> str:
    """Return the report of a run as HTML. Without a registry, the model's own options are not compared with their
    defaults, and no checkpoint is marked as the best by a metric. `state` replaces what the folder says, and `cache`
    keeps what the next report of the run uses again. RunError if options.json can't be read."""
    cache = cache or ReportCache()
    return run_page(read_facts(run, registry, state, cache.parameters), cache.pictures)


def render_comparison(runs: Sequence[Run], registry: Registry | None = None) -> str:
    """Return a page that compares runs, as HTML. RunError if an options.json can't be read."""
    return comparison_page([read_facts(run, registry) for run in runs])


def save_report(
    runs: Sequence[Run], registry: Registry | None = None, out: str | os.PathLike[str] | None = None
) -> Path:
    """Write the report of a run, by default report.html in its folder, or a page that compares several, by default
    report.html in the current folder. Return the path. OptionError if `out` doesn't end in .html, or if the page can't
    be written."""
    default = runs[0].path / FILE if len(runs) == 1 else Path(FILE)
    path = default if out is None else Path(out)
    if path.suffix != ".html":
        raise OptionError(f"--out {path}: the name must end in .html.")
    text = render(runs[0], registry) if len(runs) == 1 else render_comparison(runs, registry)
    with output_folder(path.parent, "--out"):
        try:
            atomic_write(path, text.encode())
        except OSError as error:
            raise OptionError(
                f"{path}: can't be written ({write_error(error)}). Name another file with --out."
            ) from error
    return path
