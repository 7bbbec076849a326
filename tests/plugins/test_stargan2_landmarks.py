"""The landmark network against the reference, and its weights in files of other programs."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganzoo.errors import CheckpointError
from tests.support.reference import needs_torch, random_weights, relative_error, run_reference

pytestmark = pytest.mark.usefixtures("jittor")

SIDES = (96, 300)  # px: upscaled, downscaled


@pytest.fixture(scope="module")
def weights(jittor: Any) -> dict[str, np.ndarray]:
    from ganzoo_stargan2.landmarks import FAN

    shapes = [(name, tuple(var.shape)) for name, var in FAN().state().items()]
    return random_weights(shapes, np.random.default_rng(3))


@pytest.fixture(scope="module")
def comparison(weights: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Return a file in which PyTorch saved these weights; and a dict of images and the reference's heatmaps of them."""
    folder = tmp_path_factory.mktemp("landmarks")
    rng = np.random.default_rng(4)
    images = {f"images/{side}": rng.uniform(-1, 1, (1, 3, side, side)).astype(np.float32) for side in SIDES}
    arrays = {f"net/{name}": value for name, value in weights.items()}
    answers = run_reference("landmarks", {**arrays, **images}, folder, target=str(folder / "wing.ckpt"))
    return folder / "wing.ckpt", {**images, **answers}


def test_the_network_has_the_published_parameter_count() -> None:
    from ganzoo_stargan2.landmarks import FAN

    assert FAN().parameter_count() == 6_333_603


@needs_torch
def test_heatmaps_match_the_reference(comparison, weights) -> None:
    from ganzoo_stargan2.landmarks import FAN

    from ganzoo import jt

    network = FAN()
    network.load_state(weights)
    network.train()  # must not switch to batch statistics
    for side in SIDES:
        found = network(jt.array(comparison[1][f"images/{side}"]))
        assert relative_error(found, comparison[1][f"heatmaps/{side}"]) < 1e-4


@needs_torch
def test_a_file_saved_by_data_parallel_with_unused_entries_is_read(comparison, weights) -> None:
    from ganzoo_stargan2.landmarks import read_wing

    messages: list[str] = []
    found = read_wing(comparison[0], messages.append)
    assert found.keys() == weights.keys()
    assert all(np.array_equal(found[name], value) for name, value in weights.items())
    assert messages == [f"{comparison[0]}: 6 entries are not used by the landmark network and were ignored"]


def test_the_network_is_not_trained_and_gives_no_gradient(weights) -> None:
    from ganzoo_stargan2.landmarks import FAN

    from ganzoo import jt

    network = FAN()
    assert network.trainable() == {}
    network.load_state(weights)
    assert network.trainable() == {}
    images = jt.random((1, 3, 64, 64))
    assert not images.is_stop_grad()
    assert network(images).is_stop_grad()


def test_a_state_dict_that_is_the_whole_file_is_read(weights, tmp_path) -> None:
    from ganzoo_stargan2.landmarks import read_wing

    messages: list[str] = []
    path = tmp_path / "wing.ckpt"
    path.write_bytes(pickle.dumps(weights))
    assert read_wing(path, messages.append).keys() == weights.keys()
    assert messages == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"m0.b2_plus_1.conv1.weight": None}, "its landmark network lacks 'm0.b2_plus_1.conv1.weight'."),
        (
            {"l0.bias": np.zeros(98, np.float32)},
            r"its landmark network's 'l0.bias' is of shape \(98,\), not numbers of shape \(99,\).",
        ),
        ({"l0.bias": np.full(99, np.nan, np.float32)}, "its landmark network's 'l0.bias' is not finite"),
        ({"l0.bias": "none"}, r"its landmark network's 'l0.bias' is a str, not numbers of shape \(99,\)."),
    ],
)
def test_missing_and_invalid_weights_are_named(weights, tmp_path, change, message) -> None:
    from ganzoo_stargan2.landmarks import read_wing

    state = {name: value for name, value in {**weights, **change}.items() if value is not None}
    path = tmp_path / "wing.ckpt"
    path.write_bytes(pickle.dumps({"state_dict": state}))
    with pytest.raises(CheckpointError, match=rf"wing.ckpt: .*{message}"):
        read_wing(path)


def test_a_file_with_other_content_is_an_error(tmp_path) -> None:
    from ganzoo_stargan2.landmarks import read_wing

    path = tmp_path / "wing.ckpt"
    path.write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(CheckpointError, match=r"wing\.ckpt: it holds no landmark network"):
        read_wing(path)
