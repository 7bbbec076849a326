"""The tasks of `ganzoo evaluate`: compare a checkpoint with a data set, or a folder of images with another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo import backend
from ganzoo.data.catalog import open_data, training_data_of
from ganzoo.data.fitted import with_fit
from ganzoo.errors import DataError, OptionError, UnsupportedByModelError, printable
from ganzoo.metrics.comparison import (
    STANDARD,
    STANDARD_DIRECT,
    STANDARD_TRANSLATING,
    TRANSLATION_MODES,
    Comparison,
    Log,
    Networks,
    compare,
    generator_comparisons,
    modes_of,
    translator_comparisons,
)
from ganzoo.metrics.report import make_record
from ganzoo.metrics.sources import DEFAULT_MAX_IMAGES, DatasetSource, default_real_count

if TYPE_CHECKING:
    from ganzoo.checkpoints.checkpoint import Checkpoint
    from ganzoo.interfaces.dataset import DataInfo, Dataset
    from ganzoo.interfaces.metric import Metric
    from ganzoo.registry.plugins import Registry

SAMPLES = 10_000
QUICK, QUICK_PER_PAIR = 500, 100  # for --quick: generated and real images; translations per pair of domains
FIT_WORDS = {"crop": "", "pad": ", padded", "stretch": ", stretched"}


@dataclass(frozen=True)
class Task:
    """An evaluation to run. `about` describes it in the record; `modes` are those of its comparisons (see `modes_of`).
    `comparisons` builds networks, so call it only after Jittor has started. Records are saved in `folder`, unless it is
    None."""

    about: dict[str, Any]
    modes: tuple[str, ...]
    comparisons: Callable[[], list[Comparison]]
    folder: Path | None = None

    @property
    def translating(self) -> bool:
        """Whether translated images are compared."""
        return self.modes != ("",)

    @property
    def standard_metrics(self) -> str:
        """The names of the metrics that are measured by default."""
        with_styles = self.modes == TRANSLATION_MODES
        return STANDARD_TRANSLATING if with_styles else STANDARD_DIRECT if self.translating else STANDARD


def checkpoint_task(
    saved: Checkpoint,
    folder: Path,
    registry: Registry,
    *,
    against: str | None = None,
    samples: int | None = None,
    max_real: int | None = None,
    mode: str | None = None,
    seed: int = 0,
    quick: bool = False,
    log: Log = lambda line: None,
    per_class: bool = False,
) -> Task:
    """Return the task of comparing a checkpoint with the data set `against` (None: the one it was trained on). With
    `quick`, the default numbers of images are smaller. With `per_class`, each class of a class-conditional model is
    compared by itself. `mode` is one of TRANSLATION_MODES (None: both). DataError or OptionError if checkpoint and data
    don't match, UnsupportedByModelError if the model lacks what is asked."""
    from ganzoo.checkpoints import loading

    model, data = saved.model(registry), saved.data
    # An imported checkpoint has no data: the name in its options is only the model's default.
    named, path = (None, None) if data.count == 0 else (saved.run.data_name, saved.run.data_path)
    try:
        data_name = training_data_of(named, path, registry, option="--against") if against is None else against
    except (DataError, OptionError) as error:
        raise type(error)(f"{saved.path}: {error}") from error
    dataset = _open_real(data_name, saved.run.labels, registry, against is not None)
    if data.channels == 4 and dataset.has_alpha:
        dataset = dataset.with_alpha()
    option = f"--data {data_name}" if against is None else f"--against {against}"
    dataset = with_fit(dataset, data.fit, f"{option}, for a model trained with --fit {data.fit}")
    size = loading.trained_sizes(saved, registry)[-1]  # in px, the resolution that training had reached
    data = replace(data, size=size)
    found_modes = modes_of(loading.translator_of(saved, registry))
    translating = found_modes != ("",)
    if translating and tuple(dataset.info.domains) != data.domains:
        ours, theirs = (", ".join(names) or "none" for names in (data.domains, dataset.info.domains))
        raise DataError(f"{data_name}: domains ({theirs}) differ from the model's ({ours}).")

    if mode and found_modes != TRANSLATION_MODES:
        raise UnsupportedByModelError("--mode: only valid for models that translate images in different styles.")
    if translating and per_class:
        raise UnsupportedByModelError(f"--per-class: {model.name} translates images; each pair of domains has a row.")
    if quick:
        samples = (QUICK_PER_PAIR if translating else QUICK) if samples is None else samples
        max_real = QUICK if max_real is None else max_real

    def comparisons() -> list[Comparison]:
        if translating:
            translator = loading.load_translator(saved, registry)
            modes = [mode] if mode else TRANSLATION_MODES
            return translator_comparisons(translator, dataset, data, samples, modes, seed, max_real, log)
        generator = loading.load_generator(saved, registry)
        return generator_comparisons(generator, dataset, data, samples or SAMPLES, seed, max_real, log, per_class)

    images = saved.metadata.progress.images
    about = {
        "subject": describe_subject(model.name, images, data),
        "against": dataset.info.name,
        "model": model.name,
        "checkpoint": saved.path.name,
        "images": images,
        **describe_images(data),
    }
    return Task(about, found_modes, comparisons, folder)


def _open_real(name: str, labels: str | None, registry: Registry, against: bool) -> Dataset:
    """Open the real images, with the labels that the run was trained on. Other images than those that it was trained on
    may lack them, and then have their default labels."""
    option = "--against" if against else "--data"
    try:
        return open_data(name, registry, option, labels=labels)
    except OptionError:
        if not against or labels is None:
            raise
        return open_data(name, registry, option)


def folders_task(
    generated: str,
    real: str,
    *,
    size: int | None = None,
    fit: str | None = None,
    samples: int | None = None,
    max_real: int | None = None,
    seed: int = 0,
    quick: bool = False,
    log: Log = lambda line: None,
) -> Task:
    """Return the task of comparing the images in one folder, zip or LMDB with those in another. They become square by
    `fit` (see `DataInfo`; None: as an LMDB was prepared, otherwise crop). DataError if `size` is None and the images
    differ in size, OptionError if an LMDB was prepared with another `fit`."""
    if samples is None:
        samples = QUICK if quick else DEFAULT_MAX_IMAGES
    if max_real is None:
        max_real = QUICK if quick else default_real_count(samples)
    from ganzoo.data.storage import open_path

    paths = [Path(each).expanduser() for each in (generated, real)]
    opened = [open_path(path, labels="none") for path in paths]
    if size is None and opened[0].info.size != opened[1].info.size:
        both = " and ".join(f"{printable(path)} has {each.info.size} px" for path, each in zip(paths, opened))
        raise DataError(f"--folders: image sizes differ: {both}. Use --size to resize both.")
    prepared = next((each.info.fit for each in opened if each.info.fit != "crop"), "crop")
    datasets = [with_fit(each, fit or prepared, "" if fit else "--folders") for each in opened]
    channels = max(each.info.channels for each in opened)
    for path, each in zip(paths, opened):
        if each.info.channels < 3:
            log(f"{printable(path)}: images are grey; the channel is repeated three times for the network.")
    strict, side = size is None, opened[0].info.size if size is None else size
    generated_images, real_images = (
        DatasetSource(
            each, replace(each.info, size=side, channels=channels), max_images=limit, seed=seed, strict=strict, log=log
        )
        for each, limit in zip(datasets, (samples, max_real))
    )
    about = {
        "subject": f"{printable(paths[0])}{FIT_WORDS[fit or prepared]}",
        "against": printable(paths[1]),
        **describe_images(replace(datasets[0].info, size=side, channels=channels)),
    }
    return Task(about, ("",), lambda: [Comparison(generated_images, real_images)])


def describe_images(data: DataInfo) -> dict[str, Any]:
    """Return the entries of a record about the images: their size and channels, and `fit` unless they are cropped."""
    entries = {"size": data.size, "channels": data.channels}
    return entries if data.fit == "crop" else {**entries, "fit": data.fit}


def describe_subject(model: str, images: int, data: DataInfo) -> str:
    """Return a description of what is evaluated, for the user."""
    colours = {1: "grey", 3: "RGB", 4: "RGBA over white"}[data.channels]
    return f"{model} at {images / 1000:g} kimg, {data.size} px, {colours}{FIT_WORDS[data.fit]}"


def measure(
    task: Task,
    metrics: Sequence[Metric],
    *,
    backbone: str | None = None,
    perceptual: str | None = None,
    weights: Sequence[Path] = (),
    seed: int = 0,
    log: Log = lambda line: None,
    image_folder: Path | None = None,
) -> dict[str, Any]:
    """Compute the metrics of a task, and return the record (see `report.save`). The generated images are saved in
    `image_folder`."""
    networks = Networks(metrics, task.translating, backbone, perceptual, weights)
    with backend.show_compilation("evaluating"):
        results = compare(task.comparisons(), networks, seed, log, image_folder)
    return make_record(task.about, networks, results, seed)
