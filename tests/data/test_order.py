from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganzoo.data.loader import Loader
from ganzoo.data.order import Balanced, Shuffled, indices_by_domain, make_order, random_box
from ganzoo.errors import DataError
from ganzoo.interfaces.dataset import DataInfo, Dataset, LoaderConfig


class LabelledDataset(Dataset):
    """All pixels of image i have the value i; its domain is `labels[i]`."""

    def __init__(self, labels: list[int], kinds: int, bad: frozenset[int] = frozenset()) -> None:
        self._labels, self.bad = np.array(labels, np.int64), bad
        self.info = DataInfo("kinds", len(labels), 8, 1, tuple("abcdefgh"[:kinds]))

    def labels(self) -> np.ndarray:
        return self._labels

    def load(self, index: int, size: int | None = None) -> tuple[np.ndarray, int]:
        if index in self.bad:
            raise DataError(f"{index}.png: not a readable image.")
        return np.full((8, 8, 1), index, np.uint8), int(self._labels[index])


UNEVEN = [0] * 30 + [1] * 5 + [2] * 2


@st.composite
def labelled(draw: st.DrawFn) -> tuple[list[int], int]:
    """Draw the labels of up to 40 images, at least one of each domain."""
    kinds = draw(st.integers(1, 5))
    more = draw(st.lists(st.integers(0, kinds - 1), max_size=35))
    return [*range(kinds), *more], kinds


@given(labelled(), st.integers(0, 2**32), st.integers(0, 10**9))
def test_both_references_are_of_the_target_domain(labels, seed, position):
    sample = Balanced(LabelledDataset(*labels), seed, True, 0.5).at(position)
    assert sample.references is not None
    assert [labels[0][view.index] for view in sample.references] == [sample.target] * 2


@given(labelled(), st.integers(0, 2**32))
def test_each_image_has_one_fixed_partner_in_its_domain(labels, seed):
    partner = Balanced(LabelledDataset(*labels), seed, False, 0.0).partner
    assert sorted(partner) == list(range(len(labels[0])))
    assert [labels[0][index] for index in partner] == labels[0]
    assert np.array_equal(partner, Balanced(LabelledDataset(*labels), seed, False, 0.0).partner)


def test_all_domains_are_equally_frequent_whatever_their_sizes():
    samples = [Balanced(LabelledDataset(UNEVEN, 3), 0, False, 0.0).at(position) for position in range(3000)]
    for kinds in ([UNEVEN[each.image.index] for each in samples], [each.target for each in samples]):
        assert np.bincount(kinds) == pytest.approx([1000] * 3, abs=120)  # five standard deviations
    assert len({each.image.index for each in samples}) == len(UNEVEN)


def test_source_and_target_are_independent():
    samples = [Balanced(LabelledDataset(UNEVEN, 3), 0, False, 0.0).at(position) for position in range(3600)]
    pairs = np.bincount([3 * UNEVEN[each.image.index] + each.target for each in samples], minlength=9)
    assert pairs == pytest.approx([400] * 9, abs=100)


@given(st.integers(0, 2**32), st.integers(0, 10**6))
def test_the_same_position_gives_the_same_views(seed, position):
    one, other = (Balanced(LabelledDataset(UNEVEN, 3), seed, True, 0.5) for _ in range(2))
    other.at(position + 1)
    a, b = one.at(position), other.at(position)
    assert (a.image.index, a.image.mirrored, a.image.box) == (b.image.index, b.image.mirrored, b.image.box)
    assert a.target == b.target


@given(st.integers(0, 2**32))
def test_a_crop_lies_inside_and_has_the_wanted_area_and_aspect_ratio(seed):
    left, top, right, bottom = random_box(np.random.default_rng(seed))
    assert 0 <= left < right <= 1
    assert 0 <= top < bottom <= 1
    width, height = right - left, bottom - top
    assert 0.8 - 1e-9 <= width * height <= 1 + 1e-9
    assert 0.9 - 1e-9 <= width / height <= 1.1 + 1e-9


def test_crops_and_mirrors_have_the_requested_frequencies():
    def frequencies(flip: bool, crop: float) -> tuple[float, float]:
        views = [Balanced(LabelledDataset(UNEVEN, 3), 0, flip, crop).at(position).image for position in range(600)]
        return np.mean([view.mirrored for view in views]), np.mean([view.box is not None for view in views])

    assert frequencies(False, 0.0) == (0, 0)
    assert frequencies(True, 1.0) == (pytest.approx(0.5, abs=0.11), 1)
    assert frequencies(True, 0.3)[1] == pytest.approx(0.3, abs=0.1)


def test_a_domain_without_images_is_named():
    with pytest.raises(DataError, match="kinds: the domain 'c' has no images"):
        indices_by_domain(LabelledDataset([0, 1, 1], 3))


def test_a_model_gets_the_order_it_requests():
    assert isinstance(make_order(LabelledDataset(UNEVEN, 3), LoaderConfig(), 0, False), Shuffled)
    assert isinstance(make_order(LabelledDataset(UNEVEN, 3), LoaderConfig(references=True), 0, False), Balanced)
    with pytest.raises(ValueError, match="references"):
        make_order(LabelledDataset(UNEVEN, 3), LoaderConfig(crop_probability=0.5), 0, False)


def batches(dataset: Dataset, count: int, **options):
    loader = Loader(dataset, 4, size=8, channels=1, seed=3, config=LoaderConfig(references=True), **options)
    stream = loader.batches()
    try:
        return [next(stream) for _ in range(count)]
    finally:
        stream.close()


def test_labels_and_targets_match_the_images():
    for batch in batches(LabelledDataset(UNEVEN, 3), 12):
        assert [UNEVEN[image.flat[0]] for image in batch.images] == list(batch.labels)
        for images in batch.references:
            assert [UNEVEN[image.flat[0]] for image in images] == list(batch.targets)
    assert len({label for batch in batches(LabelledDataset(UNEVEN, 3), 12) for label in batch.labels}) == 3


def test_a_damaged_image_is_replaced_by_another_of_its_domain():
    messages: list[str] = []
    damaged = LabelledDataset([0] * 4 + [1] * 4, 2, frozenset({1, 4, 5, 6}))
    for batch in batches(damaged, 20, on_bad_image=messages.append):
        for images, labels in ((batch.images, batch.labels), *((each, batch.targets) for each in batch.references)):
            assert [0 if image.flat[0] < 4 else 1 for image in images] == list(labels)
    assert len(messages) == 4


def test_a_domain_without_readable_images_is_an_error():
    with pytest.raises(DataError, match="kinds: none of the 2 images of the domain 'b' can be read"):
        batches(LabelledDataset([0, 0, 1, 1], 2, frozenset({2, 3})), 5)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10), st.integers(1, 6))
def test_batches_resume_at_any_position(done, count):
    config = LoaderConfig(references=True, crop_probability=0.5)
    loader = Loader(LabelledDataset(UNEVEN, 3), 2, size=8, channels=1, seed=1, config=config)
    resumed, uninterrupted = loader.batches(2 * done), loader.batches()
    try:
        expected_batches = [next(uninterrupted) for _ in range(done + count)][done:]
        for expected in expected_batches:
            found = next(resumed)
            assert np.array_equal(found.images, expected.images)
            assert np.array_equal(found.references, expected.references)
    finally:
        resumed.close()
        uninterrupted.close()
