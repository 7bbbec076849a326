"""LPIPS and the reference compute the same distances from files of random weights."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganzoo.errors import CheckpointError
from ganzoo.metrics.backbones import PERCEPTUAL, Weights
from ganzoo.metrics.perceptual import Perceptual
from tests.support.reference import needs_torch, relative_error, run_reference

pytestmark = pytest.mark.usefixtures("jittor")

NETWORKS = ("alexnet", "vgg16", "squeezenet")
# Side (px) and channels. At 100 px, maps have odd sides; images of less than 64 px are enlarged.
KINDS = {
    "64 px": (64, 3),
    "100 px": (100, 3),
    "grey": (64, 1),
    "20 px": (20, 3),
    "48 px": (48, 3),
    "grey, 40 px": (40, 1),
}


def pair(rng: np.random.Generator, side: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two images (2, channels, side, side), and a noisy copy of each: the first with little noise, the second
    with much."""
    found = []
    for _ in range(2):
        blobs = rng.integers(0, 256, (6, 6, 3), np.uint8)
        image = np.asarray(Image.fromarray(blobs).resize((side, side), Image.Resampling.BICUBIC)) / 127.5 - 1
        found.append(image.transpose(2, 0, 1)[:channels])
    one = np.stack(found).astype(np.float32)
    noise = rng.normal(0, 1, one.shape) * np.array([0.05, 0.5]).reshape(2, 1, 1, 1)
    return one, np.clip(one + noise, -1, 1).astype(np.float32)


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray], dict[str, np.ndarray]]:
    folder, rng, inputs = tmp_path_factory.mktemp("lpips"), np.random.default_rng(0), {}
    for name, kind in KINDS.items():
        inputs[f"one/{name}"], inputs[f"other/{name}"] = pair(rng, *kind)
    return folder, inputs, run_reference("lpips", inputs, folder, target=str(folder), seed=2)


def open_weights(network: str, *paths: Path) -> Perceptual:
    return Perceptual(Weights(PERCEPTUAL[network], paths, ("",) * len(paths)))


@pytest.fixture(scope="module")
def networks(comparison, jittor) -> dict[str, Perceptual]:
    folder = comparison[0]
    return {
        network: open_weights(network, folder / f"{network}.pth", folder / f"{network}-heads.pth")
        for network in NETWORKS
    }


@needs_torch
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", KINDS)
def test_distances_agree_with_the_reference(comparison, networks, network, name) -> None:
    _, inputs, expected = comparison
    found = networks[network].distances(inputs[f"one/{name}"], inputs[f"other/{name}"])
    assert found.shape == (2,)
    assert relative_error(found, expected[f"{network}/{name}"]) < 1e-4


@needs_torch
@pytest.mark.parametrize("network", NETWORKS)
def test_more_noise_means_a_larger_distance(comparison, network) -> None:
    """Otherwise the comparison with the reference would prove little."""
    for name in KINDS:
        little, much = comparison[2][f"{network}/{name}"]
        assert 0.001 < little < 0.8 * much


@needs_torch
@pytest.mark.parametrize("network", NETWORKS)
def test_grey_images_are_rgb_of_equal_channels(comparison, networks, network) -> None:
    one, other = comparison[1]["one/grey"], comparison[1]["other/grey"]
    coloured = networks[network].distances(np.repeat(one, 3, 1), np.repeat(other, 3, 1))
    assert np.array_equal(networks[network].distances(one, other), coloured)


@needs_torch
@pytest.mark.parametrize("network", NETWORKS)
def test_files_in_the_legacy_format_are_read(comparison, networks, network) -> None:
    folder, inputs, _ = comparison
    older = open_weights(network, folder / f"{network}-legacy.pth", folder / f"{network}-heads.pth")
    one, other = inputs["one/64 px"], inputs["other/64 px"]
    assert np.array_equal(older.distances(one, other), networks[network].distances(one, other))


@needs_torch
@pytest.mark.parametrize(
    ("network", "files", "message"),
    [
        ("alexnet", ("vgg16", "alexnet-heads"), r"vgg16\.pth: .*'features\.0\.weight'"),
        ("alexnet", ("alexnet", "squeezenet-heads"), r"squeezenet-heads\.pth: .*'lin1\.model\.1\.weight'"),
        ("vgg16", ("alexnet", "vgg16-heads"), r"alexnet\.pth: .*'features\.0\.weight'"),
        ("vgg16", ("vgg16", "alexnet-heads"), r"alexnet-heads\.pth: .*'lin1\.model\.1\.weight'"),
        ("squeezenet", ("vgg16", "squeezenet-heads"), r"vgg16\.pth: .*'features\.3\.squeeze\.weight'"),
        ("squeezenet", ("squeezenet", "vgg16-heads"), r"vgg16-heads\.pth: .*'lin3\.model\.1\.weight'"),
        ("squeezenet", ("squeezenet-heads", "squeezenet"), r"squeezenet\.pth: .*'lin0\.model\.1\.weight'"),
    ],
)
def test_files_of_another_network_are_refused(comparison, network, files, message) -> None:
    with pytest.raises(CheckpointError, match=message):
        open_weights(network, *(comparison[0] / f"{name}.pth" for name in files))


@needs_torch
@pytest.mark.parametrize(
    ("network", "name", "value", "message"),
    [
        ("alexnet", "features.10.bias", None, "is missing"),
        (
            "vgg16",
            "features.28.weight",
            np.zeros((512, 512, 1, 1)),
            r"has shape \(512, 512, 1, 1\), expected \(512, 512, 3, 3\)",
        ),
        ("squeezenet", "features.12.expand3x3.bias", np.zeros(257), r"has shape \(257,\), expected \(256,\)"),
    ],
)
def test_weights_that_do_not_fit_are_named(comparison, tmp_path, network, name, value, message) -> None:
    from ganzoo.checkpoints.unpickling import safe_load

    state = {**safe_load(comparison[0] / f"{network}.pth"), name: value}
    if value is None:
        del state[name]
    path = tmp_path / "changed.pth"
    path.write_bytes(pickle.dumps(state))
    with pytest.raises(CheckpointError, match=rf"changed\.pth: .*array '{name}' {message}"):
        open_weights(network, path, comparison[0] / f"{network}-heads.pth")
    path.unlink()
