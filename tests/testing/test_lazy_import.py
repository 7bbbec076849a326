"""The contract test finds modules that import Jittor when they are imported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ganzoo import Model
from ganzoo.testing import check_model
from tests.support.shades import ShadesGAN


def failure_of(model: Model) -> str:
    with pytest.raises(AssertionError) as caught:
        check_model(model, size=8, channels=(1,), attributes=("age",))
    return str(caught.value)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that makes a module of some source code, and returns a model with this `__module__`."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(name: str, code: str) -> Model:
        (tmp_path / f"{name}.py").write_text(code)
        return type("Elsewhere", (ShadesGAN,), {"__module__": name})()

    return make


@pytest.mark.parametrize(
    ("name", "code"),
    [("imports_it", "import os\nimport jittor"), ("asks_for_it", "import os\nfrom ganzoo import jt")],
)
def test_a_heavy_import_is_caught_with_its_line(module: Any, name: str, code: str) -> None:
    message = failure_of(module(name, code))
    assert message.startswith(f"{name} imports Jittor when it is imported (")
    assert message.endswith(f"{name}.py, line 2); do it inside `build`.")


def test_a_module_that_cannot_be_imported_by_itself_is_caught(module: Any) -> None:
    assert failure_of(module("broken_module", "1 / 0")) == (
        "broken_module can't be imported by itself: ZeroDivisionError: division by zero"
    )
