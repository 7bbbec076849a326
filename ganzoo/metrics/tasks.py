"""The tasks of `ganzoo evaluate`: compare a checkpoint with a data set, or a folder of images with another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo.data.catalog import former_data, open_data
from ganzoo.errors import DataError, OptionError, printable
from ganzoo.metrics.comparing import MODES, Comparison, Say, of_generator, of_translator
from ganzoo.metrics.sources import MOST, Images, real_for

if TYPE_CHECKING:
    from ganzoo.checkpoints.checkpoint import Checkpoint
    from ganzoo.interfaces.dataset import DataInfo
    from ganzoo.registry.plugins import Registry

SAMPLES = 10_000
QUICK, QUICK_PER_PAIR = 500, 100  # for --quick: generated and real images; translations per pair of domains


@dataclass(frozen=True)
class Task:
    """An evaluation to run. `about` describes it in the record. `comparisons` builds networks, so call it only after
    Jittor has started. Records are saved in `folder`, unless it is None."""

    about: dict[str, Any]
    translating: bool
    comparisons: Callable[[], list[Comparison]]
    folder: Path | None = None


def of_checkpoint(
    saved: Checkpoint,
    folder: Path,
    registry: Registry,
    *,
    against: str | None = None,
    samples: int | None = None,
    most: int | None = None,
    modes: Sequence[str] = MODES,
    seed: int = 0,
    quick: bool = False,
    say: Say = lambda line: None,
) -> Task:
    """Return the task of comparing a checkpoint with the data set `against` (None: the one it was trained on). With
    `quick`, the default numbers of images are smaller. DataError or OptionError if the two don't match."""
    from ganzoo.checkpoints import loading

    model, data = saved.model(registry), saved.data
    # An imported checkpoint has no data: its options name only the default of the model.
    named, path = (None, None) if data.count == 0 else (saved.run.data_name, saved.run.data_path)
    try:
        wanted = former_data(named, path, registry, "--against") if against is None else against
    except (DataError, OptionError) as error:
        raise type(error)(f"{saved.path}: {error}") from error
    dataset = open_data(wanted, registry, "--data" if against is None else "--against")
    size = loading.trained_sizes(saved, registry)[-1]
    data = replace(data, size=size)
    translating = loading.is_translator(saved, registry)
    if translating and tuple(dataset.info.domains) != data.domains:
        ours, theirs = (", ".join(names) or "none" for names in (data.domains, dataset.info.domains))
        raise DataError(f"{wanted}: its domains ({theirs}) are not those of the model ({ours}).")

    if quick:
        samples = (QUICK_PER_PAIR if translating else QUICK) if samples is None else samples
        most = QUICK if most is None else most

    def comparisons() -> list[Comparison]:
        if translating:
            translator = loading.load_translator(saved, registry)
            return of_translator(translator, dataset, data, samples, modes, seed, most, say)
        generator = loading.load_generator(saved, registry)
        return of_generator(generator, dataset, data, samples or SAMPLES, seed, most, say)

    images = saved.metadata.progress.images
    about = {
        "subject": subject(model.name, images, data),
        "against": dataset.info.name,
        "model": model.name,
        "checkpoint": saved.path.name,
        "images": images,
        "size": size,
        "channels": data.channels,
    }
    return Task(about, translating, comparisons, folder)


def of_folders(
    generated: str,
    real: str,
    *,
    size: int | None = None,
    samples: int | None = None,
    most: int | None = None,
    seed: int = 0,
    quick: bool = False,
    say: Say = lambda line: None,
) -> Task:
    """Return the task of comparing the images in one folder, zip or LMDB with those in another. DataError if `size` is
    None and the images differ in size."""
    if samples is None:
        samples = QUICK if quick else MOST
    if most is None:
        most = QUICK if quick else real_for(samples)
    from ganzoo.data.storage import open_path

    sets = [open_path(Path(each).expanduser(), domains=False) for each in (generated, real)]
    if size is None and sets[0].info.size != sets[1].info.size:
        both = " and ".join(f"{printable(each.path)} of {each.info.size} px" for each in sets)
        raise DataError(f"--folders: their sizes differ, {both}. Name a size to scale both to, with --size.")
    channels = max(each.info.channels for each in sets)
    for each in sets:
        if each.info.channels < 3:
            say(f"{printable(each.path)}: its images are grey; the network sees three times the same.")
    strict, side = size is None, sets[0].info.size if size is None else size
    subject, others = (
        Images(each, replace(each.info, size=side, channels=channels), most=bound, seed=seed, strict=strict, say=say)
        for each, bound in zip(sets, (samples, most))
    )
    about = {
        "subject": printable(sets[0].path),
        "against": printable(sets[1].path),
        "size": side,
        "channels": channels,
    }
    return Task(about, False, lambda: [Comparison(subject, others)])


def subject(model: str, images: int, data: DataInfo) -> str:
    """Describe for the user what is evaluated."""
    return f"{model} at {images / 1000:g} kimg, {data.size} px, {'grey' if data.channels == 1 else 'RGB'}"
