"""Python values as the texts that the command line parses, so that both refuse the same values in the same words."""

from __future__ import annotations

import numbers
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ganzoo.errors import OptionError
from ganzoo.interfaces.options import flag
from ganzoo.sampling.image_files import to_pil

PNG_MODES = ("1", "L", "LA", "I;16", "P", "RGB", "RGBA")


def seeds_text(name: str, seeds: Any) -> str | None:
    """8, range(8), [3, 5] or '0-31' -> '8', '0,1,...', '3,5' or '0-31'. None stays None."""
    if seeds is None or isinstance(seeds, str):
        return seeds
    values = [seeds] if isinstance(seeds, numbers.Integral) else list(_items(name, seeds))
    for value in values:
        if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < 0:
            raise OptionError(f"{flag(name)}: {value!r} is not a whole number of at least 0.")
    if not values:
        raise OptionError(f"{flag(name)}: it is empty; give at least one seed.")
    return ",".join(str(int(value)) for value in values)


def points_text(points: Any) -> tuple[str, ...]:
    """(3.5, 0.25), [(3.5, 0.25), (4, 1)] or '3.5,0.25' -> ('3.5,0.25', ...). None is ()."""
    if points is None:
        return ()
    items = [points] if isinstance(points, str) else list(_items("at", points))
    if len(items) == 2 and all(isinstance(each, numbers.Real) for each in items):
        items = [items]
    return tuple(
        each if isinstance(each, str) else ",".join(map(repr, map(float, _items("at", each)))) for each in items
    )


def list_text(name: str, values: Any) -> str | None:
    """7, 'cat', ['cat', 'dog'] or {'cat': 4} -> '7', 'cat', 'cat,dog' or 'cat:4'. None stays None."""
    if values is None or isinstance(values, str):
        return values
    if isinstance(values, Mapping):
        return ",".join(f"{key}:{value}" for key, value in values.items())
    return str(values) if isinstance(values, numbers.Integral) else ",".join(map(str, _items(name, values)))


def settings_text(name: str, values: Any) -> str | None:
    """{'smiling': 1, 'age': 0.3} -> 'smiling=1,age=0.3'. None and texts stay."""
    if values is None or isinstance(values, str):
        return values
    if not isinstance(values, Mapping):
        raise OptionError(f"{flag(name)}: {values!r} is not a dictionary of names and numbers.")
    return ",".join(f"{key}={value}" for key, value in values.items())


def layers_text(name: str, layers: Any) -> str | None:
    """4, range(2, 4) or 'coarse' -> '4', '2-3' or 'coarse'. None stays None."""
    if layers is None or isinstance(layers, str):
        return layers
    if isinstance(layers, range) and layers and layers.step == 1:
        return f"{layers.start}-{layers.stop - 1}"
    if isinstance(layers, numbers.Integral):
        return str(layers)
    raise OptionError(f"{flag(name)}: {layers!r} is not a layer, a range of layers, or a name.")


def grid_text(grid: Any) -> str | None:
    """(4, 8) or '4x8' -> '4x8'. None stays None."""
    if grid is None or isinstance(grid, str):
        return grid
    return "x".join(map(str, _items("grid", grid)))


def image_paths(name: str, images: Any, folder: Path) -> tuple[str, ...]:
    """Return the paths of images, as the command line gets them. Arrays and images of Pillow are written to `folder`,
    without loss."""
    if images is None:
        return ()
    single = isinstance(images, (str, os.PathLike, Image.Image)) or getattr(images, "ndim", 0) == 3
    found = []
    for index, image in enumerate([images] if single else _items(name, images)):
        if isinstance(image, (str, os.PathLike)):
            found.append(os.fspath(image))
            continue
        folder.mkdir(exist_ok=True)
        path = folder / f"{name}{index}.png"
        _picture(name, image).save(path)
        found.append(str(path))
    if not found:
        raise OptionError(f"{flag(name)}: it is empty; give at least one image.")
    return tuple(found)


def _picture(name: str, image: Any) -> Image.Image:
    if isinstance(image, Image.Image):
        return image if image.mode in PNG_MODES else image.convert("RGB")
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4):
        raise OptionError(f"{flag(name)}: {pixels.dtype} {pixels.shape} instead of uint8 (H, W, C), C = 1, 3 or 4.")
    return to_pil(pixels)


def _items(name: str, values: Any) -> Iterable[Any]:
    if isinstance(values, Iterable):
        return values
    raise OptionError(f"{flag(name)}: {values!r} is not a list.")
