"""Discovery of installed plugins: the entry points of the group `ganzoo`, and which of them to load.

pluggy's `load_setuptools_entrypoints` would let one damaged distribution or failing import stop all plugins, and would
silently skip the second of two plugins with the same name.

GANZOO_PLUGINS=a,b   load only the plugins with these entry-point names (an empty value loads none).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib import metadata

from ganzoo.errors import describe_failure, did_you_mean

GROUP = "ganzoo"
BUNDLED = "ganzoo"  # the distribution whose plugins are loaded first
PLUGINS_VARIABLE = "GANZOO_PLUGINS"  # also the `distribution` of unknown names in this variable
UNKNOWN = "unknown"  # a distribution whose name can't be determined


@dataclass
class Plugin:
    """One entry point: its origin, what it provides, and its problems, if any."""

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


Found = tuple[Plugin, "metadata.EntryPoint | None"]


def installed_plugins() -> Iterator[Found]:
    """Yield every entry point of the group. metadata.entry_points() is unsuitable: one distribution with a damaged
    entry_points.txt would make it fail for all."""
    seen = set()
    for distribution in metadata.distributions():
        damage, entry_points = "", []
        try:
            entry_points = [point for point in distribution.entry_points if point.group == GROUP]
        except Exception as error:
            if f"[{GROUP}]" in (distribution.read_text("entry_points.txt") or ""):
                damage = f"entry_points.txt is damaged: {describe_failure(error)}"
        if not entry_points and not damage:
            continue
        name, version = distribution_and_version(distribution)
        if name.lower().replace("_", "-") in seen:
            continue  # the first on sys.path hides the others, as in importlib
        if name != UNKNOWN:
            seen.add(name.lower().replace("_", "-"))
        if damage:
            yield Plugin(name, "", name, version, problems=[damage]), None
        for point in entry_points:
            yield Plugin(point.name, point.value, name, version), point


def select_plugins(found: Iterable[Found]) -> list[Found]:
    """Return the plugins to load, bundled ones first. Unknown names in GANZOO_PLUGINS are returned with a problem."""
    chosen = sorted(found, key=lambda pair: (pair[0].distribution != BUNDLED, pair[0].name))
    only = os.environ.get(PLUGINS_VARIABLE)
    if only is None:
        return chosen
    names = [name.strip() for name in only.split(",") if name.strip()]
    known = [plugin.name for plugin, _ in chosen]
    selected = [pair for pair in chosen if pair[0].name in names]
    for name in names:
        if name not in known:
            problem = f"no plugin {name!r} is installed.{did_you_mean(name, known)}"
            selected.append((Plugin(name, "", PLUGINS_VARIABLE, "", problems=[problem]), None))
    return selected


def distribution_and_version(distribution: metadata.Distribution | None) -> tuple[str, str]:
    """Return a distribution's name and version, as far as its metadata is readable."""
    if distribution is None:
        return UNKNOWN, ""
    try:
        return str(distribution.metadata["Name"] or UNKNOWN), str(distribution.version or "")
    except Exception:  # a damaged .dist-info folder
        return UNKNOWN, ""
