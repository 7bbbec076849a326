"""Tracebacks of errors in the code of third-party plugins, without the frames of the programs around it."""

from __future__ import annotations

import re
import traceback

from ganzoo.registry.discovery import BUNDLED, installed_plugins
from ganzoo.registry.plugins import tracing

JITTOR = ("jittor", "jittor_core", "jittor_utils")
# Jittor's messages first list the types of the arguments; then comes the reason, in colour, with its place in C++.
REASON = re.compile(r".*Failed reason:", re.DOTALL)
DECORATION = re.compile(r"\x1b\[[\d;]*m|\[[a-z] \d+ [\d:.]+ \S+ \S+\] ")


def plugin_traceback(error: BaseException) -> str | None:
    """Format an error that was raised in a third-party plugin, or in code that one called. None for any other error.

    The traceback starts at the plugin's code and omits Jittor's frames; of an error message from Jittor, it keeps only
    the reason. With GANZOO_TRACE_PLUGINS=1 it is complete.
    """
    plugins = {
        _package(plugin.module): plugin.name for plugin, _ in installed_plugins() if plugin.distribution != BUNDLED
    }
    packages = [_package(frame.f_globals.get("__name__", "")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    own = [index for index, package in enumerate(packages) if package in plugins]
    if not own:
        return None
    if tracing():
        return f"{plugins[packages[own[-1]]]}\n{''.join(traceback.format_exception(error)).rstrip()}"
    shown = [*own, *(index for index in range(own[-1] + 1, len(packages)) if packages[index] not in JITTOR)]
    frames = traceback.extract_tb(error.__traceback__)
    stack = traceback.StackSummary.from_list([frames[index] for index in shown])
    message = "".join(traceback.format_exception_only(error))
    if REASON.match(message):
        message = f"{type(error).__name__}: {DECORATION.sub('', REASON.sub('', message))}"
    return f"{plugins[packages[own[-1]]]}\n{''.join(stack.format())}{message.rstrip()}"


def _package(module: str) -> str:
    return module.partition(":")[0].partition(".")[0].strip()
