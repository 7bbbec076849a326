"""Fixtures of the command line: additional models."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ganzoo.interfaces.model import Model
from ganzoo.registry import plugins


@pytest.fixture
def add_model(monkeypatch: pytest.MonkeyPatch) -> Callable[[Model], None]:
    """Return a function that registers a model as if a plugin had done so."""
    load = plugins.load

    def add(model: Model) -> None:
        def load_with_model(*arguments, **named):
            registry = load(*arguments, **named)
            registry.models[model.name] = model
            return registry

        monkeypatch.setattr(plugins, "load", load_with_model)

    return add
