"""`ganzoo new-plugin`: write a starter plugin, a small model in a distribution of its own."""

from __future__ import annotations

import keyword
import re
import shlex
import shutil
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata, resources, util
from pathlib import Path
from string import Template
from typing import Any

import click

from ganzoo.cli.commands import plugin_registry
from ganzoo.cli.params import Folder
from ganzoo.errors import OptionError, reason

COMMON_FILES = {
    "pyproject.toml.tmpl": "pyproject.toml",
    "README.md.tmpl": "README.md",
    "gitignore.tmpl": ".gitignore",
}
CONTRACT = (
    "The contract test checks with tiny networks that the model does what ganzoo expects: that each phase updates the "
    "networks it names and no others, that every weight has a gradient, that a loaded checkpoint gives the same images."
)


@dataclass(frozen=True)
class Kind:
    """A kind of plugin: texts of its README, and commands that use it.

    `modules` are the modules of the package besides `__init__`, with what each contains; `test` is the template of its
    test. In commands and texts, $name stands for the plugin's name.
    """

    summary: str
    about: str
    contents: str
    commands: tuple[str, ...]
    modules: Mapping[str, str] = field(default_factory=dict)
    test: str = "model_test.py.tmpl"
    test_options: str = '"size": 16, "latent": 8, "width": 4'
    about_test: str = CONTRACT
    references: tuple[str, ...] = ()

    def files(self, kind: str) -> dict[str, str]:
        """Return the path of each template in the new plugin, with {package} for the package's name. The package goes
        into src/, because in a layout NAME/NAME, Python started in the folder above would find the outer folder in
        place of the package."""
        return {
            **COMMON_FILES,
            **{f"{kind}_{each}.py.tmpl": f"src/{{package}}/{each}.py" for each in self.modules},
            f"{kind}_init.py.tmpl": "src/{package}/__init__.py",
            self.test: f"tests/{'test_contract' if self.modules else 'test_{package}'}.py",
        }


MODEL_MODULES = {
    "networks": "generator and discriminator",
    "loss": "the phases of a step and their losses",
}
DCGAN = (
    "Radford, Metz, Chintala: *Unsupervised Representation Learning with Deep Convolutional GANs*, 2016, "
    "arXiv:1511.06434.",
    "Goodfellow et al.: *Generative Adversarial Nets*, 2014, arXiv:1406.2661 (section 3: the non-saturating loss).",
)
KINDS = {
    "gan": Kind(
        summary="a small GAN",
        about="A GAN for ganzoo: convolutional networks (DCGAN) with the non-saturating loss, for any number of "
        "channels and any size that is a multiple of 8.",
        contents="options and registration",
        commands=("ganzoo train $name", "ganzoo generate --seeds 0-31"),
        modules=MODEL_MODULES,
        references=DCGAN,
    ),
    "conditional": Kind(
        summary="a small class-conditional GAN",
        about="A class-conditional GAN for ganzoo: convolutional networks (DCGAN) with labels and the non-saturating "
        "loss. The classes are the domains of the data, for example its subfolders.",
        contents="options and registration",
        commands=("ganzoo train $name", "ganzoo generate --class all"),
        modules=MODEL_MODULES,
        references=(*DCGAN, "Miyato, Koyama: *cGANs with Projection Discriminator*, 2018, arXiv:1802.05637."),
    ),
    "translation": Kind(
        summary="a small model that translates images",
        about="A model for ganzoo that translates images between two domains, learned without pairs. The data are a "
        "folder with a subfolder of images for each domain.",
        contents="options and registration",
        commands=("ganzoo train $name --data FOLDER", "ganzoo generate --source IMAGE"),
        modules={**MODEL_MODULES, "loss": "the phases of a step, their losses, and the translator"},
        test_options='"size": 16, "width": 4, "blocks": 1',
        references=(
            "Zhu et al.: *Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks*, 2017, "
            "arXiv:1703.10593.",
        ),
    ),
    "dataset": Kind(
        summary="a data set of drawn circles and squares",
        about="A data set for ganzoo, of circles and squares that are drawn when they are needed.",
        contents="the images and the registration",
        commands=("ganzoo data check $name", "ganzoo train lsgan --data $name"),
        test="dataset_test.py.tmpl",
        about_test="The test reads images and checks their sizes and labels.",
    ),
    "metric": Kind(
        summary="a metric of contrast",
        about="A metric for ganzoo: the contrast of generated images, compared with that of real ones.",
        contents="the metric and the registration",
        commands=("ganzoo evaluate --metrics $name",),
        test="metric_test.py.tmpl",
        about_test="The test computes the metric for images whose contrast is known.",
    ),
    "events": Kind(
        summary="a plugin that is called during training",
        about="A plugin for ganzoo that writes the losses of every tick to a file in the run's folder. hookspecs.py in "
        "ganzoo/interfaces lists the events that a plugin can be called at.",
        contents="the functions that ganzoo calls",
        commands=("ganzoo train lsgan", "cat experiments/*/losses.csv"),
        test="events_test.py.tmpl",
        about_test="The test calls the functions as training does.",
    ),
}
# Valid as a distribution's name (PyPI's rule) and, with '_' for '-', as a Python identifier.
NAME = re.compile(r"[A-Za-z]([A-Za-z0-9_-]*[A-Za-z0-9])?")


@click.command("new-plugin", short_help="Create a starter plugin.")
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(list(KINDS)),
    default="gan",
    show_default=True,
    help="; ".join(f"{name}: {kind.summary}" for name, kind in KINDS.items()) + ".",
)
@click.option("--out", type=Folder(), default=".", help="Parent folder of NAME.  [default: .]")
@click.pass_context
def new_plugin(ctx: click.Context, name: str, kind: str, out: str) -> None:
    """Create a starter plugin: a folder NAME with a small model, data set, metric or event handler, and its test.

    NAME is the name for `ganzoo train`, `--data` or `--metrics` and, with '_' for '-', that of the Python package.
    """
    package = check_name(name, plugin_registry(ctx))
    folder = Path(out) / name
    if folder.exists():
        raise OptionError(f"{folder}: already exists; choose another name or --out.")
    try:
        count = write(folder, name, package, kind)
    except OSError as error:
        raise OptionError(f"{folder}: can't be written ({reason(error)}).") from error
    click.echo(f"wrote {folder}: {KINDS[kind].summary} in {count} files. Next steps:")
    click.echo(f"    pip install -e {shlex.quote(f'{folder}[test]')}")  # the extra installs pytest
    click.echo(f"    {Template(KINDS[kind].commands[0]).substitute(name=name)}")
    click.echo(f"    pytest {shlex.quote(str(folder))}")


def check_name(name: str, registry: Any) -> str:
    """Return the package's name for a plugin called `name`. OptionError if the name is invalid or taken."""
    package = name.replace("-", "_")
    if not NAME.fullmatch(name):
        raise OptionError(f"{name!r} can't be a plugin's name: use letters, digits, '-' and '_', a letter first.")
    if keyword.iskeyword(package):
        raise OptionError(f"{name!r} can't be a plugin's name: it is a Python keyword.")
    taken = {"model": registry.models, "data set": registry.datasets, "metric": registry.metrics}
    for what, each in ((what, each) for what, names in taken.items() for each in names):
        if each.lower().replace("-", "_") == package.lower():
            raise OptionError(f"{name!r}: a {what} {each!r} already exists; choose another name.")
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


def write(folder: Path, name: str, package: str, kind: str) -> int:
    """Write the plugin's files, and return their number. On OSError, nothing is left behind."""
    files, substitutions = KINDS[kind].files(kind), _substitutions(name, package, KINDS[kind])
    templates = resources.files("ganzoo.cli.template")
    folder.mkdir(parents=True)
    try:
        for source, target in files.items():
            path = folder / target.format(package=package)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(Template((templates / source).read_text("utf-8")).substitute(substitutions), "utf-8")
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return len(files)


def _substitutions(name: str, package: str, kind: Kind) -> dict[str, str]:
    """Return the values of the templates' placeholders."""

    def filled(text: str) -> str:
        return textwrap.fill(text, 120, break_on_hyphens=False)

    files = {
        f"src/{package}/__init__.py": f"{kind.contents}; light, because it is imported for every --help",
        **{f"src/{package}/{module}.py": about for module, about in kind.modules.items()},
        f"tests/{'test_contract' if kind.modules else f'test_{package}'}.py": "the test",
        "pyproject.toml": "name, dependencies, and the entry point by which ganzoo finds the plugin",
    }
    width = max(map(len, files))
    references = "\n## References\n\n" + "\n".join(map(filled, kind.references)) + "\n" if kind.references else ""
    return {
        "name": name,
        "package": package,
        "prefix": "".join(part[:1].upper() + part[1:] for part in package.split("_")),
        "summary": f"{kind.summary[2:].capitalize()} for ganzoo",
        "about": filled(f"{kind.about} It is a starting point: describe your changes here."),
        "use": "\n".join(f"    {Template(each).substitute(name=name)}" for each in kind.commands),
        "test": filled(kind.about_test),
        "test_options": kind.test_options,
        "files": "\n".join(f"    {path.ljust(width)}  {about}" for path, about in files.items()),
        "references": references,
    }
