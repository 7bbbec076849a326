"""FID between photographs and degraded copies of them, which must grow with the degradation."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

SIDE, COUNT = 64, 240


@pytest.fixture(scope="module")
def extractor(jittor):
    from ganzoo.metrics.backbones import FEATURES, choose
    from ganzoo.metrics.features import FeatureExtractor

    return FeatureExtractor(choose(FEATURES, None, ()))


@pytest.fixture(scope="module")
def crops():
    """Return random crops of scikit-image's photographs, uint8 (COUNT, SIDE, SIDE, 3)."""
    spec = find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("needs scikit-image's photographs; install the extra `dev`")
    folder, rng = Path(spec.submodule_search_locations[0]) / "data", np.random.default_rng(0)
    photographs = [Image.open(folder / name).convert("RGB") for name in ("chelsea.png", "coffee.png", "rocket.jpg")]
    found = []
    for index in range(COUNT):
        photograph = photographs[index % len(photographs)]
        side = int(rng.integers(100, 280))
        left, top = (int(rng.integers(0, length - side + 1)) for length in photograph.size)
        found.append(np.asarray(photograph.crop((left, top, left + side, top + side)).resize((SIDE, SIDE))))
    return np.stack(found)


@pytest.fixture(scope="module")
def fid(extractor, crops):
    """Return a function that returns the FID between images and the crops."""
    from ganzoo.metrics.distances import frechet_distance, moments

    def features(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return moments(np.concatenate(list(extractor.stream([images]))))

    real = features(crops)
    return lambda images: frechet_distance(*features(images), *real)


def test_fid_with_itself_is_zero(fid, crops):
    assert abs(fid(crops)) < 1e-3
    assert abs(fid(crops[::-1])) < 1e-3


def test_fid_grows_with_blur(fid, crops):
    def blurred(radius: float) -> np.ndarray:
        return np.stack([np.asarray(Image.fromarray(each).filter(ImageFilter.GaussianBlur(radius))) for each in crops])

    found = [fid(blurred(radius)) for radius in (0.5, 1.0, 2.0, 4.0)]
    assert found == sorted(found)
    assert found[0] > 0.1


def test_fid_grows_with_noise(fid, crops):
    noise = np.random.default_rng(1).normal(size=crops.shape)
    found = [fid(np.clip(crops + strength * noise, 0, 255).astype(np.uint8)) for strength in (5, 15, 40, 100)]
    assert found == sorted(found)
    assert found[0] > 0.1


def test_fid_grows_as_modes_are_dropped(fid, crops):
    kinds = [crops[kind::3] for kind in range(3)]
    without_one = np.concatenate([kinds[0], kinds[1], kinds[0][: COUNT // 6], kinds[1][: COUNT // 6]])
    found = [fid(without_one), fid(np.concatenate([kinds[0]] * 3)), fid(np.repeat(kinds[0][:1], COUNT, 0))]
    assert found == sorted(found)
    assert found[0] > 0.1
