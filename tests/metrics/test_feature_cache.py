from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from ganzoo.data.fitted import with_fit
from ganzoo.data.storage import open_path
from ganzoo.metrics import feature_cache
from ganzoo.metrics.sources import DatasetSource


@pytest.fixture
def extractor():
    """Return a stand-in for an extractor, with the attributes that caching needs."""
    weights = SimpleNamespace(recipe=lambda: {"backbone": "four features"})
    return SimpleNamespace(weights=weights, width=4)


@pytest.fixture
def real(pictures):
    dataset = open_path(pictures)
    return DatasetSource(dataset, replace(dataset.info, size=8))


class FeatureComputation:
    """Computes features and counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> np.ndarray:
        self.calls += 1
        return np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)


def test_features_are_computed_once(real, extractor):
    compute = FeatureComputation()
    first, second = (feature_cache.features(real, extractor, compute) for _ in range(2))
    assert compute.calls == 1
    assert np.array_equal(first.rows, second.rows)
    for one, other in zip(first.moments, second.moments):
        assert np.array_equal(one, other)
    assert second.moments[0] == pytest.approx(first.rows.mean(0), rel=1e-6)


def test_the_key_changes_with_everything_that_features_depend_on(real, extractor, pictures):
    dataset, info = real.dataset, real.data
    other_network = SimpleNamespace(weights=SimpleNamespace(recipe=lambda: {"backbone": "another"}), width=4)
    keys = {
        feature_cache.key(real, extractor),
        feature_cache.key(real, other_network),
        feature_cache.key(DatasetSource(dataset, replace(info, size=16)), extractor),
        feature_cache.key(DatasetSource(dataset, replace(info, channels=1)), extractor),
        feature_cache.key(DatasetSource(dataset, info, max_images=5), extractor),
        feature_cache.key(DatasetSource(dataset, info, max_images=5, seed=1), extractor),
        feature_cache.key(DatasetSource(with_fit(dataset, "pad"), replace(info, fit="pad")), extractor),
        feature_cache.key(DatasetSource(with_fit(dataset, "stretch"), replace(info, fit="stretch")), extractor),
    }
    assert len(keys) == 8
    assert feature_cache.key(DatasetSource(open_path(pictures), info), extractor) in keys
    Image.new("RGB", (9, 9)).save(pictures / "03.png")
    assert feature_cache.key(DatasetSource(open_path(pictures), info), extractor) not in keys
    (pictures / "05.png").unlink()
    assert feature_cache.key(DatasetSource(open_path(pictures), info), extractor) not in keys


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 no zip", None])
def test_a_damaged_file_is_replaced(real, extractor, damage):
    compute = FeatureComputation()
    expected = feature_cache.features(real, extractor, compute).rows
    (path,) = feature_cache.folder().iterdir()
    path.write_bytes(path.read_bytes()[:-200] if damage is None else damage)
    assert np.array_equal(feature_cache.features(real, extractor, compute).rows, expected)
    assert compute.calls == 2
    feature_cache.features(real, extractor, compute)
    assert compute.calls == 2


def test_a_folder_that_cannot_be_written_is_ignored(real, extractor):
    feature_cache.folder().parent.mkdir(parents=True, exist_ok=True)
    feature_cache.folder().write_text("a file where the folder should be")
    compute = FeatureComputation()
    for _ in range(2):
        assert len(feature_cache.features(real, extractor, compute).rows) == 12
    assert compute.calls == 2


def test_data_sets_of_any_kind_have_fingerprints(pictures):
    from ganzoo import DataInfo, Dataset

    class Flat(Dataset):
        def __init__(self, value):
            self.info, self.value = DataInfo("flat", 3, 4, 1), value

        def load(self, index, size=None):
            return np.full((4, 4, 1), self.value + index, np.uint8), 0

    assert Flat(1).fingerprint() == Flat(1).fingerprint() != Flat(2).fingerprint()
    assert open_path(pictures).fingerprint() == open_path(pictures).fingerprint() != Flat(1).fingerprint()
