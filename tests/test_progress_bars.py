"""The choice between bars of a terminal and those of a notebook."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tqdm import tqdm

from ganzoo.progress_bars import progress_bar, shows_widgets

# A process that has loaded what a kernel consists of. Its only display is stdout. Before 4.69, tqdm recognises a kernel
# by the configuration of its shell.
KERNEL = """
import sys
import types
import warnings
import IPython
import ipykernel.zmqshell
IPython.get_ipython = lambda: types.SimpleNamespace(config=["IPKernelApp"])
warnings.simplefilter("error")
if not {widgets}:
    sys.modules["ipywidgets"] = None
from ganzoo.progress_bars import progress_bar, shows_widgets
from ganzoo.training.reporting.progress_bar import ProgressBar
assert shows_widgets() == {widgets}
assert list(progress_bar(range(3), total=3, unit="img", leave=False, disable=None, delay=9)) == [0, 1, 2]
bar = ProgressBar("00000-gan-x", 0, 1000)
bar.update(500)
bar.tick(99.6, {{"generator/a": 0.5}})
if {widgets}:
    print(*(child.value for child in bar._line.container.children))
bar.close()
"""


def kernel(widgets: bool) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", KERNEL.format(widgets=widgets)], capture_output=True, text=True, check=True
    )


def test_a_program_has_bars_of_a_terminal():
    assert not shows_widgets()
    assert type(progress_bar(total=1, disable=True)) is tqdm


@pytest.mark.parametrize("widgets", [True, False])
def test_a_notebook_has_its_own_bars_if_it_can_show_them_and_no_warnings(widgets):
    pytest.importorskip("ipywidgets")
    pytest.importorskip("ipykernel")
    result = kernel(widgets)
    if widgets:
        shown = result.stdout.replace("\u2007", " ")  # a space as wide as a digit
        assert "50%" in shown
        assert "0.500/1 kimg" in shown
        assert "100 img/s, generator/a 0.5" in shown
        assert result.stderr == ""
    else:
        assert result.stdout == ""
        assert result.stderr == "00000-gan-x: 0.500 kimg: 100 img/s, generator/a 0.5\n"
