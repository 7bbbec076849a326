"""`ganzoo new-plugin`: write a starter plugin, a small model in a distribution of its own."""

from __future__ import annotations

import keyword
import re
import shlex
import shutil
from importlib import metadata, resources, util
from pathlib import Path
from string import Template
from typing import Any

import click

from ganzoo.cli.commands import plugin_registry
from ganzoo.cli.params import Folder
from ganzoo.errors import OptionError, reason

# Template -> path in the new plugin, with {package} for the package's name. The package goes into src/, because in a
# layout NAME/NAME, Python started in the folder above would find the outer folder in place of the package.
FILES = {
    "pyproject.toml.tmpl": "pyproject.toml",
    "README.md.tmpl": "README.md",
    "gitignore.tmpl": ".gitignore",
    "init.py.tmpl": "src/{package}/__init__.py",
    "networks.py.tmpl": "src/{package}/networks.py",
    "loss.py.tmpl": "src/{package}/loss.py",
    "test_contract.py.tmpl": "tests/test_contract.py",
}
# Valid as a distribution's name (PyPI's rule) and, with '_' for '-', as a Python identifier.
NAME = re.compile(r"[A-Za-z]([A-Za-z0-9_-]*[A-Za-z0-9])?")


@click.command("new-plugin", short_help="Create a starter model plugin.")
@click.argument("name")
@click.option("--out", type=Folder(), default=".", help="Parent folder of NAME.  [default: .]")
@click.pass_context
def new_plugin(ctx: click.Context, name: str, out: str) -> None:
    """Create a starter plugin: a folder NAME with a small GAN that is ready to train, and its test.

    NAME is the model's name for `ganzoo train` and, with '_' for '-', the name of the Python package.
    """
    package = check_name(name, plugin_registry(ctx))
    folder = Path(out) / name
    if folder.exists():
        raise OptionError(f"{folder}: already exists; choose another name or --out.")
    try:
        write(folder, name, package)
    except OSError as error:
        raise OptionError(f"{folder}: can't be written ({reason(error)}).") from error
    quoted = shlex.quote(str(folder))
    click.echo(f"wrote {folder}: a small GAN in {len(FILES)} files. Next steps:")
    click.echo(f"    pip install -e {shlex.quote(f'{folder}[test]')}")  # the extra installs pytest
    click.echo(f"    ganzoo train {name}")
    click.echo(f"    pytest {quoted}")


def check_name(name: str, registry: Any) -> str:
    """Return the package's name for a plugin called `name`. OptionError if the name is invalid or taken."""
    package = name.replace("-", "_")
    if not NAME.fullmatch(name):
        raise OptionError(f"{name!r} can't be a plugin's name: use letters, digits, '-' and '_', a letter first.")
    if keyword.iskeyword(package):
        raise OptionError(f"{name!r} can't be a plugin's name: it is a Python keyword.")
    for model in registry.models:
        if model.lower().replace("-", "_") == package.lower():
            raise OptionError(f"{name!r}: a model {model!r} already exists; choose another name.")
    if package == "tests" or _importable(package):
        raise OptionError(f"{name!r}: a Python module {package!r} already exists; choose another name.")
    if _installed(name):
        raise OptionError(f"{name!r}: a package of that name is already installed; choose another name.")
    return package


def _importable(package: str) -> bool:
    try:
        spec = util.find_spec(package)
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.origin is not None  # without an origin, it is just a folder of that name


def _installed(name: str) -> bool:
    """Return whether a distribution of this name is installed: pip would replace it with the plugin."""
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def write(folder: Path, name: str, package: str) -> None:
    """Write the plugin's files. On OSError, nothing is left behind."""
    prefix = "".join(part[:1].upper() + part[1:] for part in package.split("_"))
    substitutions = {"name": name, "package": package, "prefix": prefix}
    templates = resources.files("ganzoo.cli.template")
    folder.mkdir(parents=True)
    try:
        for source, target in FILES.items():
            path = folder / target.format(package=package)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(Template((templates / source).read_text("utf-8")).substitute(substitutions), "utf-8")
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
