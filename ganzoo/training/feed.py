"""Training batches for the current stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ganzoo import distributed
from ganzoo.data.loader import ImageBatch, Loader, ReadErrors
from ganzoo.interfaces.dataset import Dataset, LoaderConfig

if TYPE_CHECKING:
    from ganzoo.interfaces.train_options import TrainOptions


class Feed:
    """Batches from `dataset`, in the image size and batch size of each stage. Each rank loads its share of a batch."""

    def __init__(
        self,
        dataset: Dataset,
        options: TrainOptions,
        channels: int,
        flip: bool,
        on_bad_image: Callable[[str], None] = lambda message: None,
        loader_config: LoaderConfig = LoaderConfig(),  # noqa: B008 (it is frozen)
    ) -> None:
        self.dataset, self.options, self.channels, self.flip = dataset, options, channels, flip
        self.loader_config = loader_config
        self.on_bad_image = on_bad_image
        self._read_errors = ReadErrors()  # shared, so that an unreadable image is reported once
        self._current: tuple[int, int] | None = None
        self._batches: Iterator[ImageBatch] | None = None

    def loader(self, size: int, batch: int, config: LoaderConfig | None = None, stride: int | None = None) -> Loader:
        """Return a loader of batches of `batch` images of `size` px, read from the best stored size.
        `config` overrides the feed's own; `stride` is the number of images from the start of one batch to the next."""
        return Loader(
            self.dataset.at_size(size),
            batch,
            size=size,
            channels=self.channels,
            seed=self.options.seed,
            flip=self.flip,
            config=config or self.loader_config,
            workers=self.options.workers,
            stride=stride,
            on_bad_image=self.on_bad_image,
            read_errors=self._read_errors,
        )

    def batch(self, size: int, batch: int, position: int) -> ImageBatch:
        """Return this rank's share of the next batch. `position`, the number of images seen so far, is used when
        `size` or `batch` has changed: the new batches continue from there."""
        if self._current != (size, batch) or self._batches is None:
            self.close()
            share = batch // distributed.world_size()
            loader = self.loader(size, share, stride=batch)
            self._current, self._batches = (size, batch), loader.batches(position + distributed.rank() * share)
        return next(self._batches)

    def close(self) -> None:
        """Stop the prefetching threads."""
        if self._batches is not None:
            self._batches.close()  # type: ignore[attr-defined]
            self._batches = None
