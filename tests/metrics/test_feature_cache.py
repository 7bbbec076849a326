from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from ganzoo.data.storage import open_path
from ganzoo.metrics import reals
from ganzoo.metrics.sources import Images


@pytest.fixture
def extractor():
    """As far as keeping features goes."""
    weights = SimpleNamespace(recipe=lambda: {"backbone": "few numbers"})
    return SimpleNamespace(weights=weights, width=4)


@pytest.fixture
def real(pictures):
    dataset = open_path(pictures)
    return Images(dataset, replace(dataset.info, size=8))


class Computed:
    """Features that count how often they are asked for."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> np.ndarray:
        self.times += 1
        return np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)


def test_features_are_computed_once(real, extractor):
    compute = Computed()
    first, second = (reals.features(real, extractor, compute) for _ in range(2))
    assert compute.times == 1
    assert np.array_equal(first.rows, second.rows)
    for one, other in zip(first.moments, second.moments):
        assert np.array_equal(one, other)
    assert second.moments[0] == pytest.approx(first.rows.mean(0), rel=1e-6)


def test_whatever_they_depend_on_makes_others(real, extractor, pictures):
    dataset, info = real.dataset, real.data
    other_network = SimpleNamespace(weights=SimpleNamespace(recipe=lambda: {"backbone": "another"}), width=4)
    keys = {
        reals.key(real, extractor),
        reals.key(real, other_network),
        reals.key(Images(dataset, replace(info, size=16)), extractor),
        reals.key(Images(dataset, replace(info, channels=1)), extractor),
        reals.key(Images(dataset, info, most=5), extractor),
        reals.key(Images(dataset, info, most=5, seed=1), extractor),
    }
    assert len(keys) == 6
    assert reals.key(Images(open_path(pictures), info), extractor) in keys
    Image.new("RGB", (9, 9)).save(pictures / "03.png")
    assert reals.key(Images(open_path(pictures), info), extractor) not in keys
    (pictures / "05.png").unlink()
    assert reals.key(Images(open_path(pictures), info), extractor) not in keys


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 no zip", None])
def test_a_damaged_file_is_made_anew(real, extractor, damage):
    compute = Computed()
    expected = reals.features(real, extractor, compute).rows
    (path,) = reals.folder().iterdir()
    path.write_bytes(path.read_bytes()[:-200] if damage is None else damage)
    assert np.array_equal(reals.features(real, extractor, compute).rows, expected)
    assert compute.times == 2
    reals.features(real, extractor, compute)
    assert compute.times == 2


def test_a_folder_that_cannot_be_written_stops_nothing(real, extractor):
    reals.folder().parent.mkdir(parents=True, exist_ok=True)
    reals.folder().write_text("a file where the folder should be")
    compute = Computed()
    for _ in range(2):
        assert len(reals.features(real, extractor, compute).rows) == 12
    assert compute.times == 2


def test_data_sets_of_any_kind_have_fingerprints(pictures):
    from ganzoo import DataInfo, Dataset

    class Flat(Dataset):
        def __init__(self, value):
            self.info, self.value = DataInfo("flat", 3, 4, 1), value

        def load(self, index):
            return np.full((4, 4, 1), self.value + index, np.uint8), 0

    assert Flat(1).fingerprint() == Flat(1).fingerprint() != Flat(2).fingerprint()
    assert open_path(pictures).fingerprint() == open_path(pictures).fingerprint() != Flat(1).fingerprint()
