"""Augmented images to look at."""

from __future__ import annotations

import numpy as np

from ganzoo.backend import jittor
from ganzoo.backend.arrays import from_images
from ganzoo.backend.pixels import to_uint8
from ganzoo.interfaces.dataset import DataInfo
from ganzoo.interfaces.train_options import TrainOptions
from ganzoo.training.augmentation.augmenter import Augmenter


def augmented(images: np.ndarray, options: TrainOptions, data: DataInfo) -> np.ndarray:
    """Augment images uint8 (N, H, W, C) as training with these options would, with numbers drawn from the seed."""
    rng, count = np.random.default_rng(options.seed), len(images)
    with jittor().no_grad():
        return to_uint8(Augmenter(options, data).transform(from_images(images), rng, count, np.arange(count)).numpy())
