"""The names of all commands, including those of plugins, and the plugin registry of an invocation."""

from __future__ import annotations

from typing import Any

import click

COMMANDS = {
    "train": "ganzoo.cli.train:train",
    "generate": "ganzoo.cli.generate.command:generate",
    "explore": "ganzoo.cli.explore:explore",
    "evaluate": "ganzoo.cli.evaluate:evaluate",
    "import": "ganzoo.cli.import_:import_",
    "export": "ganzoo.cli.export:export",
    "zoo": "ganzoo.cli.zoo:zoo",
    "report": "ganzoo.cli.report:report",
    "card": "ganzoo.cli.card:card",
    "push": "ganzoo.cli.push:push",
    "runs": "ganzoo.cli.runs:runs",
    "models": "ganzoo.cli.listing:models",
    "metrics": "ganzoo.cli.listing:metrics",
    "plugins": "ganzoo.cli.listing:plugins",
    "data": "ganzoo.cli.data:data",
    "doctor": "ganzoo.cli.doctor:doctor",
    "new-plugin": "ganzoo.cli.new_plugin:new_plugin",
}
DATA_COMMANDS = ("check", "download", "list", "prepare", "show")  # subcommands of `ganzoo data`


def plugin_registry(ctx: click.Context) -> Any:
    """Return the plugin registry of this invocation, loaded on first use."""
    root = ctx.find_root()
    if root.obj is None:
        from ganzoo.registry import plugins
        from ganzoo.registry.discovery import PLUGINS_VARIABLE

        root.obj = plugins.load(reserved=[*COMMANDS, *(f"data {name}" for name in DATA_COMMANDS)])
        for plugin in root.obj.plugins:
            if plugin.distribution == PLUGINS_VARIABLE:
                click.echo(f"warning: {PLUGINS_VARIABLE}: {plugin.problems[0]}", err=True)
    return root.obj


def plugin_commands(ctx: click.Context) -> dict[str, click.Command]:
    commands: dict[str, click.Command] = plugin_registry(ctx).commands
    return {name: command for name, command in commands.items() if name not in COMMANDS}
