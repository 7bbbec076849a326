"""The formats of a single file in which `ganzoo data prepare` can store a data set, instead of in an LMDB."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ganzoo.data.file_builder import FileBuilder
from ganzoo.data.parquet_writer import ParquetBuilder, check_pyarrow
from ganzoo.data.zip_writer import ZipBuilder
from ganzoo.errors import DataError, OptionError, printable
from ganzoo.interfaces.dataset import Dataset

FORMATS: Mapping[str, type[FileBuilder]] = {".zip": ZipBuilder, ".parquet": ParquetBuilder}


def file_format(path: Path) -> type[FileBuilder] | None:
    """Return what writes the file at `path`, by its suffix; None if it is to be an LMDB."""
    return FORMATS.get(path.suffix.lower())


def check_file_format(path: Path, sizes: Sequence[int]) -> None:
    """Raise OptionError if images of several sizes are to be written to a file, which holds only one; DataError if a
    library is missing."""
    if len(sizes) != 1:
        given = ",".join(map(str, sizes))
        raise OptionError(
            f"--sizes {given}: a {path.suffix.lower()} file holds one size. Give one, as in --sizes {sizes[-1]}."
        )
    if file_format(path) is ParquetBuilder:
        check_pyarrow(path)


def explain_labels(dataset: Dataset, path: Path, say: Callable[[str], None]) -> None:
    """Say which labels, attributes and annotations are changed or lost by storing them in a file at `path`."""
    kind, info = file_format(path), dataset.info
    if kind is None:
        return
    labelled = bool(info.domains)
    if info.attributes and (labelled or kind is ParquetBuilder):
        why = "a label is one of the domains" if labelled else "a .parquet file holds only domains"
        say(f"the attributes ({', '.join(info.attributes)}) are not stored: {why}; use an LMDB for both")
    try:
        others = [name for name in dataset.annotations() if name not in dataset.labelled_by.split(",")]
    except DataError as error:
        say(f"labels to choose from are not stored: {error}")
    else:
        if others:
            say(f"labels to choose from ({printable(', '.join(others[:10]))}) are not stored: use an LMDB for them")
    if labelled and kind is ZipBuilder:
        say(f"domains become numbers: {', '.join(f'{number}={name}' for number, name in enumerate(info.domains))}")
