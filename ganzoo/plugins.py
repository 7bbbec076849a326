"""Finds plugins through the entry-point group `ganzoo`, one by one, so that a broken or clashing one stops nobody.

Bundled plugins are loaded first and by the same road as a stranger's, so nobody can take a bundled name.

GANZOO_PLUGINS=a,b   loads only the plugins with these entry-point names (an empty value loads none).
GANZOO_TRACE_PLUGINS=1   tells on stderr what is loaded, from where, in what time, and each hook call.
"""

from __future__ import annotations

import inspect
import os
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any

import pluggy

from ganzoo import hookspecs
from ganzoo.errors import OptionError, PluginError, near_match

if TYPE_CHECKING:
    import click

    from ganzoo.data import DataSource
    from ganzoo.metrics import Metric
    from ganzoo.model import Model

GROUP = "ganzoo"
BUNDLED = "ganzoo"  # the distribution whose plugins come first
KINDS = ("models", "datasets", "metrics", "commands")


@dataclass
class Plugin:
    """One entry point: where it comes from, what it provides, and what is wrong with it, if anything."""

    name: str
    module: str
    distribution: str
    version: str
    provides: dict[str, list[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def origin(self) -> str:
        """Distribution and version, e.g. 'ganzoo 0.1.0'."""
        return f"{self.distribution} {self.version}".strip()


@dataclass
class Registry:
    """Everything that plugins have registered, by name."""

    manager: pluggy.PluginManager
    plugins: list[Plugin] = field(default_factory=list)
    models: dict[str, Model] = field(default_factory=dict)
    datasets: dict[str, DataSource] = field(default_factory=dict)
    metrics: dict[str, Metric] = field(default_factory=dict)
    commands: dict[str, click.Command] = field(default_factory=dict)

    def model(self, name: str) -> Model:
        """The model called `name`; OptionError with the near match, or PluginError if its plugin is broken."""
        return self._find("model", name, self.models)

    def dataset(self, name: str) -> DataSource:
        """The data source called `name`; errors as for `model`."""
        return self._find("data set", name, self.datasets)

    def _find(self, what: str, name: str, known: dict[str, Any]) -> Any:
        if name in known:
            return known[name]
        for plugin in self.plugins:
            if plugin.problems and name in (plugin.name, plugin.name.removeprefix("ganzoo_")):
                raise PluginError(f"{what} {name!r}: its plugin ({plugin.origin}) is broken: {plugin.problems[0]}")
        hint = near_match(name, known) or f" There are: {', '.join(sorted(known)) or 'none'}."
        raise OptionError(f"no {what} is called {name!r}.{hint}")

    def notify(self, event: str, **arguments: Any) -> list[str]:
        """Call an event hook in every plugin; return what went wrong, a line for each plugin that raised."""
        failures = []
        for implementation in getattr(self.manager.hook, event).get_hookimpls():
            accepted = {name: arguments[name] for name in implementation.argnames}
            try:
                implementation.function(**accepted)
            except Exception as error:
                failures.append(f"plugin {implementation.plugin_name}: {event} raised {_describe(error)}")
        return failures


def load(entry_points: Iterable[metadata.EntryPoint] | None = None) -> Registry:
    """Load every plugin that is installed (or just the given entry points) into a fresh registry. Never raises."""
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    if _tracing():
        manager.trace.root.setwriter(lambda text: sys.stderr.write(f"ganzoo plugins: {text}"))
        manager.enable_tracing()
    registry = Registry(manager)
    for entry_point in _wanted(_installed() if entry_points is None else entry_points):
        started = time.perf_counter()
        plugin = _load_one(registry, entry_point)
        registry.plugins.append(plugin)
        if _tracing():
            milliseconds = (time.perf_counter() - started) * 1000
            state = "; ".join(plugin.problems) or "ok"
            print(f"ganzoo plugins: {plugin.name} ({plugin.origin}) {milliseconds:.1f} ms: {state}", file=sys.stderr)
    return registry


def _tracing() -> bool:
    return os.environ.get("GANZOO_TRACE_PLUGINS", "") not in ("", "0")


def _installed() -> Iterable[metadata.EntryPoint]:
    found: Any = metadata.entry_points()
    if hasattr(found, "select"):
        return found.select(group=GROUP)
    return found.get(GROUP, ())  # Python 3.9: a plain dict


def _wanted(entry_points: Iterable[metadata.EntryPoint]) -> list[metadata.EntryPoint]:
    # An editable install beside a wheel of the same package can list an entry point twice.
    unique = {(point.name, point.value): point for point in entry_points}
    chosen = sorted(unique.values(), key=lambda point: (_origin(point)[0] != BUNDLED, point.name))
    only = os.environ.get("GANZOO_PLUGINS")
    if only is None:
        return chosen
    names = {name.strip() for name in only.split(",")}
    return [point for point in chosen if point.name in names]


def _origin(entry_point: metadata.EntryPoint) -> tuple[str, str]:
    distribution = getattr(entry_point, "dist", None)
    return (distribution.metadata["Name"], distribution.version) if distribution else ("unknown", "")


def _load_one(registry: Registry, entry_point: metadata.EntryPoint) -> Plugin:
    plugin = Plugin(entry_point.name, entry_point.value, *_origin(entry_point))
    try:
        module = entry_point.load()
    except (Exception, SystemExit) as error:
        plugin.problems.append(f"import of {entry_point.value} failed: {_describe(error)}")
        return plugin
    try:
        _register(registry.manager, module, plugin)
    except (pluggy.PluginValidationError, PluginError, ValueError) as error:
        plugin.problems.append(" ".join(str(error).split()))
        if registry.manager.is_registered(module):
            registry.manager.unregister(module)
        return plugin
    for kind in KINDS:
        _collect(registry, module, plugin, kind)
    return plugin


def _register(manager: pluggy.PluginManager, module: Any, plugin: Plugin) -> None:
    manager.register(module, name=f"{plugin.distribution}:{plugin.name}")
    specified = [name for name in dir(hookspecs) if name.startswith("ganzoo_")]
    for caller in manager.get_hookcallers(module) or []:
        if not caller.has_spec():
            raise PluginError(f"there is no hook {caller.name!r}.{near_match(caller.name, specified)}")


def _collect(registry: Registry, module: Any, plugin: Plugin, kind: str) -> None:
    """Ask one plugin for its models, data sets, metrics or commands, and enter those whose names are free."""
    hook = getattr(module, f"ganzoo_{kind}", None)
    if hook is None:
        return
    try:
        offered = list(hook())
        names = [_checked_name(kind, item) for item in offered]
    except Exception as error:
        plugin.problems.append(f"ganzoo_{kind} raised {_describe(error)}")
        return
    known: dict[str, Any] = getattr(registry, kind)
    for name, item in zip(names, offered):
        if name in known:
            owner = next((p.origin for p in registry.plugins if name in p.provides.get(kind, [])), plugin.origin)
            plugin.problems.append(f"{kind[:-1]} {name!r} is already registered by {owner}; this one is left out")
            continue
        known[name] = item
        plugin.provides.setdefault(kind, []).append(name)


def _checked_name(kind: str, item: Any) -> str:
    """The item's name, after checking that the item is of the class its hook promises."""
    import click

    from ganzoo.data import DataSource
    from ganzoo.metrics import Metric
    from ganzoo.model import Model

    expected: type = {"models": Model, "datasets": DataSource, "metrics": Metric, "commands": click.Command}[kind]
    if not isinstance(item, expected):
        hint = " (an instance is wanted, not the class)" if inspect.isclass(item) else ""
        raise TypeError(f"{item!r} is not a {expected.__name__}{hint}")
    name = item.name
    if not name or not isinstance(name, str):
        raise TypeError(f"{item!r} has no name")
    return name


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
