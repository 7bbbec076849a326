"""Output of `ganzoo generate --source`: translated images, sheets of them, and animated walks between styles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, repeat, tee
from pathlib import Path
from typing import Any

import numpy as np

from ganzoo.cli.generate_input import TranslationRequest, check_walk, parse_domains
from ganzoo.cli.generate_output import progress, sheet_room, write_frames
from ganzoo.cli.pictures import Names, Picture, Pictures, Reread, part
from ganzoo.errors import OptionError, counted, printable
from ganzoo.interfaces.dataset import DataInfo
from ganzoo.sampling import image_files, sheets, translation
from ganzoo.sampling.translation import TranslationSampler

COLUMNS = 32  # maximum number of sources on a sheet
CELLS = 64  # maximum number of translated images in a video frame
LOOKS = 100_000  # maximum number of looks, whose styles are all in memory


@dataclass(frozen=True, eq=False)
class Look:
    """A style (width,) to apply to every source. `name` is used in file names; sheets show `label` and, if given,
    `reference`, uint8 (H, W, C)."""

    name: str
    label: str
    style: np.ndarray
    reference: np.ndarray | None = None


class Job:
    """A translation request, checked as a whole before Jittor is started."""

    def __init__(self, request: TranslationRequest, data: DataInfo) -> None:
        self.request, self.data = request, data
        given = None if request.domain is None else parse_domains(request.domain, data.domains)
        self.domains = list(range(len(data.domains))) if given is None else given
        self.sources = Pictures(request.sources, "--source", data)
        self.references: Reread | None = None
        self.reference_domains: list[int] = []
        if request.references:
            # --domain selects from a folder that has several domains.
            others = [name for name in data.domains if given is not None and data.domains.index(name) not in given]
            self.references = Reread(Pictures(request.references, "--reference", data, others))
            self.reference_domains = [self._domain_of(path, given) for path in self.references.paths]
        elif len(self.domains) * len(request.seeds) > LOOKS:
            looks = len(self.domains) * len(request.seeds)
            raise OptionError(f"--seeds: {looks:,} looks are more than the {LOOKS:,} that there may be.")
        if request.interpolate:
            self._check_walk()

    def _domain_of(self, path: Path, given: list[int] | None) -> int:
        """Return the domain given by --domain, or else by the innermost folder named after a domain."""
        if given is not None and len(given) == 1:
            return given[0]
        known = ", ".join(self.data.domains)
        if given is not None:
            raise OptionError(f"--domain {self.request.domain}: --reference takes one domain, of {known}.")
        folders = reversed(path.parts[:-1])
        named = next((folder for folder in folders if folder in self.data.domains), None)
        if named is None:
            raise OptionError(f"--reference {printable(path)}: say with --domain what it is; there are {known}.")
        return self.data.domains.index(named)

    def _check_walk(self) -> None:
        request = self.request
        if self.references is not None and len(self.references) < 2:
            raise OptionError("--interpolate: a walk needs two references at least; --reference gives one.")
        if not request.references and len(request.seeds) < 2:
            raise OptionError("--interpolate: a walk needs two seeds at least; --seeds gives one.")
        check_walk(len(self.references or request.seeds), request.steps)
        rows = 1 if request.references else len(self.domains)
        if rows * len(self.sources) > CELLS:
            asked = f"{counted(len(self.sources), 'source')} in {counted(rows, 'row')}"
            raise OptionError(
                f"--interpolate: {asked} are more than the {CELLS} images of a frame; name fewer with --source"
                + (" or --domain." if rows > 1 else ".")
            )

    def write(self, translator: Any, out: Path) -> Iterator[str]:
        """Write the pictures to a folder, and yield lines that describe them."""
        sampler = TranslationSampler(translator)
        if self.request.interpolate:
            return self._walk(sampler, out)
        return self._stills(sampler, out)

    def _looks(self, sampler: TranslationSampler) -> list[Look]:
        names, seeds = self.data.domains, self.request.seeds
        if self.references is None:
            return [
                Look(f"{part(names[domain])}-seed{seed:04d}", f"{names[domain]} {seed}", style)
                for domain in self.domains
                for seed, style in zip(seeds, sampler.styles_of_seeds(seeds, domain, self.request.psi))
            ]
        styles = sampler.styles_of_images(self.references, np.array(self.reference_domains))
        described = zip(self.references.names, self.reference_domains, styles)
        shown = chain(islice(self.references, sheet_rows(self.data)), repeat(None))  # the sheet shows only these
        return [
            Look(f"{part(names[domain])}-{name}", names[domain], style, reference)
            for (name, domain, style), reference in zip(described, shown)
        ]

    def _stills(self, sampler: TranslationSampler, out: Path) -> Iterator[str]:
        """Write an image of each source in each look, and a sheet of them."""
        looks = self._looks(sampler)
        names, sheet, count = Names(), Sheet(looks, self.data), 0
        jobs, same = tee((source, look) for source in self.sources for look in looks)
        drawn = sampler.stream((source.pixels, look.style) for source, look in jobs)
        for (source, look), image in zip(same, progress(drawn, len(self.sources) * len(looks), "image")):
            image_files.save(out / f"{names.new(f'{source.name}-{look.name}')}.png", image)
            sheet.add(source, look, image)
            count += 1
        image_files.save(out / "grid.png", sheet.picture())
        yield f"{counted(count, 'image')}: {out}/SOURCE-DOMAIN-{'SEED' if self.references is None else 'REFERENCE'}.png"
        yield f"sheet{sheet.extent(len(self.sources))}: {out / 'grid.png'}"

    def _walk(self, sampler: TranslationSampler, out: Path) -> Iterator[str]:
        request, sources = self.request, np.stack([source.pixels for source in self.sources])
        if self.references is not None:
            numbers, names = self.reference_domains, self.data.domains
            frames = translation.reference_walk(sampler, sources, self.references, numbers, names, request.steps)
            count = len(translation.schedule(numbers, request.steps))
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


def sheet_rows(data: DataInfo) -> int:
    """Return how many looks fit on a sheet with a single source and the reference of each look."""
    return max(1, sheet_room(data) // 2 - 1)


class Sheet:
    """A sheet with the sources in the top row and a row for each look below, as many of both as fit."""

    def __init__(self, looks: Sequence[Look], data: DataInfo) -> None:
        self._looks = len(looks)
        self._rows: dict[Look, list[np.ndarray]] = {look: [] for look in looks[: sheet_rows(data)]}
        self._references = looks[0].reference is not None
        room = sheet_room(data) // (len(self._rows) + 1)
        self._columns = min(COLUMNS, max(1, room - self._references))
        self._top: list[Picture] = []

    def add(self, source: Picture, look: Look, image: np.ndarray) -> None:
        """Add a translated image if there is room for it. All images of a source must be added in succession."""
        if source not in self._top[-1:]:
            if len(self._top) == self._columns:
                return
            self._top.append(source)
        if look in self._rows:
            self._rows[look].append(image)

    def picture(self) -> np.ndarray:
        """The sheet, uint8 (H, W, C)."""
        top = [source.pixels for source in self._top]
        if self._references:
            top = [np.full_like(top[0], 255), *top]
        below = [
            image
            for look, drawn in self._rows.items()
            for image in (drawn if look.reference is None else [look.reference, *drawn])
        ]
        sheet = sheets.grid(np.stack([*top, *below]), len(self._rows) + 1, len(top))
        return sheets.labelled(sheet, ["", *(look.label for look in self._rows)])

    def extent(self, sources: int) -> str:
        """Return which of the sources and looks are on the sheet, in words; '' if all of them are."""
        shown = [counted(len(self._top), "source")] if len(self._top) < sources else []
        shown += [counted(len(self._rows), "look")] if len(self._rows) < self._looks else []
        return f" of the first {' and '.join(shown)}" if shown else ""
