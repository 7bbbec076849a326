"""Every command in the README and in the pages of models and data sets works as it stands, only shortened."""

from __future__ import annotations

import re
import shlex
from itertools import islice
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("plugins/ganzoo_*/README.md")), ROOT / "datasets" / "README.md"]
SHORT = ["--kimg", "0.008", "--batch", "4"]
# Narrow, and through every resolution in one step each.
SHORTER = {
    "stylegan": ["--channels-max", "16", "--latent", "16", "--phase", "0.001", "--kimg", "0.024"],
    "stargan2": ["--channels-base", "512", "--channels-max", "16", "--hidden", "8", "--batch", "8"],
}


@pytest.fixture
def small_sets(workdir: Path) -> None:
    """The data sets `symbols` and `styles` with few glyphs, so that nobody waits for thousands."""
    from ganzoo_datasets import glyphs, styles, symbols

    from ganzoo import data_dir

    drawn = islice((glyph for glyph in glyphs.candidates() if glyphs.mask(glyph) is not None), 40)
    symbols.build(data_dir() / "symbols.lmdb", glyphs=list(drawn), processes=1)
    styles.build(data_dir() / "styles.lmdb", codes=list(range(ord("A"), ord("U"))), processes=1)


def commands(page: Path) -> list[str]:
    blocks = re.findall(r"^```bash\n(.*?)^```", page.read_text(), flags=re.M | re.S)
    return [line.split("#")[0].strip() for block in blocks for line in block.splitlines() if line.startswith("ganzoo ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_the_commands_of_a_page_work_one_after_the_other(page, jittor, ganzoo, pictures, small_sets):
    pictures.rename("my-images")
    found = commands(page)
    assert found
    for command in found:
        arguments = shlex.split(command)[1:]
        if arguments[0] == "train" and "--dry-run" not in arguments:
            arguments += SHORT + SHORTER.get(arguments[1], [])
        result = ganzoo(*arguments)
        assert result.exit_code == 0, f"{command}\n{result.output}"


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "COMING_FROM.md", ROOT / "ganzoo" / "README.md"], ids=lambda page: page.parent.name
)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_tests_that_are_named_are_there(page):
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
