"""The report of a run: one page with its samples, curves, numbers and warnings, without a server or network."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ganzoo.errors import OptionError
from ganzoo.files import atomic_write, output_folder
from ganzoo.reports.facts import read_facts
from ganzoo.reports.page import comparison_page, run_page
from ganzoo.reports.pictures import PictureCache

if TYPE_CHECKING:
    from ganzoo.registry.plugins import Registry
    from ganzoo.runs import Run

FILE = "report.html"


def render(
    run: Run, registry: Registry | None = None, *, state: str | None = None, pictures: PictureCache | None = None
) -> str:
    """Return the report of a run as HTML. Without a registry, the model's own options are not compared with their
    defaults. `state` replaces what the folder says, and `pictures` keeps encoded sheets for the next time. RunError if
    options.json can't be read."""
    return run_page(read_facts(run, registry, state), pictures or PictureCache())


def render_comparison(runs: Sequence[Run], registry: Registry | None = None) -> str:
    """Return a page that compares runs, as HTML. RunError if an options.json can't be read."""
    return comparison_page([read_facts(run, registry) for run in runs])


def save_report(
    runs: Sequence[Run], registry: Registry | None = None, out: str | os.PathLike[str] | None = None
) -> Path:
    """Write the report of a run, by default report.html in its folder, or a page that compares several, by default
    report.html in the current folder. Return the path. OptionError if `out` doesn't end in .html."""
    default = runs[0].path / FILE if len(runs) == 1 else Path(FILE)
    path = default if out is None else Path(out)
    if path.suffix != ".html":
        raise OptionError(f"--out {path}: the name must end in .html.")
    text = render(runs[0], registry) if len(runs) == 1 else render_comparison(runs, registry)
    with output_folder(path.parent, "--out"):
        atomic_write(path, text.encode())
    return path
