"""Shared fixtures: the command line in this process, an empty working folder, small pictures, a
trained run, additional models."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import settings
from PIL import Image

from ganzoo import backend
from ganzoo.cli import main
from ganzoo.interfaces.model import Model
from ganzoo.registry import plugins
from tests.support import hub_server

# The smallest training: fully connected networks on 8 px images, a tick of two steps.
TINY_RUN_OPTIONS = ["--size", "8", "--batch", "4", "--kimg", "0.016", "--tick", "0.008"]

# Neither a busy machine nor chance fails a property test. `pytest --hypothesis-profile=search` tries new examples.
settings.register_profile("suite", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None)
settings.load_profile("suite")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Start Jittor on the CPU: test modules import networks, which subclass Jittor's. It must start before any test
    replaces sys.stdout by an object without a file descriptor."""
    if getattr(session.config.option, "numprocesses", None):
        return  # the process that only distributes the tests to workers (`pytest -n 2`)
    if int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1)) > 1:
        # Threads that wait must not keep the other workers' cores busy. Their number is that of a run with one worker,
        # since it affects how sums are rounded.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    backend.start("cpu")


@pytest.fixture(scope="session")
def jittor():
    """Return the jittor module."""
    return backend.jittor()


@pytest.fixture(autouse=True)
def no_convolution_is_computed_by_plain_loops():
    """Fail if Jittor runs a convolution as slow plain loops; the bundled models must use oneDNN."""
    before = backend.unrecognised_convolutions()
    yield
    assert backend.unrecognised_convolutions() == before


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty working folder. Prepared data is stored in it too, not in the user's data directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GANZOO_DATA", str(tmp_path / "data"))
    return tmp_path


@pytest.fixture
def ganzoo(workdir: Path) -> Callable[..., Result]:
    """Return a function that runs a `ganzoo` command in this process. It fails on a traceback, which no user should
    ever see."""

    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(main, list(arguments), prog_name="ganzoo")
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return result

    return run


@pytest.fixture
def domains(workdir: Path) -> Path:
    """Make two folders of pictures, one for each domain, so that any model can train on them. Return their parent."""
    generator = np.random.default_rng(0)
    for name in ("one", "two"):
        folder = workdir / "pictures" / name
        folder.mkdir(parents=True)
        for index in range(9):
            pixels = generator.integers(0, 256, (6, 6, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((64, 64)).save(folder / f"{index}.png")
    return workdir / "pictures"


@pytest.fixture
def pictures(workdir: Path) -> Path:
    """Return a folder `pictures` of 12 small RGB images."""
    folder = workdir / "pictures"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for index in range(12):
        pixels = generator.integers(0, 256, (12, 10, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:02d}.png")
    return folder


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


@pytest.fixture
def hub(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[hub_server.Hub]:
    """Run a local hub of Hugging Face. Its client is connected to it, with a token and an empty cache."""
    pytest.importorskip("huggingface_hub")
    with hub_server.serve() as server:
        variables = {"HF_ENDPOINT": server.url, "HF_HOME": str(workdir / "hf"), "HF_TOKEN": hub_server.TOKEN}
        for name, value in {**variables, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}.items():
            monkeypatch.setenv(name, value)
        for name in ("HF_HUB_OFFLINE", "HF_HUB_CACHE", "HF_TOKEN_PATH", "HUGGING_FACE_HUB_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        hub_server.forget_client()
        yield server
    hub_server.forget_client()
