"""`ganzoo new-plugin` writes a complete package, and reports a bad name in one line."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ganzoo.cli import main
from ganzoo.errors import OptionError

COMMON = {"pyproject.toml", "README.md", ".gitignore", "src/my_gan/__init__.py"}
MODEL_FILES = {*COMMON, "src/my_gan/networks.py", "src/my_gan/loss.py", "tests/test_contract.py"}
FILES = {
    **dict.fromkeys(("gan", "conditional", "translation"), MODEL_FILES),
    **{kind: {*COMMON, "tests/test_my_gan.py"} for kind in ("dataset", "metric", "events")},
}


def new_plugin(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["new-plugin", *map(str, arguments)])


@pytest.mark.parametrize("kind", FILES)
def test_new_plugin_writes_a_complete_package(tmp_path: Path, kind: str) -> None:
    result = new_plugin("my-gan", "--kind", kind, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    folder = tmp_path / "my-gan"
    written = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert written.keys() == FILES[kind]
    for name, text in written.items():
        assert "$" not in text, f"{name} contains an unfilled placeholder"
        if name.endswith(".py"):
            ast.parse(text, name)
            assert max(map(len, text.splitlines())) <= 120
    assert '\n[project.entry-points.ganzoo]\nmy-gan = "my_gan"\n' in written["pyproject.toml"]
    assert "experiments/" in written[".gitignore"].split()
    for path in FILES[kind] - {".gitignore", "README.md"}:
        assert f"    {path} " in written["README.md"]


def test_new_plugin_prints_the_next_three_commands(tmp_path: Path) -> None:
    folder = tmp_path / "my plugins"
    lines = new_plugin("my-gan", "--out", folder).output.splitlines()
    assert [line.strip() for line in lines[1:]] == [
        f"pip install -e '{folder}/my-gan[test]'",
        "ganzoo train my-gan",
        f"pytest '{folder}/my-gan'",
    ]


def test_the_test_extra_installs_pytest(tmp_path: Path) -> None:
    new_plugin("my-gan", "--out", tmp_path)
    assert '\n[project.optional-dependencies]\ntest = ["pytest"]\n' in (tmp_path / "my-gan/pyproject.toml").read_text()


def test_new_plugin_writes_to_the_current_folder_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert new_plugin("my-gan").output.splitlines()[1] == "    pip install -e 'my-gan[test]'"
    assert (tmp_path / "my-gan" / "pyproject.toml").exists()


@pytest.mark.parametrize("name", ["MyGAN", "gan2", "a", "two_words"])
def test_a_good_name_is_accepted(tmp_path: Path, name: str) -> None:
    assert new_plugin(name, "--out", tmp_path).exit_code == 0
    assert (tmp_path / name / "src" / name / "__init__.py").exists()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("2gan", "can't be a plugin's name: use letters"),
        ("my gan", "can't be a plugin's name: use letters"),
        ("my/gan", "can't be a plugin's name: use letters"),
        ("my.gan", "can't be a plugin's name: use letters"),
        ("_gan", "can't be a plugin's name: use letters"),
        ("größe", "can't be a plugin's name: use letters"),
        ("", "can't be a plugin's name: use letters"),
        ("class", "can't be a plugin's name: it is a Python keyword"),
        ("lsgan", "a model 'lsgan' already exists"),
        ("LSGAN", "a model 'lsgan' already exists"),
        ("symbols", "a data set 'symbols' already exists"),
        ("fid", "a metric 'fid' already exists"),
        ("ganzoo", "a Python module 'ganzoo' already exists"),
        ("ganzoo-gan", "a Python module 'ganzoo_gan' already exists"),
        ("random", "a Python module 'random' already exists"),
        ("tests", "a Python module 'tests' already exists"),
        ("Pillow", "a package of that name is already installed"),
    ],
)
def test_a_bad_name_is_reported_in_one_line_and_nothing_is_written(tmp_path: Path, name: str, reason: str) -> None:
    result = new_plugin(name, "--out", tmp_path)
    assert result.exit_code == OptionError.exit_status == 2
    (line,) = result.output.splitlines()
    assert line.startswith(f"Error: {name!r}")
    assert reason in line
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "my-gan").mkdir()
    result = new_plugin("my-gan", "--out", tmp_path)
    assert (result.exit_code, len(result.output.splitlines())) == (2, 1)
    assert f"Error: {tmp_path / 'my-gan'}: already exists" in result.output
    assert list((tmp_path / "my-gan").iterdir()) == []


def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = new_plugin("my-gan", "--out", tmp_path / "file" / "below")
    assert (result.exit_code, len(result.output.splitlines())) == (2, 1)
    assert f"Error: {tmp_path / 'file' / 'below' / 'my-gan'}: can't be written (Not a directory)" in result.output


def test_a_partly_written_plugin_is_removed_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_text = Path.write_text

    def full(path: Path, *arguments: str) -> int:
        if path.name == "loss.py":
            raise OSError(28, "No space left on device")
        return write_text(path, *arguments)

    monkeypatch.setattr(Path, "write_text", full)
    result = new_plugin("my-gan", "--out", tmp_path)
    assert result.output == f"Error: {tmp_path / 'my-gan'}: can't be written (No space left on device).\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "hook"),
    [
        ("gan", "ganzoo_models"),
        ("conditional", "ganzoo_models"),
        ("translation", "ganzoo_models"),
        ("dataset", "ganzoo_datasets"),
        ("metric", "ganzoo_metrics"),
    ],
)
def test_the_written_module_is_light_and_registers_one_thing(tmp_path: Path, kind: str, hook: str) -> None:
    new_plugin("my-gan", "--kind", kind, "--out", tmp_path)
    code = f"import sys, my_gan; (m,) = my_gan.{hook}(); print(m.name, 'jittor' in sys.modules)"
    child = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "my-gan" / "src", capture_output=True, text=True, check=False
    )
    assert child.stdout == "my-gan False\n", child.stderr


def test_a_written_translation_model_says_which_data_it_needs(tmp_path: Path) -> None:
    new_plugin("my-gan", "--kind", "translation", "--out", tmp_path)
    code = """
from ganzoo import DataInfo, OptionError, TrainOptions
from my_gan import MyGanModel, MyGanOptions
for domains in ((), ("a", "b", "c"), ("a", "b")):
    try:
        MyGanModel().check(MyGanOptions(), TrainOptions(data="photos"), DataInfo("photos", 8, 64, 3, domains), True)
    except OptionError as error:
        print(error)
"""
    child = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "my-gan" / "src", capture_output=True, text=True, check=True
    )
    needs = "--data photos: my-gan needs two domains, a folder of images for each; the data has"
    assert child.stdout == f"{needs}: none.\n{needs}: a, b, c.\n"


@pytest.mark.parametrize("kind", ["gan", "conditional", "translation", "dataset", "metric", "events"])
def test_the_written_package_passes_ruff(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("ruff")
    new_plugin("my-gan", "--kind", kind, "--out", tmp_path)
    for command in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--no-cache", str(tmp_path)]
        checked = subprocess.run(ruff, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout
