"""Both variants of Inception-v3 agree with the reference, from a file of random weights to the features."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganzoo.errors import CheckpointError
from ganzoo.metrics.backbones import FEATURES, Weights
from ganzoo.metrics.features import FeatureExtractor
from tests.support.reference import needs_torch, relative_error, run_reference

pytestmark = pytest.mark.usefixtures("jittor")

TOLERANCE = 1e-4
FID_SIZES = {"32": 32, "100": 100, "299": 299, "made smaller": 340}


def random_images(seed: int, count: int, side: int) -> np.ndarray:
    """Return images (count, side, side, 3) of coloured blobs and noise. Each has more blobs and noise than the previous
    one."""
    rng, found = np.random.default_rng(seed), []
    for index in range(count):
        blobs = rng.integers(0, 256, (2 + 3 * index, 2 + 3 * index, 3), np.uint8)
        image = np.asarray(Image.fromarray(blobs).resize((side, side), Image.Resampling.BICUBIC), np.float64)
        found.append(np.clip(image + rng.normal(0, 5 + 20 * index, image.shape), 0, 255).astype(np.uint8))
    return np.stack(found)


class Comparison:
    """Two weight files of one network, images, and the reference features of these images."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.small = random_images(9, 1, 80)
        self.images = {
            f"fid/{name}": random_images(side, 2 if side < 50 else 1, side) for name, side in FID_SIZES.items()
        }
        self.images["torchvision/299"] = random_images(3, 2, 299)
        resized = Image.fromarray(self.small[0]).resize((299, 299), Image.Resampling.BILINEAR)
        self.images["torchvision/resized"] = np.asarray(resized)[None]
        self.expected = run_reference("inception", self.images, folder, target=str(folder), seed=1)

    def extractor(self, backbone: str, name: str) -> FeatureExtractor:
        return FeatureExtractor(Weights(FEATURES[backbone], (self.folder / name,), ("",)))


@pytest.fixture(scope="module")
def comparison(jittor, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Comparison]:
    folder = tmp_path_factory.mktemp("inception")
    yield Comparison(folder)
    shutil.rmtree(folder)  # 200 MB


@pytest.fixture(scope="module")
def fid(comparison: Comparison) -> FeatureExtractor:
    return comparison.extractor("inception", "fid.pth")


@pytest.fixture(scope="module")
def torchvision(comparison: Comparison) -> FeatureExtractor:
    return comparison.extractor("inception-torchvision", "torchvision.pth")


def features(extractor: FeatureExtractor, images: np.ndarray) -> np.ndarray:
    found = np.concatenate(list(extractor.stream([images])))
    assert found.shape == (len(images), extractor.width) == (len(images), 2048)
    return found


def relative_difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).max() / np.abs(one).max())


@needs_torch
@pytest.mark.parametrize("name", FID_SIZES)
def test_the_fid_variant_resizes_as_published(comparison, fid, name) -> None:
    found = features(fid, comparison.images[f"fid/{name}"])
    assert relative_error(found, comparison.expected[f"fid/{name}"]) < TOLERANCE


@needs_torch
def test_torchvisions_variant_at_its_own_size(comparison, torchvision) -> None:
    found = features(torchvision, comparison.images["torchvision/299"])
    assert relative_error(found, comparison.expected["torchvision/299"]) < TOLERANCE


@needs_torch
def test_torchvisions_variant_scales_as_pillow_does(comparison, torchvision) -> None:
    found = features(torchvision, comparison.small)
    assert relative_error(found, comparison.expected["torchvision/resized"]) < TOLERANCE


@needs_torch
@pytest.mark.parametrize("name", ["fid/32", "torchvision/299"])
def test_features_depend_on_the_image(comparison, name) -> None:
    assert relative_difference(*comparison.expected[name]) > 300 * TOLERANCE


@needs_torch
def test_the_variants_pool_differently(comparison, fid, torchvision, jittor) -> None:
    """Both variants get pixels that are equal after normalisation."""
    pixels = comparison.images["torchvision/299"].transpose(0, 3, 1, 2).astype(np.float32)
    mean, std = (np.array(each).reshape(3, 1, 1) for each in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    same = (255 * ((pixels / 127.5 - 1) * std + mean)).astype(np.float32)
    with jittor.no_grad():
        normalised = [fid.network.normalised(jittor.array(pixels)), torchvision.network.normalised(jittor.array(same))]
        assert np.allclose(*(each.numpy() for each in normalised), atol=1e-5)
        found = [fid.network(jittor.array(pixels)).numpy(), torchvision.network(jittor.array(same)).numpy()]
    assert relative_difference(*found) > 300 * TOLERANCE


@needs_torch
def test_grey_images_are_rgb_of_equal_channels(comparison, fid, torchvision) -> None:
    grey = comparison.small[:, :, :, :1]
    for extractor in (fid, torchvision):
        assert np.array_equal(features(extractor, grey), features(extractor, np.repeat(grey, 3, 3)))


@needs_torch
def test_other_contents_of_torchvisions_file_are_ignored(comparison, fid) -> None:
    """The file also contains an auxiliary classifier, and a classifier for 1000 classes."""
    other = comparison.extractor("inception", "torchvision.pth")
    images = comparison.images["fid/100"]
    assert np.array_equal(features(other, images), features(fid, images))


def write_pickle(path: Path, value: Any) -> Path:
    path.write_bytes(pickle.dumps(value))
    return path


@pytest.mark.parametrize("backbone", ["inception", "inception-torchvision"])
def test_weights_of_another_network_are_refused(tmp_path, backbone) -> None:
    alexnet = {"features.0.weight": np.zeros((64, 3, 11, 11), np.float32), "features.0.bias": np.zeros(64, np.float32)}
    path = write_pickle(tmp_path / "alexnet.pth", alexnet)
    with pytest.raises(CheckpointError, match=r"alexnet\.pth: .*'Conv2d_1a_3x3\..*' is missing"):
        Weights(FEATURES[backbone], (path,), ("",)).open()


@needs_torch
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("Mixed_7c.branch_pool.bn.running_var", None, "is missing"),
        (
            "Mixed_7c.branch3x3_2b.conv.weight",
            np.zeros((384, 384, 1, 3)),
            r"has shape \(384, 384, 1, 3\), expected \(384, 384, 3, 1\)",
        ),
        (
            "Mixed_5b.branch5x5_2.conv.weight",
            np.zeros((64, 48, 3, 3)),
            r"has shape \(64, 48, 3, 3\), expected \(64, 48, 5, 5\)",
        ),
    ],
)
def test_weights_that_do_not_fit_are_named(comparison, tmp_path, name, value, message) -> None:
    from ganzoo.checkpoints.unpickling import safe_load

    state = {**safe_load(comparison.folder / "fid.pth"), name: value}
    if value is None:
        del state[name]
    path = write_pickle(tmp_path / "changed.pth", state)
    with pytest.raises(CheckpointError, match=rf"changed\.pth: .*array '{name}' {message}"):
        Weights(FEATURES["inception"], (path,), ("",)).open()
    path.unlink()
