"""Functions shared by the tests of downloads."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganzoo.data.downloading import download
from ganzoo.data.transfer import RetryPolicy
from ganzoo.errors import DataError
from tests.data.file_server import FileServer, Response
from tests.data.pictures import encoded, noise, write_zip

FOLDERS = ("train/cat", "train/dog")
RETRY_POLICY = RetryPolicy(timeout=20.0, delays=(0.0, 0.01))
SHORT_TIMEOUT = RetryPolicy(timeout=1.0, delays=(0.0, 0.01))  # long enough for a server on a busy machine


def make_archive(tmp_path: Path, seed: int = 0, prefix: str = "") -> bytes:
    """Return a zip with two domains, about 60 kB; its length does not depend on the seed."""
    files = {f"{prefix}{folder}/{seed}.bmp": encoded(noise(100, 100, seed=seed), "bmp") for folder in FOLDERS}
    return write_zip(tmp_path / "made.zip", files).read_bytes()


def fetch(server: FileServer, path: Path, url: str = "", policy: RetryPolicy = RETRY_POLICY) -> list[str]:
    """Download to `path` and return the progress messages."""
    lines: list[str] = []
    download(url or server.url, path, FOLDERS, policy=policy, say=lines.append)
    return lines


def download_error(server: FileServer, path: Path, url: str = "") -> str:
    """Return the message of the error that a download raises."""
    with pytest.raises(DataError) as caught:
        fetch(server, path, url)
    assert not path.exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def interrupt(server: FileServer, path: Path) -> str:
    """Leave a partial download of 20,000 bytes, and return the error message."""
    server.responses = [Response(cut=20_000), Response(cut=0), Response(cut=0)]
    message = download_error(server, path)
    server.ranges.clear()
    return message


def file_names(path: Path) -> list[str]:
    """Return the names of all files in the folder of `path`."""
    return sorted(each.name for each in path.parent.iterdir())


def partial_content(path: Path) -> bytes:
    return path.with_name(f"{path.name}.part").read_bytes()
