"""Parquet files that Hugging Face's `datasets` reads as images with named classes and annotations.

The column `image` has {bytes, path}, the column `label` the class as an int64, or the attributes as a list of float32.
If there are both, the attributes are in `attributes`. Each annotation has a column of its own. The schema's metadata
describe all of them to `datasets`. Groups of rows are small, because reading an image means reading its group.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from ganzoo.data.annotation_columns import AnnotationColumns, free_name
from ganzoo.data.file_builder import FileBuilder
from ganzoo.data.parquet_columns import FEATURES_KEY, IMAGE_COLUMNS, OWN_KEY
from ganzoo.errors import DataError
from ganzoo.interfaces.dataset import Dataset

GROUP_ROWS, GROUP_BYTES = 100, 64 << 20  # limits on a group of rows


class ParquetBuilder(FileBuilder):
    """A Parquet file under construction."""

    def __init__(
        self,
        path: Path,
        file: IO[bytes],
        dataset: Dataset,
        metadata: Mapping[str, Any],
        annotations: AnnotationColumns,
    ) -> None:
        import pyarrow.parquet as parquet

        super().__init__(path, file, dataset, metadata, annotations)
        taken = {*annotations.columns, annotations.label}
        self._image = free_name(IMAGE_COLUMNS[0], taken)
        self._attributes = free_name("attributes", taken) if "domains" in metadata else annotations.label
        self._schema = self._make_schema()
        # Images are compressed already, and no two are equal.
        self._writer = parquet.ParquetWriter(file, self._schema, compression="none", use_dictionary=False)
        self._rows, self._bytes = list[dict[str, Any]](), 0

    def write_image(self, data: bytes, label: int) -> None:
        ending = "png" if self.metadata["lossless"] else "jpg"
        row: dict[str, Any] = {self._image: {"bytes": data, "path": f"{len(self.labels):08d}.{ending}"}}
        if "domains" in self.metadata:
            row[self.annotations.label] = label
        if self.attributes is not None:
            row[self._attributes] = self.attributes[self.done]
        row.update({name: column.values[self.done] for name, column in self.annotations.columns.items()})
        self._rows.append(row)
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

    def _make_schema(self) -> Any:
        """Return the columns, with the descriptions for `datasets` and for ganzoo."""
        import pyarrow as pa

        domains, names = self.metadata.get("domains"), self.attribute_names
        fields = {self._image: pa.struct([("bytes", pa.binary()), ("path", pa.string())])}
        features: dict[str, Any] = {self._image: {"_type": "Image"}}
        own = {name: self.metadata[name] for name in ("flip", "fit", "channels") if name in self.metadata}
        own["label"] = self.annotations.label if domains else None
        if domains:
            fields[self.annotations.label] = pa.int64()
            features[self.annotations.label] = {"names": list(domains), "_type": "ClassLabel"}
        columns = {name: (column.dtype, column.is_list) for name, column in self.annotations.columns.items()}
        if names:
            own["attributes"] = {"column": self._attributes, "names": list(names)}
            columns = {self._attributes: ("float32", True), **columns}
        for name, (dtype, is_list) in columns.items():
            kind, feature = pa.type_for_alias(dtype), {"dtype": dtype, "_type": "Value"}
            fields[name] = pa.list_(kind) if is_list else kind
            features[name] = {"feature": feature, "_type": "Sequence"} if is_list else feature
        described = {FEATURES_KEY: {"info": {"features": features}}, OWN_KEY: own}
        return pa.schema(fields.items(), {key: json.dumps(value) for key, value in described.items()})


def check_pyarrow(path: Path) -> None:
    """Raise DataError, naming `path`, if pyarrow is missing."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise DataError(
            f'{path}: writing Parquet needs pyarrow. Run: pip install "ganzoo[parquet]" ({error})'
        ) from error
