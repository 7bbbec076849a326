"""How fast does ganzoo read images, compared with a plain loop over the library that belongs to each format?

    python experiments/bench/readers.py --count 5000 --side 64 --turns 5

Stores the same photo-like images in every format that `--data` accepts, and reads them in random order (webdataset: in
the order of the file), in one thread, decoding each to uint8 (side, side, 3). Both sides take turns, and must give the
same pixels. Prints images per second of processor time (the machine may be busy) and of the clock, and the ratios, as
medians of the turns. Formats whose library is missing are left out.

    pip install pyarrow datasets webdataset torchvision    # in an environment of its own, with ganzoo's PYTHONPATH
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import io
import statistics
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import lmdb
import numpy as np
from PIL import Image

from ganzoo import Dataset, open_path, prepare

Read = Callable[[], Iterator[np.ndarray]]
DOMAINS = ("a", "b")


class Pictures:
    """The images, as arrays and as PNG files, and the order in which they are read."""

    def __init__(self, count: int, side: int) -> None:
        generator = np.random.default_rng(0)
        self.arrays = np.empty((count, side, side, 3), np.uint8)
        for index in range(count):
            self.arrays[index] = _photo(generator, side)
        self.labels = np.arange(count) * len(DOMAINS) // count
        self.order = generator.permutation(count)
        self.files = [_png(array) for array in self.arrays]

    def name(self, index: int) -> str:
        return f"{DOMAINS[self.labels[index]]}/{index:06d}.png"


def _photo(generator: np.random.Generator, side: int) -> np.ndarray:
    """Return coarse and fine clouds of colour with noise, about as hard to compress as a photo."""
    pixels = generator.normal(0, 4, (side, side, 3))
    for cells, strength in ((4, 0.5), (16, 0.3), (side, 0.2)):
        cloud = Image.fromarray(generator.integers(0, 256, (cells, cells, 3), np.uint8))
        pixels += strength * np.asarray(cloud.resize((side, side), Image.Resampling.BICUBIC))
    return pixels.clip(0, 255).astype(np.uint8)


def _png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "png")
    return buffer.getvalue()


def decoded(file: Any) -> np.ndarray:
    return np.asarray(Image.open(file).convert("RGB"))


def by_index(dataset: Dataset, order: Sequence[int]) -> Read:
    return lambda: (dataset.load(int(index))[0] for index in order)


# Each function stores the pictures below `root`, and returns ganzoo's reader and the plain one.


def folder(pictures: Pictures, root: Path) -> tuple[Read, Read]:
    for domain in DOMAINS:
        (root / "set" / domain).mkdir(parents=True)
    for index, data in enumerate(pictures.files):
        (root / "set" / pictures.name(index)).write_bytes(data)
    paths = [root / "set" / pictures.name(index) for index in range(len(pictures.files))]
    return by_index(open_path(root / "set"), pictures.order), lambda: (decoded(paths[at]) for at in pictures.order)


def archive(pictures: Pictures, root: Path) -> tuple[Read, Read]:
    with zipfile.ZipFile(root / "set.zip", "w") as file:
        for index, data in enumerate(pictures.files):
            file.writestr(pictures.name(index), data)
    return by_index(open_path(root / "set.zip"), pictures.order), _plain_zip(pictures, root / "set.zip")


def label_file(pictures: Pictures, root: Path) -> tuple[Read, Read]:
    prepare(open_path(root / "set"), root / "nvidia.zip", [pictures.arrays.shape[1]])
    return by_index(open_path(root / "nvidia.zip"), pictures.order), _plain_zip(pictures, root / "nvidia.zip")


def _plain_zip(pictures: Pictures, path: Path) -> Read:
    file = zipfile.ZipFile(path)
    names = sorted(name for name in file.namelist() if name.endswith(".png"))
    return lambda: (decoded(io.BytesIO(file.read(names[at]))) for at in pictures.order)


def lmdb_of_pngs(pictures: Pictures, root: Path) -> tuple[Read, Read]:
    side = pictures.arrays.shape[1]
    prepare(open_path(root / "set"), root / "set.lmdb", [side], lossless=True)
    copy = root / "copy.lmdb"  # LMDB opens a file only once per process
    copy.mkdir()
    (copy / "data.mdb").write_bytes((root / "set.lmdb" / "data.mdb").read_bytes())
    env = lmdb.open(str(copy), readonly=True, lock=False, readahead=False)

    def plain() -> Iterator[np.ndarray]:
        with env.begin() as transaction:
            for at in pictures.order:
                yield decoded(io.BytesIO(transaction.get(f"{side}-{at:05d}".encode())))

    return by_index(open_path(root / "set.lmdb"), pictures.order), plain


def shards(pictures: Pictures, root: Path) -> tuple[Read, Read]:
    import webdataset

    with tarfile.open(root / "set.tar", "w") as file:
        for index, data in enumerate(pictures.files):
            for ending, content in (("png", data), ("cls", str(pictures.labels[index]).encode())):
                member = tarfile.TarInfo(f"{index:06d}.{ending}")
                member.size = len(content)
                file.addfile(member, io.BytesIO(content))

    def plain() -> Iterator[np.ndarray]:
        for sample in webdataset.WebDataset(str(root / "set.tar"), shardshuffle=False).decode("rgb8"):
            yield sample["png"]

    return by_index(open_path(root / "set.tar"), range(len(pictures.files))), plain


def _parquet(pictures: Pictures, root: Path) -> Read:
    path = root / "set.parquet"
    if not path.exists():
        prepare(open_path(root / "set"), path, [pictures.arrays.shape[1]], lossless=True)
    return by_index(open_path(path), pictures.order)


def parquet_arrow(pictures: Pictures, root: Path) -> tuple[Read, Read]:
    import pyarrow.parquet as parquet

    ganzoo = _parquet(pictures, root)
    column = parquet.read_table(root / "set.parquet", columns=["image"])["image"]  # the whole file, in memory
    return ganzoo, lambda: (decoded(io.BytesIO(column[int(at)].as_py()["bytes"])) for at in pictures.order)


def parquet_datasets(pictures: Pictures, root: Path) -> tuple[Read, Read]:
    import datasets

    ganzoo = _parquet(pictures, root)
    files = str(root / "set.parquet")
    found = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(root / "cache"))
    return ganzoo, lambda: (np.asarray(found[int(at)]["image"]) for at in pictures.order)


def idx(pictures: Pictures, root: Path) -> tuple[Read, Read]:
    from torchvision.datasets import MNIST

    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for kind in ("train", "t10k"):
        for name, values in (("images-idx3", pictures.arrays[..., 0]), ("labels-idx1", pictures.labels)):
            header = bytes((0, 0, 8, values.ndim)) + np.array(values.shape, ">i4").tobytes()
            for file in (raw / f"{kind}-{name}-ubyte", raw / f"{kind}-{name}-ubyte.gz"):
                opened: Any = gzip.open(file, "wb", 1) if file.suffix == ".gz" else open(file, "wb")
                with opened:
                    opened.write(header + values.astype(np.uint8).tobytes())
    found = MNIST(root)
    return (
        by_index(open_path(raw / "train-images-idx3-ubyte"), pictures.order),
        lambda: (np.asarray(found[int(at)][0])[..., None] for at in pictures.order),
    )


def npy(pictures: Pictures, root: Path) -> tuple[Read, Read]:
    np.save(root / "set.npy", pictures.arrays)
    mapped = np.load(root / "set.npy", mmap_mode="r")
    return by_index(open_path(root / "set.npy"), pictures.order), lambda: (mapped[at] for at in pictures.order)


def npz(pictures: Pictures, root: Path) -> tuple[Read, Read]:
    np.savez(root / "set.npz", images=pictures.arrays, labels=pictures.labels)
    images = np.load(root / "set.npz")["images"]
    return by_index(open_path(root / "set.npz"), pictures.order), lambda: (images[at] for at in pictures.order)


# The format, the plain reader, and the library that must be installed
FORMATS: Sequence[tuple[str, str, Callable[[Pictures, Path], tuple[Read, Read]], str]] = (
    ("folder", "Pillow", folder, "PIL"),
    ("zip", "zipfile, Pillow", archive, "PIL"),
    ("zip with dataset.json", "zipfile, Pillow", label_file, "PIL"),
    ("LMDB", "lmdb, Pillow", lmdb_of_pngs, "lmdb"),
    ("tar", "webdataset, in the order of the file", shards, "webdataset"),
    ("Parquet", "pyarrow with all rows in memory, Pillow", parquet_arrow, "pyarrow"),
    ("Parquet", "datasets", parquet_datasets, "datasets"),
    ("IDX", "torchvision", idx, "torchvision"),
    ("npy", "NumPy, memory-mapped", npy, "numpy"),
    ("npz", "NumPy, in memory", npz, "numpy"),
)


class Seconds(NamedTuple):
    """How long a pass over all images took."""

    processor: float
    clock: float


def timed(read: Read) -> Seconds:
    clock, processor = time.perf_counter(), time.process_time()
    for image in read():
        image.copy()  # some readers return views of pixels that they have not read
    return Seconds(time.process_time() - processor, time.perf_counter() - clock)


def row(kind: str, plain: str, count: int, turns: Sequence[tuple[Seconds, Seconds]]) -> str:
    """Return a row of the table: medians of all turns, of ganzoo's and of the plain reader's time."""
    speeds = [count / statistics.median(turn[side].processor for turn in turns) for side in (0, 1)]
    ratios = [statistics.median(turn[1][at] / turn[0][at] for turn in turns) for at in (0, 1)]
    cells = [kind, plain, *(f"{speed:,.0f}" for speed in speeds), *(f"{ratio:.2f}" for ratio in ratios)]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--side", type=int, default=64, help="px, a power of two")
    parser.add_argument("--turns", type=int, default=5)
    arguments = parser.parse_args()
    pictures = Pictures(arguments.count, arguments.side)
    print("| format | plain reader | ganzoo, img/s | plain, img/s | ratio | ratio by the clock |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as root:
        for kind, plain_name, store, library in FORMATS:
            found = importlib.util.find_spec(library)
            if found is None or found.origin is None:  # no library, but a folder: this repository has `datasets`
                continue
            ours, plain = store(pictures, Path(root))
            for one, other in zip(ours(), plain(), strict=True):
                assert np.array_equal(one, other), kind
            turns = [(timed(ours), timed(plain)) for _ in range(arguments.turns)]
            print(row(kind, plain_name, arguments.count, turns), flush=True)


if __name__ == "__main__":
    main()
