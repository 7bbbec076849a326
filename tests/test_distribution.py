"""The hand-written lists in setup.cfg and MANIFEST.in match the files that exist."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# An entry point whose module is in ganzoo itself.
INSIDE_GANZOO = {"metrics": "ganzoo.metrics.standard"}


@pytest.fixture(scope="module")
def setup() -> ConfigParser:
    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def parse_pairs(text: str) -> dict[str, str]:
    return dict(tuple(part.strip() for part in line.split("=", 1)) for line in text.split("\n") if line.strip())


def packages_below(folder: str) -> list[Path]:
    return sorted(path.parent.relative_to(ROOT) for path in (ROOT / folder).rglob("__init__.py"))


def bundled_packages() -> dict[str, str]:
    """Return the packages in plugins/ and datasets/ that belong to this distribution, with their folders."""
    folders = [path for parent in ("plugins", "datasets") for path in (ROOT / parent).iterdir() if path.is_dir()]
    return {path.name: str(path.relative_to(ROOT)) for path in folders if (path / "__init__.py").exists()}


def test_every_bundled_folder_is_mapped_and_every_mapping_exists(setup: ConfigParser) -> None:
    assert bundled_packages().keys() >= {"ganzoo_gan", "ganzoo_lsgan", "ganzoo_datasets"}
    assert parse_pairs(setup["options"]["package_dir"]) == {"ganzoo": "ganzoo", **bundled_packages()}


def test_every_package_is_listed(setup: ConfigParser) -> None:
    listed = setup["options"]["packages"].split()
    inside = [".".join(path.parts) for path in packages_below("ganzoo")]
    deeper = [".".join(path.parts[1:]) for parent in ("plugins", "datasets") for path in packages_below(parent)]
    expected = {*inside, *(name for name in deeper if name.split(".")[0] in bundled_packages())}
    assert sorted(listed) == sorted(expected)


def test_every_page_and_message_names_the_same_version_of_jittor(setup: ConfigParser, monkeypatch) -> None:
    from ganzoo.backend import checks

    requirements = setup["options"]["install_requires"]
    packages = " ".join(re.findall(r"^jittor[^;]*", requirements, re.M))
    assert packages == "jittor==1.3.11.0 jittor-offline==0.0.7"
    for page in ("README.md", "Makefile"):
        assert f"--no-deps {packages}" in (ROOT / page).read_text()
    monkeypatch.setattr(checks, "_version", lambda name: "")
    assert checks.jittor_version().remedy.endswith(packages)


def test_every_bundled_folder_is_an_entry_point(setup: ConfigParser) -> None:
    declared = parse_pairs(setup["options.entry_points"]["ganzoo"])
    assert declared == {**INSIDE_GANZOO, **{name: name for name in bundled_packages()}}


def test_no_bundled_folder_is_a_distribution_of_its_own() -> None:
    # Otherwise uninstalling that distribution or ganzoo would delete files of the other.
    for folder in bundled_packages().values():
        assert not [name for name in ("pyproject.toml", "setup.cfg", "setup.py") if (ROOT / folder / name).exists()]


def test_the_example_is_not_part_of_the_distribution(setup: ConfigParser) -> None:
    assert (ROOT / "plugins" / "example-wgan-gp" / "pyproject.toml").exists()
    assert "wgan" not in (ROOT / "setup.cfg").read_text()


def test_no_package_has_a_name_that_others_use() -> None:
    assert not {"datasets", "plugins", "tests"} & bundled_packages().keys()


def test_templates_are_package_data(setup: ConfigParser) -> None:
    from ganzoo.cli.new_plugin import KINDS

    names = {source for name, kind in KINDS.items() for source in kind.files(name)}
    folder = ROOT / "ganzoo" / "cli" / "template"
    assert {path.name for path in folder.iterdir() if path.is_file() and path.suffix != ".py"} == names
    pattern = setup["options.package_data"]["ganzoo.cli.template"]
    assert {path.name for path in folder.glob(pattern)} == names


# Untracked files of a working copy, which no distribution may contain.
UNTRACKED = (
    "experiments/00000-gan-mnist/checkpoint-000000100.safetensors",
    "experiments/zoo/gan-mnist/generated/grid.png",
    "tests/fuzz/corpus/weights/1",
    "tests/fuzz/found/1",
    "ganzoo/interfaces/__pycache__/model.cpython-311.pyc",
    "plugins/example-wgan-gp/example_wgan_gp.egg-info/PKG-INFO",
    "events.out.tfevents.1795456867.host",
    ".venv/pyvenv.cfg",
)
GENERATED = {"PKG-INFO", *(f"ganzoo.egg-info/{name}.txt" for name in ("SOURCES", "dependency_links", "entry_points"))}
GENERATED |= {"ganzoo.egg-info/PKG-INFO", "ganzoo.egg-info/requires.txt", "ganzoo.egg-info/top_level.txt"}


def build(kind: str, folder: Path, out: Path) -> Path:
    """Build a distribution of the sources in `folder`, as pip does."""
    program = f"from setuptools import build_meta; build_meta.build_{kind}(__import__('sys').argv[1])"
    child = subprocess.run([sys.executable, "-c", program, str(out)], cwd=folder, capture_output=True, text=True)
    assert child.returncode == 0, child.stdout + child.stderr
    (path,) = (each for each in out.iterdir() if each.suffix == {"sdist": ".gz", "wheel": ".whl"}[kind])
    return path


@pytest.fixture(scope="module")
def tracked() -> set[str]:
    """Return the files of the repository, including those not committed yet."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a working copy of git")
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return {name for name in names if name and (ROOT / name).exists()}


@pytest.fixture(scope="module")
def sdist(tracked: set[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an unpacked source distribution."""
    folder = tmp_path_factory.mktemp("sources")
    for name in (*tracked, *UNTRACKED):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if name in tracked:
            shutil.copy(ROOT / name, folder / name)
        else:
            (folder / name).write_text("")
    archive = build("sdist", folder, tmp_path_factory.mktemp("sdist"))
    unpacked = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(archive) as file:
        file.extractall(unpacked)
    (top,) = unpacked.iterdir()
    return top


def test_the_source_distribution_has_exactly_the_tracked_files(tracked: set[str], sdist: Path) -> None:
    found = {path.relative_to(sdist).as_posix() for path in sdist.rglob("*") if path.is_file()}
    assert found - GENERATED == tracked
    assert found >= {"Makefile", "datasets/README.md", "plugins/example-wgan-gp/pyproject.toml", "tests/conftest.py"}


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", sdist, tmp_path_factory.mktemp("wheel"))


def test_the_wheel_has_every_module_and_its_data(wheel: Path, tracked: set[str], setup: ConfigParser) -> None:
    assert wheel.stat().st_size < 40_000_000  # trained models are most of it
    with zipfile.ZipFile(wheel) as file:
        found = {name for name in file.namelist() if ".dist-info/" not in name}
    places = parse_pairs(setup["options"]["package_dir"])
    expected = {
        package + name.removeprefix(folder)
        for package, folder in places.items()
        for name in tracked
        if name.startswith(f"{folder}/")
    }
    assert expected - found == {f"ganzoo_gan/{name}.png" for name in ("digits", "symbols")}  # pictures on its page
    assert found <= expected
    weights = {name for name in found if name.endswith(".safetensors")}
    assert weights
    assert {name.replace(".safetensors", suffix) for name in weights for suffix in (".json", ".png")} <= found


def test_the_wheel_brings_trained_models(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path)
    command = [sys.executable, "-m", "ganzoo", "zoo", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    child = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    entries = json.loads(child.stdout)
    assert {"gan-mnist", "lsgan-avatars", "lsgan-mnist", "stargan2-styles", "stylegan-avatars"} <= {
        each["name"] for each in entries
    }
    for each in entries:
        assert Path(each["file"]).is_relative_to(tmp_path)
        assert hashlib.sha256(Path(each["file"]).read_bytes()).hexdigest() == each["sha256"]
        assert Path(each["picture"]).is_relative_to(tmp_path)


def test_the_long_description_has_no_links_to_files(sdist: Path) -> None:
    headers, text = (sdist / "PKG-INFO").read_text().split("\n\n", 1)
    assert "Description-Content-Type: text/markdown" in headers
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert links
    assert all(link.startswith("https://") for link in links)


def test_no_file_of_a_run_is_tracked(tracked: set[str]) -> None:
    found = [name for name in tracked if re.search(r"tfevents|\.safetensors$|^experiments/\d", name)]
    assert all(re.match("tests/checkpoints/former/|plugins/ganzoo_[a-z0-9]+/weights/", name) for name in found)
