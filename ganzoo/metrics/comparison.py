"""Comparisons of generated with real images: building them, and computing metrics for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ganzoo.data.attributes import read_attributes
from ganzoo.errors import DataError, OptionError, UnsupportedByModelError, format_count, reason
from ganzoo.interfaces.metric import Metric
from ganzoo.interfaces.translator import DirectTranslator
from ganzoo.metrics.backbones import FEATURES, PERCEPTUAL, Weights, choose
from ganzoo.metrics.evaluation import Evaluation
from ganzoo.metrics.features import FeatureExtractor
from ganzoo.metrics.perceptual import Perceptual
from ganzoo.metrics.sources import (
    DEFAULT_MAX_IMAGES,
    TRANSLATIONS_PER_SOURCE,
    DatasetSource,
    DirectTranslationSource,
    GeneratorSource,
    Source,
    TranslationSource,
    default_real_count,
)
from ganzoo.sampling import image_files

if TYPE_CHECKING:
    from ganzoo.interfaces.dataset import DataInfo, Dataset
    from ganzoo.interfaces.translator import Translator

TRANSLATION_MODES = ("latent", "reference")
DIRECT = "direct"  # the mode of translations without styles
STANDARD, STANDARD_TRANSLATING, STANDARD_DIRECT = "fid,kid,pr", "fid,lpips", "fid"  # default metrics
Log = Callable[[str], None]


@dataclass(frozen=True)
class Comparison:
    """Generated images and the real ones to compare them with. For translations, `mode`, `source` and `target` name the
    mode and the two domains. For the images of one class, the mode is 'class' and `target` names the class."""

    generated: Source
    real: DatasetSource
    mode: str = ""
    source: str = ""
    target: str = ""


@dataclass(frozen=True)
class Result:
    """The numbers of a comparison, and how many generated and real images were actually used."""

    numbers: dict[str, float]
    samples: int
    real: int
    mode: str = ""
    source: str = ""
    target: str = ""


@dataclass
class Networks:
    """The backbones that the metrics need, each opened once. `given` are the user's weight files."""

    metrics: Sequence[Metric]
    translating: bool = False
    backbone: str | None = None
    perceptual_backbone: str | None = None
    given: Sequence[Path] = ()
    features: FeatureExtractor | None = field(init=False, default=None)
    perceptual: Perceptual | None = field(init=False, default=None)
    _weights: dict[str, Weights] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Find and verify the weights, without computing anything. CheckpointError or OptionError if that fails."""
        preferred = ("inception-torchvision", "inception") if self.translating else ("inception",)
        if self._needed("features"):
            self._weights["features"] = choose(FEATURES, self.backbone, self.given, preferred)
        if self._needed("perceptual"):
            preferred = ("alexnet",) if self.translating else ("vgg16",)
            self._weights["perceptual"] = choose(PERCEPTUAL, self.perceptual_backbone, self.given, preferred)

    def _needed(self, need: str) -> bool:
        return any(need in metric.needs for metric in self.metrics)

    def open(self) -> None:
        """Build the networks. CheckpointError if a weight file belongs to another network."""
        if "features" in self._weights and self.features is None:
            self.features = FeatureExtractor(self._weights["features"])
        if "perceptual" in self._weights and self.perceptual is None:
            self.perceptual = Perceptual(self._weights["perceptual"])

    def recipe(self) -> dict[str, Any]:
        """Return the recipes of the backbones by purpose: 'features' or 'perceptual'."""
        return {kind: weights.recipe() for kind, weights in self._weights.items()}

    def backbone_of(self, metric: Metric) -> str:
        """Return the name of the backbone that a metric uses, or "" if it uses pixels only."""
        kinds = [kind for kind in ("perceptual", "features") if kind in metric.needs]
        return self._weights[kinds[0]].backbone.name if kinds else ""


def compare(
    comparisons: Iterable[Comparison],
    networks: Networks,
    seed: int = 0,
    log: Log = lambda line: None,
    save_images: Path | None = None,
) -> list[Result]:
    """Compute the metrics for each comparison. Save generated images as PNG in the folder `save_images`, if given.

    Raises OptionError, before anything is computed, if a metric does not apply to one of the comparisons.
    """
    diversity = any("diversity" in metric.needs for metric in networks.metrics)
    comparisons = list(comparisons)
    check(comparisons, networks.metrics)
    networks.open()
    for line in _warnings(comparisons, networks):
        log(line)
    results = []
    for index, comparison in enumerate(comparisons):
        on_images = ImageSaver(save_images, comparison) if save_images else lambda batch: None
        log_estimate = log if index == 0 else lambda line: None  # the others take about as long
        evaluation = Evaluation(
            comparison.generated,
            comparison.real,
            networks.features,
            networks.perceptual,
            seed,
            diversity,
            on_images,
            log_estimate,
        )
        if save_images or networks.features is not None:
            evaluation.generate()
        if networks.features is not None:
            _ = evaluation.real_features
        check([comparison], networks.metrics)  # again, because unreadable images reduce the counts
        numbers: dict[str, float] = {}
        for metric in networks.metrics:
            numbers.update(metric.compute(evaluation))
        counts = comparison.generated.count, evaluation.real_count
        results.append(Result(numbers, *counts, comparison.mode, comparison.source, comparison.target))
    return results


class ImageSaver:
    """Saves images as they are generated: as 000000.png, of a class as class/CLASS/000000.png, or, for translations, as
    MODE/cat2dog/0000_00.png with the numbers of the source and of the output."""

    def __init__(self, folder: Path, comparison: Comparison) -> None:
        self.outputs = TRANSLATIONS_PER_SOURCE if comparison.mode in TRANSLATION_MODES else 1
        name = f"{comparison.source}2{comparison.target}" if comparison.source else comparison.target
        self.folder, self.sources_saved = folder.joinpath(*(comparison.mode, name) if name else ()), 0
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OptionError(f"--save-images {folder}: can't be created ({reason(error)}).") from error

    def __call__(self, batch: np.ndarray) -> None:
        """Save images uint8 (N, H, W, C). Translations are ordered by output, then by source."""
        sources = len(batch) // self.outputs
        for index, image in enumerate(batch):
            output, source = divmod(index, sources)
            number = (
                f"{self.sources_saved + source:04d}_{output:02d}"
                if self.outputs > 1
                else f"{self.sources_saved + source:06d}"
            )
            image_files.save(self.folder / f"{number}.png", image)
        self.sources_saved += sources


def _warnings(comparisons: Sequence[Comparison], networks: Networks) -> Iterable[str]:
    """Yield at most two warnings: one if a set of generated images is too small for FID, and one if a set of real
    images is."""
    if networks.features is None or not any(metric.name == "fid" for metric in networks.metrics):
        return
    width = networks.features.width
    for sources in ([each.generated for each in comparisons], [each.real for each in comparisons]):
        few = {source.name: source.count for source in sources if source.count <= width}
        if few:
            name = min(few, key=lambda each: few[each])
            others = f" (and {format_count(len(few) - 1, 'other')})" if len(few) > 1 else ""
            too_few = "1 image is" if few[name] == 1 else f"{few[name]:,} images are"
            yield (
                f"warning: {name}{others}: {too_few} too few for the covariance of {width:,} features; "
                "FID is biased upwards and comparable only at the same sample count. KID is not affected."
            )


def check(comparisons: Iterable[Comparison], metrics: Sequence[Metric]) -> None:
    """Raise OptionError if a metric does not apply to a comparison."""
    for each in comparisons:
        for metric in metrics:
            metric.check(Evaluation(each.generated, each.real))


def means(results: Sequence[Result]) -> dict[str, dict[str, float]]:
    """Return, for each mode, the mean of each number over the pairs of domains, if all pairs have the number."""
    found: dict[str, dict[str, float]] = {}
    for mode in dict.fromkeys(result.mode for result in results):
        of_mode = [result.numbers for result in results if result.mode == mode]
        common = [name for name in of_mode[0] if all(name in each for each in of_mode)]
        found[mode] = {name: sum(each[name] for each in of_mode) / len(of_mode) for name in common}
    return found


def modes_of(translator: Translator | DirectTranslator | None) -> tuple[str, ...]:
    """Return the modes in which a translator is compared; a single empty one for a model that does not translate."""
    if translator is None:
        return ("",)
    return (DIRECT,) if isinstance(translator, DirectTranslator) else TRANSLATION_MODES


def generator_comparisons(
    generator: Any,
    dataset: Dataset,
    data: DataInfo,
    samples: int,
    seed: int = 0,
    max_real: int | None = None,
    log: Log = lambda line: None,
    per_class: bool = False,
) -> list[Comparison]:
    """Return the comparison of samples from a generator with at most `max_real` images of a data set (None: as many as
    `default_real_count` says). The real images are fitted to the size and channels of `data`.

    Samples of a class-conditional generator have the classes' frequencies in the data set. With `per_class`, there is a
    comparison for each class instead, of as many samples. A generator with attributes gets those of random images of
    the data set. DataError if the classes are not the data set's domains or the attributes are not the data set's,
    UnsupportedByModelError for `per_class` without classes.
    """
    max_real = default_real_count(samples) if max_real is None else max_real

    def real(domain: int | None = None) -> DatasetSource:
        return DatasetSource(dataset, data, domain=domain, max_images=max_real, seed=seed, log=log)

    classes = generator.classes
    if not classes:
        if per_class:
            raise UnsupportedByModelError("--per-class: the model has no classes.")
        attributes = _attributes(dataset, data) if generator.attributes else None
        return [Comparison(GeneratorSource(generator, samples, seed, attributes=attributes), real())]
    names = dataset.info.domains
    if len(names) != classes or names != data.domains:
        theirs, ours = ", ".join(names) or "none", ", ".join(data.domains) or f"{classes} classes"
        raise DataError(f"{dataset.info.name}: its domains ({theirs}) differ from the model's classes ({ours}).")
    if per_class:
        return [
            Comparison(GeneratorSource(generator, samples, seed, each, name), real(index), "class", "", name)
            for index, (each, name) in enumerate(zip(np.eye(classes), names))
        ]
    labels = dataset.labels()
    counts = np.bincount(labels[labels >= 0], minlength=classes)  # images that can't be read have the label -1
    return [Comparison(GeneratorSource(generator, samples, seed, counts / counts.sum()), real())]


def _attributes(dataset: Dataset, data: DataInfo) -> np.ndarray | None:
    """Return the attributes of every image. DataError if they are not those that the networks were built for."""
    if dataset.info.attributes != data.attributes:
        theirs, ours = (", ".join(each.attributes) or "none" for each in (dataset.info, data))
        raise DataError(f"{dataset.info.name}: its attributes ({theirs}) differ from the model's ({ours}).")
    return read_attributes(dataset)


def translator_comparisons(
    translator: Translator | DirectTranslator,
    dataset: Dataset,
    data: DataInfo,
    samples: int | None = None,
    modes: Sequence[str] = TRANSLATION_MODES,
    seed: int = 0,
    max_real: int | None = None,
    log: Log = lambda line: None,
) -> list[Comparison]:
    """Return a comparison for each mode and ordered pair of domains (Choi et al. 2020, appendix C). It compares the
    validation images of the first domain, each translated ten times to the second, with training images of the second.
    A translator without styles has a comparison for each direction, with each image translated once.

    `samples` limits the translations per pair and, unless `max_real` is given, the real images. Raises OptionError if
    `samples` is below the number of translations per image, DataError if there are fewer than two domains or a domain
    has no images.
    """
    direct = isinstance(translator, DirectTranslator)
    per_source = 1 if direct else TRANSLATIONS_PER_SOURCE
    if samples is not None and samples < per_source:
        raise OptionError(
            f"--samples {samples}: each image is translated {per_source} times; give at least {per_source}."
        )
    if max_real is None:
        max_real = DEFAULT_MAX_IMAGES if samples is None else default_real_count(samples)
    validation = dataset.validation()
    if validation is None:
        log(f"{dataset.info.name} has no validation images; translating training images instead.")
        validation = dataset
    max_sources = DEFAULT_MAX_IMAGES if samples is None else samples // per_source
    count = len(data.domains)
    if count < 2:
        raise DataError(
            f"{dataset.info.name}: has {format_count(count, 'domain')}; evaluating translations requires at least two."
        )

    def by_domain(images: Dataset, max_images: int) -> list[DatasetSource]:
        return [
            DatasetSource(images, data, domain=each, max_images=max_images, seed=seed, log=log) for each in range(count)
        ]

    sources, real = by_domain(validation, max_sources), by_domain(dataset, max_real)
    if isinstance(translator, DirectTranslator):
        return [
            Comparison(
                DirectTranslationSource(translator, sources[source], (source, target)),
                real[target],
                DIRECT,
                data.domains[source],
                data.domains[target],
            )
            for source, target in translator.directions
        ]
    references = by_domain(validation, max_real)
    return [
        Comparison(
            TranslationSource(
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
