"""The options of every training run, whatever the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from ganzoo.metrics import MOST_IMAGES
from ganzoo.options import Options, option


@dataclass(frozen=True)
class TrainOptions(Options):
    """What `ganzoo train` offers beside the model's own options. A model can set other defaults."""

    data: str = option("mnist", "data set: a name (see `ganzoo data list`), a folder, a .zip or an .lmdb")
    kimg: float = option(1000.0, "length of training in thousands of real images", above=0)
    batch: int = option(64, "images per update", min=1)
    micro_batch: Optional[int] = option(None, "images per forward pass; gradients are accumulated up to --batch", min=1)
    seed: int = option(0, "seed of weights, order of images and noise", min=0, max=2**31 - 1)
    device: str = option("auto", "where to train", choices=("auto", "cpu", "cuda"))
    precision: str = option(
        "tf32",
        "of convolutions on CUDA: TF32, float32, or bfloat16 summed up in float32 (amp); the CPU computes in float32",
        choices=("tf32", "fp32", "amp"),
    )
    flip: Optional[bool] = option(None, "mirror half of the images [default: what the data set allows]")
    tick: float = option(4.0, "kimg between reports: losses, curves and samples", above=0)
    snapshot: int = option(10, "ticks between checkpoints", min=1)
    keep: int = option(2, "how many checkpoints to keep", min=1)
    keep_best: Optional[str] = option(
        None,
        "also keep the checkpoint where this number of stats.jsonl was lowest, e.g. losses/generator/adversarial "
        "[default: the best by --evaluate, with --evaluate-every]",
    )
    evaluate_every: Optional[float] = option(None, "kimg between measurements of --evaluate", above=0)
    evaluate: str = option("fid", "metrics that are tracked, e.g. fid,pr; `ganzoo metrics` lists them")
    evaluate_samples: int = option(
        2000, "images that are generated for them; of translations, per pair", min=10, max=MOST_IMAGES
    )
    evaluate_real: Optional[int] = option(
        None,
        "real images for them, at most; with fewer, an FID is higher [default: as many as --evaluate-samples, but "
        "1,000 at least]",
        min=10,
        max=MOST_IMAGES,
    )
    max_skips: int = option(
        20, "updates in a row with a loss or gradient that is not finite, each skipped, before training stops", min=0
    )
    retry: int = option(
        0, "times that training which diverged goes back to its last checkpoint and tries another seed", min=0
    )
    workers: int = option(2, "threads that decode images", min=1, max=64)
