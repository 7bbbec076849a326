from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganzoo.data.loader import Loader
from ganzoo.data.order import (
    Balanced,
    Paired,
    PerDomain,
    Shuffled,
    WithReferences,
    indices_by_domain,
    indices_by_name,
    make_order,
    random_box,
)
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
    sample = WithReferences(LabelledDataset(*labels), seed, True, 0.5).at(position)
    assert sample.references is not None
    assert [labels[0][view.index] for view in sample.references] == [sample.target] * 2


@given(labelled(), st.integers(0, 2**32))
def test_each_image_has_one_fixed_partner_in_its_domain(labels, seed):
    partner = WithReferences(LabelledDataset(*labels), seed, False, 0.0).partner
    assert sorted(partner) == list(range(len(labels[0])))
    assert [labels[0][index] for index in partner] == labels[0]
    assert np.array_equal(partner, WithReferences(LabelledDataset(*labels), seed, False, 0.0).partner)


def test_all_domains_are_equally_frequent_whatever_their_sizes():
    samples = [WithReferences(LabelledDataset(UNEVEN, 3), 0, False, 0.0).at(position) for position in range(3000)]
    for kinds in ([UNEVEN[each.image.index] for each in samples], [each.target for each in samples]):
        assert np.bincount(kinds) == pytest.approx([1000] * 3, abs=120)  # five standard deviations
    assert len({each.image.index for each in samples}) == len(UNEVEN)


def test_source_and_target_are_independent():
    samples = [WithReferences(LabelledDataset(UNEVEN, 3), 0, False, 0.0).at(position) for position in range(3600)]
    pairs = np.bincount([3 * UNEVEN[each.image.index] + each.target for each in samples], minlength=9)
    assert pairs == pytest.approx([400] * 9, abs=100)


@given(st.integers(0, 2**32), st.integers(0, 10**6))
def test_the_same_position_gives_the_same_views(seed, position):
    one, other = (WithReferences(LabelledDataset(UNEVEN, 3), seed, True, 0.5) for _ in range(2))
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
        views = [
            WithReferences(LabelledDataset(UNEVEN, 3), 0, flip, crop).at(position).image for position in range(600)
        ]
        return np.mean([view.mirrored for view in views]), np.mean([view.box is not None for view in views])

    assert frequencies(False, 0.0) == (0, 0)
    assert frequencies(True, 1.0) == (pytest.approx(0.5, abs=0.11), 1)
    assert frequencies(True, 0.3)[1] == pytest.approx(0.3, abs=0.1)


def test_a_domain_without_images_is_named():
    with pytest.raises(DataError, match="kinds: the domain 'c' has no images"):
        indices_by_domain(LabelledDataset([0, 1, 1], 3))


def test_a_model_gets_the_order_it_requests():
    assert isinstance(make_order(LabelledDataset(UNEVEN, 3), LoaderConfig(), 0, False), Shuffled)
    orders = {"references": WithReferences, "per_domain": PerDomain, "balanced": Balanced, "paired": Paired}
    for name, order in orders.items():
        dataset = NamedDataset(["x", "y", "x", "y"], [0, 0, 1, 1], 2)
        assert isinstance(make_order(dataset, LoaderConfig(**{name: True}), 0, False), order)


def test_orders_that_exclude_each_other_are_refused():
    with pytest.raises(ValueError, match="LoaderConfig: paired and balanced exclude each other; choose one"):
        make_order(LabelledDataset(UNEVEN, 3), LoaderConfig(paired=True, balanced=True), 0, False)


@pytest.mark.parametrize("name", ["references", "per_domain", "balanced", "paired"])
def test_an_order_by_domain_needs_domains_with_images(name):
    with pytest.raises(DataError, match="kinds: its images have no domains, which this model needs"):
        make_order(LabelledDataset([0, 0], 0), LoaderConfig(**{name: True}), 0, False)
    with pytest.raises(DataError, match="kinds: the domain 'b' has no images"):
        make_order(LabelledDataset([0, 0], 2), LoaderConfig(**{name: True}), 0, False)


@given(labelled(), st.integers(0, 2**32), st.integers(0, 4))
def test_each_domain_has_all_its_images_once_in_each_of_its_epochs(labels, seed, epoch):
    order = PerDomain(LabelledDataset(*labels), seed, True, 0.0)
    for domain, members in enumerate(order.members):
        first = epoch * len(members)
        drawn = [order.at(position).domains[domain].index for position in range(first, first + len(members))]
        assert sorted(drawn) == members.tolist()


def test_domains_of_equal_size_are_shuffled_differently_and_anew_in_each_epoch():
    order = PerDomain(LabelledDataset([0, 1] * 30, 2), 0, True, 0.0)
    epochs = [[order.at(position).domains for position in range(30 * e, 30 * e + 30)] for e in range(3)]
    places = {tuple(views[domain].index // 2 for views in epoch) for epoch in epochs for domain in range(2)}
    assert len(places) == 6
    mirrored = [view.mirrored for epoch in epochs for views in epoch for view in views]
    assert np.mean(mirrored) == pytest.approx(0.5, abs=0.19)  # five standard deviations


@given(labelled(), st.integers(0, 2**32), st.integers(0, 1000), st.integers(1, 20))
def test_labels_of_a_balanced_batch_differ_in_frequency_by_at_most_one(labels, seed, position, batch):
    order = Balanced(LabelledDataset(*labels), seed, False, 0.0)
    drawn = [labels[0][order.at(at).image.index] for at in range(position, position + batch)]
    frequencies = np.bincount(drawn, minlength=labels[1])
    assert frequencies.max() - frequencies.min() <= 1


@given(labelled(), st.integers(0, 2**32))
def test_balanced_images_of_a_domain_are_drawn_equally_often(labels, seed):
    order = Balanced(LabelledDataset(*labels), seed, False, 0.0)
    largest = max(map(len, order.members))
    drawn = [order.at(position).image.index for position in range(largest * labels[1])]
    for members in order.members:
        times = np.bincount(drawn, minlength=len(labels[0]))[members]
        assert times.sum() == largest
        assert times.max() - times.min() <= 1


class NamedDataset(LabelledDataset):
    """A data set whose images have names."""

    def __init__(self, names: list[str], labels: list[int], kinds: int, bad: frozenset[int] = frozenset()) -> None:
        super().__init__(labels, kinds, bad)
        self._names = names

    def names(self) -> list[str]:
        return self._names

    def describe(self, index: int) -> str:
        return f"{self.info.domains[self._labels[index]]}/{self._names[index]}.png"


@st.composite
def pairs(draw: st.DrawFn) -> NamedDataset:
    """Draw a data set of up to 12 names in up to 4 domains, with the images in any order."""
    kinds, count = draw(st.integers(1, 4)), draw(st.integers(1, 12))
    images = draw(st.permutations([(str(name), label) for name in range(count) for label in range(kinds)]))
    return NamedDataset([name for name, _ in images], [label for _, label in images], kinds)


@given(pairs(), st.integers(0, 2**32), st.integers(0, 3))
def test_paired_images_have_one_name_and_each_pair_comes_once_per_epoch(dataset, seed, epoch):
    order = Paired(dataset, seed, True, 0.5)
    count = len(dataset) // len(dataset.info.domains)
    drawn = []
    for position in range(epoch * count, (epoch + 1) * count):
        views = order.at(position).domains
        assert [dataset.labels()[view.index] for view in views] == list(range(len(views)))
        assert len({(view.mirrored, view.box) for view in views}) == 1
        (name,) = {dataset.names()[view.index] for view in views}
        drawn.append(name)
    assert sorted(drawn) == sorted(set(dataset.names()))


@pytest.mark.parametrize(
    ("names", "labels", "message"),
    [
        ("xyx", [0, 0, 1], "kinds: 1 image has no partner of the same name in another domain: a/y. Add"),
        ("vwxyzz", [0, 0, 0, 1, 0, 1], "kinds: 4 images have .*: a/v, a/w, a/x, .... Add the missing ones"),
        ("xxx", [0, 1, 1], "kinds: b/x.png and b/x.png have the same name, so"),
    ],
)
def test_images_without_a_clear_partner_are_named(names, labels, message):
    with pytest.raises(DataError, match=message):
        indices_by_name(NamedDataset(list(names), labels, 2))


def test_images_without_names_cannot_be_paired():
    with pytest.raises(DataError, match="kinds: its images have no names"):
        indices_by_name(LabelledDataset([0, 1], 2))


@pytest.mark.parametrize("config", [{}, {"per_domain": True}, {"balanced": True}])
def test_every_order_can_crop_a_share_of_the_images(config):
    dataset = LabelledDataset([0, 1] * 10, 2)
    orders = [make_order(dataset, LoaderConfig(crop_probability=crop, **config), 0, False) for crop in (0.0, 0.3)]
    whole, cropped = ([order.at(position).image for position in range(600)] for order in orders)
    assert [view.index for view in whole] == [view.index for view in cropped]
    assert not any(view.box for view in whole)
    assert np.mean([view.box is not None for view in cropped]) == pytest.approx(0.3, abs=0.1)


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


@settings(max_examples=20)
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


@settings(max_examples=20)
@given(st.integers(0, 10), st.integers(1, 4), st.sampled_from(["per_domain", "paired"]))
def test_batches_per_domain_resume_at_any_position(done, count, config):
    dataset = NamedDataset([str(index // 2) for index in range(14)], [0, 1] * 7, 2)
    options = LoaderConfig(crop_probability=0.5, **{config: True})
    loader = Loader(dataset, 3, size=8, channels=1, seed=1, flip=True, config=options)
    resumed, uninterrupted = loader.batches(3 * done), loader.batches()
    try:
        for expected in [next(uninterrupted) for _ in range(done + count)][done:]:
            found = next(resumed)
            assert found.domains.shape == (2, 3, 8, 8, 1)
            assert np.array_equal(found.domains, expected.domains)
            assert np.array_equal(found.images, found.domains[0])
            if config == "paired":
                assert (found.domains[0] // 2 == found.domains[1] // 2).all()
    finally:
        resumed.close()
        uninterrupted.close()


def test_an_unreadable_image_is_left_out_together_with_its_partner():
    dataset = NamedDataset(list("xyzxyz"), [0, 0, 0, 1, 1, 1], 2, bad=frozenset({1}))
    messages: list[str] = []
    loader = Loader(
        dataset, 3, size=8, channels=1, seed=0, config=LoaderConfig(paired=True), on_bad_image=messages.append
    )
    stream = loader.batches()
    for batch in (next(stream) for _ in range(6)):
        pixels = batch.domains[:, :, 0, 0, 0]
        assert (pixels[0] + 3 == pixels[1]).all()
        assert 1 not in pixels
    stream.close()
    assert messages == ["1.png: not a readable image. Left out of training."]


def test_pairs_of_which_none_is_readable_are_an_error():
    dataset = NamedDataset(list("xyxy"), [0, 0, 1, 1], 2, bad=frozenset({0, 3}))
    loader = Loader(dataset, 1, size=8, channels=1, seed=0, config=LoaderConfig(paired=True))
    with pytest.raises(DataError, match="kinds: none of the 2 pairs of images can be read"):
        next(loader.batches())
