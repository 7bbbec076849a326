"""The bundled metrics: FID, KID, precision and recall, LPIPS diversity, perceptual path length.

This module is imported for every `--help`, so it imports NumPy only when a metric is computed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ganzoo.errors import OptionError, format_count
from ganzoo.interfaces.hookspecs import hookimpl
from ganzoo.interfaces.metric import Metric

if TYPE_CHECKING:
    import numpy as np

    from ganzoo.interfaces.metric import Evaluation

NEIGHBOURS = 3
LPIPS_BATCH = 32  # source images per batch; the metric is the mean of the means of batches, as in StarGAN v2
EPS = 1e-4  # step along a path
PERCENTILES = (1, 99)  # path lengths outside these percentiles are discarded
PPL_MAX_SIDE = 256  # px: larger images are average-pooled for the path length
PATH_STREAM = 31  # random number stream, independent of those in `sources`


def _at_least(evaluation: Evaluation, count: int, name: str, why: str) -> None:
    for source, option in ((evaluation.generated, "--samples"), (evaluation.real, "--real")):
        if source.count < count:
            remedy = f"Raise {option}" if source.can_grow else "Add images"
            raise OptionError(
                f"{name}: {source.name} has {format_count(source.count, 'image')}; {why} at least {count}. {remedy}, "
                "or choose another metric."
            )


class FID(Metric):
    name = "fid"
    summary = "Frechet distance between features of generated and real images; lower is better"
    needs = ("features",)

    def check(self, evaluation: Evaluation) -> None:
        _at_least(evaluation, 2, self.name, "a covariance needs")

    def compute(self, evaluation: Evaluation) -> dict[str, float]:
        from ganzoo.metrics.distances import frechet_distance

        return {"fid": frechet_distance(*evaluation.generated_features.moments, *evaluation.real_features.moments)}


class KID(Metric):
    name = "kid"
    summary = "kernel distance between features of generated and real images, with its deviation; lower is better"
    needs = ("features",)
    outputs = ("kid", "kid_std")

    def check(self, evaluation: Evaluation) -> None:
        _at_least(evaluation, 2, self.name, "it needs")

    def compute(self, evaluation: Evaluation) -> dict[str, float]:
        from ganzoo.metrics.distances import SUBSET, kernel_distance

        generated, real = evaluation.generated_features.rows, evaluation.real_features.rows
        mean, deviation = kernel_distance(generated, real, seed=evaluation.seed)
        if len(generated) == len(real) <= SUBSET:  # each subset would contain all rows
            return {"kid": mean}
        return {"kid": mean, "kid_std": deviation}


class PrecisionRecall(Metric):
    name = "pr"
    summary = "fraction of generated images that look real, and of real images that are covered; higher is better"
    needs = ("features",)
    outputs = higher_is_better = ("precision", "recall")

    def check(self, evaluation: Evaluation) -> None:
        _at_least(evaluation, NEIGHBOURS + 1, self.name, f"the {NEIGHBOURS} nearest neighbours need")

    def compute(self, evaluation: Evaluation) -> dict[str, float]:
        import numpy as np

        from ganzoo.metrics.distances import precision_recall

        # Use as many generated as real rows, because the radii shrink as the number of rows grows.
        features = [evaluation.generated_features.rows, evaluation.real_features.rows]
        rng, count = np.random.default_rng(evaluation.seed), min(map(len, features))
        generated, real = (rows[np.sort(rng.permutation(len(rows))[:count])] for rows in features)
        precision, recall = precision_recall(
            generated,
            real,
            NEIGHBOURS,
            lambda blocks: evaluation.progress(list(blocks), "nearest neighbours"),
        )
        return {"precision": precision, "recall": recall}


class LPIPS(Metric):
    name = "lpips"
    summary = (
        "perceptual distance between 10 translations of one image (translation models only); higher is more diverse"
    )
    needs = ("diversity", "perceptual")
    higher_is_better = ("lpips",)

    def check(self, evaluation: Evaluation) -> None:
        from ganzoo.metrics.sources import TranslationSource

        if not isinstance(evaluation.generated, TranslationSource):
            raise OptionError(
                "lpips: measures the diversity of an image's translations; this model doesn't make several."
            )

    def compute(self, evaluation: Evaluation) -> dict[str, float]:
        import numpy as np

        distances = evaluation.diversity
        means = [
            distances[start : start + LPIPS_BATCH].mean(dtype=np.float64)
            for start in range(0, len(distances), LPIPS_BATCH)
        ]
        return {"lpips": float(np.mean(means))}


class PathLength(Metric):
    """Perceptual path length (Karras et al. 2019, section 4.1): the mean perceptual distance, divided by eps^2, between
    the images at positions t and t + eps on the path between two random latents. Paths are spherical in z and linear in
    w; t is random in [0, 1) ('full') or 0 ('end'). Both images have the same noise."""

    needs = ("perceptual",)

    def __init__(self, space: str, sampling: str) -> None:
        self.space, self.sampling = space, sampling
        self.name = f"ppl-{space}-{sampling}"
        where = {"z": "z", "w": "w (style-based models only)"}[space]
        at = {"full": "anywhere on the paths", "end": "at the ends of the paths"}[sampling]
        self.summary = f"perceptual path length in {where}, {at}; lower is smoother"

    def check(self, evaluation: Evaluation) -> None:
        from ganzoo.interfaces.networks import StyleGenerator
        from ganzoo.metrics.sources import GeneratorSource

        if not isinstance(evaluation.generated, GeneratorSource):
            raise OptionError(f"{self.name}: requires a model that generates images from latents.")
        if self.space == "w" and not isinstance(evaluation.generated.generator, StyleGenerator):
            raise OptionError(f"{self.name}: only style-based models have a space w; use ppl-z instead.")

    def compute(self, evaluation: Evaluation) -> dict[str, float]:
        import numpy as np

        from ganzoo.sampling import sampler

        source: Any = evaluation.generated
        path = _Path(source.generator, self.space)
        rng = np.random.default_rng([evaluation.seed, PATH_STREAM])
        chunk = max(1, sampler.chunk_size(source.generator) // 2)
        found = []
        for start in evaluation.progress(range(0, source.count, chunk), self.name):
            count = min(chunk, source.count - start)
            z = rng.standard_normal((2, count, source.generator.latent), "f4")
            t = rng.random((count, 1))
            conditions = source.draw_conditions(rng, count)
            ends = path.ends(z, conditions)
            first, second = path.image_pairs(ends, conditions, t if self.sampling == "full" else 0 * t)
            found.append(evaluation.perceptual.distances(first, second).astype(np.float64) / EPS**2)
        return {self.name: trimmed_mean(np.concatenate(found))}


def trimmed_mean(lengths: np.ndarray) -> float:
    """Return the mean of the lengths from the 1st to the 99th percentile."""
    import numpy as np

    low, high = (
        np.percentile(lengths, PERCENTILES[0], method="lower"),
        np.percentile(lengths, PERCENTILES[1], method="higher"),
    )
    return float(lengths[(lengths >= low) & (lengths <= high)].mean())


class _Path:
    """Generates images on paths between pairs of latents. Both ends of a path have the same class or
    attributes, if there are any."""

    def __init__(self, generator: Any, space: str) -> None:
        from ganzoo.interfaces.networks import StyleGenerator
        from ganzoo.sampling.sampler import Sampler
        from ganzoo.sampling.styles import StyleSampler

        self.generator, self.space = generator, space
        self.style_based = isinstance(generator, StyleGenerator)
        self.sampler = StyleSampler(generator, space=space) if self.style_based else Sampler(generator)

    def ends(self, z: np.ndarray, conditions: np.ndarray | None) -> np.ndarray:
        """Return the endpoints (2, N, length), in z or w, of the paths between latents z (2, N, latent)."""
        import numpy as np

        return np.stack([self.sampler.split(self.sampler.code(each, conditions))[0] for each in z])

    def image_pairs(self, ends: np.ndarray, conditions: np.ndarray | None, t: np.ndarray) -> tuple[Any, Any]:
        """Return two Vars (N, C, H, W): the images at the positions t (N, 1) of the paths, and at t + EPS."""
        from ganzoo.sampling.latents import lerp, slerp

        interpolate: Any = slerp if self.space == "z" else lerp
        vectors = [interpolate(*ends.astype("f8"), position).astype("f4") for position in (t, t + EPS)]
        first, second = (self._generate(each, conditions) for each in vectors)
        return first, second

    def _generate(self, vectors: np.ndarray, conditions: np.ndarray | None) -> Any:
        import numpy as np

        from ganzoo.backend import jittor, run_pending
        from ganzoo.interfaces.noise import constant_noise

        jt = jittor()
        inputs = self.sampler.inputs(vectors if conditions is None else np.concatenate([vectors, conditions], 1))
        with jt.no_grad():
            if self.style_based:
                network = self.generator
                w = inputs[0] if self.space == "w" else network.map(*inputs)
                noise = [jt.array(each) for each in constant_noise(network.noise_sizes(), len(vectors))]
                images = network.synthesise([w] * network.style_layers(), noise)
            else:
                images = self.generator(*inputs)
            while images.shape[2] > PPL_MAX_SIDE:
                from ganzoo.interfaces.layers import average_pool

                images = average_pool(images)
        run_pending()
        return images


@hookimpl
def ganzoo_metrics() -> Iterable[Metric]:
    paths = [PathLength(space, sampling) for space in "zw" for sampling in ("full", "end")]
    return [FID(), KID(), PrecisionRecall(), LPIPS(), *paths]
