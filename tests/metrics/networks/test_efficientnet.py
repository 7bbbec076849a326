"""EfficientNet-Lite0 with its published weights agrees with another author's package and classifies photographs."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganzoo.metrics.backbones import FEATURES, PERCEPTUAL, choose
from ganzoo.metrics.features import FeatureExtractor
from ganzoo.metrics.perceptual import Perceptual
from tests.support.reference import needs_torch, relative_error, run_reference

pytestmark = pytest.mark.usefixtures("jittor")

needs_package = pytest.mark.skipif(
    find_spec("efficientnet_lite_pytorch") is None, reason="efficientnet-lite-pytorch is in the extra 'dev'"
)

# Acceptable ImageNet classes of each photograph, numbered from 0.
PHOTOGRAPHS = {
    "chelsea.png": range(281, 286),  # cats
    "coffee.png": (967, 968),  # espresso, cup
    "camera.png": (872,),  # tripod
    "motorcycle_left.png": (665, 670),  # moped, motor scooter
}
SMALL, ODD = 48, 100  # px; SMALL is enlarged to the minimum size, ODD to a multiple of 32


@pytest.fixture(scope="module")
def extractor(jittor) -> FeatureExtractor:
    return FeatureExtractor(choose(FEATURES, None, ()))


def square(name: str) -> Image.Image:
    """Return the central square of a photograph."""
    spec = find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("scikit-image, whose photographs these are, is in the extra 'dev'")
    photograph = Image.open(Path(spec.submodule_search_locations[0]) / "data" / name)
    width, height = photograph.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return photograph.crop((left, top, left + side, top + side))


def pixels(image: Image.Image) -> np.ndarray:
    """Return an image as an array (1, H, W, 1 or 3)."""
    return np.asarray(image).reshape(1, image.height, image.width, -1)


def network_input(name: str) -> np.ndarray:
    """Return a photograph as the network's input, (1, 224, 224, 3)."""
    return pixels(square(name).resize((224, 224), Image.Resampling.BICUBIC).convert("RGB"))


@pytest.fixture(scope="module")
def comparison(extractor, tmp_path_factory) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    inputs = {f"pixels/{name}": network_input(name) for name in PHOTOGRAPHS}
    inputs["pixels/noise"] = rng.integers(0, 256, (2, 224, 224, 3), np.uint8)
    for side in (SMALL, ODD):
        photographs = [square(name).resize((side, side)).convert("RGB") for name in list(PHOTOGRAPHS)[:2]]
        one = np.concatenate([pixels(each) for each in photographs]).transpose(0, 3, 1, 2) / 127.5 - 1
        inputs[f"one/{side}"] = one.astype(np.float32)
        inputs[f"other/{side}"] = np.clip(one + rng.normal(0, 0.1, one.shape), -1, 1).astype(np.float32)
    folder = tmp_path_factory.mktemp("efficientnet")
    return inputs, run_reference("efficientnet", inputs, folder, weights=str(extractor.weights.paths[0]))


@needs_torch
@needs_package
@pytest.mark.parametrize("name", [*PHOTOGRAPHS, "noise"])
def test_features_and_logits_agree_with_the_package(extractor, comparison, jittor, name) -> None:
    inputs, expected = comparison
    (features,) = extractor.stream([inputs[f"pixels/{name}"]])
    assert relative_error(features, expected[f"features/{name}"]) < 1e-4
    assert relative_error(extractor.network.classify(jittor.array(features)), expected[f"logits/{name}"]) < 1e-4


@needs_torch
@needs_package
def test_features_differ_between_photographs(comparison) -> None:
    features = np.concatenate([comparison[1][f"features/{name}"] for name in PHOTOGRAPHS])
    differences = np.abs(features[:, None] - features[None]).max(2) / np.abs(features).max()
    assert (differences[~np.eye(len(features), dtype=bool)] > 0.1).all()


@needs_torch
@needs_package
@pytest.mark.parametrize("side", [SMALL, ODD])
def test_distances_agree_with_the_packages_feature_maps(comparison, side) -> None:
    inputs, expected = comparison
    perceptual = Perceptual(choose(PERCEPTUAL, None, ()))
    found = perceptual.distances(inputs[f"one/{side}"], inputs[f"other/{side}"])
    assert relative_error(found, expected[f"distances/{side}"]) < 1e-4


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_photographs_are_classified_correctly(extractor, jittor, name) -> None:
    (features,) = extractor.stream([pixels(square(name))])
    assert features.shape == (1, extractor.width) == (1, 1280)
    logits = extractor.network.classify(jittor.array(features)).numpy()
    assert logits.shape == (1, 1000)
    assert int(logits.argmax()) in PHOTOGRAPHS[name]
