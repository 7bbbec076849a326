"""The bundled metrics: FID, KID, precision and recall, LPIPS diversity, perceptual path length.

This module is imported for every `--help`, so it imports NumPy only when a metric is computed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ganzoo.errors import OptionError, counted
from ganzoo.interfaces.hookspecs import hookimpl
from ganzoo.interfaces.metric import Metric

if TYPE_CHECKING:
    import numpy as np

    from ganzoo.interfaces.metric import Evaluation

NEIGHBOURS = 3
LPIPS_BATCH = 32  # sources per batch: like StarGAN v2, LPIPS averages the means of batches
EPS = 1e-4
TRIMMED = (1, 99)  # path lengths outside these percentiles are discarded
LARGEST = 256  # px: larger images are average-pooled for the path length
PATH_STREAM = 31


def _at_least(evaluation: Evaluation, count: int, name: str, why: str) -> None:
    for source, option in ((evaluation.subject, "--samples"), (evaluation.real, "--real")):
        if source.count < count:
            remedy = f"Raise {option}" if source.bounded else "Add images"
            raise OptionError(
                f"{name}: {source.name} has {counted(source.count, 'image')}; {why} needs at least {count}. {remedy}, "
                "or choose another metric."
            )


class FID(Metric):
    name = "fid"
    summary = "Frechet distance of features to those of real images; lower is better"
    needs = ("features",)

    def check(self, evaluation: Evaluation) -> None:
        _at_least(evaluation, 2, self.name, "a covariance")

    def compute(self, evaluation: Evaluation) -> dict[str, float]:
        from ganzoo.metrics.distances import frechet_distance

        return {"fid": frechet_distance(*evaluation.generated.moments, *evaluation.real_features.moments)}


class KID(Metric):
    name = "kid"
    summary = "kernel distance of features to those of real images, and its deviation over subsets; lower is better"
    needs = ("features",)
    numbers = ("kid", "kid_std")

    def check(self, evaluation: Evaluation) -> None:
        _at_least(evaluation, 2, self.name, "it")

    def compute(self, evaluation: Evaluation) -> dict[str, float]:
        from ganzoo.metrics.distances import SUBSET, kernel_distance

        generated, real = evaluation.generated.rows, evaluation.real_features.rows
        mean, deviation = kernel_distance(generated, real, seed=evaluation.seed)
        if len(generated) == len(real) <= SUBSET:  # each subset would contain all rows
            return {"kid": mean}
        return {"kid": mean, "kid_std": deviation}


class PrecisionRecall(Metric):
    name = "pr"
    summary = "share of generated images that look real, and of real ones that are covered; higher is better"
    needs = ("features",)
    numbers = higher = ("precision", "recall")

    def check(self, evaluation: Evaluation) -> None:
        _at_least(evaluation, NEIGHBOURS + 1, self.name, f"finding the {NEIGHBOURS} nearest neighbours of each")

    def compute(self, evaluation: Evaluation) -> dict[str, float]:
        import numpy as np

        from ganzoo.metrics.distances import precision_recall

        # Equally many of each, because the radii of the balls shrink as the number of rows grows.
        sets = [evaluation.generated.rows, evaluation.real_features.rows]
        rng, count = np.random.default_rng(evaluation.seed), min(map(len, sets))
        generated, real = (rows[np.sort(rng.permutation(len(rows))[:count])] for rows in sets)
        precision, recall = precision_recall(
            generated,
            real,
            NEIGHBOURS,
            lambda blocks: evaluation.progress(list(blocks), "nearest neighbours"),
        )
        return {"precision": precision, "recall": recall}


class LPIPS(Metric):
    name = "lpips"
    summary = "perceptual distance among 10 translations of one image, of models that translate; higher is more diverse"
    needs = ("spread", "perceptual")
    higher = ("lpips",)

    def check(self, evaluation: Evaluation) -> None:
        from ganzoo.metrics.sources import Translations

        if not isinstance(evaluation.subject, Translations):
            raise OptionError(
                "lpips: it measures the diversity of translations, and this model does not translate images."
            )

    def compute(self, evaluation: Evaluation) -> dict[str, float]:
        import numpy as np

        spread = evaluation.spread
        means = [spread[at : at + LPIPS_BATCH].mean(dtype=np.float64) for at in range(0, len(spread), LPIPS_BATCH)]
        return {"lpips": float(np.mean(means))}


class PathLength(Metric):
    """Perceptual path length (Karras et al. 2019, section 4.1): the mean perceptual distance, divided by eps^2, between
    images whose latents are a fraction eps apart on the path between two random latents. Paths are spherical in z and
    linear in w; positions are random ('full') or at the start of paths ('end'). Both images have the same noise."""

    needs = ("perceptual",)

    def __init__(self, space: str, places: str) -> None:
        self.space, self.places = space, places
        self.name = f"ppl-{space}-{places}"
        of = {"z": "z", "w": "w, of style-based models"}[space]
        at = {"full": "anywhere on paths", "end": "at ends of paths"}[places]
        self.summary = f"perceptual path length in {of}, {at}; lower is smoother"

    def check(self, evaluation: Evaluation) -> None:
        from ganzoo.interfaces.networks import StyleGenerator
        from ganzoo.metrics.sources import Latents

        if not isinstance(evaluation.subject, Latents):
            raise OptionError(f"{self.name}: it needs a generator of images from latents.")
        if self.space == "w" and not isinstance(evaluation.subject.generator, StyleGenerator):
            raise OptionError(f"{self.name}: only style-based models have a space w; ask for ppl-z.")

    def compute(self, evaluation: Evaluation) -> dict[str, float]:
        import numpy as np

        from ganzoo.sampling import sampler

        subject: Any = evaluation.subject
        path = _Path(subject.generator, self.space)
        rng = np.random.default_rng([evaluation.seed, PATH_STREAM])
        at_once = max(1, sampler.at_once(subject.generator) // 2)
        found = []
        for start in evaluation.progress(range(0, subject.count, at_once), self.name):
            count = min(at_once, subject.count - start)
            z = rng.standard_normal((2, count, subject.generator.latent), "f4")
            t = rng.random((count, 1))
            ends = path.codes(z)
            first, second = path.images(ends, t if self.places == "full" else 0 * t)
            found.append(evaluation.perceptual.distances(first, second).astype(np.float64) / EPS**2)
        return {self.name: trimmed_mean(np.concatenate(found))}


def trimmed_mean(lengths: np.ndarray) -> float:
    """Return the mean of the lengths from the 1st to the 99th percentile."""
    import numpy as np

    low, high = np.percentile(lengths, TRIMMED[0], method="lower"), np.percentile(lengths, TRIMMED[1], method="higher")
    return float(lengths[(lengths >= low) & (lengths <= high)].mean())


class _Path:
    """Images on the paths between pairs of latents."""

    def __init__(self, generator: Any, space: str) -> None:
        from ganzoo.interfaces.networks import StyleGenerator

        self.generator, self.space = generator, space
        self.styled = isinstance(generator, StyleGenerator)

    def codes(self, z: np.ndarray) -> Any:
        """Return the endpoints (2, N, length), in z or w, of the paths between latents z (2, N, latent)."""
        import numpy as np

        if self.space == "z":
            return z
        from ganzoo.sampling.styles import StyleSampler

        return np.stack([StyleSampler(self.generator).map(each) for each in z])

    def images(self, ends: Any, t: np.ndarray) -> tuple[Any, Any]:
        """Return two Vars (N, C, H, W): the images at the positions t (N, 1) of the paths, and at t + EPS."""
        from ganzoo.sampling.latents import lerp, slerp

        between: Any = slerp if self.space == "z" else lerp
        codes = [between(*ends.astype("f8"), place).astype("f4") for place in (t, t + EPS)]
        return self._drawn(codes[0]), self._drawn(codes[1])

    def _drawn(self, codes: np.ndarray) -> Any:
        from ganzoo.backend import jittor, run_pending
        from ganzoo.interfaces.noise import constant_noise

        jt = jittor()
        with jt.no_grad():
            if self.styled:
                network = self.generator
                w = jt.array(codes) if self.space == "w" else network.map(jt.array(codes))
                noise = [jt.array(each) for each in constant_noise(network.noise_sizes(), len(codes))]
                images = network.synthesise([w] * network.style_layers(), noise)
            else:
                images = self.generator(jt.array(codes))
            while images.shape[2] > LARGEST:
                from ganzoo.interfaces.layers import average_pool

                images = average_pool(images)
        run_pending()
        return images


@hookimpl
def ganzoo_metrics() -> Iterable[Metric]:
    paths = [PathLength(space, places) for space in "zw" for places in ("full", "end")]
    return [FID(), KID(), PrecisionRecall(), LPIPS(), *paths]
