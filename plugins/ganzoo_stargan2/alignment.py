"""Align faces: rotate, scale and translate them so that their landmarks match the mean landmarks of many faces.

Coordinates are in px, x before y, from the outer corner of the first pixel, whose centre is at (0.5, 0.5).
"""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from ganzoo import DataError, atomic_path, decode, images_below, jt, png, printable, to_array
from ganzoo_stargan2.landmarks import FAN, NUM_LANDMARKS, SIDE, read_wing

BATCH = 4  # images that go through the network at once
MARGIN = 2  # px beyond an edge that bicubic interpolation reads
MAX_CROP_RATIO = 100  # a crop of more than this many times the image's larger side means that there is no face
EPS = 1e-6  # px^2; anything smaller is a rounding error
NO_FACE = "no face found; its landmarks have no shape"

Say = Callable[[str], None]


@dataclass
class Summary:
    """The result of `align_folder`: how many faces it aligned, how many existed already, and a message for each image
    that can't be aligned."""

    aligned: int = 0
    existing: int = 0
    bad: list[str] = field(default_factory=list)


def align_folder(folder: Path, out: Path, wing: Path, landmarks: Path, size: int, say: Say) -> Summary:
    """Align the face in each image below `folder`, and save it as a PNG of `size` px under its relative name in `out`.

    Images that exist in `out` are skipped, so that an interrupted call can be continued. DataError if there is no
    image; DataError or CheckpointError if `landmarks` or `wing` is not a valid file.
    """
    targets = _targets(folder, out)
    todo = [source for source, target in targets.items() if not target.exists()]
    summary = Summary(existing=len(targets) - len(todo))
    if not todo:
        return summary
    target_points = read_mean(landmarks) * (size / SIDE)
    network = FAN()
    network.load_state(read_wing(wing, say))
    say("finding landmarks (the first time, compiling kernels takes some minutes)")
    with tqdm(total=len(todo), unit="img", desc="aligning", leave=False, disable=None, delay=1) as bar:
        for start in range(0, len(todo), BATCH):
            chosen = todo[start : start + BATCH]
            for source, result in zip(chosen, _align_each(network, chosen, target_points, size)):
                if isinstance(result, DataError):
                    summary.bad.append(str(result))
                else:
                    _write(targets[source], result)
                    summary.aligned += 1
            bar.update(len(chosen))
    return summary


def _targets(folder: Path, out: Path) -> dict[Path, Path]:
    """Return the output path of each image. '.png' replaces its suffix, or is appended if several images have the same
    stem. No two images get the same path, and none gets the path of a folder."""
    names = [path.relative_to(folder) for path in images_below(folder)]
    if not names:
        raise DataError(
            f"{printable(folder)}: no image in this folder (looked for PNG, JPEG, WebP, BMP, GIF, TIFF and AVIF files)."
        )
    count = Counter(name.with_suffix("") for name in names)
    taken = {str(parent) for name in names for parent in name.parents}
    targets = {}
    for name in names:
        stem = name.with_suffix("")
        target = f"{stem if count[stem] == 1 else name}.png"
        while target in taken:
            target += ".png"
        taken.add(target)
        targets[folder / name] = out / target
    return targets


def _align_each(
    network: Any, sources: Sequence[Path], target_points: np.ndarray, size: int
) -> Iterator[np.ndarray | DataError]:
    """Yield the aligned face of each file, uint8 (size, size, C), or a DataError that says what is wrong."""
    found = [_read(source) for source in sources]
    images = [each for each in found if not isinstance(each, DataError)]
    points = iter(find_landmarks(network, images) if images else ())
    for source, image in zip(sources, found):
        if isinstance(image, DataError):
            yield image
            continue
        try:
            yield align(image, next(points), target_points, size)
        except ValueError as error:
            yield DataError(f"{printable(source)}: {error}.")


def _read(path: Path) -> np.ndarray | DataError:
    """Read an image as uint8 (H, W, 3). Return a DataError if it can't be read."""
    name = printable(path)
    try:
        return to_array(decode(path.read_bytes(), name), 3)
    except DataError as error:
        return error
    except OSError as error:
        return DataError(f"{name}: can't be read ({error.strerror or error}).")
    except ValueError as error:  # Pillow can't convert colours of every kind
        return DataError(f"{name}: its colours can't be read ({error}).")


def _write(path: Path, pixels: np.ndarray) -> None:
    """Write a PNG atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_bytes(png(pixels))


def read_mean(path: Path) -> np.ndarray:
    """Read the mean landmarks (98, 2), in px of a 256 px image, from a file like celeba_lm_mean.npz. DataError if the
    file is of another kind."""
    mean = np.empty(0)
    with contextlib.suppress(Exception), np.load(path) as file:  # np.load raises many kinds of exceptions
        mean = np.asarray(file["mean"], np.float64)
    if mean.shape not in ((NUM_LANDMARKS, 2), (2 * NUM_LANDMARKS,)) or not np.isfinite(mean).all():
        raise DataError(
            f"{path}: not mean landmarks: expected a NumPy file (.npz) with {NUM_LANDMARKS} points under the "
            "key 'mean'."
        )
    return mean.reshape(NUM_LANDMARKS, 2)


def find_landmarks(network: Any, images: Sequence[np.ndarray]) -> np.ndarray:
    """Return the landmarks (N, 98, 2) of images uint8 (H, W, 3), in px of each image. Images may differ in size."""
    small = [Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BILINEAR) for image in images]
    pixels = np.stack([np.asarray(image, np.float32) for image in small]).transpose(0, 3, 1, 2) / 127.5 - 1
    sizes = np.array([[[image.shape[1], image.shape[0]]] for image in images])
    return peaks(network(jt.array(pixels)).numpy()[:, :NUM_LANDMARKS]) * sizes


def peaks(heatmaps: np.ndarray) -> np.ndarray:
    """Return the positions of the maxima of heatmaps (N, C, H, W), as fractions of width and height (N, C, 2).

    A position is the centre of the largest pixel, moved by a quarter of a pixel towards its larger horizontal neighbour
    and towards its larger vertical neighbour. A maximum at the edge is not moved.
    """
    n, c, h, w = heatmaps.shape
    y, x = np.divmod(heatmaps.reshape(n, c, h * w).argmax(2), w)
    inside = (x > 0) & (x < w - 1) & (y > 0) & (y < h - 1)
    padded = np.pad(heatmaps, ((0, 0), (0, 0), (1, 1), (1, 1)))
    images, maps = np.ogrid[:n, :c]

    def neighbour(right: int, down: int) -> np.ndarray:
        return padded[images, maps, y + 1 + down, x + 1 + right]

    dx, dy = np.sign(neighbour(1, 0) - neighbour(-1, 0)), np.sign(neighbour(0, 1) - neighbour(0, -1))
    return np.stack([(x + 0.5 + 0.25 * inside * dx) / w, (y + 0.5 + 0.25 * inside * dy) / h], 2)


def similarity(points: np.ndarray, target_points: np.ndarray) -> tuple[complex, complex]:
    """Return the similarity transform without reflection that maps points (N, 2) to target points (N, 2) by least
    squares (Umeyama 1991): a and b of target = a * point + b, with points as complex numbers x + iy. ValueError if all
    points coincide, or if no rotation fits better than another."""
    source, target = (np.ascontiguousarray(each, np.float64).view(complex)[:, 0] for each in (points, target_points))
    centred = source - source.mean()
    variance = float((abs(centred) ** 2).sum())
    factor = complex((centred.conj() * (target - target.mean())).sum())
    if variance < EPS or abs(factor) < EPS:
        raise ValueError(NO_FACE)
    factor /= variance
    return factor, complex(target.mean() - factor * source.mean())


def align(pixels: np.ndarray, points: np.ndarray, target_points: np.ndarray, size: int) -> np.ndarray:
    """Rotate, scale and crop an image uint8 (H, W, C) to uint8 (size, size, C), bringing its landmarks at `points` as
    close to `target_points` as possible.

    Resampling is bicubic, and averages pixels when downscaling. Beyond its edges, the image is reflected. ValueError if
    `points` do not have the shape of a face.
    """
    factor, offset = similarity(points, target_points)
    if size > abs(factor) * max(pixels.shape[:2]) * MAX_CROP_RATIO:
        raise ValueError(NO_FACE)
    reduction = max(1, int(1 / abs(factor)))
    pixels, factor = np.asarray(Image.fromarray(pixels).reduce(reduction)), factor * reduction
    supersampling = math.ceil(1 / abs(factor))
    corners = (np.array([0, size, 1j * size, size + 1j * size]) - offset) / factor
    left, top = (math.floor(each.min()) - MARGIN for each in (corners.real, corners.imag))
    right, bottom = (math.ceil(each.max()) + MARGIN for each in (corners.real, corners.imag))
    region = pixels[_reflect(top, bottom, pixels.shape[0])][:, _reflect(left, right, pixels.shape[1])]
    inverse, start = 1 / (factor * supersampling), -offset / factor - complex(left, top)
    image = Image.fromarray(region).transform(
        (size * supersampling, size * supersampling),
        Image.Transform.AFFINE,
        (inverse.real, -inverse.imag, start.real, inverse.imag, inverse.real, start.imag),
        Image.Resampling.BICUBIC,
    )
    return np.asarray(image.reduce(supersampling))


def _reflect(start: int, end: int, length: int) -> np.ndarray:
    """Return the pixel in 0...length-1 seen at each position from `start` to `end`, with reflection at the edges."""
    positions = np.arange(start, end) % (2 * length)
    return np.minimum(positions, 2 * length - 1 - positions)
