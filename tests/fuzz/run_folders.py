"""Run folders: options.json and stats.jsonl, as `ganzoo runs`, the plots and `--resume` read them."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import tempfile
from functools import lru_cache
from pathlib import Path

from ganzoo.cli.runs import runs as listing
from ganzoo.plots import save_curves
from ganzoo.registry import plugins
from ganzoo.runs import Run
from ganzoo.training.resuming import resumed_options
from tests.fuzz.edits import Choices, edit_bytes, edit_tree, ganzoo_errors_allowed, to_json
from tests.fuzz.models import DATA, MODELS, check_options, description

ROW = {
    **{"tick": 1, "step": 2, "images": 64, "kimg": 0.064, "size": 64, "alpha": 1.0, "seconds": 1.5},
    **{"images_per_second": 40.0, "seconds_per_kimg": 20.0, "memory_bytes": {"ram": 1000}},
    **{"losses": {"d/adv": 0.7, "g/adv": 1.1}, "watched": {"d/real": 0.1}},
}


registry = lru_cache(maxsize=1)(plugins.load)


@lru_cache(maxsize=1)
def seeds() -> list[bytes]:
    """For each model, return the two files of a run, separated by a zero byte."""
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder))
        for kimg in (1, 2):
            run.append_stats({**ROW, "kimg": kimg})
        found = []
        for model in MODELS.values():
            environment = {"device": "cpu"}
            run.save_description(dataclasses.replace(description(model), environment=environment, saved=1.0))
            found.append(run.options_file.read_bytes() + b"\0" + run.stats_file.read_bytes())
        return found


def _files_from(choices: Choices) -> tuple[bytes, bytes]:
    kind = choices.below(4)
    if kind == 0:
        return tuple((choices.rest() + b"\0").split(b"\0")[:2])  # type: ignore[return-value]
    options, _, stats = choices.pick(seeds()).partition(b"\0")
    if kind == 1:
        return edit_bytes(choices, options), stats
    if kind == 2:
        return to_json(edit_tree(choices, json.loads(options))), stats
    rows = edit_tree(choices, [json.loads(line) for line in stats.splitlines()])
    return options, b"\n".join(map(to_json, rows)) if isinstance(rows, list) else to_json(rows)


def check(data: bytes) -> None:
    options, stats = _files_from(Choices(data))
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder) / "00000-x")
        run.path.mkdir()
        run.options_file.write_bytes(options)
        run.stats_file.write_bytes(stats)
        for more in ([], ["--json"], ["--sort", "data"]):
            with contextlib.redirect_stdout(io.StringIO()):
                listing.main(["--experiments", folder, *more], standalone_mode=False, obj=registry())
        for model in MODELS.values():
            with ganzoo_errors_allowed():
                train, own, _ = resumed_options(run, model, {"batch": 3}, {})
                check_options(model, train, own, DATA)
        if len(data) % 256 == 1:  # rarely, because plotting is slow
            save_curves(run.path / "losses.png", run.stats())
        run.truncate_stats(10)
