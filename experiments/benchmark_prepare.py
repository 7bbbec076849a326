"""How fast is `ganzoo data prepare`, compared with a plain loop over Pillow in one process?

    python experiments/benchmark_prepare.py --count 7000 --side 128 --rounds 3

Makes photo-like JPEG files in a temporary folder, and prints the images per second of both programs and the ratio. Both
write the same sizes, scaled and encoded in the same way, and are timed in turns, because the machine may be busy.
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import lmdb
import numpy as np
from PIL import Image

from ganzoo import open_path, prepare
from ganzoo.data.preparing import default_sizes


def photo(seed: int, side: int) -> bytes:
    """Return a JPEG of coarse and fine clouds of colour with noise, about as hard to compress as a photo."""
    generator = np.random.default_rng(seed)
    pixels = generator.normal(0, 4, (side, side, 3))
    for cells, strength in ((4, 0.5), (16, 0.3), (64, 0.2)):
        cloud = Image.fromarray(generator.integers(0, 256, (cells, cells, 3), np.uint8))
        pixels += strength * np.asarray(cloud.resize((side, side), Image.Resampling.BICUBIC))
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "jpeg", quality=92)
    return buffer.getvalue()


def plain_loop(root: Path, out: Path, sizes: tuple[int, ...]) -> None:
    """Prepare images in the simplest way: no error handling, no resuming, one process."""
    files = sorted(root.iterdir())
    with lmdb.open(str(out), map_size=1 << 40) as env, env.begin(write=True) as transaction:
        for index, file in enumerate(files):
            image = Image.open(file).convert("RGB")
            for size in sizes:
                buffer = io.BytesIO()
                scaled = image.resize((size, size), Image.Resampling.LANCZOS)
                scaled.save(buffer, "jpeg", quality=100, subsampling=0)
                transaction.put(f"{size}-{index:05d}".encode(), buffer.getvalue())
        transaction.put(b"length", str(len(files)).encode())


def ganzoo_prepare(root: Path, out: Path, sizes: tuple[int, ...]) -> None:
    prepare(open_path(root), out, sizes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=7000)
    parser.add_argument("--side", type=int, default=128, help="px of the source images")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    sizes = default_sizes(arguments.side)
    runs: dict[str, Callable[[Path, Path, tuple[int, ...]], None]] = {
        "plain loop": plain_loop,
        "ganzoo": ganzoo_prepare,
    }
    speeds: dict[str, list[float]] = {name: [] for name in runs}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "photos")
        root.mkdir()
        for index in range(arguments.count):
            (root / f"{index:06d}.jpg").write_bytes(photo(index, arguments.side))
        print(f"{arguments.count:,} images of {arguments.side} px to {', '.join(map(str, sizes))} px")
        for turn in range(arguments.rounds):
            for name, run in runs.items():
                started_at = time.perf_counter()
                run(root, Path(folder, f"{name}-{turn}.lmdb"), sizes)
                speeds[name].append(arguments.count / (time.perf_counter() - started_at))
    for name, rounds in speeds.items():
        print(f"{name:<12} {statistics.median(rounds):7,.0f} img/s (rounds: {', '.join(f'{x:,.0f}' for x in rounds)})")
    ratios = [ganzoo_speed / loop_speed for loop_speed, ganzoo_speed in zip(*speeds.values())]
    print(f"{'ratio':<12} {statistics.median(ratios):7.2f}")


if __name__ == "__main__":
    main()
