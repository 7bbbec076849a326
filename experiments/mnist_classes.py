"""How varied are generated digits? The classes of samples under a nearest-neighbour classifier on MNIST.

    python experiments/mnist_classes.py experiments/00000-lsgan-mnist/checkpoint-000040000.safetensors

Prints the share of each digit among 2,000 samples, and how often all 5 neighbours agree, for the samples and for as
many real digits that the classifier has not seen.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from ganzoo import backend
from ganzoo.checkpoints import checkpoint, loading
from ganzoo.data.images import crop_and_resize
from ganzoo.registry import plugins
from ganzoo.sampling import latents, sampler

KNOWN, HELD_OUT, SAMPLES, NEIGHBOURS = 30_000, 2_000, 2_000, 5


def vectors(images: list[np.ndarray]) -> np.ndarray:
    """Digits as unit vectors of 28 x 28 pixels, blurred a little, so that a stroke a pixel aside still counts."""
    pixels = np.stack([crop_and_resize(image, 28, 1)[:, :, 0] for image in images]).astype(np.float32)
    padded = np.pad(pixels, ((0, 0), (1, 1), (1, 1)))
    blurred = sum(padded[:, y : y + 28, x : x + 28] for y in range(3) for x in range(3)).reshape(len(pixels), -1)
    return blurred / np.maximum(np.linalg.norm(blurred, axis=1, keepdims=True), 1e-6)


def classify(queries: np.ndarray, known: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, float]:
    """The commonest label among the nearest neighbours of each query, and the share of queries where all agree."""
    nearest = np.argpartition(-(queries @ known.T), NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    votes = np.stack([np.bincount(labels[row], minlength=10) for row in nearest])
    return votes.argmax(1), float((votes.max(1) == NEIGHBOURS).mean())


def main() -> None:
    registry = plugins.load()
    digits = registry.dataset("mnist").open()
    drawn = [digits.load(index) for index in range(KNOWN + HELD_OUT)]
    known, labels = vectors([image for image, _ in drawn]), np.array([label for _, label in drawn])
    found, agreed = classify(known[KNOWN:], known[:KNOWN], labels[:KNOWN])
    accuracy = float((found == labels[KNOWN:]).mean())
    print(f"classifier: {accuracy:.1%} right on {HELD_OUT:,} held-out digits, all neighbours agree on {agreed:.0%}")
    backend.start()
    generator = loading.load_generator(checkpoint.read(Path(sys.argv[1])), registry)
    samples = sampler.generate(generator, latents.from_seeds(range(SAMPLES), generator.latent))
    found, agreed = classify(vectors(list(samples)), known[:KNOWN], labels[:KNOWN])
    shares = np.bincount(found, minlength=10) / SAMPLES
    print(f"{SAMPLES:,} samples: all neighbours agree on {agreed:.0%}")
    print("  ".join(f"{digit}: {share:.1%}" for digit, share in enumerate(shares)))


if __name__ == "__main__":
    main()
