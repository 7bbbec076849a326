"""The tasks of `ganzoo evaluate`: compare a checkpoint with a data set, or a folder of images with another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo.data.catalog import open_data, training_data_of
from ganzoo.errors import DataError, OptionError, UnsupportedByModelError, printable
from ganzoo.metrics.comparison import (
    TRANSLATION_MODES,
    Comparison,
    Log,
    generator_comparisons,
    modes_of,
    translator_comparisons,
)
from ganzoo.metrics.sources import DEFAULT_MAX_IMAGES, DatasetSource, default_real_count

if TYPE_CHECKING:
    from ganzoo.checkpoints.checkpoint import Checkpoint
    from ganzoo.interfaces.dataset import DataInfo
    from ganzoo.registry.plugins import Registry

SAMPLES = 10_000
QUICK, QUICK_PER_PAIR = 500, 100  # for --quick: generated and real images; translations per pair of domains


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


def checkpoint_task(
    saved: Checkpoint,
    folder: Path,
    registry: Registry,
    *,
    against: str | None = None,
    samples: int | None = None,
    max_real: int | None = None,
    modes: Sequence[str] = TRANSLATION_MODES,
    seed: int = 0,
    quick: bool = False,
    log: Log = lambda line: None,
    per_class: bool = False,
) -> Task:
    """Return the task of comparing a checkpoint with the data set `against` (None: the one it was trained on). With
    `quick`, the default numbers of images are smaller. With `per_class`, each class of a class-conditional model is
    compared by itself. DataError or OptionError if checkpoint and data don't match."""
    from ganzoo.checkpoints import loading

    model, data = saved.model(registry), saved.data
    # An imported checkpoint has no data: the name in its options is only the model's default.
    named, path = (None, None) if data.count == 0 else (saved.run.data_name, saved.run.data_path)
    try:
        data_name = training_data_of(named, path, registry, option="--against") if against is None else against
    except (DataError, OptionError) as error:
        raise type(error)(f"{saved.path}: {error}") from error
    dataset = open_data(data_name, registry, option="--data" if against is None else "--against")
    if data.channels == 4 and dataset.has_alpha:
        dataset = dataset.with_alpha()
    size = loading.trained_sizes(saved, registry)[-1]  # in px, the resolution that training had reached
    data = replace(data, size=size)
    found_modes = modes_of(loading.translator_of(saved, registry))
    translating = found_modes != ("",)
    if translating and tuple(dataset.info.domains) != data.domains:
        ours, theirs = (", ".join(names) or "none" for names in (data.domains, dataset.info.domains))
        raise DataError(f"{data_name}: domains ({theirs}) differ from the model's ({ours}).")

    if translating and per_class:
        raise UnsupportedByModelError(f"--per-class: {model.name} translates images; each pair of domains has a row.")
    if quick:
        samples = (QUICK_PER_PAIR if translating else QUICK) if samples is None else samples
        max_real = QUICK if max_real is None else max_real

    def comparisons() -> list[Comparison]:
        if translating:
            translator = loading.load_translator(saved, registry)
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
        "size": size,
        "channels": data.channels,
    }
    return Task(about, found_modes, comparisons, folder)


def folders_task(
    generated: str,
    real: str,
    *,
    size: int | None = None,
    samples: int | None = None,
    max_real: int | None = None,
    seed: int = 0,
    quick: bool = False,
    log: Log = lambda line: None,
) -> Task:
    """Return the task of comparing the images in one folder, zip or LMDB with those in another. DataError if `size` is
    None and the images differ in size."""
    if samples is None:
        samples = QUICK if quick else DEFAULT_MAX_IMAGES
    if max_real is None:
        max_real = QUICK if quick else default_real_count(samples)
    from ganzoo.data.storage import open_path

    datasets = [open_path(Path(each).expanduser(), domains=False) for each in (generated, real)]
    if size is None and datasets[0].info.size != datasets[1].info.size:
        both = " and ".join(f"{printable(each.path)} has {each.info.size} px" for each in datasets)
        raise DataError(f"--folders: image sizes differ: {both}. Use --size to resize both.")
    channels = max(each.info.channels for each in datasets)
    for each in datasets:
        if each.info.channels < 3:
            log(f"{printable(each.path)}: images are grey; the channel is repeated three times for the network.")
    strict, side = size is None, datasets[0].info.size if size is None else size
    generated_images, real_images = (
        DatasetSource(
            each, replace(each.info, size=side, channels=channels), max_images=limit, seed=seed, strict=strict, log=log
        )
        for each, limit in zip(datasets, (samples, max_real))
    )
    about = {
        "subject": printable(datasets[0].path),
        "against": printable(datasets[1].path),
        "size": side,
        "channels": channels,
    }
    return Task(about, ("",), lambda: [Comparison(generated_images, real_images)])


def describe_subject(model: str, images: int, data: DataInfo) -> str:
    """Return a description of what is evaluated, for the user."""
    colours = {1: "grey", 3: "RGB", 4: "RGBA over white"}[data.channels]
    return f"{model} at {images / 1000:g} kimg, {data.size} px, {colours}"
