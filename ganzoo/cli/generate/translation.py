"""Output of `ganzoo generate --source`: translated images, sheets of them, and animated walks between styles."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ganzoo.cli.generate.output import write_frames
from ganzoo.errors import format_count
from ganzoo.interfaces.translator import DirectTranslator, Translator
from ganzoo.sampling import image_files
from ganzoo.sampling.input_images import UniqueNames
from ganzoo.sampling.translation_job import TranslationJob
from ganzoo.sampling.translation_sheet import TranslationSheet


def write_translations(
    job: TranslationJob, translator: Translator | DirectTranslator, model: str, out: Path
) -> Iterator[str]:
    """Write the images or the animation to a folder, and yield lines that describe them. UnsupportedByModelError if
    styles are requested of a translator without."""
    if job.request.interpolate and not isinstance(translator, DirectTranslator):
        frames, count = job.walk(translator)
        yield from write_frames(frames, count, job.request.format, job.request.fps, out)
        return
    styles = job.styles(translator, model)
    names, sheet, count = UniqueNames(), TranslationSheet(styles, job.data), 0
    for source, style, image in job.images(translator, styles):
        path = out / f"{names.new(f'{source.name}-{style.name}')}.png"
        image_files.save(path, source.without_padding(image))
        sheet.add(source, style, image)
        count += 1
    image_files.save(out / "grid.png", sheet.picture())
    direct = isinstance(translator, DirectTranslator)
    kind = "DIRECTION" if direct else "DOMAIN-SEED" if job.references is None else "DOMAIN-REFERENCE"
    yield f"{format_count(count, 'image')}: {out}/SOURCE-{kind}.png"
    yield f"sheet{sheet.extent(len(job.sources))}: {out / 'grid.png'}"
