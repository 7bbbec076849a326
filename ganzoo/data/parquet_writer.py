"""Parquet files that Hugging Face's `datasets` reads as images with named classes.

The column `image` has {bytes, path}, the column `label` the class as an int64; the schema's metadata describe both to
`datasets`. Groups of rows are small, because reading an image means reading its group.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from ganzoo.data.file_builder import FileBuilder
from ganzoo.data.parquet_storage import FEATURES_KEY, OWN_KEY
from ganzoo.errors import DataError
from ganzoo.interfaces.dataset import Dataset

GROUP_ROWS, GROUP_BYTES = 100, 64 << 20  # limits on a group of rows


class ParquetBuilder(FileBuilder):
    """A Parquet file under construction."""

    def __init__(self, path: Path, file: IO[bytes], dataset: Dataset, metadata: Mapping[str, Any]) -> None:
        import pyarrow.parquet as parquet

        super().__init__(path, file, dataset, metadata)
        self._schema = _schema(metadata)
        # Images are compressed already, and no two are equal.
        self._writer = parquet.ParquetWriter(file, self._schema, compression="none", use_dictionary=False)
        self._rows, self._bytes = list[dict[str, Any]](), 0

    def write_image(self, data: bytes, label: int) -> None:
        ending = "png" if self.metadata["lossless"] else "jpg"
        row: dict[str, Any] = {"image": {"bytes": data, "path": f"{len(self.labels):08d}.{ending}"}}
        self._rows.append({**row, "label": label} if "domains" in self.metadata else row)
        self._bytes += len(data)
        if len(self._rows) >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self._write_group()

    def _write_group(self) -> None:
        import pyarrow as pa

        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, self._schema))
        self._rows, self._bytes = [], 0

    def finish(self) -> None:
        self._write_group()
        self._writer.close()

    def close(self) -> None:
        self._writer.close()


def _schema(metadata: Mapping[str, Any]) -> Any:
    """Return the columns, with the descriptions for `datasets` and for ganzoo."""
    import pyarrow as pa

    fields = [pa.field("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))]
    features: dict[str, Any] = {"image": {"_type": "Image"}}
    if "domains" in metadata:
        fields.append(pa.field("label", pa.int64()))
        features["label"] = {"names": list(metadata["domains"]), "_type": "ClassLabel"}
    own = {name: metadata[name] for name in ("flip", "fit", "channels") if name in metadata}
    described = {FEATURES_KEY: {"info": {"features": features}}, OWN_KEY: own}
    return pa.schema(fields, {key: json.dumps(value) for key, value in described.items()})


def check_pyarrow(path: Path) -> None:
    """Raise DataError, naming `path`, if pyarrow is missing."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise DataError(
            f'{path}: writing Parquet needs pyarrow. Run: pip install "ganzoo[parquet]" ({error})'
        ) from error
