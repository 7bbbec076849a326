from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganzoo.data.images import crop_and_resize
from ganzoo.data.loader import ImageBatch, Loader
from ganzoo.data.storage import open_path
from ganzoo.errors import DataError
from ganzoo.interfaces.dataset import DataInfo, Dataset, LoaderConfig
from tests.data.pictures import NumberedDataset, encoded, noise, write_folder
from tests.support.shades import Shades

few_examples = settings(max_examples=40)  # each example starts threads
lengths = st.integers(1, 30)
batches = st.integers(1, 40)
seeds = st.integers(0, 2**32)


class PartlyUnreadable(NumberedDataset):
    """Raises DataError for the images `bad`."""

    def __init__(self, count: int, bad: set[int]) -> None:
        super().__init__(count)
        self.bad = bad

    def load(self, index: int, size: int | None = None) -> tuple[np.ndarray, int]:
        if index in self.bad:
            raise DataError(f"{index}.png: not a readable image.")
        return super().load(index, size)


def make_loader(dataset: Dataset, batch: int, seed: int = 0, **options: object) -> Loader:
    return Loader(dataset, batch, size=4, channels=1, seed=seed, **options)  # type: ignore[arg-type]


@contextmanager
def stream(loader: Loader, position: int = 0) -> Iterator[Iterator[ImageBatch]]:
    batches = loader.batches(position)
    try:
        yield batches
    finally:
        batches.close()  # type: ignore[attr-defined]


def take(loader: Loader, count: int, position: int = 0) -> tuple[np.ndarray, list[int]]:
    """Return the first `count` images after `position`, and their labels."""
    with stream(loader, position) as batches:
        taken = list(islice(batches, -(-count // loader.batch)))
    images = np.concatenate([batch.images for batch in taken])[:count]
    return images, np.concatenate([batch.labels for batch in taken])[:count].tolist()


@few_examples
@given(lengths, batches, seeds)
def test_each_image_comes_once_per_epoch(length: int, batch: int, seed: int) -> None:
    images, labels = take(make_loader(NumberedDataset(length), batch, seed), 3 * length)
    assert images[:, 0, 0, 0].tolist() == labels
    for epoch in range(3):
        assert sorted(labels[epoch * length : (epoch + 1) * length]) == list(range(length))


@few_examples
@given(lengths, batches, batches, seeds, st.integers(0, 100))
def test_a_stream_resumes_at_any_position_with_any_batch(
    length: int, batch: int, other_batch: int, seed: int, position: int
) -> None:
    images, labels = take(make_loader(NumberedDataset(length), batch, seed, flip=True), position + 50)
    later_images, later_labels = take(
        make_loader(NumberedDataset(length), other_batch, seed, flip=True, workers=3), 50, position
    )
    assert later_labels == labels[position:]
    np.testing.assert_array_equal(later_images, images[position:])


@few_examples
@given(lengths, batches, seeds, st.integers(0, 100))
def test_order_lists_the_images_to_come(length: int, batch: int, seed: int, position: int) -> None:
    loader = make_loader(NumberedDataset(length), batch, seed)
    assert loader.order(position, 20) == take(make_loader(NumberedDataset(length), batch, seed), 20, position)[1]


def test_the_order_depends_on_seed_and_epoch() -> None:
    orders = [
        tuple(make_loader(NumberedDataset(50), 8, seed).order(at, 50)) for seed in (0, 1, 2) for at in (0, 50, 100)
    ]
    assert len(set(orders)) == len(orders)


def test_half_of_the_images_are_mirrored_if_allowed() -> None:
    images, labels = take(make_loader(NumberedDataset(200), 16, flip=True), 400)
    mirrored = images[:, 0, 3, 0] > 0
    assert ((images[:, 0, 0, 0] > 0) ^ mirrored ^ (np.array(labels) == 0)).all()
    assert 140 < mirrored.sum() < 260
    assert (mirrored[np.argsort(labels[:200])] != mirrored[200 + np.argsort(labels[200:])]).any()


def test_no_image_is_mirrored_unless_allowed() -> None:
    images, labels = take(make_loader(NumberedDataset(200), 16), 400)
    assert images[:, 0, 0, 0].tolist() == labels
    assert not images[:, :, 1:].any()


def test_batches_have_the_requested_shape_and_type() -> None:
    class Strips(Dataset):
        info = DataInfo("strips", 5, 6, 3)

        def load(self, index: int, size: int | None = None) -> tuple[np.ndarray, int]:
            return crop_and_resize(np.full((6, 6 + index, 3), index, np.uint8), size), index

    with stream(Loader(Strips(), 4, size=8, channels=3, seed=0)) as batches:
        batch = next(batches)
    assert batch.images.shape == (4, 8, 8, 3)
    assert batch.images.dtype == np.uint8
    assert batch.images[:, 0, 0, 0].tolist() == batch.labels.tolist()


@few_examples
@given(st.integers(2, 20), st.data(), batches, st.integers(1, 4))
def test_bad_images_are_named_once_and_replaced(length: int, data: st.DataObject, batch: int, workers: int) -> None:
    bad = data.draw(st.sets(st.integers(0, length - 1), min_size=1, max_size=length // 2))
    messages: list[str] = []
    loader = make_loader(PartlyUnreadable(length, bad), batch, workers=workers, on_bad_image=messages.append)
    _, labels = take(loader, 3 * length)
    assert sorted(messages) == sorted(f"{index}.png: not a readable image. Left out of training." for index in bad)
    assert set(labels) == set(range(length)) - bad
    order = make_loader(NumberedDataset(length), batch).order(0, 3 * length)
    assert all(label == index for label, index in zip(labels, order) if index not in bad)


def test_files_with_any_kind_of_damage_are_skipped(tmp_path: Path) -> None:
    good = {f"good{index}.png": encoded(noise(seed=index)) for index in range(4)}
    bad = {
        "cut.jpg": encoded(noise(60, 60), "jpeg")[:900],
        "empty.png": b"",
        "text.png": b"not an image",
    }
    root = write_folder(tmp_path / "set", {**good, **bad})
    (root / "gone.png").symlink_to("nowhere")
    messages: list[str] = []
    loader = Loader(open_path(root), 4, size=8, channels=3, seed=0, on_bad_image=messages.append)
    with stream(loader) as batches:
        for batch in islice(batches, 6):
            assert batch.images.shape == (4, 8, 8, 3)
    named = {Path(message.split(": ")[0]).name for message in messages}
    assert named == {*bad, "gone.png"}
    assert len(messages) == 4


def test_a_set_without_readable_images_is_an_error() -> None:
    messages: list[str] = []
    loader = make_loader(PartlyUnreadable(7, set(range(7))), 3, on_bad_image=messages.append)
    with stream(loader) as batches, pytest.raises(DataError, match="numbers: none of its 7 images can be read"):
        next(batches)
    assert len(set(messages)) == len(messages)


@pytest.mark.parametrize(("length", "good", "max_messages"), [(5, {4}, 4), (9000, set(range(0, 9000, 10)), 2000)])
def test_training_stops_when_most_images_cannot_be_read(length: int, good: set[int], max_messages: int) -> None:
    messages: list[str] = []
    loader = make_loader(PartlyUnreadable(length, {*range(length)} - good), 4, workers=1, on_bad_image=messages.append)
    with stream(loader) as batches, pytest.raises(DataError, match="numbers: most of its images can't be read"):
        for _ in islice(batches, length):
            pass
    assert len(messages) <= max_messages


def test_training_goes_on_if_half_of_the_images_can_be_read() -> None:
    messages: list[str] = []
    loader = make_loader(PartlyUnreadable(400, set(range(0, 400, 2))), 8, on_bad_image=messages.append)
    with stream(loader) as batches:
        for _ in islice(batches, 200):
            pass
    assert len(messages) == 200


def test_an_empty_data_set_is_an_error() -> None:
    with pytest.raises(DataError, match="numbers: contains no images"):
        make_loader(NumberedDataset(0), 3)


def test_an_exception_in_a_thread_reaches_the_caller() -> None:
    class Broken(NumberedDataset):
        def load(self, index: int, size: int | None = None) -> tuple[np.ndarray, int]:
            raise ZeroDivisionError(f"image {index}")

    with stream(make_loader(Broken(5), 2)) as batches, pytest.raises(ZeroDivisionError, match=r"image \d"):
        next(batches)


@pytest.mark.parametrize("ending", ["closed", "failed", "forgotten"])
def test_no_thread_is_left_behind(ending: str) -> None:
    before = set(threading.enumerate())
    batches = make_loader(PartlyUnreadable(9, set(range(9)) if ending == "failed" else set()), 2, workers=4).batches()
    if ending == "failed":
        with pytest.raises(DataError):
            next(batches)
    else:
        next(batches)
    started = set(threading.enumerate()) - before
    if ending == "closed":
        assert started
        batches.close()  # type: ignore[attr-defined]
    del batches
    for thread in started:
        thread.join(10)
        assert not thread.is_alive()


class ReadCounter(NumberedDataset):
    """Counts the reads of each image."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.reads = [0] * count

    def load(self, index: int, size: int | None = None) -> tuple[np.ndarray, int]:
        self.reads[index] += 1
        return super().load(index, size)


@few_examples
@given(lengths, seeds, st.integers(0, 20))
def test_cached_images_are_read_once_and_the_others_each_epoch(length: int, seed: int, capacity: int) -> None:
    dataset = ReadCounter(length)
    cached = make_loader(dataset, length, seed, workers=1, cache_bytes=capacity * 16)  # an image has 16 bytes
    images, labels = take(cached, 3 * length)
    assert images[:, 0, 0, 0].tolist() == labels
    assert sum(reads == 1 for reads in dataset.reads) == min(capacity, length)
    assert all(reads >= 3 for reads in dataset.reads if reads > 1)
    expected, _ = take(make_loader(NumberedDataset(length), length, seed), 3 * length)
    np.testing.assert_array_equal(images, expected)


def _attributes_match(batch: ImageBatch) -> bool:
    """Whether each image has its own attributes: as `Shades` has them, the second is the index plus 1."""
    images, attributes = (batch.images, batch.attributes) if batch.domains is None else (batch.domains, None)
    attributes = batch.domain_attributes if attributes is None else attributes
    assert attributes is not None
    return bool(np.array_equal(images[..., 0, 0, 0] // 20, attributes[..., 1] - 1))


@few_examples
@given(st.integers(2, 12), st.sets(st.integers(0, 11), max_size=4), batches, seeds, st.integers(0, 40))
def test_attributes_follow_their_images(length: int, bad: set[int], batch: int, seed: int, position: int) -> None:
    bad = {index for index in bad if index < length // 2}  # at most half of the images
    loader = make_loader(Shades(count=length, unreadable=bad), batch, seed)
    with stream(loader, position) as found:
        first, second = next(found), next(found)
    assert _attributes_match(first)
    assert _attributes_match(second)
    assert first.attributes is not None
    assert first.attributes.shape == (batch, 2)
    part = first.slice(1, 3)
    assert part.attributes is not None
    assert np.array_equal(part.attributes, first.attributes[1:3])


@pytest.mark.parametrize("config", [{"per_domain": True}, {"paired": True}, {"balanced": True}, {"references": True}])
def test_attributes_follow_their_images_in_every_order(config: dict[str, bool]) -> None:
    class Named(Shades):
        def names(self) -> list[str]:
            return [str(index // 2) for index in range(len(self))]

    loader = make_loader(Named(count=8, domains=("a", "b")), 3, config=LoaderConfig(**config))
    with stream(loader, 5) as found:
        batch = next(found)
    assert _attributes_match(batch)
    assert batch.attributes is not None
    assert batch.attributes.shape == (3, 2)
    if batch.domains is None:
        assert batch.domain_attributes is None
        return
    assert batch.domain_attributes is not None
    assert np.array_equal(batch.attributes, batch.domain_attributes[0])
    assert np.array_equal(batch.slice(1, 3).domain_attributes, batch.domain_attributes[:, 1:3])


def test_the_shares_of_two_processes_have_the_attributes_of_the_whole_batch() -> None:
    with stream(make_loader(Shades(), 4)) as found:
        whole = [next(found).attributes for _ in range(3)]
    shares = []
    for rank in (0, 1):
        with stream(make_loader(Shades(), 2, stride=4), 2 * rank) as found:
            shares.append([next(found).attributes for _ in range(3)])
    assert all(np.array_equal(each, np.concatenate(parts)) for each, *parts in zip(whole, *shares))


def test_a_data_set_without_attributes_gives_batches_without() -> None:
    with stream(make_loader(NumberedDataset(5), 2)) as found:
        batch = next(found)
    assert batch.attributes is None
    assert batch.slice(0, 1).domain_attributes is None
