"""The files of a card: the card itself, and a sheet of samples beside it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from ganzoo import backend
from ganzoo.checkpoints.loading import translator_of
from ganzoo.errors import OptionError
from ganzoo.files import atomic_write, output_folder
from ganzoo.sampling.generation import Row, images_of, sheet_of
from ganzoo.sampling.image_files import to_pil
from ganzoo.sampling.request import VALUES, parse_request
from ganzoo.sampling.selection import open_generator, rows_of, sampler_of
from ganzoo.sampling.sheets import max_sheet_images
from ganzoo.sharing.card import PICTURE, README, CardOptions, card_text

if TYPE_CHECKING:
    from ganzoo.checkpoints.checkpoint import Checkpoint
    from ganzoo.registry.plugins import Registry

MAX_ROWS = 10  # of classes on a sheet


def write_card(
    saved: Checkpoint,
    folder: Path,
    registry: Registry,
    options: CardOptions,
    out: Path | None = None,
    device: str = "auto",
) -> list[Path]:
    """Write the card of a checkpoint to `out`, by default README.md in its `folder`, and beside it a sheet of samples
    if there is one. Return the paths. OptionError if `out` exists, because you may have edited it."""
    out = folder / README if out is None else out
    if out.suffix != ".md":
        raise OptionError(f"--out {out}: the name must end in .md.")
    paths = {README: out, PICTURE: out.parent / PICTURE}
    for path in [out] if out.parent == folder else paths.values():
        if path.exists():
            raise OptionError(f"{path} already exists. Delete it first, or write to another folder with --out.")
    files = card_files(saved, folder, registry, options, device)
    with output_folder(out.parent, "--out"):
        for name, content in files.items():
            atomic_write(paths[name], content)
    return [paths[name] for name in files]


def card_files(
    saved: Checkpoint, folder: Path, registry: Registry, options: CardOptions, device: str = "auto"
) -> dict[str, bytes]:
    """Return the content of a card and of its sheet of samples, by file name. Equal runs give equal bytes."""
    options.check()
    translates = _translates(saved, registry, device)
    sheet = _sheet(saved, folder, registry, translates, device)
    text = card_text(saved, folder, registry, options, translates=translates, picture=sheet is not None)
    return {README: text.encode(), **({} if sheet is None else {PICTURE: sheet})}


def _translates(saved: Checkpoint, registry: Registry, device: str) -> bool:
    if not saved.model(registry).is_conditional(saved.options(saved.model(registry))) or not saved.data.domains:
        return False
    backend.start(device)
    return translator_of(saved, registry) is not None


def _sheet(saved: Checkpoint, folder: Path, registry: Registry, translates: bool, device: str) -> bytes | None:
    """Return the sheet that training wrote with the checkpoint, or else a new one; None for a model that translates
    images, which there are none of."""
    try:
        return (folder / f"samples-{saved.metadata.progress.images:09d}.png").read_bytes()
    except OSError:
        return None if translates else _new_sheet(saved, registry, device)


def _new_sheet(saved: Checkpoint, registry: Registry, device: str) -> bytes:
    request = parse_request(dict.fromkeys(VALUES))
    generator, data = open_generator(saved, registry, None, device)
    sampler = sampler_of(saved, generator, request)
    rows = rows_of(request, sampler, data)[:MAX_ROWS]
    columns = max(1, max_sheet_images(data) // len(rows))
    rows = [Row(row.seeds[:columns], row.name, row.label) for row in rows]
    images = images_of(sampler, rows)
    sheet = sheet_of([[next(images) for _ in row.seeds] for row in rows], [row.name for row in rows], None)
    buffer = io.BytesIO()
    to_pil(sheet).save(buffer, "png")
    return buffer.getvalue()
