"""Loading of plugins, and the registry of what they provide.

Plugins are loaded one by one, and their hooks called one by one, so a broken or clashing plugin does not stop the
others. Third-party plugins are loaded by the same code as bundled ones, but later, so they can't take a bundled name.

GANZOO_TRACE_PLUGINS=1   print on stderr what is loaded, from where, how long it takes, and each hook call.
"""

from __future__ import annotations

import inspect
import os
import sys
import time
import traceback
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from ganzoo.errors import BackendError, OptionError, PluginError, describe_failure, did_you_mean
from ganzoo.interfaces import hookspecs
from ganzoo.registry.discovery import (
    GROUP,
    PLUGINS_VARIABLE,
    Plugin,
    distribution_and_version,
    installed_plugins,
    select_plugins,
)
from ganzoo.registry.validation import checked_name

if TYPE_CHECKING:
    from importlib import metadata

    import click

    from ganzoo.interfaces.dataset import DataSource
    from ganzoo.interfaces.metric import Metric
    from ganzoo.interfaces.model import Model
    from ganzoo.interfaces.zoo import ZooModel

KINDS = ("models", "datasets", "metrics", "zoo_models", "commands", "data_commands")
EVENTS = "events"  # key of a plugin's event hooks in `Plugin.provides`
# Plugin code may call sys.exit(). KeyboardInterrupt comes from the user, and is not caught.
PLUGIN_ERRORS = (Exception, SystemExit)


@dataclass
class Registry:
    """Everything that plugins have registered, by name."""

    manager: pluggy.PluginManager
    reserved: Collection[str] = ()
    plugins: list[Plugin] = field(default_factory=list)
    models: dict[str, Model] = field(default_factory=dict)
    datasets: dict[str, DataSource] = field(default_factory=dict)
    metrics: dict[str, Metric] = field(default_factory=dict)
    zoo_models: dict[str, ZooModel] = field(default_factory=dict)
    commands: dict[str, click.Command] = field(default_factory=dict)
    data_commands: dict[str, click.Command] = field(default_factory=dict)

    def model(self, name: str) -> Model:
        """Return the model called `name`. OptionError, suggesting a near match, if there is none; PluginError if its
        plugin is broken."""
        return self._find("model", name, self.models)

    def dataset(self, name: str) -> DataSource:
        """Return the data source called `name`; errors as for `model`."""
        return self._find("data set", name, self.datasets)

    def zoo_model(self, name: str) -> ZooModel:
        """Return the trained model called `name`; errors as for `model`, but listing all names."""
        found: ZooModel = self._find("model of the zoo", name, self.zoo_models, list_all=True)
        return found

    def plugin_of(self, kind: str, name: str) -> Plugin | None:
        """Return the plugin that registered something of a kind, such as 'models'; None if no plugin did."""
        return next((each for each in self.plugins if name in each.provides.get(kind, [])), None)

    def metrics_named(self, names: str) -> list[Metric]:
        """Return the metrics in a list such as 'fid,ppl', where 'ppl' stands for all metrics whose names begin with
        'ppl-'. Errors as for `model`."""
        found: dict[str, Metric] = {}
        for name in filter(None, (each.strip() for each in names.split(","))):
            family = {each: metric for each, metric in self.metrics.items() if each.startswith(f"{name}-")}
            found.update(
                family if family and name not in self.metrics else {name: self._find("metric", name, self.metrics)}
            )
        if not found:
            raise OptionError(f"no metric given. Available: {', '.join(sorted(self.metrics))}.")
        return list(found.values())

    def _find(self, what: str, name: str, known: dict[str, Any], list_all: bool = False) -> Any:
        if name in known:
            return known[name]
        broken = [plugin for plugin in self.plugins if plugin.problems]
        for plugin in broken:
            if _normalised(name) in (_normalised(plugin.name), _normalised(plugin.distribution)):
                raise PluginError(f"{what} {name!r}: its plugin ({plugin.origin}) is broken: {plugin.problems[0]}")
        hint = did_you_mean(name, known)
        if list_all or not hint:
            hint += f" Available: {', '.join(sorted(known)) or 'none'}."
        if broken:
            names = ", ".join(plugin.name for plugin in broken)
            hint += f" Some plugins have problems ({names}); see `ganzoo plugins`."
        elif PLUGINS_VARIABLE in os.environ:
            hint += " GANZOO_PLUGINS is set, so other plugins are not loaded."
        raise OptionError(f"no {what} is called {name!r}.{hint}")

    def notify(self, event: str, **arguments: Any) -> list[str]:
        """Call an event hook in every plugin. Return a line about the error for each plugin that raised one."""
        return self.ask(event, **arguments)[1]

    def ask(self, event: str, **arguments: Any) -> tuple[list[tuple[str, Any]], list[str]]:
        """Call an event hook in every plugin. Return the answers other than None, each with the plugin's name, and a
        line about the error for each plugin that raised one."""
        answers, failures = [], []
        implementations = getattr(self.manager.hook, event).get_hookimpls()
        for plugin in dict.fromkeys(each.plugin for each in reversed(implementations)):  # in pluggy's calling order
            name = self.manager.get_name(plugin) or ""
            try:
                answers += [(name, answer) for answer in self.call_one(event, plugin, **arguments)]
            except PLUGIN_ERRORS as error:
                failures.append(f"plugin {name}: {event} raised {describe_failure(error)}")
        return answers, failures

    def call_one(self, hook: str, plugin: Any, **arguments: Any) -> list[Any]:
        """Call a hook in one plugin, and return the results of its implementations, without None."""
        others = self.manager.get_plugins() - {plugin}
        results: list[Any] = self.manager.subset_hook_caller(hook, others)(**arguments)
        return results


def load(entry_points: Iterable[metadata.EntryPoint] | None = None, reserved: Collection[str] = ()) -> Registry:
    """Load all installed plugins (or only the given entry points) into a new registry. Never raises.

    `reserved` lists the commands that plugins can't replace, e.g. 'train' and 'data list'.
    """
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    if tracing():
        _trace_hook_calls(manager)
    registry = Registry(manager, reserved)
    if entry_points is None:
        found = list(installed_plugins())
    else:
        found = [
            (Plugin(point.name, point.value, *distribution_and_version(getattr(point, "dist", None))), point)
            for point in entry_points
        ]
    for plugin, entry_point in select_plugins(found):
        started = time.perf_counter()
        if entry_point is not None:
            _load_one(registry, plugin, entry_point)
        registry.plugins.append(plugin)
        milliseconds = (time.perf_counter() - started) * 1000
        _trace(f"{plugin.name} ({plugin.origin}) {milliseconds:.1f} ms: {'; '.join(plugin.problems) or 'ok'}")
    return registry


def _load_one(registry: Registry, plugin: Plugin, entry_point: metadata.EntryPoint) -> None:
    """Import and register one plugin. Whatever goes wrong is added to the plugin's problems."""
    imported_before = "jittor" in sys.modules
    try:
        module = entry_point.load()
    except PLUGIN_ERRORS as error:
        needs_jittor = isinstance(error, BackendError) or _in_jittor(error)
        hint = "import Jittor, and modules that use it, only inside build; " if needs_jittor else ""
        what = "Jittor is not started yet" if isinstance(error, BackendError) else describe_failure(error)
        where = _location(error, entry_point.value.partition(":")[0], outermost=needs_jittor)
        plugin.problems.append(f"{hint}import of {entry_point.value} failed: {what}{where}")
        return
    if not imported_before and "jittor" in sys.modules:
        plugin.problems.append(
            f"{entry_point.value} imports jittor, so every command waits for it; import it in build, as ganzoo.jt"
        )
    try:
        hooks = _register(registry.manager, module, plugin)
    except PLUGIN_ERRORS as error:
        known = isinstance(error, (pluggy.PluginValidationError, PluginError))
        plugin.problems.append(" ".join(str(error).split()) if known else describe_failure(error))
        return
    if events := [name[len("ganzoo_") :] for name, _ in hooks if name[len("ganzoo_") :] not in KINDS]:
        plugin.provides[EVENTS] = events
    for kind in KINDS:
        if any(name == f"ganzoo_{kind}" for name, _ in hooks):
            _collect(registry, plugin, kind, module)


def _in_jittor(error: BaseException) -> bool:
    """Return whether an error was raised by an import of Jittor, which fails if ganzoo.backend has not prepared it."""
    modules = (frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(name.partition(".")[0] in ("jittor", "jittor_utils") for name in modules)


def _location(error: BaseException, module: str, outermost: bool) -> str:
    """Return ' (file, line N)' of the plugin's own code: of the innermost call, or of the outermost, which imports the
    rest. Empty if there is none, or if the message already says it, as that of a SyntaxError does."""
    package = module.partition(".")[0]
    frames = [
        (Path(frame.f_code.co_filename).name, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_globals.get("__name__", "").partition(".")[0] == package
    ]
    if not frames or isinstance(error, SyntaxError):
        return ""
    file, line = frames[0 if outermost else -1]
    return f" ({file}, line {line})"


def _register(manager: pluggy.PluginManager, module: Any, plugin: Plugin) -> list[tuple[str, pluggy.HookImpl]]:
    """Register a plugin's module, and return the names and implementations of its hooks. If it raises, the manager is
    unchanged."""
    if manager.is_registered(module):
        raise PluginError(f"{plugin.module} is already registered, as {manager.get_name(module)}")
    try:
        manager.register(module, name=f"{plugin.distribution}:{plugin.name}")
        callers = manager.get_hookcallers(module) or []
        hooks = [(caller.name, each) for caller in callers for each in caller.get_hookimpls() if each.plugin is module]
        _check_hooks(module, hooks)
    except PLUGIN_ERRORS:
        if manager.is_registered(module):
            manager.unregister(module)
        raise
    return hooks


def _check_hooks(module: Any, hooks: list[tuple[str, pluggy.HookImpl]]) -> None:
    specified = [name for name in dir(hookspecs) if name.startswith("ganzoo_")]
    if not hooks and getattr(module, "__file__", None) is None and hasattr(module, "__path__"):
        folder = next(iter(module.__path__), "")
        raise PluginError(f"the folder {folder} shadows the package of the same name; run ganzoo from another folder")
    for name, implementation in hooks:
        if name not in specified and not implementation.optionalhook:
            raise PluginError(f"there is no hook {name!r}.{did_you_mean(name, specified)}")
        if implementation.hookwrapper or implementation.wrapper:
            raise PluginError(f"{name} is a hook wrapper, but each hook is called by itself; make it a plain function")
    decorated = [implementation.function for _, implementation in hooks]
    for name in specified:
        function = getattr(module, name, None)
        if inspect.isfunction(function) and function not in decorated:
            raise PluginError(f"{name} is not decorated with @ganzoo.hookimpl, so it would never be called")


def _collect(registry: Registry, plugin: Plugin, kind: str, module: Any) -> None:
    """Register one plugin's models, data sets, metrics or commands, if they are valid and their names are free."""
    try:
        offered: list[Any] = []
        for answer in registry.call_one(f"ganzoo_{kind}", module) or [None]:
            if isinstance(answer, (str, bytes)) or not isinstance(answer, Iterable):
                raise PluginError(f"it returned {answer!r} instead of a list of {kind.replace('_', ' ')}")
            offered += answer
    except PLUGIN_ERRORS as error:
        what = str(error) if isinstance(error, PluginError) else f"it raised {describe_failure(error)}"
        plugin.problems.append(f"ganzoo_{kind}: {what}")
        return
    known: dict[str, Any] = getattr(registry, kind)
    for item in offered:
        try:
            name = checked_name(kind, item)
            _check_free(registry, plugin, kind, name)
        except PLUGIN_ERRORS as error:
            plugin.problems.append(str(error) if isinstance(error, PluginError) else describe_failure(error))
            continue
        known[name] = item
        plugin.provides.setdefault(kind, []).append(name)


def _check_free(registry: Registry, plugin: Plugin, kind: str, name: str) -> None:
    known: dict[str, Any] = getattr(registry, kind)
    what, full = ("command", f"data {name}") if kind == "data_commands" else (kind[:-1].replace("_", " "), name)
    if name in known:
        owner = (registry.plugin_of(kind, name) or plugin).origin
        raise PluginError(f"{what} {full!r} is already registered by {owner}; this one is skipped")
    if what == "command" and full in registry.reserved:
        raise PluginError(f"command {full!r} is one of ganzoo's own; this one is skipped")


def _trace_hook_calls(manager: pluggy.PluginManager) -> None:
    """Print a trace line for each hook call. Each call is to one plugin (see `Registry.call_one`)."""
    started: list[float] = []

    def before(hook: str, implementations: Sequence[pluggy.HookImpl], arguments: Mapping[str, Any]) -> None:
        started.append(time.perf_counter())

    def after(
        outcome: pluggy.Result[Any], hook: str, implementations: Sequence[pluggy.HookImpl], arguments: Mapping[str, Any]
    ) -> None:
        milliseconds = (time.perf_counter() - started.pop()) * 1000
        call = f"{implementations[0].plugin_name} {hook}({', '.join(implementations[0].argnames)})"
        result = describe_failure(outcome.exception) if outcome.exception else "ok"
        _trace(f"{call} {milliseconds:.1f} ms: {result}")

    manager.add_hookcall_monitoring(before, after)


def tracing() -> bool:
    """Return whether GANZOO_TRACE_PLUGINS is set."""
    return os.environ.get("GANZOO_TRACE_PLUGINS", "") not in ("", "0")


def _trace(line: str) -> None:
    if tracing():
        print(f"ganzoo plugins: {line}", file=sys.stderr)


def _normalised(name: str) -> str:
    """Normalise a name, so that spellings compare equal: 'Ganzoo-WGAN-GP' and 'wgan_gp' both become 'wgan_gp'."""
    return name.lower().replace("-", "_").removeprefix("ganzoo_")
