from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from ganzoo.data.checking import check_dataset
from ganzoo.data.storage import open_path
from tests.data.pictures import NumberedDataset, encoded, noise, write_folder
from tests.support.shades import Shades


def test_sizes_domains_and_bad_files_are_counted(tmp_path: Path) -> None:
    files = {f"cats/{index}.png": encoded(noise(6, 8)) for index in range(3)}
    files |= {"dogs/1.png": encoded(noise(5, 7)), "dogs/2.png": b"", "dogs/3.jpg": b"text"}
    report = check_dataset(open_path(write_folder(tmp_path / "set", files)))
    assert report.count == 6
    assert report.sizes == {(6, 8): 3, (5, 7): 1}
    assert report.domains == {"cats": 3, "dogs": 1}
    assert [message.split(": ")[0] for message in report.unreadable] == [
        f"{tmp_path}/set/dogs/2.png",
        f"{tmp_path}/set/dogs/3.jpg",
    ]
    assert list(report.lines()) == [
        "set: 4 readable images of 6, RGB",
        "    format: folder",
        "    labels: folder",
        "    6 x 8 px: 3",
        "    5 x 7 px: 1",
        "    not square: 4; --fit crop (the default) cuts them, pad adds white, stretch distorts",
        "    domain cats: 3",
        "    domain dogs: 1",
        "    not mirrored during training (use --flip to enable)",
        *(f"    {message}" for message in report.unreadable),
    ]


def test_pairs_and_images_without_a_partner_are_named(tmp_path: Path) -> None:
    files = {f"{domain}/{index}.png": encoded(noise(8, 8)) for domain in ("map", "photo") for index in range(4)}
    write_folder(tmp_path / "set", files)
    pairs = "    pairs (images of the same name in every domain): "
    assert f"{pairs}4" in list(check_dataset(open_path(tmp_path / "set")).lines())
    (tmp_path / "set" / "photo" / "2.png").unlink()
    assert f"{pairs}3; without a partner: map/2" in list(check_dataset(open_path(tmp_path / "set")).lines())
    (tmp_path / "set" / "photo" / "1.png").unlink()  # as many without as with
    assert not any("pairs" in line for line in check_dataset(open_path(tmp_path / "set")).lines())


def test_many_sizes_are_summarised(tmp_path: Path) -> None:
    files = {f"{width:02d}.png": encoded(noise(width, 8, mode="L")) for width in range(1, 14)}
    lines = list(check_dataset(open_path(write_folder(tmp_path / "set", files))).lines())
    assert lines[0] == "set: 13 readable images of 13, grey"
    assert lines[-3] == "    and 3 other sizes"
    assert lines[-2].startswith("    not square: 12; --fit crop ")
    assert lines[-1] == "    not mirrored during training (use --flip to enable)"


def test_an_interruption_does_not_wait_for_the_rest() -> None:
    gate = threading.Event()
    loaded = []

    class Interrupted(NumberedDataset):
        def load(self, index: int, size: int | None = None) -> tuple[np.ndarray, int]:
            if index == 0:
                raise KeyboardInterrupt
            gate.wait(0.05)
            loaded.append(index)
            return super().load(index, size)

    with pytest.raises(KeyboardInterrupt):
        check_dataset(Interrupted(200))
    assert len(loaded) < 100


def test_attributes_are_named_with_their_ranges() -> None:
    lines = list(check_dataset(Shades()).lines())
    assert lines[2:4] == ["    attribute bright: 0 to 0.705882", "    attribute age: 1 to 10"]
