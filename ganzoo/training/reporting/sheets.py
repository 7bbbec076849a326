"""Image sheets saved at each tick: samples, or translations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from ganzoo.data.images import load_resized
from ganzoo.errors import DataError
from ganzoo.interfaces.translator import DirectTranslator
from ganzoo.sampling import latents, sampler, sheets
from ganzoo.sampling.direct_translation import direct_translation_sheet

if TYPE_CHECKING:
    from ganzoo.interfaces.dataset import DataInfo, Dataset
    from ganzoo.interfaces.translator import Translator
    from ganzoo.training.state import TrainState

PSIS = (0.5, 0.7, 1.0)  # truncation psi of each sheet of latents
SEEDS = range(4)
MAX_CLASSES = 16  # rows of a sheet of a class-conditional model


@dataclass(frozen=True)
class TranslationInputs:
    """Images to translate, the same at every tick so that ticks can be compared: uint8 (N, H, W, C), labels (N,)."""

    sources: np.ndarray
    source_domains: np.ndarray
    references: np.ndarray
    reference_domains: np.ndarray

    def all_images(self) -> tuple[np.ndarray, np.ndarray]:
        """Return sources and references together, with their labels."""
        labels = np.concatenate([self.source_domains, self.reference_domains])
        return np.concatenate([self.sources, self.references]), labels


def sample_sheets(
    state: TrainState, inputs: TranslationInputs | None, domains: tuple[str, ...]
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the sheets of a tick as (suffix of the file name, uint8 (H, W, C)). `inputs` are for a translating
    model."""
    translator = state.ema.translator()
    if translator is not None and inputs is not None:
        if isinstance(translator, DirectTranslator):  # one translation per image, without styles
            yield "", direct_translation_sheet(translator, *inputs.all_images(), domains)
        else:
            yield from _translations(translator, inputs, domains)
        return
    rows, columns = sheet_shape(state.upcoming().stage.size)
    generator = state.ema.network(state.setup.generator)
    if generator.classes:
        yield "", _class_sheet(generator, domains, columns)
        return
    seeds = range(rows * columns)
    attributes = None if state.attributes is None else latents.attributes_from_seeds(seeds, state.attributes)
    images = sampler.generate(generator, latents.from_seeds(seeds, generator.latent), attributes)
    yield "", sheets.grid(images, rows, columns)


def _class_sheet(generator: Any, domains: tuple[str, ...], columns: int) -> np.ndarray:
    """Return a sheet with a row per class, of the first MAX_CLASSES. A column shows the same latent in each class."""
    names = latents.class_names(generator.classes, domains)[:MAX_CLASSES]
    z = np.tile(latents.from_seeds(range(columns), generator.latent), (len(names), 1))
    labels = np.eye(generator.classes, dtype=np.float32)[: len(names)].repeat(columns, 0)
    sheet = sheets.grid(sampler.generate(generator, z, labels), len(names), columns)
    return sheets.add_labels(sheet, names)


def _translations(
    translator: Translator, inputs: TranslationInputs, domains: tuple[str, ...]
) -> Iterator[tuple[str, np.ndarray]]:
    from ganzoo.sampling.translation import TranslationSampler, cycle_sheet, latent_sheet, reference_sheet

    sampler = TranslationSampler(translator)
    sources, references, labels = inputs.sources, inputs.references, inputs.reference_domains
    yield "-cycle", cycle_sheet(sampler, sources, inputs.source_domains, references, labels)
    yield "-reference", reference_sheet(sampler, sources, references, labels, domains)
    for psi in PSIS:
        yield f"-latent-psi{psi}", latent_sheet(sampler, sources, domains, psi, SEEDS)


def choose_translation_inputs(dataset: Dataset, data: DataInfo) -> TranslationInputs:
    """Choose sources and references from the validation images and, if these are too few, from the training images too.
    The images alternate between domains, and are the same in every run. As far as possible, each reference is from
    another domain than its source. `data` sets the size and channels. DataError if too few images can be read."""
    count = 4 if data.size > 128 else 6
    found: list[tuple[np.ndarray, int]] = []
    for each in (dataset.validation(), dataset):
        if each is not None:
            found += islice(_alternate_domains(each.at_size(data.size), data), 2 * count - len(found))
    half = len(found) // 2
    if not half:
        raise DataError(f"{dataset.info.name}: too few readable images.")
    images, labels = np.stack([image for image, _ in found]), np.array([label for _, label in found])
    sources, references = np.arange(half), np.arange(half, 2 * half)
    rolled = [np.roll(references, -by) for by in range(half)]
    references = max(rolled, key=lambda order: int((labels[order] != labels[sources]).sum()))
    return TranslationInputs(images[sources], labels[sources], images[references], labels[references])


def _alternate_domains(dataset: Dataset, data: DataInfo) -> Iterator[tuple[np.ndarray, int]]:
    """Yield readable images with their labels: one of each domain, then the next of each, in random order."""
    labels, rng = dataset.labels(), np.random.default_rng(0)
    known = [label for label in np.unique(labels) if label >= 0]
    waiting = [iter(rng.permutation(np.flatnonzero(labels == label))) for label in known]
    while waiting:
        for each in list(waiting):
            index = next(each, None)
            if index is None:
                waiting.remove(each)
            elif (image := _load(dataset, int(index), data)) is not None:
                yield image, int(labels[index])


def _load(dataset: Dataset, index: int, data: DataInfo) -> np.ndarray | None:
    try:
        return load_resized(dataset, index, data.size, data.channels)[0]
    except DataError:
        return None  # the loader reports unreadable images


def sheet_shape(size: int) -> tuple[int, int]:
    """Return the rows and columns of a sheet that shows samples of `size` px and is about 700 px high."""
    rows = int(np.clip(700 // max(size, sheets.MIN_CELL), 2, 8))
    return rows, 2 * rows if size > 128 else rows + rows // 2
