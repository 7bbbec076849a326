from __future__ import annotations

import threading
from itertools import chain

import numpy as np
import pytest

from ganzoo.errors import DataError
from ganzoo.interfaces.dataset import DataInfo, Dataset, LoaderConfig
from ganzoo.interfaces.train_options import TrainOptions
from ganzoo.training.feed import Feed
from ganzoo.training.step import split_batch


class NumberedDataset(Dataset):
    """All pixels of image n are n. It is stored at 8 and 16 px; its label is the stored size."""

    def __init__(self, size: int = 16) -> None:
        self.info = DataInfo("numbered", 40, size, 1)

    def at_size(self, size: int) -> Dataset:
        return NumberedDataset(8 if size <= 8 else 16)

    def load(self, index: int, size: int | None = None) -> tuple[np.ndarray, int]:
        return np.full((self.info.size, self.info.size, 1), index, np.uint8), self.info.size


@pytest.fixture
def feed():
    feed = Feed(NumberedDataset(), TrainOptions(seed=3), channels=1, flip=False)
    yield feed
    feed.close()


def image_numbers(batch) -> list[int]:
    return batch.images[:, 0, 0, 0].tolist()


def test_an_epoch_continues_when_size_and_batch_change(feed):
    first = feed.batch(8, 4, 0)
    then = feed.batch(16, 8, 4)
    last = [feed.batch(16, 8, 12), feed.batch(16, 8, 20), feed.batch(4, 12, 28)]
    everything = [index for batch in (first, then, *last) for index in image_numbers(batch)]
    assert sorted(everything) == list(range(40))
    assert [batch.images.shape[1] for batch in (first, then, *last)] == [8, 16, 16, 16, 4]


def test_images_come_from_the_stored_size(feed):
    assert set(feed.batch(8, 4, 0).labels) == {8}
    assert set(feed.batch(16, 4, 4).labels) == {16}


def test_batches_can_start_at_any_position(feed):
    whole = [image_numbers(feed.batch(8, 4, 4 * step)) for step in range(5)]
    other = Feed(NumberedDataset(), TrainOptions(seed=3), channels=1, flip=False)
    assert [image_numbers(other.batch(8, 4, 4 * step)) for step in range(3, 5)] == whole[3:]
    other.close()


def test_an_unreadable_image_is_reported_once_over_all_stages():
    class Damaged(NumberedDataset):
        def at_size(self, size: int) -> Dataset:
            return self

        def load(self, index: int, size: int | None = None) -> tuple[np.ndarray, int]:
            if index == 3:
                raise DataError("image 3 is damaged.")
            return super().load(index, size)

    messages: list[str] = []
    feed = Feed(Damaged(), TrainOptions(), 1, False, messages.append)
    for size in (4, 8, 16):
        feed.batch(size, 40, 0)
    feed.close()
    assert len(messages) == 1


def test_closing_ends_the_threads():
    before = set(threading.enumerate())  # loaders of other tests may still be ending
    feed = Feed(NumberedDataset(), TrainOptions(workers=3), channels=1, flip=False)
    feed.batch(8, 4, 0)
    started = set(threading.enumerate()) - before
    assert started
    feed.close()
    for thread in started:
        thread.join(5)
    assert not any(thread.is_alive() for thread in started)


@pytest.mark.parametrize("config", ["per_domain", "paired", "balanced"])
def test_ranks_and_micro_batches_have_their_share_of_every_domain(monkeypatch, config):
    class Domains(NumberedDataset):
        """The even images are of the first domain, the odd ones of the second."""

        def __init__(self, size: int = 16) -> None:
            self.info = DataInfo("numbered", 40, 8, 1, ("even", "odd"))

        def at_size(self, size: int) -> Dataset:
            return self

        def load(self, index: int, size: int | None = None) -> tuple[np.ndarray, int]:
            return super().load(index, size)[0], index % 2

        def names(self) -> list[str]:
            return [str(index // 2) for index in range(40)]

    def batches(rank: int, count: int) -> list[np.ndarray]:
        monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", str(count))
        monkeypatch.setenv("OMPI_COMM_WORLD_RANK", str(rank))
        feed = Feed(Domains(), TrainOptions(seed=3), 1, True, loader_config=LoaderConfig(**{config: True}))
        found = [feed.batch(8, 8, 8 * step) for step in range(6)]
        feed.close()
        parts = [part for batch in found for part in split_batch(batch, 2)]
        assert config != "balanced" or all(sorted(part.labels) == [0, 1] for part in parts)
        domains = [part.images[None] if part.domains is None else part.domains for part in parts]
        assert {each.shape[:2] for each in domains} == {(1 if config == "balanced" else 2, 2)}
        return np.concatenate(domains, 1).reshape(-1, 6, 8 // count, 64)

    divided = [batches(rank, 2) for rank in range(2)]
    assert np.array_equal(np.concatenate(divided, 2), batches(0, 1))


@pytest.mark.parametrize("count", [1, 2, 4])
def test_ranks_share_the_batch_of_a_single_process(monkeypatch, count):
    def batches(rank: int, count: int) -> list[list[int]]:
        monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", str(count))
        monkeypatch.setenv("OMPI_COMM_WORLD_RANK", str(rank))
        feed = Feed(NumberedDataset(), TrainOptions(seed=3), channels=1, flip=False)
        found = [image_numbers(feed.batch(8, 8, 8 * step)) for step in range(2, 8)]  # across the end of an epoch
        found.append(image_numbers(feed.batch(16, 4, 64)))
        feed.close()
        return found

    divided = [batches(rank, count) for rank in range(count)]
    assert [list(chain(*parts)) for parts in zip(*divided)] == batches(0, 1)
