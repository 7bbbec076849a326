"""Where ganzoo keeps what it prepares once: data sets, fonts' glyphs, weights."""

from __future__ import annotations

import os
from pathlib import Path


def data_dir() -> Path:
    """The user's data directory: $GANZOO_DATA, else ganzoo under $XDG_DATA_HOME, else ~/.local/share/ganzoo."""
    chosen = os.environ.get("GANZOO_DATA")
    if chosen:
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "ganzoo"
