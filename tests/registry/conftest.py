from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Return a function that creates an importable module and the .dist-info folder of its distribution, which has
    entry points for ganzoo."""
    modules = []

    def install(module: str, code: str, **entry_points: str) -> None:
        (tmp_path / f"{module}.py").write_text(code)
        info = tmp_path / f"dist_of_{module}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dist-of-{module}\nVersion: 1.5\n")
        lines = [f"{name} = {value}" for name, value in (entry_points or {module: module}).items()]
        (info / "entry_points.txt").write_text("\n".join(["[ganzoo]", *lines, ""]))
        modules.append(module)
        monkeypatch.syspath_prepend(tmp_path)  # after writing, so that importlib looks again

    yield install
    for module in modules:
        sys.modules.pop(module, None)
