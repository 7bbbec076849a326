"""How varied are generated digits? Classifies samples by their nearest neighbours in MNIST.

    python experiments/mnist_classes.py experiments/00000-lsgan-mnist/checkpoint-000040000.safetensors

Prints the share of each digit among 2,000 samples. For the samples, and for 2,000 held-out real digits, it also
prints how often all 5 neighbours agree. Of a class-conditional model, each class is sampled equally often, and the
shares of samples that are of their class are printed instead.
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

TRAIN_COUNT, TEST_COUNT, SAMPLE_COUNT, NEIGHBOURS = 30_000, 2_000, 2_000, 5


def vectors(images: list[np.ndarray]) -> np.ndarray:
    """Return digits as unit vectors of 28 x 28 pixels, blurred slightly so that shifts by a pixel matter little."""
    pixels = np.stack([crop_and_resize(image, 28, 1)[:, :, 0] for image in images]).astype(np.float32)
    padded = np.pad(pixels, ((0, 0), (1, 1), (1, 1)))
    blurred = sum(padded[:, y : y + 28, x : x + 28] for y in range(3) for x in range(3)).reshape(len(pixels), -1)
    return blurred / np.maximum(np.linalg.norm(blurred, axis=1, keepdims=True), 1e-6)


def classify(queries: np.ndarray, train: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the most common label among each query's nearest neighbours, and the share of queries where all agree."""
    nearest = np.argpartition(-(queries @ train.T), NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    votes = np.stack([np.bincount(labels[row], minlength=10) for row in nearest])
    return votes.argmax(1), float((votes.max(1) == NEIGHBOURS).mean())


def main() -> None:
    registry = plugins.load()
    digits = registry.dataset("mnist").open()
    examples = [digits.load(index) for index in range(TRAIN_COUNT + TEST_COUNT)]
    train, labels = vectors([image for image, _ in examples]), np.array([label for _, label in examples])
    predicted, agreement = classify(train[TRAIN_COUNT:], train[:TRAIN_COUNT], labels[:TRAIN_COUNT])
    accuracy = float((predicted == labels[TRAIN_COUNT:]).mean())
    print(
        f"classifier: {accuracy:.1%} right on {TEST_COUNT:,} held-out digits, all neighbours agree on {agreement:.0%}"
    )
    backend.start()
    generator = loading.load_generator(checkpoint.read(Path(sys.argv[1])), registry)
    wanted = np.arange(SAMPLE_COUNT) % 10
    classes = np.eye(10, dtype=np.float32)[wanted] if generator.classes else None
    samples = sampler.generate(generator, latents.from_seeds(range(SAMPLE_COUNT), generator.latent), classes)
    predicted, agreement = classify(vectors(list(samples)), train[:TRAIN_COUNT], labels[:TRAIN_COUNT])
    shares = np.bincount(predicted, minlength=10) / SAMPLE_COUNT
    if generator.classes:
        print(f"{(predicted == wanted).mean():.1%} of the samples are of their class")
        shares = np.array([(predicted == wanted)[wanted == digit].mean() for digit in range(10)])
    print(f"{SAMPLE_COUNT:,} samples: all neighbours agree on {agreement:.0%}")
    print("  ".join(f"{digit}: {share:.1%}" for digit, share in enumerate(shares)))


if __name__ == "__main__":
    main()
