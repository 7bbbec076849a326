from __future__ import annotations

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from ganzoo.plots import save_curves


def test_each_term_has_a_panel_with_a_curve(tmp_path):
    few = [{"kimg": k, "losses": {"g/adv": 1 / k}} for k in range(1, 6)]
    many = [{"kimg": k, "losses": {f"d/term{i}": i / k for i in range(6)}} for k in range(1, 6)]
    widths = []
    for name, rows in (("few", few), ("many", many)):
        save_curves(tmp_path / f"{name}.png", rows)
        with Image.open(tmp_path / f"{name}.png") as picture:
            widths.append(picture.width)
            assert np.asarray(picture.convert("L")).min() < 100
    assert widths[1] > 2 * widths[0]


def test_nothing_is_drawn_before_the_first_tick(tmp_path):
    save_curves(tmp_path / "x.png", [])
    assert not list(tmp_path.iterdir())


def test_a_line_marks_where_the_resolution_grew(tmp_path):
    rows = [{"kimg": k, "losses": {"g/adv": 1.0}, "size": 8} for k in range(1, 6)]
    save_curves(tmp_path / "even.png", rows)
    save_curves(tmp_path / "grown.png", [*rows[:3], *({**row, "size": 16} for row in rows[3:])])
    even, grown = (np.asarray(Image.open(tmp_path / f"{name}.png").convert("L")) for name in ("even", "grown"))
    # One column of the picture has dots of the line all the way up.
    assert ((grown < 200) & (even >= 200)).sum(0).max() > grown.shape[0] / 6


def test_labels_of_resolutions_do_not_cover_each_other(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    figures = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *args, **kw: (figures.append(self), save(self, *args, **kw)))
    sizes = [8] * 2 + [16] * 2 + [32] * 2 + [64] * 2 + [128] * 90 + [1024] * 90
    rows = [{"kimg": 6.0 * k, "losses": {"g/adv": 1 / (k + 1), "d": 0.5}, "size": s} for k, s in enumerate(sizes)]
    save_curves(tmp_path / "losses.png", rows)
    for panel in figures[0].axes:
        labels = {text.get_text(): text.get_window_extent() for text in panel.texts}
        assert list(labels) == ["16 px", "32 px", "64 px", "128 px", "1024 px"]
        for (one, box), (other, other_box) in itertools.combinations(labels.items(), 2):
            assert not box.overlaps(other_box), (one, other)
        assert labels["16 px"].y1 > labels["32 px"].y1, "a label that would be covered goes below"
        assert labels["16 px"].y1 == labels["1024 px"].y1, "others stay at the top"


def test_panels_show_terms_and_logged_values_together(tmp_path):
    losses = {"D-latent/real": 0.5, "D-reference/real": 0.6, "G-latent/adv": 1.0}
    rows = [{"kimg": k, "losses": losses, "watched": {"G-latent/weight": 2.0 / k}} for k in range(1, 6)]

    def size(panels: dict[str, str]) -> tuple[int, int]:
        save_curves(tmp_path / "x.png", rows, panels)
        return Image.open(tmp_path / "x.png").size

    one, four = size({"real": "D-*/real"}), size({str(n): "*" for n in range(4)})
    assert (four[0], four[1]) == (2 * one[0], 2 * one[1])
    assert size({"real": "D-*/real", "weight": "*/weight", "absent": "*/absent"})[0] == 2 * one[0], (
        "a panel without terms"
    )
    nine = size({str(n): "*/adv" for n in range(9)})
    assert nine == pytest.approx((3 * one[0], 3 * one[1]), abs=1)  # matplotlib 3.6 rounds down


def test_the_numbers_of_adaptive_augmentation_have_panels_of_their_own(tmp_path):
    rows = [{"kimg": k, "losses": {"D/real": 0.5}, "watched": {"D/gradient_norm": 2.0}} for k in range(1, 6)]
    augmented = [{**row, "watched": {"augmentation/p": 0.1, "augmentation/r_t": 0.6}} for row in rows]
    widths = []
    for each, panels in ((rows, {}), (augmented, {}), (augmented, {"real": "D/real"})):
        save_curves(tmp_path / "x.png", each, panels)
        widths.append(Image.open(tmp_path / "x.png").size)
    assert widths[1][0] == 3 * widths[0][0]
    assert widths[2][0] * widths[2][1] == 4 * widths[0][0] * widths[0][1]  # two by two


def test_a_backend_unknown_to_matplotlib_does_no_harm(tmp_path):
    """A notebook exports its backend, whose package may not be installed here."""
    program = """
from pathlib import Path
from ganzoo import plots
from ganzoo.registry import plugins
plots.save_curves(Path("curves.png"), [{"kimg": 1.0, "size": 8, "losses": {"a": 1.0}}])
print(sorted(plugins.load().datasets))
"""
    environment = {**os.environ, "MPLBACKEND": "module://nowhere.backend_inline"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert "symbols" in done.stdout, done.stderr
    assert (tmp_path / "curves.png").exists()
