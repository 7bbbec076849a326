from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from ganzoo_stylegan import StyleGAN

from ganzoo.checkpoints.description import RunDescription
from ganzoo.interfaces.options import Options, resolve
from ganzoo.interfaces.progress import Progress
from ganzoo.interfaces.stages import Schedule, Stage
from ganzoo.interfaces.train_options import TrainOptions
from ganzoo.registry import plugins
from ganzoo.sampling import sampler
from ganzoo.training.plan import make_plan
from ganzoo.training.precompile import Precompiler, compile_later_stages, later_positions
from tests.support import shades

TINY_RUN_OPTIONS = {
    "max_size": 16,
    "init_size": 4,
    "channels_base": 512,
    "channels_max": 8,
    "latent": 8,
    "mapping_layers": 2,
}
THREE = Schedule([Stage(8, 4, images=20), Stage(16, 4, images=20, fade=10), Stage(32, 2, fade=10)])


def test_later_positions_are_yielded_once_and_in_order():
    positions = [THREE.position(progress) for progress in later_positions(THREE, Progress())]
    assert [(position.stage.size, position.fading) for position in positions] == [
        (16, True),
        (16, False),
        (32, True),
        (32, False),
    ]


@pytest.mark.parametrize(
    ("stage", "images", "remaining"), [(0, 8, 4), (1, 0, 3), (1, 5, 3), (1, 15, 2), (2, 5, 1), (2, 50, 0)]
)
def test_past_positions_are_not_yielded(stage, images, remaining):
    assert len(list(later_positions(THREE, Progress(stage=stage, stage_images=images)))) == remaining


def test_a_model_with_one_stage_has_no_later_positions():
    assert not list(later_positions(Schedule([Stage(32, 4)]), Progress()))


@pytest.fixture
def plan(jittor, pictures):
    train = resolve(TrainOptions, {"data": str(pictures), "batch": 4, "device": "cpu"}, StyleGAN.defaults)
    return make_plan(StyleGAN(), train, resolve(StyleGAN.options, TINY_RUN_OPTIONS), plugins.load())


def test_the_child_takes_a_step_in_every_later_stage(plan):
    messages: list[str] = []
    precompiler = Precompiler(plan, messages.append)
    state = plan.initial_state()
    precompiler.start(state)
    precompiler.wait(600)
    assert precompiler._child.returncode == 0, messages
    precompiler.start(state)  # a second call does nothing
    precompiler.close()


def test_the_child_ends_with_a_killed_parent_even_while_compiling():
    """Jittor compiles in one call that holds the GIL, as this call of sleep does."""
    child = (
        "import ctypes, os, sys; from ganzoo.training import precompile;"
        "precompile._die_with_parent(os.getppid()); print(os.getpid(), flush=True); ctypes.PyDLL(None).sleep(60)"
    )
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        pid = int(process.stdout.readline())
        process.kill()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()


def test_close_ends_a_running_child(plan):
    precompiler = Precompiler(plan, lambda line: None)
    precompiler.start(plan.initial_state())
    precompiler.close()
    assert precompiler._child.returncode not in (None, 0)


def test_a_failing_child_is_reported_and_does_no_harm(plan, monkeypatch):
    messages: list[str] = []
    precompiler = Precompiler(plan, messages.append)
    monkeypatch.setenv("GANZOO_PLUGINS", "ganzoo_gan")  # so that the child can't find the model
    precompiler.start(plan.initial_state())
    precompiler.wait(600)
    assert precompiler._child.returncode == 1
    assert len(messages) == 1
    assert messages[0].startswith("can't compile kernels in advance:")


def test_later_stages_of_a_model_with_attributes_are_compiled(jittor, monkeypatch):
    from ganzoo import backend

    registry, sizes = shades.register(plugins.load()), []
    registry.models["shades-gan"] = shades.ShadesGAN(growing=True)
    monkeypatch.setattr(plugins, "load", lambda: registry)
    monkeypatch.setattr(backend, "compile_in_background", lambda: None)
    monkeypatch.setattr(sampler, "generate", lambda *given: sizes.append(sampler.stream(*given).__next__().shape))
    train = resolve(TrainOptions, {"data": "shades", "batch": 4, "device": "cpu"})
    plan = make_plan(registry.models["shades-gan"], train, Options(), registry)
    compile_later_stages(RunDescription.from_json(plan.description().to_json()), Progress())
    assert sizes == [(2, 8, 8, 1)]
