"""Output of `ganzoo generate --source`: translated images, sheets of them, and animated walks between styles."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice, repeat, tee
from pathlib import Path

import numpy as np

from ganzoo.cli.generate.output import write_frames
from ganzoo.errors import OptionError, UnsupportedByModelError, format_count, printable
from ganzoo.interfaces.dataset import DataInfo
from ganzoo.interfaces.translator import DirectTranslator, Translator
from ganzoo.sampling import image_files, translation
from ganzoo.sampling.direct_translation import direction_name, translate_directly
from ganzoo.sampling.generation import progress
from ganzoo.sampling.input_images import InputImages, LazyImages, UniqueNames, filename_part
from ganzoo.sampling.request import TranslateRequest, check_walk_length, parse_domains
from ganzoo.sampling.translation import TranslationSampler
from ganzoo.sampling.translation_sheet import NamedStyle, TranslationSheet, max_rows

MAX_FRAME_IMAGES = 64  # maximum number of translated images in a video frame
MAX_STYLES = 100_000  # maximum number of styles, which are all in memory


class TranslationJob:
    """A translation request, checked as a whole before Jittor is started."""

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

    def write(self, translator: Translator | DirectTranslator, model: str, out: Path) -> Iterator[str]:
        """Write the images or the animation to a folder, and yield lines that describe them. UnsupportedByModelError if
        styles are requested of a translator without."""
        if isinstance(translator, DirectTranslator):
            if flags := self.request.style_flags:
                raise UnsupportedByModelError(f"{flags[0]}: {model} translates images without styles.")
            return self._directions(translator, out)
        sampler = TranslationSampler(translator)
        if self.request.interpolate:
            return self._walk(sampler, out)
        return self._images(sampler, out)

    def _styles(self, sampler: TranslationSampler) -> list[NamedStyle]:
        names, seeds = self.data.domains, self.request.seeds
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

    def _images(self, sampler: TranslationSampler, out: Path) -> Iterator[str]:
        """Write an image of each source in each style, and a sheet of them."""
        styles = self._styles(sampler)
        names, sheet, count = UniqueNames(), TranslationSheet(styles, self.data), 0
        inputs, labels = tee((source, style) for source in self.sources for style in styles)
        generated = sampler.stream((source.pixels, style.code) for source, style in inputs)
        for (source, style), image in zip(labels, progress(generated, len(self.sources) * len(styles), "image")):
            path = out / f"{names.new(f'{source.name}-{style.name}')}.png"
            image_files.save(path, source.without_padding(image))
            sheet.add(source, style, image)
            count += 1
        image_files.save(out / "grid.png", sheet.picture())
        origin = "SEED" if self.references is None else "REFERENCE"
        yield f"{format_count(count, 'image')}: {out}/SOURCE-DOMAIN-{origin}.png"
        yield f"sheet{sheet.extent(len(self.sources))}: {out / 'grid.png'}"

    def _directions(self, translator: DirectTranslator, out: Path) -> Iterator[str]:
        """Write a translation of each image in each direction to a requested domain, and a sheet of them."""
        domains = self.data.domains
        directions = [each for each in translator.directions if each[1] in self.domains]
        if not directions:
            available = ", ".join(direction_name(each, domains) for each in translator.directions)
            raise OptionError(f"--domain {self.request.domain}: no direction leads there; the model has {available}.")
        styles = [NamedStyle(name := direction_name(each, domains), name, np.zeros(0)) for each in directions]
        names, sheet, count = UniqueNames(), TranslationSheet(styles, self.data), 0
        for source in progress(self.sources, len(self.sources), "image"):
            for style, direction in zip(styles, directions):
                (image,) = translate_directly(translator, [source.pixels], direction)
                path = out / f"{names.new(f'{source.name}-{filename_part(style.name)}')}.png"
                image_files.save(path, source.without_padding(image))
                sheet.add(source, style, image)
                count += 1
        image_files.save(out / "grid.png", sheet.picture())
        yield f"{format_count(count, 'image')}: {out}/SOURCE-DIRECTION.png"
        yield f"sheet{sheet.extent(len(self.sources))}: {out / 'grid.png'}"

    def _walk(self, sampler: TranslationSampler, out: Path) -> Iterator[str]:
        request, sources = self.request, np.stack([source.pixels for source in self.sources])
        if self.references is not None:
            indices, names = self.reference_domains, self.data.domains
            frames = translation.reference_walk(sampler, sources, self.references, indices, names, request.steps)
            count = len(translation.schedule(indices, request.steps))
        else:
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
            count = request.steps * len(request.seeds)
        return write_frames(frames, count, request.format, request.fps, out)
