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
from ganzoo.interfaces.dataset import DataInfo, Dataset
from tests.data.pictures import Numbers, encoded, lay_folder, noise

few = settings(max_examples=40, deadline=None)  # each example starts threads
lengths = st.integers(1, 30)
batches = st.integers(1, 40)
seeds = st.integers(0, 2**32)


class Flawed(Numbers):
    """The images `bad` are unreadable."""

    def __init__(self, count: int, bad: set[int]) -> None:
        super().__init__(count)
        self.bad = bad

    def load(self, index: int, size: int | None = None) -> tuple[np.ndarray, int]:
        if index in self.bad:
            raise DataError(f"{index}.png: not a readable image.")
        return super().load(index, size)


def loader(dataset: Dataset, batch: int, seed: int = 0, **options: object) -> Loader:
    return Loader(dataset, batch, size=4, channels=1, seed=seed, **options)  # type: ignore[arg-type]


@contextmanager
def stream(of: Loader, position: int = 0) -> Iterator[Iterator[ImageBatch]]:
    batches = of.batches(position)
    try:
        yield batches
    finally:
        batches.close()  # type: ignore[attr-defined]


def take(of: Loader, count: int, position: int = 0) -> tuple[np.ndarray, list[int]]:
    """The first `count` images after `position`, and their labels."""
    with stream(of, position) as batches:
        taken = list(islice(batches, -(-count // of.batch)))
    images = np.concatenate([batch.images for batch in taken])[:count]
    return images, np.concatenate([batch.labels for batch in taken])[:count].tolist()


@few
@given(lengths, batches, seeds)
def test_each_image_comes_once_per_epoch(length: int, batch: int, seed: int) -> None:
    images, labels = take(loader(Numbers(length), batch, seed), 3 * length)
    assert images[:, 0, 0, 0].tolist() == labels
    for epoch in range(3):
        assert sorted(labels[epoch * length : (epoch + 1) * length]) == list(range(length))


@few
@given(lengths, batches, batches, seeds, st.integers(0, 100))
def test_a_stream_resumes_at_any_position_with_any_batch(
    length: int, batch: int, other_batch: int, seed: int, position: int
) -> None:
    images, labels = take(loader(Numbers(length), batch, seed, flip=True), position + 50)
    later_images, later_labels = take(loader(Numbers(length), other_batch, seed, flip=True, workers=3), 50, position)
    assert later_labels == labels[position:]
    np.testing.assert_array_equal(later_images, images[position:])


@few
@given(lengths, batches, seeds, st.integers(0, 100))
def test_order_lists_the_images_to_come(length: int, batch: int, seed: int, position: int) -> None:
    ours = loader(Numbers(length), batch, seed)
    assert ours.order(position, 20) == take(loader(Numbers(length), batch, seed), 20, position)[1]


def test_the_order_depends_on_seed_and_epoch() -> None:
    orders = [tuple(loader(Numbers(50), 8, seed).order(at, 50)) for seed in (0, 1, 2) for at in (0, 50, 100)]
    assert len(set(orders)) == len(orders)


def test_half_of_the_images_are_mirrored_if_allowed() -> None:
    images, labels = take(loader(Numbers(200), 16, flip=True), 400)
    mirrored = images[:, 0, 3, 0] > 0
    assert ((images[:, 0, 0, 0] > 0) ^ mirrored ^ (np.array(labels) == 0)).all()
    assert 140 < mirrored.sum() < 260
    assert (mirrored[np.argsort(labels[:200])] != mirrored[200 + np.argsort(labels[200:])]).any()


def test_no_image_is_mirrored_unless_allowed() -> None:
    images, labels = take(loader(Numbers(200), 16), 400)
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


@few
@given(st.integers(2, 20), st.data(), batches, st.integers(1, 4))
def test_bad_images_are_named_once_and_replaced(length: int, data: st.DataObject, batch: int, workers: int) -> None:
    bad = data.draw(st.sets(st.integers(0, length - 1), min_size=1, max_size=length // 2))
    messages: list[str] = []
    ours = loader(Flawed(length, bad), batch, workers=workers, on_bad_image=messages.append)
    _, labels = take(ours, 3 * length)
    assert sorted(messages) == sorted(f"{index}.png: not a readable image. Left out of training." for index in bad)
    assert set(labels) == set(range(length)) - bad
    order = loader(Numbers(length), batch).order(0, 3 * length)
    assert all(label == index for label, index in zip(labels, order) if index not in bad)


def test_files_with_any_kind_of_damage_are_skipped(tmp_path: Path) -> None:
    good = {f"good{index}.png": encoded(noise(seed=index)) for index in range(4)}
    bad = {
        "cut.jpg": encoded(noise(60, 60), "jpeg")[:900],
        "empty.png": b"",
        "text.png": b"not an image",
    }
    root = lay_folder(tmp_path / "set", {**good, **bad})
    (root / "gone.png").symlink_to("nowhere")
    messages: list[str] = []
    ours = Loader(open_path(root), 4, size=8, channels=3, seed=0, on_bad_image=messages.append)
    with stream(ours) as batches:
        for batch in islice(batches, 6):
            assert batch.images.shape == (4, 8, 8, 3)
    named = {Path(message.split(": ")[0]).name for message in messages}
    assert named == {*bad, "gone.png"}
    assert len(messages) == 4


def test_nothing_readable_is_an_error() -> None:
    messages: list[str] = []
    ours = loader(Flawed(7, set(range(7))), 3, on_bad_image=messages.append)
    with stream(ours) as batches, pytest.raises(DataError, match="numbers: none of its 7 images can be read"):
        next(batches)
    assert len(set(messages)) == len(messages)


@pytest.mark.parametrize(("length", "good", "named"), [(5, {4}, 4), (9000, set(range(0, 9000, 10)), 2000)])
def test_training_stops_when_most_images_cannot_be_read(length: int, good: set[int], named: int) -> None:
    messages: list[str] = []
    ours = loader(Flawed(length, {*range(length)} - good), 4, workers=1, on_bad_image=messages.append)
    with stream(ours) as batches, pytest.raises(DataError, match="numbers: most of its images can't be read"):
        for _ in islice(batches, length):
            pass
    assert len(messages) <= named


def test_training_goes_on_if_half_of_the_images_can_be_read() -> None:
    messages: list[str] = []
    ours = loader(Flawed(400, set(range(0, 400, 2))), 8, on_bad_image=messages.append)
    with stream(ours) as batches:
        for _ in islice(batches, 200):
            pass
    assert len(messages) == 200


def test_an_empty_data_set_is_an_error() -> None:
    with pytest.raises(DataError, match="numbers: contains no images"):
        loader(Numbers(0), 3)


def test_an_exception_in_a_thread_reaches_the_caller() -> None:
    class Broken(Numbers):
        def load(self, index: int, size: int | None = None) -> tuple[np.ndarray, int]:
            raise ZeroDivisionError(f"image {index}")

    with stream(loader(Broken(5), 2)) as batches, pytest.raises(ZeroDivisionError, match=r"image \d"):
        next(batches)


@pytest.mark.parametrize("ending", ["closed", "failed", "forgotten"])
def test_no_thread_is_left_behind(ending: str) -> None:
    before = set(threading.enumerate())
    batches = loader(Flawed(9, set(range(9)) if ending == "failed" else set()), 2, workers=4).batches()
    if ending == "failed":
        with pytest.raises(DataError):
            next(batches)
    else:
        next(batches)
    ours = set(threading.enumerate()) - before
    if ending == "closed":
        assert ours
        batches.close()  # type: ignore[attr-defined]
    del batches
    for thread in ours:
        thread.join(10)
        assert not thread.is_alive()


class Counted(Numbers):
    """Counts the reads of each image."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.reads = [0] * count

    def load(self, index: int, size: int | None = None) -> tuple[np.ndarray, int]:
        self.reads[index] += 1
        return super().load(index, size)


@few
@given(lengths, seeds, st.integers(0, 20))
def test_cached_images_are_read_once_and_the_others_each_time(length: int, seed: int, room: int) -> None:
    dataset = Counted(length)
    cached = loader(dataset, length, seed, workers=1, cache_bytes=room * 16)  # of 4 px
    images, labels = take(cached, 3 * length)
    assert images[:, 0, 0, 0].tolist() == labels
    assert sum(reads == 1 for reads in dataset.reads) == min(room, length)
    assert all(reads >= 3 for reads in dataset.reads if reads > 1)
    expected, _ = take(loader(Numbers(length), length, seed), 3 * length)
    np.testing.assert_array_equal(images, expected)
