"""The formats of a single file in which `ganzoo data prepare` can store a data set, instead of in an LMDB."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ganzoo.data.file_builder import FileBuilder
from ganzoo.data.parquet_writer import ParquetBuilder, check_pyarrow
from ganzoo.data.zip_writer import ZipBuilder
from ganzoo.errors import OptionError
from ganzoo.interfaces.dataset import DataInfo

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


def explain_labels(info: DataInfo, path: Path, domains: bool, say: Callable[[str], None]) -> None:
    """Say how labels are changed by storing them at `path`, and which are lost."""
    in_zip, labelled = file_format(path) is ZipBuilder, domains and bool(info.domains)
    if info.attributes and (labelled or not in_zip):
        say(f"the attributes ({', '.join(info.attributes)}) are not stored: a label is one of the domains")
    if labelled and in_zip:
        say(f"domains become numbers: {', '.join(f'{number}={name}' for number, name in enumerate(info.domains))}")
