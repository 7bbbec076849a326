from __future__ import annotations

import pytest
from PIL import Image

from ganzoo.runs import Run
from ganzoo.signals import Stop
from ganzoo.training.reporting import curves


@pytest.fixture
def plotter(tmp_path, monkeypatch):
    """Return a plotter whose `images` are the last ones of each plot that it has drawn."""
    drawn = []
    save_curves = curves.save_curves

    def save(path, rows, panels):
        rows = list(rows)
        drawn.append(rows[-1]["images"])
        save_curves(path, rows, panels)

    class Logger:
        def nonfatal(self, what):
            return Stop().raise_immediately()

    monkeypatch.setattr(curves, "save_curves", save)
    made = curves.CurvePlotter(Run(tmp_path), {}, Logger(), Stop())
    made.images = drawn
    return made


def add_stats(plotter, images: int) -> None:
    row = {"images": images, "kimg": images / 1000, "images_per_second": 90.0, "losses": {"generator/adversarial": 1.0}}
    plotter.run.append_stats(row)


def tick(plotter, images: int) -> None:
    add_stats(plotter, images)
    plotter.tick()


def test_the_first_tick_is_plotted_and_the_last_at_the_end(plotter):
    for images in (8, 16, 24):
        tick(plotter, images)
    assert plotter.images == [8]
    plotter.finish()
    assert plotter.images == [8, 24]
    assert Image.open(plotter.run.path / "losses.png").width > 100


def test_the_end_of_training_does_not_repeat_the_plot_of_its_last_tick(plotter):
    tick(plotter, 8)
    plotter.finish()
    assert plotter.images == [8]


def test_a_training_that_makes_no_step_is_plotted_too(plotter):
    add_stats(plotter, 8)
    plotter.finish()
    assert plotter.images == [8]
