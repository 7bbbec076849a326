"""Zip archives of images, and folders with the same files."""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
import zipfile
from functools import lru_cache
from pathlib import Path

from tests.fuzz.edits import ODD_VALUES, Choices, edit_bytes, edit_entries
from tests.fuzz.reading import FILES, MULTI_SIZE_FILES, picture, read_all

warnings.simplefilter("ignore")  # zipfile warns about duplicate names
NAMES = (
    *(text for text in ODD_VALUES if isinstance(text, str) and 0 < len(text) < 500 and text.isprintable()),
    *("../../x.png", "/abs/x.png", "C:\\x.png", "a/../../x.png", "\\x.png", "a/./x.png", "a//x.png", "x.png/", ".png"),
    *(
        "train/",
        "val/bird/",
        "train/cat/1.png/x.png",
        "__MACOSX/x.png",
        "32/x.png",
        "8/x.png",
        "a\nb/x.png",
        "\x1b[2J.png",
        "é" * 120 + ".png",
    ),
)


@lru_cache(maxsize=1)
def trees() -> list[dict[str, bytes]]:
    multi_size = {name: picture(int(name.partition("/")[0])) for name in MULTI_SIZE_FILES}
    return [{name: picture(9, "png" if name.endswith("png") else "jpeg") for name in FILES}, multi_size]


@lru_cache(maxsize=1)
def seeds() -> list[bytes]:
    return [_zipped(tree, method) for tree in trees() for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)]


def _zipped(files: dict[str, bytes], method: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _edited(choices: Choices) -> dict[str, bytes]:
    return edit_entries(choices, choices.pick(trees()), NAMES, (b"", picture(5), picture(9)[:50], picture(300)))


def check(data: bytes) -> None:
    choices = Choices(data)
    kind = choices.below(4)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "inner" / ("data.zip" if kind < 3 else "data")
        path.parent.mkdir()
        if kind == 0:
            path.write_bytes(choices.rest())
        elif kind == 1:
            path.write_bytes(edit_bytes(choices, choices.pick(seeds())))
        elif kind == 2:
            path.write_bytes(_zipped(_edited(choices), choices.pick((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))))
        else:
            _write_folder(path, _edited(choices))
        read_all(path)
        assert [each.name for each in Path(folder).iterdir()] == ["inner"]


def _write_folder(root: Path, files: dict[str, bytes]) -> None:
    """Write the files whose names the file system accepts, unless they lead outside the folder."""
    root.mkdir()
    for name, content in files.items():
        with contextlib.suppress(OSError, ValueError):
            path = (root / name).resolve()
            if path.is_relative_to(root.resolve()):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
