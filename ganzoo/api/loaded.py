"""A run or checkpoint, loaded to generate from: what `ganzoo.load` returns."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from ganzoo import backend
from ganzoo.api.arguments import (
    grid_text,
    image_paths,
    layers_text,
    list_text,
    points_text,
    seeds_text,
    settings_text,
)
from ganzoo.api.controls import Controls, controls_of_generator, controls_of_translator
from ganzoo.api.notebook import card
from ganzoo.api.pictures import FPS, Animation, Images
from ganzoo.api.scores import Scores, evaluate_run
from ganzoo.api.validation import validation_images
from ganzoo.backend import exclusive
from ganzoo.checkpoints.loading import load_translator, translator_of
from ganzoo.checkpoints.opening import open_checkpoint
from ganzoo.errors import OptionError, RunError
from ganzoo.interfaces.dataset import DataInfo, Dataset
from ganzoo.interfaces.translator import DirectTranslator
from ganzoo.registry import plugins
from ganzoo.reports import save_report
from ganzoo.runs import Run, measured_values
from ganzoo.sampling import latents
from ganzoo.sampling.generation import Row, progress
from ganzoo.sampling.input_images import UniqueNames, filename_part
from ganzoo.sampling.plane import place_name
from ganzoo.sampling.request import VALUES, GenerateRequest, parse_request, parse_translation_request
from ganzoo.sampling.selection import (
    open_generator,
    requested_images,
    requested_mixing,
    requested_walk,
    rows_of,
    sampler_of,
)
from ganzoo.sampling.translation import TranslationSampler
from ganzoo.sampling.translation_job import TranslationJob, require_translation
from ganzoo.sharing.card import CardOptions
from ganzoo.sharing.files import write_card
from ganzoo.sharing.push import push

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ganzoo.checkpoints.checkpoint import Checkpoint
    from ganzoo.checkpoints.description import Lineage
    from ganzoo.registry.plugins import Registry

StrPath = str | os.PathLike[str]


def load(name: StrPath | int = "latest", *, experiments: StrPath = "experiments", device: str = "auto") -> LoadedRun:
    """Load a run to generate from: its path, number or name in the folder `experiments`, 'latest', the path of a
    checkpoint, 'zoo:NAME', a trained model, or 'hf:USER/NAME' on Hugging Face. A run's newest intact checkpoint is
    used. `device` is 'auto', 'cpu' or 'cuda'.

    Nothing is computed yet. Raises RunError if there is no such run, OptionError if the zoo has no such model,
    CheckpointError if checkpoints are damaged or can't be downloaded.
    """
    registry = plugins.load()
    wanted = str(name) if isinstance(name, int) else os.fspath(name)
    saved, folder = open_checkpoint(wanted, Path(experiments), registry, lambda *found: found, warnings.warn)
    saved.model(registry)  # raises if its plugin is missing
    return LoadedRun(saved, folder, registry, device)


class Look(TypedDict, total=False):
    """Arguments for how images look: the `classes` (an index, a name, a list, 'all', or a dictionary from names to
    numbers of images); `attributes`, a dictionary; of style-based models truncation `psi`, the `psi_layers` that it
    affects, and `noise` ('const', 'random' or 'none'); `size`, a resolution (px) that the model was trained at."""

    classes: Any
    attributes: Any
    psi: float
    psi_layers: int | str
    noise: str
    size: int


class LoadedRun:
    """A run at one of its checkpoints. Its methods do what the command line does, and give the same pixels.

    They take what the options of `ganzoo generate` and `ganzoo evaluate` take, and raise OptionError for a wrong value.
    `seeds` are a number, a list, a range or a text such as '0-31'. The methods may be called from any thread; others
    wait meanwhile.
    """

    def __init__(self, saved: Checkpoint, folder: Path, registry: Registry, device: str = "auto") -> None:
        self._saved, self._registry, self._device = saved, registry, device
        self._generators: dict[int | None, Any] = {}
        self._samplers: dict[int | None, Any] = {}  # the last one of each generator
        self._translator: Any = None
        self._translations: TranslationSampler | None = None
        self.path, self.checkpoint = folder, saved.path

    @property
    def model(self) -> str:
        """The name of the model."""
        return self._saved.run.model

    @property
    def kimg(self) -> float:
        """How long the networks were trained, in thousands of real images."""
        return self._saved.metadata.progress.kimg

    @property
    def data(self) -> DataInfo:
        """The data that the model was trained on, at the size of its images."""
        return self._saved.data

    @property
    def options(self) -> dict[str, Any]:
        """The options of the run, by name."""
        return {**(self._saved.run.train or {}), **self._saved.run.options}

    @property
    def lineage(self) -> Lineage | None:
        """The weights that the run started with, if it started with those of another run or a checkpoint."""
        return self._saved.run.lineage

    @property
    def controls(self) -> Controls:
        """What can be chosen when the run generates or translates images. Loads its networks."""
        with exclusive():
            backend.start(self._device)
            if translator_of(self._saved, self._registry) is not None:
                return controls_of_translator(self._loaded_translator(), self._saved.data)
            return controls_of_generator(*self._generator(None))

    def validation(self) -> Dataset | None:
        """Return the validation images of the data that the run was trained on (the training images if none are
        reserved), or None if they are not on this machine."""
        return validation_images(self._saved, self._registry)

    def generate(
        self,
        seeds: Any = None,
        *,
        at: Any = None,
        mix_with: int | None = None,
        mix_layers: Any = None,
        **look: Unpack[Look],
    ) -> Images:
        """Generate an image for each seed, and for each class if the model has classes. For `look` see `Look`.

        `at` are points of the plane of seeds instead: (3, 2) is seed 203, and (3.5, 2) lies between the seeds 203 and
        204. Images of a style-based model get the style of the seed `mix_with` in `mix_layers`: 'coarse', 'middle',
        'fine', a number or a range.
        """
        request = self._request(seeds=seeds, at=at, mix_with=mix_with, mix_layers=mix_layers, **look)
        with self._sampler(request) as (sampler, data):
            rows = rows_of(request, sampler, data)
            images = np.stack(list(requested_images(sampler, request, rows)))
            if request.points:
                prefixes = [f"{filename_part(row.name)}-" if row.name else "" for row in rows]
                names = [prefix + place_name(point) for prefix, row in zip(prefixes, rows) for point in row.seeds]
                return Images(images, rows, names=names)
            seeds = [seed for row in rows for seed in row.seeds]
            return Images(images, rows, latents.from_seeds(seeds, sampler.generator.latent))

    def interpolate(
        self,
        seeds: Any = None,
        *,
        at: Any = None,
        steps: int | None = None,
        grid: Any = None,
        space: str | None = None,
        path: str | None = None,
        fps: int = FPS,
        **look: Unpack[Look],
    ) -> Animation:
        """Return a looping walk through the latents of the seeds, or of points of their plane (see `generate`), `steps`
        frames from one to the next, which are all kept in memory. With a `grid` (rows, columns), each cell walks
        through its share of the seeds. For `look` see `Look`."""
        walk = {"steps": steps, "grid": grid, "space": space, "path": path}
        request = self._request(interpolate=True, seeds=seeds, at=at, **walk, **look)
        if not 1 <= fps <= 120:
            raise OptionError(f"--fps: {fps!r} is not a whole number from 1 to 120.")
        with self._sampler(request) as (sampler, data):
            frames, count = requested_walk(sampler, request, data)
            return Animation(np.stack(list(progress(frames, count, "frame"))), fps)

    def frames(
        self, seeds: Any = None, *, at: Any = None, steps: int | None = None, **look: Unpack[Look]
    ) -> Iterator[np.ndarray]:
        """Yield the frames uint8 (H, W, C) of `interpolate` with a single cell, one by one. Other threads can use the
        run between two frames. For `look` see `Look`."""
        request = self._request(interpolate=True, seeds=seeds, at=at, steps=steps, grid="1x1", **look)
        with self._sampler(request) as (sampler, data):
            sampler.max_chunk = 1
            walk, _ = requested_walk(sampler, request, data)
        while True:
            with exclusive():
                frame = next(walk, None)
            if frame is None:
                return
            yield frame

    def mix(self, sources: Any = None, destinations: Any = None, *, layers: Any = None, **look: Unpack[Look]) -> Images:
        """Return a style-mixing sheet, one picture uint8 (H, W, C): each destination (left) with the style of each
        source (top) in some `layers`: 'coarse', 'middle', 'fine', a number or a range. For `look` see `Look`."""
        request = self._request(mix=True, sources=sources, destinations=destinations, mix_layers=layers, **look)
        with self._sampler(request) as (sampler, data):
            return Images(requested_mixing(sampler, request, data)[0])

    def translate(
        self,
        images: Any,
        *,
        domain: Any = None,
        seeds: Any = None,
        reference: Any = None,
        psi: float | None = None,
    ) -> Images:
        """Translate images, in a row each: to each `domain` in the style of each seed, or of each `reference`.

        `images` and `reference` are a path of an image or a folder, an array uint8 (H, W, C) or (N, H, W, C), an image
        of Pillow, or a list of such. They get the size and channels of the model's images. The result has padding where
        the model was trained with it; `names` says which translation each image is.
        """
        values: dict[str, Any] = {**dict.fromkeys(VALUES), "psi": psi, "seeds": seeds_text("seeds", seeds)}
        values["domain"] = list_text("domain", domain)
        with exclusive(), tempfile.TemporaryDirectory() as folder:
            values["source"] = image_paths("source", images, Path(folder) / "source")
            values["reference"] = image_paths("reference", reference, Path(folder) / "reference")
            request = parse_translation_request(values)
            require_translation(self._saved, self._registry)
            job = TranslationJob(request, self._saved.data)
            translator = self._loaded_translator()
            job.sampler = self._translations
            styles = job.styles(translator, self.model)
            translated = list(job.images(translator, styles))
        rows = [Row(range(len(styles))) for _ in range(len(translated) // len(styles))]
        unique = UniqueNames()
        names = [unique.new(f"{source.name}-{style.name}") for source, style, _ in translated]
        return Images(np.stack([image for _, _, image in translated]), rows, names=names)

    def evaluate(
        self,
        metrics: str | Sequence[str] | None = None,
        *,
        samples: int | None = None,
        real: int | None = None,
        quick: bool = False,
        against: StrPath | None = None,
        per_class: bool = False,
        mode: str | None = None,
        backbone: str | None = None,
        perceptual: str | None = None,
        weights: Sequence[StrPath] = (),
        seed: int = 0,
    ) -> Scores:
        """Measure metrics, such as 'fid,kid', as `ganzoo evaluate` does, and add them to the run's evaluations."""
        with exclusive():
            backend.start(self._device)
            return evaluate_run(
                self._saved,
                self.path,
                self._registry,
                metrics=list_text("metrics", metrics),
                samples=samples,
                max_real=real,
                quick=quick,
                against=None if against is None else os.fspath(against),
                per_class=per_class,
                mode=mode,
                backbone=backbone,
                perceptual=perceptual,
                weights=[Path(each) for each in weights],
                seed=seed,
            )

    def save_card(
        self, path: StrPath | None = None, *, license: str | None = None, datasets: Sequence[str] = ()
    ) -> Path:
        """Write the card of the run to a Markdown file (None: README.md in its folder), with a sheet of samples beside
        it, and return its path. `license` is an identifier such as 'mit', `datasets` the names that Hugging Face has
        the training data under. OptionError if the file exists."""
        options = CardOptions(license, datasets)
        out = None if path is None else Path(path)
        with exclusive():
            return write_card(self._saved, self.path, self._registry, options, out, self._device)[0]

    def save_report(self, path: StrPath | None = None) -> Path:
        """Write the report of the run to an HTML file (None: report.html in its folder), and return its path. It has
        the samples over time, curves, numbers and warnings. RunError for a checkpoint outside a run's folder."""
        if not Run(self.path).options_file.exists():
            raise RunError(f"{self.checkpoint} is not in the folder of a run, so there are no statistics to report.")
        return save_report([Run(self.path)], self._registry, path)

    def push(
        self,
        repository: str,
        *,
        private: bool = False,
        slim: bool = False,
        all_networks: bool = False,
        license: str | None = None,
        datasets: Sequence[str] = (),
    ) -> str:
        """Upload the run to the repository 'USER/NAME' on Hugging Face, and return its URL. For `slim` and
        `all_networks` see `ganzoo push`, for `license` and `datasets` `save_card`. OptionError without a token or the
        extra `hub`; CheckpointError if the upload fails."""
        with exclusive():
            return push(
                self._saved,
                self.path,
                self._registry,
                repository,
                CardOptions(license, datasets),
                private=private,
                slim=slim,
                all_networks=all_networks,
                device=self._device,
                say=print,
            ).url

    @property
    def stats(self) -> Any:
        """The statistics of the run at each tick: columns by name (NaN where a value is missing), as a DataFrame if
        pandas is installed, else as a dictionary of arrays."""
        rows = [
            {name: row.get(name) for name in ("images", "kimg", "size", "images_per_second")} | measured_values(row)
            for row in Run(self.path).stats()
        ]
        names = dict.fromkeys(name for row in rows for name in row)
        columns = {
            name: np.array([np.nan if row.get(name) is None else row[name] for row in rows], np.float64)
            for name in names
        }
        try:
            import pandas
        except ImportError:
            return columns
        return pandas.DataFrame(columns)

    def __repr__(self) -> str:
        return f"<ganzoo run {self.path.name}: {self.model} at {self.kimg:g} kimg, {self.data.size} px>"

    def _repr_html_(self) -> str:
        return card(self)

    def _request(self, **given: Any) -> GenerateRequest:
        classes = list_text("class", given.pop("classes", None))
        if unknown := given.keys() - VALUES:
            known = ", ".join(Look.__annotations__)
            raise TypeError(f"unexpected argument {min(unknown)!r}; besides those of its own it takes {known}")
        values: dict[str, Any] = {
            **dict.fromkeys(VALUES),
            **given,
            "class": classes,
            "at": points_text(given.get("at")),
        }
        values["attributes"] = settings_text("attributes", values["attributes"])
        for name in ("seeds", "sources", "destinations"):
            values[name] = seeds_text(name, values[name])
        for name in ("mix_layers", "psi_layers"):
            values[name] = layers_text(name, values[name])
        values["grid"] = grid_text(values["grid"])
        return parse_request(values)

    @contextmanager
    def _sampler(self, request: GenerateRequest) -> Iterator[tuple[Any, DataInfo]]:
        """Yield a sampler for the request, and the data at the size of its images. Generators stay in memory."""
        with exclusive():
            generator, data = self._generator(request.size)
            sampler = sampler_of(self._saved, generator, request)
            if request.size in self._samplers:
                sampler.reuse(self._samplers[request.size])
            self._samplers[request.size] = sampler
            yield sampler, data

    def _generator(self, size: int | None) -> tuple[Any, DataInfo]:
        if size not in self._generators:
            self._generators[size] = open_generator(self._saved, self._registry, size, self._device)
        generator, data = self._generators[size]
        return generator, data

    def _loaded_translator(self) -> Any:
        if self._translator is None:
            backend.start(self._device)
            self._translator = load_translator(self._saved, self._registry)
            if not isinstance(self._translator, DirectTranslator):
                self._translations = TranslationSampler(self._translator)
        return self._translator
