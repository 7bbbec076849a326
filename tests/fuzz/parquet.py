"""Parquet files, as `datasets` and as `ganzoo data prepare` write them."""

from __future__ import annotations

import io
import json
import tempfile
from functools import lru_cache
from pathlib import Path

from ganzoo.data.preparing import prepare
from tests.fuzz.edits import Choices
from tests.fuzz.reading import choose_file, picture, read_file
from tests.support.shades import Shades


def huggingface() -> bytes:
    import pyarrow as pa
    import pyarrow.parquet

    features = {"label": {"_type": "ClassLabel", "names": ["cat", "dog"]}}
    table = pa.table({"image": [{"bytes": picture(5), "path": "x.png"}] * 3, "label": [0, 1, 0], "pose": [[0.5]] * 3})
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(table, buffer, row_group_size=2)
    return buffer.getvalue()


def prepared() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "set.parquet"
        prepare(Shades(count=3, domains=("a", "b")), path, [4], workers=1)
        return path.read_bytes()


@lru_cache(maxsize=1)
def files() -> list[tuple[str, bytes]]:
    """Return the names and contents of valid files."""
    return [("set.parquet", huggingface()), ("set.parquet", prepared())]


def seeds() -> list[bytes]:
    return [bytes([number]) + content for number, (_, content) in enumerate(files())]


def check(data: bytes) -> None:
    read_file(*choose_file(Choices(data), files()))
