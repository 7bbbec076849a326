"""Image-to-image translation: sampling from a translator, and sheets and walks of its images.

Choi et al., StarGAN v2: Diverse Image Synthesis for Multiple Domains, 2020, arXiv:1912.01865.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from typing import Any

import numpy as np

from ganzoo.backend import jittor, run_pending
from ganzoo.backend.pixels import to_floats, to_uint8
from ganzoo.interfaces.translator import Translator
from ganzoo.sampling import sheets
from ganzoo.sampling.latents import PATHS, from_seeds, lerp, loop
from ganzoo.sampling.sampler import MAX_CHUNK, MAX_PIXELS

MEAN_SEED, MEAN_LATENTS = 17, 10_000  # seed and number of the latents that estimate a domain's mean style
MAX_LATENTS = 1000  # mapped to styles at once
MAX_SHEET_DOMAINS = 5  # on a latent sheet

Domains = Any  # the domain of each image, (N,), or one number for all
Images = np.ndarray | Sequence[np.ndarray]  # uint8 (N, H, W, C), or N times (H, W, C), possibly lazy


class TranslationSampler:
    """Applies a translator to any number of NumPy images, uint8 (N, H, W, C), and styles, float32 (N, width).

    Images are processed in chunks that fit in memory. An output depends only on its own image and style, not on the
    others in its chunk. Mean styles are cached, so create a new sampler when the weights have changed.
    """

    def __init__(self, translator: Translator) -> None:
        self.translator = translator
        self._means: dict[int, np.ndarray] = {}

    def mean(self, domain: int) -> np.ndarray:
        """Return the mean style of a domain, float64 (width,), over 10,000 fixed latents."""
        if domain not in self._means:
            shape = MEAN_LATENTS, self.translator.latent
            z = np.random.default_rng(MEAN_SEED).standard_normal(shape, "f4")
            self._means[domain] = self._styles(z, domain).mean(0, dtype=np.float64)
        return self._means[domain]

    def _styles(self, z: np.ndarray, domain: int) -> np.ndarray:
        jt = jittor()
        parts = [z[start : start + MAX_LATENTS] for start in range(0, len(z), MAX_LATENTS)]
        with jt.no_grad():
            styles = [
                self.translator.style_of_latents(jt.array(part), np.full(len(part), domain)).numpy() for part in parts
            ]
        return np.concatenate(styles)

    def styles_of_latents(self, z: np.ndarray, domain: int, psi: float = 1.0) -> np.ndarray:
        """Return the styles of latents z (N, latent) in a domain, truncated: mean + psi * (style - mean). psi 1 leaves
        them unchanged; psi 0 gives the mean style of the domain."""
        styles = self._styles(z, domain)
        if psi == 1:
            return styles
        mean = self.mean(domain)
        return (mean + psi * (styles - mean)).astype(np.float32)

    def styles_of_seeds(self, seeds: Sequence[int], domain: int, psi: float = 1.0) -> np.ndarray:
        """Return the truncated styles of the seeds' latents in a domain."""
        return self.styles_of_latents(from_seeds(seeds, self.translator.latent), domain, psi)

    def styles_of_images(self, references: Images, domains: Domains) -> np.ndarray:
        """Return the styles of reference images, each encoded for its domain, loading one chunk at a time."""
        jt = jittor()
        styles = []
        with jt.no_grad():
            for chunk, numbers in chunks(zip(references, np.broadcast_to(domains, len(references)))):
                styles.append(self.translator.style_of_images(jt.array(to_floats(chunk)), numbers).numpy())
                run_pending()
        return np.concatenate(styles)

    def stream(self, pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray]:
        """Yield a translation uint8 (H, W, C) for each pair of an image (H, W, C) and a style (width,)."""
        for sources, styles in chunks(pairs):
            yield from to_uint8(self.translate(sources, styles))

    def translate(self, sources: np.ndarray, styles: np.ndarray) -> np.ndarray:
        """Return the translations float32 (N, C, H, W), not limited to [-1, 1], of N sources in one batch."""
        jt = jittor()
        with jt.no_grad():
            translated: np.ndarray = self.translator.translate(jt.array(to_floats(sources)), jt.array(styles)).numpy()
        run_pending()
        return translated

    def cycle(self, sources: np.ndarray, styles: np.ndarray, own_styles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Translate each image to its new style and from there back to its own style, which should restore the image.
        Return the translated and the restored images as uint8."""
        jt = jittor()
        translated, restored = [], []
        for chunk, new, own in chunks(zip(sources, styles, own_styles)):
            with jt.no_grad():
                # Translate back before the conversion to uint8, which clips to [-1, 1].
                forward = self.translator.translate(jt.array(to_floats(chunk)), jt.array(new))
                backward = self.translator.translate(forward, jt.array(own))
                translated.append(to_uint8(forward.numpy()))
                restored.append(to_uint8(backward.numpy()))
            run_pending()
        return np.concatenate(translated), np.concatenate(restored)


def chunks(rows: Iterable[tuple[np.ndarray, ...]]) -> Iterator[list[np.ndarray]]:
    """Yield chunks of rows that fit in memory, with each column stacked. The first column holds images."""
    remaining = iter(rows)
    for first in remaining:
        count = min(MAX_CHUNK, max(1, MAX_PIXELS // (first[0].shape[0] * first[0].shape[1])))
        yield [np.stack(column) for column in zip(first, *islice(remaining, count - 1))]


def cycle_sheet(
    sampler: TranslationSampler,
    sources: np.ndarray,
    source_domains: Domains,
    references: np.ndarray,
    reference_domains: Domains,
) -> np.ndarray:
    """Return a picture of four rows: N sources, N references, each source in the style of its reference, and the result
    translated back."""
    own = sampler.styles_of_images(sources, source_domains)
    translated, restored = sampler.cycle(sources, sampler.styles_of_images(references, reference_domains), own)
    rows = [sources, references, translated, restored]
    sheet = sheets.grid(np.concatenate(rows), len(rows), len(sources))
    return sheets.add_labels(sheet, ["source", "reference", "translated", "and back"])


def latent_sheet(
    sampler: TranslationSampler, sources: np.ndarray, domains: Sequence[str], psi: float, seeds: Sequence[int]
) -> np.ndarray:
    """Return a picture of N columns: the sources on top and, below them, one row per seed for each of the first five
    domains. All domains have the same seeds."""
    shown = list(domains)[:MAX_SHEET_DOMAINS]
    styles = np.concatenate([sampler.styles_of_seeds(seeds, number, psi) for number in range(len(shown))])
    labels = [f"{domain} {seed}" for domain in shown for seed in seeds]
    return _sheet(sources, sampler.stream((source, style) for style in styles for source in sources), labels)


def reference_sheet(
    sampler: TranslationSampler,
    sources: np.ndarray,
    references: np.ndarray,
    reference_domains: Domains,
    domains: Sequence[str] = (),
) -> np.ndarray:
    """Return a picture of N + 1 columns. The top row shows a white corner and the sources; each row below shows a
    reference and the sources in its style. `domains` are names for the row labels."""
    numbers = np.broadcast_to(reference_domains, len(references))
    styles = sampler.styles_of_images(references, numbers)
    translated = sampler.stream((source, style) for style in styles for source in sources)
    rows = (image for reference in references for image in (reference, *islice(translated, len(sources))))
    corner = np.full_like(sources[:1], 255)
    labels = [domains[number] if domains else "" for number in numbers]
    return _sheet(np.concatenate([corner, sources]), rows, labels)


def _sheet(
    top: np.ndarray, rows: Iterable[np.ndarray], labels: Sequence[str], reserve: Sequence[str] = ()
) -> np.ndarray:
    """Return a sheet with a top row and one row for each label."""
    sheet = sheets.grid(np.concatenate([top, np.stack(list(rows))]), len(labels) + 1, len(top))
    return sheets.add_labels(sheet, ["", *labels], reserve)


def latent_walk(
    sampler: TranslationSampler,
    sources: np.ndarray,
    domains: dict[int, str],
    seeds: Sequence[int],
    *,
    psi: float = 1.0,
    steps: int = 15,
    space: str = "z",
    path: str = "spherical",
) -> Iterator[np.ndarray]:
    """Yield the pictures of a closed walk through the styles of the seeds, `steps` pictures from each seed to the next.
    A picture shows the sources on top and, below them, one row per domain, all at the same position on the walk.

    `domains` maps numbers to names. In space 'w', the walk interpolates between truncated styles; the centre of its
    spherical paths is the domain's mean style.
    """
    walks = []
    for domain in domains:
        if space == "w":
            keys = sampler.styles_of_seeds(seeds, domain, psi)
            walks.append(np.stack(list(loop(keys, steps, PATHS[path], sampler.mean(domain)))))
        else:
            points = np.stack(list(loop(from_seeds(seeds, sampler.translator.latent), steps, PATHS[path])))
            walks.append(sampler.styles_of_latents(points, domain, psi))
    translated = sampler.stream((source, style) for styles in zip(*walks) for style in styles for source in sources)
    for _ in walks[0]:
        yield _sheet(sources, islice(translated, len(domains) * len(sources)), list(domains.values()))


def reference_walk(
    sampler: TranslationSampler,
    sources: np.ndarray,
    references: Images,
    reference_domains: Domains,
    domains: Sequence[str] = (),
    steps: int = 31,
) -> Iterator[np.ndarray]:
    """Yield the pictures of a closed walk through the styles of the references. A picture shows the sources on top and,
    below them, the sources in the current style. On the left, the references scroll past.

    The walk takes `steps` pictures to the next reference of the same domain, and cuts to a reference of another domain
    (see `schedule`). `domains` are names for the row labels.
    """
    numbers = [int(number) for number in np.broadcast_to(reference_domains, len(references))]
    styles = sampler.styles_of_images(references, np.array(numbers))
    positions = [(position, len(list(group))) for position, group in groupby(schedule(numbers, steps))]
    walk = (lerp(styles[start], styles[end], fraction) for (start, end, fraction), _ in positions)
    translated = sampler.stream((source, style) for style in walk for source in sources)
    top = np.concatenate([np.full_like(sources[:1], 255), sources])
    for (start, end, fraction), count in positions:
        offset, height = round(fraction * sources.shape[1]), sources.shape[1]
        pane = np.concatenate([references[start], references[end]])[offset : offset + height]
        label = domains[numbers[start]] if domains else ""
        picture = _sheet(top, [pane, *islice(translated, len(sources))], [label], domains)
        yield from (picture for _ in range(count))


def schedule(domains: Sequence[int], steps: int) -> list[tuple[int, int, float]]:
    """Return (start, end, fraction) for each picture of a closed walk through references of these domains: the indices
    of the references before and after the picture, and the fraction of the way between them, in [0, 1).

    The fraction follows a sigmoid. The walk pauses for a third of the `steps` after each move between references and
    before each cut (see `reference_walk`).
    """
    pause = steps // 3
    moving = steps - pause - 1
    eased = [float(1 / (1 + np.exp(5 - 10 * (step + 0.5) / moving))) for step in range(moving)]
    positions: list[tuple[int, int, float]] = []
    for index, domain in enumerate(domains):
        next_index = (index + 1) % len(domains)
        if domains[next_index] == domain:
            positions += [(index, index, 0.0), *((index, next_index, fraction) for fraction in eased)]
            positions += [(next_index, next_index, 0.0)] * pause
        else:
            positions += [(index, index, 0.0)] * max(1, pause)
    return positions
