"""What `ganzoo generate --source` and the Python API request of a translator: its images, or a walk between styles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice, repeat, tee
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ganzoo import backend
from ganzoo.checkpoints.loading import load_translator
from ganzoo.errors import OptionError, UnsupportedByModelError, format_count, printable
from ganzoo.interfaces.dataset import DataInfo
from ganzoo.interfaces.translator import DirectTranslator, Translator
from ganzoo.sampling import translation
from ganzoo.sampling.direct_translation import direction_name, translate_directly
from ganzoo.sampling.generation import progress
from ganzoo.sampling.input_images import InputImage, InputImages, LazyImages, filename_part
from ganzoo.sampling.request import TranslateRequest, check_walk_length, parse_domains
from ganzoo.sampling.translation import TranslationSampler
from ganzoo.sampling.translation_sheet import NamedStyle, max_rows

if TYPE_CHECKING:
    from ganzoo.checkpoints.checkpoint import Checkpoint
    from ganzoo.registry.plugins import Registry

MAX_FRAME_IMAGES = 64  # maximum number of translated images in a video frame
MAX_STYLES = 100_000  # maximum number of styles, which are all in memory


def open_translation(
    saved: Checkpoint, registry: Registry, request: TranslateRequest, device: str
) -> tuple[TranslationJob, Translator | DirectTranslator]:
    """Check a request, start Jittor, and return the job and the checkpoint's translator. UnsupportedByModelError if the
    model does not translate images; other errors are those of `TranslationJob`."""
    require_translation(saved, registry)
    job = TranslationJob(request, saved.data)
    backend.start(device)
    return job, load_translator(saved, registry)


def require_translation(saved: Checkpoint, registry: Registry) -> None:
    """Raise UnsupportedByModelError if it is clear without building the model that it does not translate images."""
    model = saved.model(registry)
    if not model.is_conditional(saved.options(model)) or not saved.data.domains:
        raise UnsupportedByModelError(
            f"--source: {model.name} generates images from latents; it can't translate images."
        )


class TranslationJob:
    """A translation request, checked as a whole before Jittor is started. `sampler` may be set to an earlier one of the
    same translator, which knows its mean styles."""

    sampler: TranslationSampler | None = None

    def __init__(self, request: TranslateRequest, data: DataInfo) -> None:
        self.request, self.data = request, data
        chosen = None if request.domain is None else parse_domains(request.domain, data.domains)
        self.domains = list(range(len(data.domains))) if chosen is None else chosen
        self.sources = InputImages(request.sources, "--source", data)
        self.references: LazyImages | None = None
        self.reference_domains: list[int] = []
        if request.references:
            # --domain selects from a folder that has several domains.
            others = [name for name in data.domains if chosen is not None and data.domains.index(name) not in chosen]
            self.references = LazyImages(InputImages(request.references, "--reference", data, others))
            self.reference_domains = [self._domain_of(path, chosen) for path in self.references.paths]
        elif len(self.domains) * len(request.seeds) > MAX_STYLES:
            styles = len(self.domains) * len(request.seeds)
            raise OptionError(f"--seeds: {styles:,} styles exceed the maximum of {MAX_STYLES:,}.")
        if request.interpolate:
            self._check_walk_length()

    def _domain_of(self, path: Path, chosen: list[int] | None) -> int:
        """Return the domain given by --domain, or else by the innermost folder named after a domain."""
        if chosen is not None and len(chosen) == 1:
            return chosen[0]
        known = ", ".join(self.data.domains)
        if chosen is not None:
            raise OptionError(
                f"--domain {self.request.domain}: --reference requires a single domain; choose from {known}."
            )
        folders = reversed(path.parts[:-1])
        domain = next((folder for folder in folders if folder in self.data.domains), None)
        if domain is None:
            raise OptionError(f"--reference {printable(path)}: name its domain with --domain: {known}.")
        return self.data.domains.index(domain)

    def _check_walk_length(self) -> None:
        request = self.request
        if self.references is not None and len(self.references) < 2:
            raise OptionError("--interpolate: a walk needs at least two references, but --reference names one.")
        if not request.references and len(request.seeds) < 2:
            raise OptionError("--interpolate: a walk needs at least two seeds, but --seeds names one.")
        check_walk_length(len(self.references or request.seeds), request.steps)
        rows = 1 if request.references else len(self.domains)
        if rows * len(self.sources) > MAX_FRAME_IMAGES:
            requested = f"{format_count(len(self.sources), 'source')} in {format_count(rows, 'row')}"
            raise OptionError(
                f"--interpolate: {requested} exceed the maximum of {MAX_FRAME_IMAGES} images per frame; use fewer "
                f"with --source{' or --domain' if rows > 1 else ''}."
            )

    def styles(self, translator: Translator | DirectTranslator, model: str) -> list[NamedStyle]:
        """Return the styles in which each source is translated; of a translator without styles, its directions.
        UnsupportedByModelError if the request needs styles that there are not, OptionError if no direction leads to a
        requested domain."""
        if isinstance(translator, DirectTranslator):
            if flags := self.request.style_flags:
                raise UnsupportedByModelError(f"{flags[0]}: {model} translates images without styles.")
            return self._directions(translator)
        sampler, names, seeds = self._sampler_of(translator), self.data.domains, self.request.seeds
        if self.references is None:
            return [
                NamedStyle(f"{filename_part(names[domain])}-seed{seed:04d}", f"{names[domain]} {seed}", style)
                for domain in self.domains
                for seed, style in zip(seeds, sampler.styles_of_seeds(seeds, domain, self.request.psi))
            ]
        styles = sampler.styles_of_images(self.references, np.array(self.reference_domains))
        described = zip(self.references.names, self.reference_domains, styles)
        on_sheet = chain(islice(self.references, max_rows(self.data)), repeat(None))  # the sheet shows only these
        return [
            NamedStyle(f"{filename_part(names[domain])}-{name}", names[domain], style, reference)
            for (name, domain, style), reference in zip(described, on_sheet)
        ]

    def _sampler_of(self, translator: Translator) -> TranslationSampler:
        if self.sampler is None:
            self.sampler = TranslationSampler(translator)
        return self.sampler

    def _directions(self, translator: DirectTranslator) -> list[NamedStyle]:
        """Return a style for each direction to a requested domain, with the direction as its code."""
        directions = [each for each in translator.directions if each[1] in self.domains]
        if not directions:
            available = ", ".join(direction_name(each, self.data.domains) for each in translator.directions)
            raise OptionError(f"--domain {self.request.domain}: no direction leads there; the model has {available}.")
        names = [direction_name(each, self.data.domains) for each in directions]
        return [NamedStyle(filename_part(name), name, np.array(each)) for name, each in zip(names, directions)]

    def images(
        self, translator: Translator | DirectTranslator, styles: Sequence[NamedStyle]
    ) -> Iterator[tuple[InputImage, NamedStyle, np.ndarray]]:
        """Yield each source in each style: the source, the style and the image uint8 (H, W, C)."""
        pairs, labels = tee((source, style) for source in self.sources for style in styles)
        if isinstance(translator, DirectTranslator):
            translated: Iterator[np.ndarray] = (
                next(iter(translate_directly(translator, [source.pixels], (int(style.code[0]), int(style.code[1])))))
                for source, style in pairs
            )
        else:
            sampler = self._sampler_of(translator)
            translated = sampler.stream((source.pixels, style.code) for source, style in pairs)
        images = progress(translated, len(self.sources) * len(styles), "image")
        for (source, style), image in zip(labels, images):
            yield source, style, image

    def walk(self, translator: Translator) -> tuple[Iterator[np.ndarray], int]:
        """Return the frames uint8 (H, W, C) of a walk from style to style, and their number."""
        sampler = self._sampler_of(translator)
        request, sources = self.request, np.stack([source.pixels for source in self.sources])
        if self.references is not None:
            indices, names = self.reference_domains, self.data.domains
            frames = translation.reference_walk(sampler, sources, self.references, indices, names, request.steps)
            return frames, len(translation.schedule(indices, request.steps))
        domains = {domain: self.data.domains[domain] for domain in self.domains}
        frames = translation.latent_walk(
            sampler,
            sources,
            domains,
            request.seeds,
            psi=request.psi,
            steps=request.steps,
            space=request.space,
            path=request.path,
        )
        return frames, request.steps * len(request.seeds)
