"""Progress bars: in a notebook those of Jupyter's widgets, elsewhere those of a terminal."""

from __future__ import annotations

import sys
import warnings
from typing import Any

from tqdm import tqdm


def progress_bar(*arguments: Any, **settings: Any) -> Any:
    """Return a bar of tqdm with these arguments."""
    return bar_class()(*arguments, **settings)


def bar_class() -> type[tqdm]:
    """Return tqdm's class for notebooks if this process is the kernel of one that can show widgets, else the one for
    terminals."""
    if "ipykernel" not in sys.modules:
        return tqdm
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the choice is experimental, or that ipywidgets is not installed
        from tqdm.autonotebook import tqdm as chosen
    return chosen


def shows_widgets() -> bool:
    """Return whether bars are widgets of a notebook."""
    return bar_class() is not tqdm
