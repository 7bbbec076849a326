"""Image-to-image translation without styles: sampling, and sheets of its images.

Zhu et al., Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, 2017, arXiv:1703.10593.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ganzoo.backend import jittor, run_pending
from ganzoo.backend.pixels import to_floats, to_uint8
from ganzoo.interfaces.translator import DirectTranslator
from ganzoo.sampling import sheets
from ganzoo.sampling.translation import chunks


def translate_directly(
    translator: DirectTranslator, images: Iterable[np.ndarray], direction: tuple[int, int]
) -> Iterator[np.ndarray]:
    """Yield the translation of each image, uint8 (H, W, C), computed in chunks that fit in memory."""
    jt = jittor()
    for (chunk,) in chunks((image,) for image in images):
        with jt.no_grad():
            translated = translator.translate(jt.array(to_floats(chunk)), direction).numpy()
        run_pending()
        yield from to_uint8(translated)


def direction_name(direction: tuple[int, int], domains: Sequence[str]) -> str:
    """Return the name of a direction, such as 'horse2zebra'."""
    source, target = direction
    return f"{domains[source]}2{domains[target]}"


def direct_translation_sheet(
    translator: DirectTranslator, images: np.ndarray, labels: np.ndarray, domains: Sequence[str]
) -> np.ndarray:
    """Return a picture with two rows for each direction: images of the source domain, and their translations. If the
    translator also has the opposite direction, a third row shows the images translated back.

    `images` are uint8 (N, H, W, C), with their domains `labels` (N,).
    """
    jt = jittor()
    rows: list[np.ndarray] = []
    names: list[str] = []
    for direction in translator.directions:
        sources, back = images[labels == direction[0]], direction[::-1]
        if not len(sources):
            continue
        with jt.no_grad():
            forward = translator.translate(jt.array(to_floats(sources)), direction)
            made = [to_uint8(forward.numpy())]
            if back in translator.directions:
                made.append(to_uint8(translator.translate(forward, back).numpy()))
        run_pending()
        rows += [sources, *made]
        names += [domains[direction[0]], f"to {domains[direction[1]]}", "and back"][: 1 + len(made)]
    columns = max(map(len, rows))
    blank = np.full_like(rows[0][:1], 255)
    cells = [np.concatenate([row, *[blank] * (columns - len(row))]) for row in rows]
    return sheets.add_labels(sheets.grid(np.concatenate(cells), len(rows), columns), names)
