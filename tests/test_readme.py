"""The README and the pages it links to: their commands work (with short trainings), and their links lead somewhere."""

from __future__ import annotations

import re
import shlex
from itertools import islice
from pathlib import Path

import pytest

from tests.data.pictures import encoded, noise, write_folder

ROOT = Path(__file__).parent.parent
FOLDERS = ("ganzoo", "plugins", "datasets", "experiments")
ZOO = ROOT / "experiments" / "zoo.md"
PAGES = [
    *sorted(ROOT.glob("*.md")),
    ZOO,
    *sorted(page for each in FOLDERS for page in (ROOT / each).rglob("README.md")),
]
WITH_COMMANDS = [
    ROOT / "README.md",
    ZOO,
    *sorted(ROOT.glob("plugins/ganzoo_*/README.md")),
    ROOT / "datasets" / "README.md",
    *(ROOT / "ganzoo" / each / "README.md" for each in ("interfaces", "metrics", "sampling", "training")),
]
SHORT = ["--kimg", "0.008", "--batch", "4"]
# Narrow networks, and one step at each resolution.
SHORTER = {
    "stylegan": ["--channels-max", "16", "--latent", "16", "--phase", "0.001", "--kimg", "0.024"],
    "stargan2": ["--channels-base", "512", "--channels-max", "16", "--hidden", "8", "--batch", "8"],
}


@pytest.fixture
def small_sets(workdir: Path) -> None:
    """Make small versions of `symbols`, `styles` and `avatars`, because the full ones take long to draw."""
    from ganzoo_datasets import avatars, glyphs, styles, symbols

    from ganzoo import data_dir

    drawn = islice((glyph for glyph in glyphs.candidates() if glyphs.draw_mask(glyph) is not None), 40)
    symbols.build(data_dir() / "symbols.lmdb", glyphs=list(drawn), processes=1)
    styles.build(data_dir() / "styles.lmdb", codes=list(range(ord("A"), ord("U"))), processes=1)
    avatars.build(data_dir() / "avatars.lmdb", people=20, validation_people=4, processes=1)


def commands(page: Path) -> list[str]:
    blocks = re.findall(r"^```bash\n(.*?)^```", page.read_text(), flags=re.M | re.S)
    return [line.split("#")[0].strip() for block in blocks for line in block.splitlines() if line.startswith("ganzoo ")]


def relative(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=relative)
def test_the_commands_of_a_page_work_one_after_the_other(page, jittor, ganzoo, pictures, small_sets):
    pictures.rename("my-images")
    files = {f"{seed}.png": encoded(noise(40, 40, "LA", seed=seed)) for seed in range(8)}
    write_folder(Path("my-sprites"), files)
    found = commands(page)
    assert found
    for command in found:
        arguments = shlex.split(command)[1:]
        if arguments[0] == "train" and "--dry-run" not in arguments:
            arguments += SHORT + SHORTER.get(arguments[1], [])
        result = ganzoo(*arguments)
        assert result.exit_code == 0, f"{command}\n{result.output}"


def test_the_python_of_its_page_works(jittor, workdir, capsys):
    (program,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "ganzoo/api/README.md").read_text(), flags=re.M | re.S)
    assert "kimg=4" in program
    exec(program.replace("kimg=4", "kimg=0.008, batch=4"), {})
    assert {"digits.png", "walk.webp", "experiments"} <= {path.name for path in workdir.iterdir()}


def test_the_python_of_the_readme_loads_a_trained_model(jittor, workdir):
    (program,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), flags=re.M | re.S)
    names: dict = {}
    exec(program, names)
    assert names["images"].shape == (72, 32, 32, 3)
    assert (workdir / "faces.png").exists()


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_the_readme_links_to_every_page_once():
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text())
    assert sorted(link for link in links if link.endswith(".md")) == sorted(set(map(relative, PAGES)) - {"README.md"})


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_tests_that_are_named_exist(page):
    for file, test in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page.read_text()):
        assert f"def {test}" in (ROOT / file).read_text(), (file, test)


def test_the_readme_names_every_model_and_every_make_target():
    text = (ROOT / "README.md").read_text()
    from ganzoo.registry import plugins

    ours = [plugin for plugin in plugins.load().plugins if plugin.distribution == "ganzoo"]
    bundled = [name for plugin in ours for name in plugin.provides.get("models", [])]
    assert all(f"`{name}`" in text for name in bundled)
    for target in re.findall(r"make (\w+)", text):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.M), target
