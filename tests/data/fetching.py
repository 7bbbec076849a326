"""Downloads from the server of `serving`, as the tests of downloading and of transfer make them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganzoo.data.downloading import download
from ganzoo.data.transfer import RetryPolicy
from ganzoo.errors import DataError
from tests.data.pictures import encoded, lay_zip, noise
from tests.data.serving import Answer, Served

FOLDERS = ("train/cat", "train/dog")
RETRY_POLICY = RetryPolicy(timeout=20.0, delays=(0.0, 0.01))
SHORT = RetryPolicy(timeout=1.0, delays=(0.0, 0.01))  # longer than a busy machine is silent


def archive(tmp_path: Path, seed: int = 0, prefix: str = "") -> bytes:
    """A zip of two domains, about 60 kB; the same length for each seed."""
    files = {f"{prefix}{folder}/{seed}.bmp": encoded(noise(100, 100, seed=seed), "bmp") for folder in FOLDERS}
    return lay_zip(tmp_path / "made.zip", files).read_bytes()


def get(served: Served, path: Path, url: str = "", policy: RetryPolicy = RETRY_POLICY) -> list[str]:
    said: list[str] = []
    download(url or served.url, path, FOLDERS, policy=policy, say=said.append)
    return said


def refused(served: Served, path: Path, url: str = "") -> str:
    with pytest.raises(DataError) as caught:
        get(served, path, url)
    assert not path.exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def interrupt(served: Served, path: Path) -> str:
    """Leave a part of 20,000 bytes."""
    served.answers = [Answer(cut=20_000), Answer(cut=0), Answer(cut=0)]
    message = refused(served, path)
    served.ranges.clear()
    return message


def listed(path: Path) -> list[str]:
    return sorted(each.name for each in path.parent.iterdir())


def part(path: Path) -> bytes:
    return path.with_name(f"{path.name}.part").read_bytes()
