"""The page of public names, ganzoo/README.md: its prose is written by hand, its entries come from the code.

    .venv/bin/python -m tests.support.public_names    # updates the entries after the code has changed

A pair of comments, `<!-- names of: MODULES -->` and `<!-- end -->`, encloses the entries of the names that
`ganzoo/__init__.pyi` imports from these modules.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ganzoo
from ganzoo.interfaces.options import Options, options_by_name

PACKAGE = Path(ganzoo.__file__).parent
PAGE = PACKAGE / "README.md"
SECTION = re.compile(r"(<!-- names of: ([^>]*?) -->\n).*?(<!-- end -->\n)", re.DOTALL)
WIDTH = 120
# Described, but not public: plugins implement or receive these without importing them.
ALSO_DESCRIBED = {
    "interfaces.hookspecs": "ganzoo_",
    "interfaces.metric": "Evaluation",
    "interfaces.sheets": "SheetInputs",
}
PLAIN = (bool, int, float, str, tuple, type(None))  # types of defaults that signatures show


def names_by_module() -> dict[str, list[str]]:
    """Return the public names that the stub imports, by module (without 'ganzoo.')."""
    found: dict[str, list[str]] = {}
    for node in ast.parse((PACKAGE / "__init__.pyi").read_text()).body:
        if isinstance(node, ast.ImportFrom):
            found.setdefault(str(node.module), []).extend(alias.asname or alias.name for alias in node.names)
    return found


def has_entry(name: str) -> bool:
    """Return whether a public name is a class or function; others, such as `jt`, are described in the prose."""
    item = None if name == "jt" else getattr(ganzoo, name)
    return inspect.isclass(item) or inspect.isfunction(item)


def modules_on_page(page: str) -> list[str]:
    """Return the modules that the page's sections list."""
    return [module for match in SECTION.finditer(page) for module in match[2].split()]


def fill_in(page: str) -> str:
    """Return the page with updated entries in every section."""
    return SECTION.sub(lambda match: "\n".join([match[1], *_section(match[2].split()), match[3]]), page)


def _section(modules: list[str]) -> Iterator[str]:
    for module in modules:
        items = {name: getattr(ganzoo, name) for name in names_by_module().get(module, []) if has_entry(name)}
        if module in ALSO_DESCRIBED:
            others = vars(importlib.import_module(f"ganzoo.{module}")).items()
            items.update({name: item for name, item in others if name.startswith(ALSO_DESCRIBED[module])})
        for name, item in items.items():
            yield from _entry(name, item)


def _entry(name: str, item: Any) -> Iterator[str]:
    yield f"### {name}\n"
    if call := signature(item):
        yield _wrapped(call.replace(" ", "\0").replace(",\0", ", "), "    " + name, " " * 8).replace("\0", " ") + "\n"
    paragraphs = documentation(item).split("\n\n")
    yield from (_paragraph(each) for each in paragraphs)
    members = [*_members(item)] if inspect.isclass(item) else []
    yield from members
    if members:
        yield ""


def _members(cls: type) -> Iterator[str]:
    """Yield a line for each option, or each public method and property, that the class itself defines."""
    if issubclass(cls, Options) and cls is not Options:
        yield from (_wrapped(f"* `{name}`: {each.help}", "", "  ") for name, each in options_by_name(cls).items())
        return
    for name, member in vars(cls).items():
        function = member.__func__ if isinstance(member, (classmethod, staticmethod)) else member
        if name.startswith("_") and name != "__call__":
            continue
        if not inspect.isfunction(function) and not isinstance(function, property):
            continue
        if inspect.isfunction(function) and not function.__module__.startswith("ganzoo"):
            continue  # Jittor's forward hooks replace __call__ of a layer's class
        call = "" if isinstance(function, property) else signature(function, not isinstance(member, staticmethod))
        text = documentation(function).partition("\n\n")[0]
        line = f"* `{name}{call}`" + (f": {' '.join(text.split())}" if text else "")
        yield _wrapped(line, "", "  ")


def _paragraph(text: str) -> str:
    if text.startswith(("    ", "* ")):
        return text + "\n"
    return _wrapped(" ".join(text.split()), "", "") + "\n"


def _wrapped(text: str, first: str, rest: str) -> str:
    return textwrap.fill(first + text, WIDTH, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False)


def documentation(item: Any) -> str:
    """Return an object's own docstring, not an inherited one."""
    own = vars(item).get("__doc__") if inspect.isclass(item) else item.__doc__
    return inspect.cleandoc(own or "")


class _Annotation(str):
    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def signature(item: Any, skip_first: bool = False) -> str:
    """Return the signature of a function or class as text; '' if it has none, or is a class without named arguments."""
    try:
        found = inspect.signature(item)
    except (TypeError, ValueError):  # a property, or an exception class
        return ""
    parameters = [_readable(each) for each in found.parameters.values()][1 if skip_first else 0 :]
    if inspect.isclass(item) and all(each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD) for each in parameters):
        return ""
    returns = found.return_annotation
    if inspect.isclass(item) or returns in ("None", "Any", None):
        returns = found.empty
    returns = _Annotation(returns) if isinstance(returns, str) else returns
    return str(found.replace(parameters=parameters, return_annotation=returns))


def _readable(parameter: inspect.Parameter) -> inspect.Parameter:
    annotation, default = parameter.annotation, parameter.default
    if isinstance(annotation, str):
        annotation = parameter.empty if annotation == "Any" else _Annotation(annotation)
    if default is not parameter.empty and not isinstance(default, PLAIN):
        default = _Annotation("...")
    return parameter.replace(annotation=annotation, default=default)


if __name__ == "__main__":
    ganzoo.start()
    PAGE.write_text(fill_in(PAGE.read_text()))
