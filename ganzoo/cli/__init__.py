"""The command line. Nothing here imports Jittor, NumPy or Pillow until a command needs it."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import Any

import click

from ganzoo import distributed
from ganzoo.cli import completion
from ganzoo.cli.commands import COMMANDS, plugin_commands
from ganzoo.errors import GanzooError, did_you_mean, is_out_of_memory, printable
from ganzoo.files import write_error
from ganzoo.signals import interruptible, let_signals_arrive

RANK_ZERO_GRACE = (
    2.0  # grace period (s): rank 0 usually reports the same error first, and mpirun then ends the other ranks
)


class Main(click.Group):
    """The top-level group. Loads command modules on demand, and turns every error into one line and an exit status."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *sorted(plugin_commands(ctx))]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in COMMANDS:
            module, attribute = COMMANDS[name].split(":")
            command: click.Command = getattr(import_module(module), attribute)
            return command
        return plugin_commands(ctx).get(name)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            names = self.list_commands(ctx)
            raise click.UsageError(f"unknown command {args[0]!r}.{did_you_mean(args[0], names)}")
        if distributed.world_size() > 1 and args[0] != "train":
            raise click.UsageError(f"mpirun is for `ganzoo train`; start `ganzoo {args[0]}` without it.")
        return super().resolve_command(ctx, args)

    def main(self, args: Any = None, prog_name: Any = None, **extra: Any) -> Any:  # type: ignore[override]
        # Plots only go to files. A GUI backend may need a display, and if a notebook has set a backend that this
        # matplotlib does not know, importing matplotlib fails.
        os.environ["MPLBACKEND"] = "agg"
        if not extra.pop("standalone_mode", True):
            return super().main(args, prog_name, standalone_mode=False, **extra)
        warnings.filterwarnings("ignore", module=r"PIL\b")  # Pillow warns about images that it can still read
        if completion.requested():
            completion.complete(partial(super().main, args, prog_name, **extra))
        with _other_ranks_silent(), distributed.exit_on_error():
            status = _status(partial(super().main, args, prog_name, standalone_mode=False, **extra))
            sys.exit(status if isinstance(status, int) else 0)


@contextlib.contextmanager
def _other_ranks_silent() -> Iterator[None]:
    """Discard what ranks other than 0 print on stdout."""
    if distributed.is_rank_zero():
        yield
        return
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


def _status(run: Callable[[], Any]) -> Any:
    """Run a command, and return its result or exit status. Errors are printed in one line."""
    with interruptible() as interrupts:
        try:
            result = _run_command(run)
            interrupts.over = True
            return result
        except (KeyboardInterrupt, Exception) as error:
            interrupts.over = True
            if interrupts.number is not None or isinstance(error, (click.Abort, KeyboardInterrupt)):
                return _fail("interrupted", interrupts.status)
            status = _report_error(error)
            if status is None:
                raise
            return status


def _run_command(run: Callable[[], Any]) -> Any:
    try:
        return run()
    except Exception:  # a signal may be the cause: it can make Jittor or writing to a terminal fail
        let_signals_arrive()
        raise


def _report_error(error: BaseException) -> int | None:
    """Print a known error in one line, or the short traceback of one in a plugin's code, and return its exit status.
    Return None for any other error."""
    if isinstance(error, click.ClickException):
        if type(error).__name__ == "NoArgsIsHelpError":  # new in click 8.2
            error.show()
            return error.exit_code
        return _fail(error.format_message(), error.exit_code)
    if isinstance(error, GanzooError):
        return _fail(str(error), error.exit_status)
    if isinstance(error, BrokenPipeError):  # the program that reads our output, e.g. `head`, has exited
        sys.stderr.close()
        return 1
    if is_out_of_memory(error):
        return _fail("out of memory. Close other programs, or use smaller settings.", 1)
    if isinstance(error, OSError):  # a full disk, say, or a missing permission: show the system's own message
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{write_error(error)}.", 1)
    from ganzoo.registry.tracebacks import plugin_traceback

    shown = plugin_traceback(error)
    return None if shown is None else _fail(shown, 1, "Error in a plugin")


def _fail(message: str, status: int, what: str = "Error") -> int:
    message = "\n".join(map(printable, message.split("\n")))
    if not distributed.is_rank_zero():
        time.sleep(RANK_ZERO_GRACE)
        what = f"{what} on rank {distributed.rank()}"
    with contextlib.suppress(OSError):  # stderr may be closed
        click.echo(f"{what}: {message}", err=True)
    return status


def _dashed(name: str) -> str:
    return name.replace("_", "-")


# Other programs use '_' in option names, so all of our options accept '_' for '-'.
@click.group(cls=Main, context_settings={"help_option_names": ["-h", "--help"], "token_normalize_func": _dashed})
@click.version_option(package_name="ganzoo", message="ganzoo %(version)s")
def main() -> None:
    """ganzoo: a GAN zoo on Jittor, every model a plugin.

    \b
    ganzoo train lsgan --data mnist      train a model
    ganzoo generate --seeds 0-31         generate images with the newest run
    ganzoo evaluate                      compute its FID and other metrics
    ganzoo doctor                        check whether this machine can train
    """
