"""The masks for the high-pass filtered skip connections, compared with their definition in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("jittor")


def random_heatmaps(count: int, seed: int) -> np.ndarray:
    """Return heatmaps (N, 99, 64, 64), each of noise and one spot. Some spots are too weak, some are at an edge."""
    rng = np.random.default_rng(seed)
    x, y = (rng.uniform(-1, 64, (count, 99, 1, 1)) for _ in range(2))
    rows, columns = np.mgrid[:64, :64]
    spots = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / rng.uniform(2, 8, (count, 99, 1, 1)))
    maps = rng.uniform(0.02, 1.2, (count, 99, 1, 1)) * spots + rng.normal(0, 0.01, spots.shape)
    return maps.astype(np.float32)


def enlarged(heatmap: np.ndarray) -> np.ndarray:
    """Scale from 64 to 256 px by linear interpolation between pixel centres; the corners stay in place."""
    target, source = np.linspace(0, 63, 256), np.arange(64)
    wide = np.array([np.interp(target, source, row) for row in heatmap])
    return np.array([np.interp(target, source, column) for column in wide.T]).T


def expected_masks(heatmaps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the two masks for the heatmaps (98, 64, 64) of one image, step by step as defined, in float64."""
    x = np.array([enlarged(heatmap) for heatmap in heatmaps.astype(np.float64)])
    x[x < 0.1] = 0
    low, high = x.min((1, 2), keepdims=True), x.max((1, 2), keepdims=True)
    x = (x - low) / (high - low + 1e-6)

    def up(maps: np.ndarray, pixels: int) -> np.ndarray:
        return np.roll(maps, -pixels, axis=1)

    for start, end, pixels, power in (
        (8, 25, 0, 3),
        (33, 51, -7, 2),
        (55, 60, 8, 4),
        (77, 82, -8, 4),
        (83, 88, 8, 4),
        (88, 96, -2, 3),
    ):
        x[start:end] = up(x[start:end], pixels) ** power
    x[[*range(8), *range(25, 33), 33, 46, 76, 82]] = 0
    x[52:55] = up(x[52:55], 4)
    x[60:76] = up(x[60:76], -8) ** 3 + up(x[60:76], -24)
    inner = x.copy()
    for start, end in ((8, 25), (76, 96), (33, 51)):
        inner[start:end] = 0
    return x.sum(0).clip(0, 1), inner.sum(0).clip(0, 1)


def test_masks_match_their_definition() -> None:
    from ganzoo_stargan2.masks import from_heatmaps

    from ganzoo import jt

    heatmaps = random_heatmaps(2, 1)
    found = [mask.numpy() for mask in from_heatmaps(jt.array(heatmaps))]
    for index in range(2):
        for mask, expected in zip(found, expected_masks(heatmaps[index, :98])):
            assert mask.shape == (2, 1, 256, 256)
            assert 0.1 < (expected > 0.01).mean() < 0.9
            # Because of rounding errors, a pixel may be above the threshold in only one of the two computations.
            assert (abs(mask[index, 0] - expected) > 1e-5).sum() <= 2


@pytest.mark.parametrize("transposed", [False, True])
def test_each_landmark_affects_the_masks_as_defined(transposed: bool) -> None:
    from ganzoo_stargan2.masks import from_heatmaps

    from ganzoo import jt

    heatmaps = np.zeros((1, 98, 64, 64), np.float32)
    for landmark in range(98):
        row, column = (6 * cell + 3 for cell in divmod(landmark, 10)[:: -1 if transposed else 1])
        heatmaps[0, landmark, row : row + 2, column : column + 2] = 0.9
    for mask, expected in zip(from_heatmaps(jt.array(heatmaps)), expected_masks(heatmaps[0])):
        assert abs(mask.numpy()[0, 0] - expected).max() < 1e-5


def test_masks_of_images_equal_those_of_their_heatmaps_and_have_no_gradient() -> None:
    from ganzoo_stargan2.landmarks import FAN
    from ganzoo_stargan2.masks import from_heatmaps, masks

    from ganzoo import jt

    network, images = FAN(), jt.random((1, 3, 64, 64))
    for mask, expected in zip(masks(network, images), from_heatmaps(network(images))):
        assert mask.is_stop_grad()
        assert 0 <= mask.min().item() <= mask.max().item() <= 1
        assert np.array_equal(mask.numpy(), expected.numpy())


def test_heatmaps_without_a_face_give_empty_masks_without_nan() -> None:
    from ganzoo_stargan2.masks import from_heatmaps

    from ganzoo import jt

    heatmaps = np.full((2, 98, 64, 64), 0.09, np.float32)
    heatmaps[1] = np.nan
    for mask in from_heatmaps(jt.array(heatmaps)):
        assert (mask.numpy() == 0).all()
