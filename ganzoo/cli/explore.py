"""`ganzoo explore`: a page that shows what a run generates or translates."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from pathlib import Path

import click

from ganzoo.checkpoints.opening import open_checkpoint
from ganzoo.cli.commands import plugin_registry
from ganzoo.cli.params import device_option, experiments_option, run_argument
from ganzoo.errors import OptionError

NEEDED = ("starlette", "uvicorn")


@click.command(short_help="Explore a run or checkpoint in the browser.")
@run_argument
@click.option("--port", type=click.IntRange(0, 65535), default=8000, help="Port; 0 is a free one.", show_default=True)
@click.option(
    "--host",
    default="127.0.0.1",
    metavar="ADDRESS",
    help="Address to listen at. Others than this machine's own need the token in the address that is printed.",
    show_default=True,
)
@click.option(
    "--allow-host",
    multiple=True,
    metavar="NAME",
    help="Another host name that the page may be opened by, e.g. behind a proxy. Can be given several times.",
)
@click.option("--open", "open_browser", is_flag=True, help="Open the page in a browser.")
@device_option
@experiments_option
@click.pass_context
def explore(
    ctx: click.Context,
    run: str | None,
    port: int,
    host: str,
    allow_host: tuple[str, ...],
    open_browser: bool,
    device: str,
    experiments: str,
) -> None:
    """Explore what a run, a checkpoint or a trained model (see `ganzoo zoo`) generates or translates, in the browser;
    the newest run if none is named. Of a run, the page shows the newest checkpoint, also while it is trained.

    The page is served to this machine only. On a remote machine, forward the port with the `ssh -L` line that is
    printed. Ctrl-C ends it.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise OptionError(f"`ganzoo explore` needs {' and '.join(missing)}: pip install 'ganzoo[app]'")
    from ganzoo.api.loaded import LoadedRun
    from ganzoo.explorer.serving import serve

    registry, say = plugin_registry(ctx), partial(click.echo, err=True)
    saved, folder = open_checkpoint(run, Path(experiments), registry, lambda *found: found, say)
    saved.model(registry)  # reports an unknown model before anything is served
    named = run is not None and (Path(run).name.startswith("checkpoint-") or Path(run).is_file())
    follow = not named and saved.path.parent.resolve() == folder.resolve()
    name = str(run) if not follow else folder.name if experiments == "experiments" else str(folder)
    serve(
        LoadedRun(saved, folder, registry, device),
        name,
        host=host,
        port=port,
        allowed_hosts=allow_host,
        device=device,
        follow=follow,
        open_browser=open_browser,
        say=click.echo,
    )
