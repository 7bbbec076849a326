"""Shell completion of the names that options and arguments take. Nothing here imports Jittor, NumPy or Pillow."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class

from ganzoo.cli.commands import plugin_registry
from ganzoo.errors import RunError

if TYPE_CHECKING:
    from ganzoo.interfaces.model import Model

VARIABLE = "_GANZOO_COMPLETE"  # set by the shell to ask for completions; click reads it
Names = Callable[[click.Context], Iterable[str]]
Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _on_hub(ctx: click.Context) -> Iterable[str]:
    from ganzoo.checkpoints.hub import cached_names

    return cached_names()


def _in_zoo(ctx: click.Context) -> Iterable[str]:
    return [f"zoo:{name}" for name in plugin_registry(ctx).zoo_models]


# Where names of checkpoints come from, besides the runs: each function returns names with a prefix.
OTHER_CHECKPOINTS: list[Names] = [_on_hub, _in_zoo]


def requested() -> bool:
    """Return whether the shell asks for completions."""
    return VARIABLE in os.environ


def complete(run: Callable[[], Any]) -> None:
    """Print the completions. An error in finding them is not shown: it would disturb the line that the user types."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere), contextlib.suppress(Exception):
        run()
    sys.exit(0)


def checkpoint_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete what `open_checkpoint` accepts: runs, after RUN/ the run's checkpoints, other names, and files."""
    return [_file(incomplete), *_items(_runs(ctx, incomplete), incomplete), *_items(_others(ctx), incomplete)]


def run_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete what --resume accepts: runs, after RUN/ the run's checkpoints, and paths."""
    return [_file(incomplete), *_items(_runs(ctx, incomplete), incomplete)]


def data_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete data sets by name, and files."""
    from ganzoo.data.catalog import prepared

    return [_file(incomplete), *_items([*plugin_registry(ctx).datasets, *prepared()], incomplete)]


def metric_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the last metric of a list such as fid,kid."""
    before, comma, _ = incomplete.rpartition(",")
    chosen = before.split(",")
    names = (name for name in plugin_registry(ctx).metrics if name not in chosen)
    return _items((f"{before}{comma}{name}" for name in names), incomplete)


def preset_names(model: Model) -> Completer:
    """Return a function that completes the presets of a model, and files."""
    return lambda ctx, param, incomplete: [_file(incomplete), *_items(model.presets, incomplete)]


# Of options that are made from options classes, by name.
BY_OPTION: dict[str, Completer] = {"data": data_names, "evaluate": metric_names}


def _items(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in dict.fromkeys(names) if name.startswith(incomplete)]


def _file(incomplete: str) -> CompletionItem:
    """Return the item by which the shell completes paths itself. It must come first: for click's script for Bash, it
    replaces the items before it."""
    return CompletionItem(incomplete, type="file")


def _runs(ctx: click.Context, incomplete: str) -> Iterator[str]:
    from ganzoo import runs
    from ganzoo.checkpoints.checkpoint import list_checkpoints

    experiments = Path(ctx.params.get("experiments") or "experiments")
    name, slash, _ = incomplete.rpartition("/")
    if slash:
        with contextlib.suppress(RunError):  # a folder that is not a run
            yield from (f"{name}/{path.stem}" for path in list_checkpoints(runs.find(name, experiments).path))
    else:
        yield "latest"
        yield from (run.path.name for run in reversed(runs.list_runs(experiments)))


def _others(ctx: click.Context) -> Iterator[str]:
    for names in OTHER_CHECKPOINTS:
        with contextlib.suppress(Exception):  # the other names are still offered
            yield from names(ctx)


@add_completion_class
class _ColonsInBash(BashComplete):
    """Bash's completion. Bash takes a colon for a word of its own, so that `zoo:x` arrives as `zoo : x`, and replaces
    only what follows the colon."""

    def get_completion_args(self) -> tuple[list[str], str]:
        args, incomplete = super().get_completion_args()
        words: list[str] = []
        for word in [*args, incomplete]:
            if words and (word == ":" or words[-1].endswith(":")):
                words[-1] += word
            else:
                words.append(word)
        before, colon, _ = words[-1].rpartition(":")
        self._before = before + colon
        return words[:-1], words[-1]

    def format_completion(self, item: CompletionItem) -> str:
        return f"{item.type},{str(item.value).removeprefix(self._before)}"
