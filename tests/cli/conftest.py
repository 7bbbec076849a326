"""Fixtures of the command line: a trained run, and additional models."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ganzoo.interfaces.model import Model
from ganzoo.registry import plugins
from tests.conftest import TINY_RUN_OPTIONS


@pytest.fixture(scope="session")
def trained_experiments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trained") / "experiments"


@pytest.fixture
def trained(jittor, ganzoo, pictures: Path, trained_experiments: Path) -> Path:
    """Return the folder of a run of `gan`, trained once and copied for each test."""
    if not trained_experiments.exists():
        assert ganzoo("train", "gan", "--data", "pictures", *TINY_RUN_OPTIONS).exit_code == 0
        shutil.copytree("experiments", trained_experiments)
    shutil.copytree(trained_experiments, "experiments", dirs_exist_ok=True)
    return pictures.parent / "experiments" / "00000-gan-pictures"


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
