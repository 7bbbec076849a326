"""An evaluation as a whole: which images are compared with which, by which metrics, and what comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo.errors import DataError, OptionError, counted, reason
from ganzoo.interfaces.metric import Metric
from ganzoo.metrics.backbones import FEATURES, PERCEPTUAL, Weights, choose
from ganzoo.metrics.evaluation import Evaluation
from ganzoo.metrics.features import FeatureExtractor
from ganzoo.metrics.perceptual import Perceptual
from ganzoo.metrics.sources import MOST, OUTPUTS, Images, Latents, Source, Translations, real_for
from ganzoo.sampling import images

if TYPE_CHECKING:
    import numpy as np

    from ganzoo.interfaces.dataset import DataInfo, Dataset
    from ganzoo.interfaces.translator import Translator

MODES = ("latent", "reference")
STANDARD, STANDARD_TRANSLATING = "fid,kid,pr", "fid,lpips"  # metrics, where none are named
Say = Callable[[str], None]


@dataclass(frozen=True)
class Comparison:
    """Images that were made, beside real ones. A translation has a mode, and the names of two domains."""

    subject: Source
    real: Images
    mode: str = ""
    source: str = ""
    target: str = ""


@dataclass(frozen=True)
class Result:
    """The numbers of a comparison, and how many images were really looked at for them."""

    numbers: dict[str, float]
    samples: int
    real: int
    mode: str = ""
    source: str = ""
    target: str = ""


@dataclass
class Networks:
    """The backbones that some metrics need, opened once. `given` are files of weights that the user names."""

    metrics: Sequence[Metric]
    translating: bool = False
    backbone: str | None = None
    perceptual_backbone: str | None = None
    given: Sequence[Path] = ()
    features: FeatureExtractor | None = field(init=False, default=None)
    perceptual: Perceptual | None = field(init=False, default=None)
    _weights: dict[str, Weights] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Find and check the weights. CheckpointError or OptionError if that fails; nothing is computed for it."""
        usual = ("inception-torchvision", "inception") if self.translating else ("inception",)
        if self._needed("features"):
            self._weights["features"] = choose(FEATURES, self.backbone, self.given, usual)
        if self._needed("perceptual"):
            usual = ("alexnet",) if self.translating else ("vgg16",)
            self._weights["perceptual"] = choose(PERCEPTUAL, self.perceptual_backbone, self.given, usual)

    def _needed(self, what: str) -> bool:
        return any(what in metric.needs for metric in self.metrics)

    def open(self) -> None:
        """Build the networks. CheckpointError if a file is of another network."""
        if "features" in self._weights and self.features is None:
            self.features = FeatureExtractor(self._weights["features"])
        if "perceptual" in self._weights and self.perceptual is None:
            self.perceptual = Perceptual(self._weights["perceptual"])

    def recipe(self) -> dict[str, Any]:
        """The backbones, by what they are for."""
        return {kind: weights.recipe() for kind, weights in self._weights.items()}

    def backbone_of(self, metric: Metric) -> str:
        """The backbone that makes a metric's numbers; none, if it looks at pixels."""
        kinds = [kind for kind in ("perceptual", "features") if kind in metric.needs]
        return self._weights[kinds[0]].backbone.name if kinds else ""


def compare(
    comparisons: Iterable[Comparison],
    networks: Networks,
    seed: int = 0,
    say: Say = lambda line: None,
    keep: Path | None = None,
) -> list[Result]:
    """The numbers of each comparison. OptionError, before anything is computed, if a metric makes no sense for one.

    Generated images are kept as PNG in the folder `keep`, if there is one.
    """
    spread = any("spread" in metric.needs for metric in networks.metrics)
    waiting = list(comparisons)
    check(waiting, networks.metrics)
    networks.open()
    for line in _warnings(waiting, networks):
        say(line)
    results = []
    for number, each in enumerate(waiting):
        kept = Kept(keep, each) if keep else lambda batch: None
        estimates = say if number == 0 else lambda line: None  # the others take as long
        evaluation = Evaluation(
            each.subject, each.real, networks.features, networks.perceptual, seed, spread, kept, estimates
        )
        if keep or networks.features is not None:
            evaluation.generate()
        if networks.features is not None:
            _ = evaluation.real_features
        check([each], networks.metrics)  # again: fewer images may have been readable than there are
        numbers: dict[str, float] = {}
        for metric in networks.metrics:
            numbers.update(metric.compute(evaluation))
        counts = each.subject.count, evaluation.real_count
        results.append(Result(numbers, *counts, each.mode, each.source, each.target))
    return results


class Kept:
    """Writes images as they are generated: 000000.png, or the translations of a pair as MODE/cat2dog/0000_00.png."""

    def __init__(self, folder: Path, comparison: Comparison) -> None:
        self.outputs = OUTPUTS if comparison.target else 1
        pair = (comparison.mode, f"{comparison.source}2{comparison.target}") if comparison.target else ()
        self.folder, self.count = folder.joinpath(*pair), 0
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OptionError(f"--save-images {folder}: can't be made ({reason(error)}).") from error

    def __call__(self, batch: np.ndarray) -> None:
        """Images uint8 (N, H, W, C); of translations, one of each source and then the next of each."""
        sources = len(batch) // self.outputs
        for at, image in enumerate(batch):
            output, source = divmod(at, sources)
            number = f"{self.count + source:04d}_{output:02d}" if self.outputs > 1 else f"{self.count + source:06d}"
            images.save(self.folder / f"{number}.png", image)
        self.count += sources


def _warnings(comparisons: Sequence[Comparison], networks: Networks) -> Iterable[str]:
    """A line for generated and one for real images of which there are too few, however many comparisons there are."""
    if networks.features is None or not any(metric.name == "fid" for metric in networks.metrics):
        return
    width = networks.features.width
    for sources in ([each.subject for each in comparisons], [each.real for each in comparisons]):
        few = {source.name: source.count for source in sources if source.count <= width}
        if few:
            name = min(few, key=lambda each: few[each])
            others = f" (and {counted(len(few) - 1, 'other')})" if len(few) > 1 else ""
            too_few = "1 image is" if few[name] == 1 else f"{few[name]:,} images are"
            yield (
                f"warning: {name}{others}: {too_few} too few for the covariance of {width:,} features; "
                "its FID is too high, and comparable only among as many images. KID does not suffer from it."
            )


def check(comparisons: Iterable[Comparison], metrics: Sequence[Metric]) -> None:
    """OptionError if a metric makes no sense for a comparison."""
    for each in comparisons:
        for metric in metrics:
            metric.check(Evaluation(each.subject, each.real))


def means(results: Sequence[Result]) -> dict[str, dict[str, float]]:
    """The mean of each number over the pairs of domains, by mode."""
    found: dict[str, dict[str, float]] = {}
    for mode in dict.fromkeys(result.mode for result in results):
        those = [result.numbers for result in results if result.mode == mode]
        common = [name for name in those[0] if all(name in each for each in those)]
        found[mode] = {name: sum(each[name] for each in those) / len(those) for name in common}
    return found


def of_generator(
    generator: Any,
    dataset: Dataset,
    data: DataInfo,
    samples: int,
    seed: int = 0,
    most: int | None = None,
    say: Say = lambda line: None,
) -> list[Comparison]:
    """Samples of a generator beside images of a data set, at most as many as `real_for` says, or `most`. `data` says
    how large they are."""
    most = real_for(samples) if most is None else most
    return [Comparison(Latents(generator, samples, seed), Images(dataset, data, most=most, seed=seed, say=say))]


def of_translator(
    translator: Translator,
    dataset: Dataset,
    data: DataInfo,
    samples: int | None = None,
    modes: Sequence[str] = MODES,
    seed: int = 0,
    most: int | None = None,
    say: Say = lambda line: None,
) -> list[Comparison]:
    """All ordered pairs of domains (Choi et al. 2020, appendix C): the images of the first that are kept for
    validation, each redrawn ten times in the second, beside the second's training images. `samples` bounds the images
    made of a pair, and so, unless `most` does, the real ones. OptionError if not one image can be redrawn, DataError if
    a domain has no images."""
    if samples is not None and samples < OUTPUTS:
        raise OptionError(f"--samples {samples}: each image is redrawn {OUTPUTS} times; give {OUTPUTS} at least.")
    if most is None:
        most = MOST if samples is None else real_for(samples)
    kept = dataset.validation()
    if kept is None:
        say(f"{dataset.info.name} keeps no images for validation; those of training are translated.")
        kept = dataset
    few = MOST if samples is None else samples // OUTPUTS
    count = len(data.domains)
    if count < 2:
        raise DataError(
            f"{dataset.info.name}: it has {counted(count, 'domain')}; translations are evaluated between two or more."
        )
    sources = [Images(kept, data, domain=each, most=few, seed=seed, say=say) for each in range(count)]
    references = [Images(kept, data, domain=each, most=most, seed=seed, say=say) for each in range(count)]
    real = [Images(dataset, data, domain=each, most=most, seed=seed, say=say) for each in range(count)]
    return [
        Comparison(
            Translations(
                translator, sources[source], target, references[target] if mode == "reference" else None, seed
            ),
            real[target],
            mode,
            data.domains[source],
            data.domains[target],
        )
        for mode in modes
        for source in range(count)
        for target in range(count)
        if source != target
    ]
