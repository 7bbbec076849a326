"""The networks of LPIPS against the reference, from files of random weights to distances."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganzoo.errors import CheckpointError
from ganzoo.metrics.backbones import PERCEPTUAL, Weights
from ganzoo.metrics.perceptual import Perceptual
from tests.support.reference import error, in_torch, needs_torch

pytestmark = pytest.mark.usefixtures("jittor")

TRUNKS = ("alexnet", "vgg16", "squeezenet")
# Side and channels. Maps of 100 px have odd sides, 20 and 48 px are enlarged.
KINDS = {
    "64 px": (64, 3),
    "100 px": (100, 3),
    "grey": (64, 1),
    "20 px": (20, 3),
    "48 px": (48, 3),
    "grey, 40 px": (40, 1),
}


def pair(rng: np.random.Generator, side: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two images (2, channels, side, side), and copies with little and with much noise."""
    found = []
    for _ in range(2):
        blots = rng.integers(0, 256, (6, 6, 3), np.uint8)
        image = np.asarray(Image.fromarray(blots).resize((side, side), Image.Resampling.BICUBIC)) / 127.5 - 1
        found.append(image.transpose(2, 0, 1)[:channels])
    one = np.stack(found).astype(np.float32)
    noise = rng.normal(0, 1, one.shape) * np.array([0.05, 0.5]).reshape(2, 1, 1, 1)
    return one, np.clip(one + noise, -1, 1).astype(np.float32)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray], dict[str, np.ndarray]]:
    folder, rng, given = tmp_path_factory.mktemp("trunks"), np.random.default_rng(0), {}
    for name, kind in KINDS.items():
        given[f"one/{name}"], given[f"other/{name}"] = pair(rng, *kind)
    return folder, given, in_torch("trunks", given, folder, target=str(folder), seed=2)


def opened(trunk: str, *paths: Path) -> Perceptual:
    return Perceptual(Weights(PERCEPTUAL[trunk], paths, ("",) * len(paths)))


@pytest.fixture(scope="module")
def networks(compared, jittor) -> dict[str, Perceptual]:
    folder = compared[0]
    return {trunk: opened(trunk, folder / f"{trunk}.pth", folder / f"{trunk}-heads.pth") for trunk in TRUNKS}


@needs_torch
@pytest.mark.parametrize("trunk", TRUNKS)
@pytest.mark.parametrize("name", KINDS)
def test_distances_are_those_of_the_reference(compared, networks, trunk, name) -> None:
    _, given, expected = compared
    found = networks[trunk].distances(given[f"one/{name}"], given[f"other/{name}"])
    assert found.shape == (2,)
    assert error(found, expected[f"{trunk}/{name}"]) < 1e-4


@needs_torch
@pytest.mark.parametrize("trunk", TRUNKS)
def test_more_noise_is_more_distant(compared, trunk) -> None:
    """Otherwise the comparison with the reference would prove little."""
    for name in KINDS:
        little, much = compared[2][f"{trunk}/{name}"]
        assert 0.001 < little < 0.8 * much


@needs_torch
@pytest.mark.parametrize("trunk", TRUNKS)
def test_grey_images_are_rgb_of_equal_channels(compared, networks, trunk) -> None:
    one, other = compared[1]["one/grey"], compared[1]["other/grey"]
    coloured = networks[trunk].distances(np.repeat(one, 3, 1), np.repeat(other, 3, 1))
    assert np.array_equal(networks[trunk].distances(one, other), coloured)


@needs_torch
@pytest.mark.parametrize("trunk", TRUNKS)
def test_files_in_the_legacy_format_are_read(compared, networks, trunk) -> None:
    folder, given, _ = compared
    older = opened(trunk, folder / f"{trunk}-legacy.pth", folder / f"{trunk}-heads.pth")
    one, other = given["one/64 px"], given["other/64 px"]
    assert np.array_equal(older.distances(one, other), networks[trunk].distances(one, other))


@needs_torch
@pytest.mark.parametrize(
    ("trunk", "files", "message"),
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
def test_files_of_another_network_are_refused(compared, trunk, files, message) -> None:
    with pytest.raises(CheckpointError, match=message):
        opened(trunk, *(compared[0] / f"{name}.pth" for name in files))


@needs_torch
@pytest.mark.parametrize(
    ("trunk", "name", "value", "message"),
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
def test_weights_that_do_not_fit_are_named(compared, tmp_path, trunk, name, value, message) -> None:
    from ganzoo.checkpoints.unpickling import safe_load

    state = {**safe_load(compared[0] / f"{trunk}.pth"), name: value}
    if value is None:
        del state[name]
    path = tmp_path / "changed.pth"
    path.write_bytes(pickle.dumps(state))
    with pytest.raises(CheckpointError, match=rf"changed\.pth: .*array '{name}' {message}"):
        opened(trunk, path, compared[0] / f"{trunk}-heads.pth")
    path.unlink()
