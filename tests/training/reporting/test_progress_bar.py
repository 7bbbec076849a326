from __future__ import annotations

import io
import sys
import warnings

import pytest

from ganzoo.training.reporting.progress_bar import ProgressBar, format_kimg

LOSSES = {
    f"{phase}/{name}": -1234.5678
    for phase in ("D-latent", "D-reference", "G-latent", "G-reference")
    for name in ("adversarial", "style", "cycle")
}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Return a function that returns the lines that a bar writes if stderr is a terminal of `columns` columns."""

    def lines(columns: int, *steps: int, goal: int, losses: dict[str, float] = LOSSES) -> list[str]:
        stream = Terminal()
        monkeypatch.setattr(sys, "stderr", stream)
        bar = ProgressBar("00003-stargan2-celeba", 0, goal)
        bar._line.ncols = columns
        for images in steps:
            bar.update(images)
            bar.tick(2514.3, losses)
        bar.close()
        return stream.getvalue().replace("\r", "\n").rstrip().split("\n")

    return lines


@pytest.mark.parametrize("goal", [300, 25_000_000])
def test_the_bar_fits_80_columns_with_the_speed_and_the_sums_of_the_losses(terminal, goal):
    last = terminal(80, goal // 3, goal // 2, goal=goal)[-1]
    assert len(last.rstrip()) <= 80
    assert last.startswith("00003  50%|")
    assert "2514 img/s" in last
    short = terminal(
        80, goal // 2, goal=goal, losses={"generator/a": 0.5, "discriminator/a": 0.25, "discriminator/b": 0.5}
    )
    assert short[-1].rstrip().endswith("2514 img/s, G 0.5 D 0.75")


def test_a_wide_terminal_shows_every_loss(terminal):
    assert "G-reference/cycle -1.23e+03" in terminal(500, 100, goal=300)[-1]


def test_the_bar_ends_at_the_goal_if_the_last_batch_exceeds_it(terminal):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        last = terminal(80, 64, 1024, goal=1000)[-1]
    assert "100%" in last
    assert "1.000/1 kimg" in last


def test_a_file_gets_one_line_per_tick(monkeypatch):
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    bar = ProgressBar("00000-gan-x", 0, 400)
    for images in range(1, 401):
        bar.update(images)
        if images % 200 == 0:
            bar.tick(99.6, {"generator/a": 0.5})
    bar.close()
    assert file.getvalue() == "".join(
        f"00000-gan-x: 0.{images} kimg: 100 img/s, generator/a 0.5\n" for images in (200, 400)
    )


def test_kimg_have_enough_decimals_to_distinguish_ticks():
    assert format_kimg(64, 300) == "0.064"
    assert format_kimg(12_345_678, 25_000_000) == "12345.7"
