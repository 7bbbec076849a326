"""Sheets that a model draws itself, from its networks and a few fixed real images."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ganzoo.backend import jittor, run_pending
from ganzoo.backend.arrays import from_images
from ganzoo.backend.pixels import to_uint8
from ganzoo.data.images import load_resized
from ganzoo.data.order import indices_by_name
from ganzoo.errors import DataError, PluginError
from ganzoo.sampling import latents, sheets
from ganzoo.training.reporting.sheets import sheet_shape

if TYPE_CHECKING:
    from ganzoo.interfaces.dataset import DataInfo, Dataset
    from ganzoo.interfaces.progress import Progress
    from ganzoo.training.state import TrainState

SHEET_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}")


@dataclass
class Inputs:
    """See `ganzoo.interfaces.sheets.SheetInputs`."""

    networks: Mapping[str, Any]
    domains: tuple[Any, ...]
    pixels: tuple[np.ndarray, ...]
    seeds: range
    options: Any
    data: DataInfo
    progress: Progress
    attribute_rows: np.ndarray | None = None

    def latents(self, length: int) -> Any:
        """Return a latent for each seed, a Var (len(seeds), length)."""
        return jittor().array(latents.from_seeds(self.seeds, length))

    def attributes(self) -> Any:
        """Return attributes for each seed, a Var (len(seeds), A). PluginError if the generator has none."""
        if self.attribute_rows is None:
            raise PluginError("`inputs.attributes` was called, but the generator has no attributes.")
        return jittor().array(latents.attributes_from_seeds(self.seeds, self.attribute_rows))

    def sheet(self, *rows: Any) -> np.ndarray:
        """Arrange rows of images in one picture. PluginError if a row is not a batch of images, or of another size."""
        images = [_pixels(row) for row in rows]
        if len({each.shape[1:] for each in images}) != 1:
            shapes = ", ".join(str(each.shape[1:]) for each in images) or "none"
            raise PluginError(f"the rows of a sheet must have images of one shape (H, W, C), not {shapes}.")
        columns = max(map(len, images))
        blank = np.full((columns, *images[0].shape[1:]), 255, np.uint8)
        padded = [np.concatenate([each, blank[len(each) :]]) for each in images]
        return sheets.grid(np.concatenate(padded), len(images), columns)


def _pixels(row: Any) -> np.ndarray:
    if isinstance(row, np.ndarray) and row.dtype == np.uint8 and row.ndim == 4:
        return row
    if isinstance(row, jittor().Var) and row.ndim == 4:
        return to_uint8(row.numpy())
    found = f"{type(row).__name__} of shape {tuple(row.shape)}" if hasattr(row, "shape") else repr(row)
    raise PluginError(f"a row of a sheet must be a Var (N, C, H, W) or an array uint8 (N, H, W, C), not {found}.")


def model_sheets(state: TrainState, dataset: Dataset) -> list[tuple[str, np.ndarray]]:
    """Return the sheets that the model draws, by name. PluginError if a name or a picture is invalid; DataError if the
    data set has too few readable images."""
    stage = (state.position or state.upcoming()).stage
    data = dataclasses.replace(state.data, size=stage.size)
    paired = state.model.loader_config(state.options).paired
    pixels = fixed_images(dataset, data, paired)
    networks = {name: state.ema.network(name) for name in state.setup.networks}
    domains = tuple(from_images(each) for each in pixels)
    seeds = range(math.prod(sheet_shape(stage.size)))
    inputs = Inputs(networks, domains, pixels, seeds, state.options, data, state.progress, state.attributes)
    found: dict[str, np.ndarray] = {}
    with jittor().no_grad():
        for name, picture in map(_checked_pair, state.model.sheets(inputs) or ()):
            if name in found:
                raise PluginError(f"two sheets have the name {name!r}.")
            found[_checked_name(name)] = _checked_picture(name, picture)
    run_pending()
    return list(found.items())


def _checked_pair(item: Any) -> tuple[Any, Any]:
    if not (isinstance(item, tuple) and len(item) == 2):
        found = f"{item.dtype} {tuple(item.shape)}" if hasattr(item, "shape") else repr(item)
        raise PluginError(f"`sheets` must yield pairs of a name and a picture, not {found}.")
    return item


def _checked_name(name: Any) -> str:
    if not (isinstance(name, str) and SHEET_NAME.fullmatch(name)):
        raise PluginError(
            f"{name!r} can't be the name of a sheet; use up to 64 letters, digits, '.', '-' and '_', beginning with a "
            "letter or digit."
        )
    return name


def _checked_picture(name: str, picture: Any) -> np.ndarray:
    shape: tuple[int, ...] = getattr(picture, "shape", ())
    if not (isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and len(shape) == 3 and shape[2] in (1, 3)):
        found = f"{picture.dtype} {tuple(shape)}" if hasattr(picture, "dtype") else type(picture).__name__
        raise PluginError(f"the sheet {name!r} must be an array uint8 (H, W, C) with C = 1 or 3, not {found}.")
    return picture


def fixed_images(dataset: Dataset, data: DataInfo, paired: bool) -> tuple[np.ndarray, ...]:
    """Choose a few images of each domain, uint8 (N, H, W, C), the same in every run: validation images and, if these
    are too few, training images too. If `paired`, the n-th images of all domains have the same name. `data` sets the
    size and channels. DataError if a domain has no readable image."""
    found: list[list[np.ndarray]] = [[] for _ in data.domains or ("",)]
    for each in (dataset.validation(), dataset):
        if each is not None:
            _add_images(found, each.at_size(data.size), data, paired)
    if not all(found):
        raise DataError(f"{dataset.info.name}: too few readable images.")
    return tuple(map(np.stack, found))


def _add_images(found: list[list[np.ndarray]], dataset: Dataset, data: DataInfo, paired: bool) -> None:
    """Add readable images to those of each domain, until there are enough. If `paired`, only complete pairs."""
    count, rng = 4 if data.size > 128 else 6, np.random.default_rng(0)
    if paired:
        groups = [(found, indices_by_name(dataset))]
    else:
        labels = dataset.labels() if data.domains else np.zeros(len(dataset), np.int64)
        groups = [([each], np.flatnonzero(labels == label)[None]) for label, each in enumerate(found)]
    for lists, indices in groups:
        for column in rng.permutation(indices.shape[1]):
            if len(lists[0]) >= count:
                break
            loaded = [_load(dataset, int(index), data) for index in indices[:, column]]
            images = [image for image in loaded if image is not None]
            if len(images) == len(loaded):
                for images_of_domain, image in zip(lists, images):
                    images_of_domain.append(image)


def _load(dataset: Dataset, index: int, data: DataInfo) -> np.ndarray | None:
    try:
        return load_resized(dataset, index, data.size, data.channels)[0]
    except DataError:
        return None  # the loader reports unreadable images
