"""The formats of a single file in which `ganzoo data prepare` can store a data set, instead of in an LMDB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ganzoo.data.annotation_columns import AnnotationColumns, Say, annotation_columns
from ganzoo.data.file_builder import FileBuilder
from ganzoo.data.parquet_writer import ParquetBuilder, check_pyarrow
from ganzoo.data.zip_writer import ZipBuilder
from ganzoo.errors import OptionError, printable
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


def explain_labels(dataset: Dataset, path: Path, say: Say) -> None:
    """Say which labels or attributes are changed or lost by storing them in a file at `path`."""
    info = dataset.info
    if file_format(path) is ZipBuilder and info.domains:
        if info.attributes:
            names = printable(", ".join(info.attributes))
            say(
                f"the domains are stored, but not the attributes ({names}): dataset.json has one or the other; "
                "use an LMDB or .parquet for both"
            )
        say(f"domains become numbers: {', '.join(f'{number}={name}' for number, name in enumerate(info.domains))}")


def file_annotations(
    kind: type[FileBuilder], dataset: Dataset, validation: Dataset | None, say: Say
) -> Sequence[AnnotationColumns]:
    """Return the annotations that a file of this kind can hold: those of the training images, and of the validation
    images, if there are any. Others are reported to `say`."""
    splits = [dataset] if validation is None else [dataset, validation]
    return kind.choose_annotations(annotation_columns(splits, say), say)
