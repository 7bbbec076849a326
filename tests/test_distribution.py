"""setup.cfg says by hand what is in the distribution; here it is compared with the folders that exist."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# An entry point whose module lives in ganzoo itself, because it needs no folder of its own.
INSIDE_GANZOO = {"metrics": "ganzoo.metrics.standard", "tensorboard": "ganzoo.tensorboard"}


@pytest.fixture(scope="module")
def setup() -> ConfigParser:
    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def pairs(text: str) -> dict[str, str]:
    return dict(tuple(part.strip() for part in line.split("=", 1)) for line in text.split("\n") if line.strip())


def packages_below(folder: str) -> list[Path]:
    return sorted(path.parent.relative_to(ROOT) for path in (ROOT / folder).rglob("__init__.py"))


def bundled() -> dict[str, str]:
    """Packages in plugins/ and datasets/ that are no distribution of their own, with their folders."""
    folders = [path for parent in ("plugins", "datasets") for path in (ROOT / parent).iterdir() if path.is_dir()]
    return {path.name: str(path.relative_to(ROOT)) for path in folders if (path / "__init__.py").exists()}


def test_every_bundled_folder_is_mapped_and_every_mapping_exists(setup: ConfigParser) -> None:
    assert bundled().keys() >= {"ganzoo_gan", "ganzoo_lsgan", "ganzoo_datasets"}
    assert pairs(setup["options"]["package_dir"]) == {"ganzoo": "ganzoo", **bundled()}


def test_every_package_is_listed(setup: ConfigParser) -> None:
    listed = setup["options"]["packages"].split()
    inside = [".".join(path.parts) for path in packages_below("ganzoo")]
    deeper = [".".join(path.parts[1:]) for parent in ("plugins", "datasets") for path in packages_below(parent)]
    expected = {*inside, *(name for name in deeper if name.split(".")[0] in bundled())}
    assert sorted(listed) == sorted(expected)


def test_every_bundled_folder_is_an_entry_point(setup: ConfigParser) -> None:
    declared = pairs(setup["options.entry_points"]["ganzoo"])
    assert declared == {**INSIDE_GANZOO, **{name: name for name in bundled()}}


def test_no_bundled_folder_is_a_distribution_of_its_own() -> None:
    # Uninstalling the one would delete the other's files.
    for folder in bundled().values():
        assert not [name for name in ("pyproject.toml", "setup.cfg", "setup.py") if (ROOT / folder / name).exists()]


def test_the_example_is_not_part_of_the_distribution(setup: ConfigParser) -> None:
    assert (ROOT / "plugins" / "example-wgan-gp" / "pyproject.toml").exists()
    assert "wgan" not in (ROOT / "setup.cfg").read_text()


def test_no_package_has_a_name_that_others_use() -> None:
    assert not {"datasets", "plugins", "tests"} & bundled().keys()


def test_templates_are_package_data(setup: ConfigParser) -> None:
    from ganzoo.cli.new_plugin import FILES

    folder = ROOT / "ganzoo" / "template"
    assert {path.name for path in folder.iterdir() if path.is_file() and path.suffix != ".py"} == FILES.keys()
    pattern = setup["options.package_data"]["ganzoo.template"]
    assert {path.name for path in folder.glob(pattern)} == FILES.keys()
