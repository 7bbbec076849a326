from __future__ import annotations

import io
import itertools
import re
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import lmdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ganzoo.data.images import crop_and_resize
from ganzoo.data.labelling import with_labels
from ganzoo.data.order import indices_by_name
from ganzoo.data.preparing import default_sizes, parse_sizes, prepare
from ganzoo.data.pyramid import SIZES
from ganzoo.data.storage import StoredImages, open_path
from ganzoo.errors import DataError, OptionError
from ganzoo.interfaces.dataset import DataInfo, Dataset
from tests.data.oddities import write_oddities
from tests.data.pictures import NumberedDataset, encoded, noise, write_folder


def read_entries(path: Path) -> dict[bytes, bytes]:
    """Return all entries of an LMDB."""
    with open_path(path).storage.env.begin() as transaction:
        return dict(transaction.cursor())


def photos(root: Path, count: int = 6) -> StoredImages:
    """Return a folder of images of several shapes."""
    files = {f"{index:03d}.png": encoded(noise(20 + index % 7, 30 - index % 5, seed=index)) for index in range(count)}
    return open_path(write_folder(root, files))


def decode_file(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


# Sizes


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("8-128", (8, 16, 32, 64, 128)),
        ("4-1024", SIZES),
        ("64", (64,)),
        ("64-64", (64,)),
        (" 8 - 16 ", (8, 16)),
        ("32,8,32", (8, 32)),
    ],
)
def test_sizes_are_a_range_a_number_or_a_list(text: str, sizes: tuple[int, ...]) -> None:
    assert parse_sizes(text) == sizes


@pytest.mark.parametrize(
    "text", ["", "0", "2", "2-64", "8-2048", "128-8", "8-100", "9", "8,9", "8-", "-8", "8--16", "8 16", "eight", "٨"]
)
def test_other_sizes_are_errors(text: str) -> None:
    with pytest.raises(OptionError, match=re.escape(f"--sizes {text}: give powers of two from 4 to 1024")):
        parse_sizes(text)


@given(st.text(alphabet="0123456789-, ", max_size=12))
def test_any_text_gives_sizes_or_an_error(text: str) -> None:
    try:
        sizes = parse_sizes(text)
    except OptionError:
        return
    assert sizes
    assert list(sizes) == sorted({*sizes} & {*SIZES})
    assert {int(number) for number in re.findall(r"\d+", text)} <= {*sizes}


@given(st.integers(1, 5000))
def test_default_sizes_go_up_to_the_size_of_the_images(side: int) -> None:
    sizes = default_sizes(side)
    if side < 8:
        assert sizes == (4,)
        return
    assert sizes[0] == 8
    assert sizes[-1] == 1024 or sizes[-1] <= side < 2 * sizes[-1]
    assert all(larger == 2 * smaller for smaller, larger in itertools.pairwise(sizes))


# Stored images


def test_every_size_is_scaled_from_the_original(tmp_path: Path) -> None:
    source = photos(tmp_path / "set")
    summary = prepare(source, tmp_path / "out.lmdb", [4, 8, 16], lossless=True)
    assert (summary.count, summary.sizes, summary.bad) == (6, (4, 8, 16), [])
    assert summary.bytes == (tmp_path / "out.lmdb" / "data.mdb").stat().st_size
    data = open_path(tmp_path / "out.lmdb")
    assert (data.info.count, data.info.size, data.info.channels) == (6, 16, 3)
    for size in (4, 8, 16):
        for index in range(6):
            expected = crop_and_resize(source.load(index)[0], size, 3)
            np.testing.assert_array_equal(data.at_size(size).load(index)[0], expected)
    assert [path.name for path in tmp_path.iterdir() if path.name != "set"] == ["out.lmdb"]
    assert [path.name for path in (tmp_path / "out.lmdb").iterdir()] == ["data.mdb"]


def test_jpeg_is_close_to_the_original_in_colour_too(tmp_path: Path) -> None:
    source = photos(tmp_path / "set")
    prepare(source, tmp_path / "out.lmdb", [16])
    values = read_entries(tmp_path / "out.lmdb")
    for index in range(6):
        stored = Image.open(io.BytesIO(values[b"16-%05d" % index]))
        assert stored.format == "JPEG"
        difference = np.asarray(stored).astype(int) - crop_and_resize(source.load(index)[0], 16, 3)
        assert np.abs(difference).max() <= 5  # on noise, subsampled colour would be off by 100


def test_grey_images_stay_grey(tmp_path: Path) -> None:
    files = {f"{index}.png": encoded(noise(20, 20, "L", seed=index)) for index in range(3)}
    prepare(open_path(write_folder(tmp_path / "set", files)), tmp_path / "out.lmdb", [8])
    assert Image.open(io.BytesIO(read_entries(tmp_path / "out.lmdb")[b"8-00001"])).mode == "L"
    assert open_path(tmp_path / "out.lmdb").info.channels == 1


def test_domains_labels_and_flip_are_stored(tmp_path: Path) -> None:
    files = {f"{kind}/{index}.png": encoded(noise(9, 9)) for kind in ("cat", "dog", "yak") for index in range(2)}
    files["cat/0.png"] = b"damaged"
    source = open_path(write_folder(tmp_path / "set", files))
    for flip in (None, True, False):
        path = tmp_path / f"{flip}.lmdb"
        prepare(source, path, [8], flip=flip)
        data = open_path(path)
        assert (data.info.domains, data.info.flip) == (("cat", "dog", "yak"), flip is True)
        assert [data.load(index)[1] for index in range(5)] == [0, 1, 1, 2, 2]
    prepare(with_labels(source, "none"), tmp_path / "plain.lmdb", [8])
    assert open_path(tmp_path / "plain.lmdb").info.domains == ()
    prepare(open_path(tmp_path / "True.lmdb"), tmp_path / "again.lmdb", [8])
    assert open_path(tmp_path / "again.lmdb").info == DataInfo("again", 5, 8, 3, ("cat", "dog", "yak"), flip=True)


def test_sizes_in_the_source_are_not_scaled(tmp_path: Path) -> None:
    files = {f"{size}/{name}.png": encoded(noise(size, size, seed=size)) for size in (8, 32) for name in "ab"}
    prepare(open_path(write_folder(tmp_path / "set", files)), tmp_path / "out.lmdb", [8, 16, 32, 64], lossless=True)
    values = read_entries(tmp_path / "out.lmdb")
    large = np.asarray(noise(32, 32, seed=32))
    np.testing.assert_array_equal(decode_file(values[b"8-00001"]), np.asarray(noise(8, 8, seed=8)))
    np.testing.assert_array_equal(decode_file(values[b"16-00001"]), crop_and_resize(large, 16, 3))
    np.testing.assert_array_equal(decode_file(values[b"32-00001"]), large)
    np.testing.assert_array_equal(decode_file(values[b"64-00001"]), crop_and_resize(large, 64, 3))


def test_the_layout_matches_the_reference_implementation(tmp_path: Path) -> None:
    """The layout is compared with an independent loop that writes an LMDB as the reference StyleGAN's script does."""
    root = write_folder(tmp_path / "set", {f"{index}.png": encoded(noise(20, 16, seed=index)) for index in range(5)})
    sizes = (8, 16)
    expected: dict[bytes, np.ndarray] = {}
    with lmdb.open(str(tmp_path / "theirs"), map_size=1 << 24) as env, env.begin(write=True) as transaction:
        for index, file in enumerate(sorted(root.iterdir())):
            image = Image.open(file).crop((2, 0, 18, 16))
            for size in sizes:
                buffer = io.BytesIO()
                image.resize((size, size), Image.Resampling.LANCZOS).save(buffer, "jpeg", quality=100)
                key = f"{size}-{str(index).zfill(5)}".encode()
                transaction.put(key, buffer.getvalue())
                expected[key] = decode_file(buffer.getvalue())
        transaction.put(b"length", b"5")
    theirs = open_path(tmp_path / "theirs")
    prepare(open_path(root), tmp_path / "ours.lmdb", sizes)
    prepare(theirs, tmp_path / "again.lmdb", sizes, lossless=True)
    for size in sizes:
        for index in range(5):
            pixels = expected[b"%d-%05d" % (size, index)]
            np.testing.assert_array_equal(theirs.at_size(size).load(index)[0], pixels)
            np.testing.assert_array_equal(open_path(tmp_path / "again.lmdb").at_size(size).load(index)[0], pixels)
    assert read_entries(tmp_path / "ours.lmdb").keys() == read_entries(tmp_path / "theirs").keys() | {b"ganzoo"}
    assert read_entries(tmp_path / "ours.lmdb")[b"length"] == b"5"


def test_the_result_does_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    source = photos(tmp_path / "set", 60)
    (tmp_path / "set" / "017.png").write_bytes(b"")
    for workers in (1, 2):
        assert len(prepare(source, tmp_path / f"{workers}.lmdb", [8, 16], workers=workers).bad) == 1
    assert read_entries(tmp_path / "1.lmdb") == read_entries(tmp_path / "2.lmdb")


def test_unfinished_work_is_resumed_only_for_the_same_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in "ab":
        photos(tmp_path / folder / "set", 20)
    monkeypatch.chdir(tmp_path / "a")
    source = open_path(Path("set"))
    load, seen = source.load, list[int]()

    def interrupted(index: int) -> tuple[np.ndarray, int]:
        seen.append(index)
        if seen.count(17) == 2:  # the first time is for the estimate of disk space
            raise KeyboardInterrupt
        return load(index)

    monkeypatch.setattr(source, "load", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(source, tmp_path / "out.lmdb", [8], workers=1)
    monkeypatch.chdir(tmp_path / "b")
    with pytest.raises(DataError, match="unfinished preparation with other images"):
        prepare(open_path(Path("set")), tmp_path / "out.lmdb", [8], workers=1)
    assert prepare(open_path(tmp_path / "a" / "set"), tmp_path / "out.lmdb", [8], workers=1).count == 20


def test_a_data_set_that_cannot_be_pickled_is_prepared(tmp_path: Path) -> None:
    class Local(NumberedDataset):  # a class inside a function can't be pickled
        pass

    assert prepare(Local(50), tmp_path / "out.lmdb", [4], lossless=True, workers=2).count == 50
    assert open_path(tmp_path / "out.lmdb").load(49)[0][0, 0] == 49


# Bad input


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_readable_files_are_prepared_and_unreadable_ones_listed(tmp_path: Path) -> None:
    good, bad = write_oddities(tmp_path / "set", 1000)
    assert len(good) + len(bad) == 1000
    assert len(bad) > 300 < len(good)
    source = open_path(tmp_path / "set")
    summary = prepare(source, tmp_path / "out.lmdb", [8], lossless=True)
    assert sorted(message.split(": ")[0] for message in summary.bad) == sorted(f"{tmp_path}/set/{name}" for name in bad)
    assert all("\n" not in message for message in summary.bad)
    data = open_path(tmp_path / "out.lmdb")
    assert data.info.count == summary.count == len(good)
    for index, name in enumerate(sorted(good)):
        expected = crop_and_resize(source.load(source.storage.keys.index(name))[0], 8, 3)
        np.testing.assert_array_equal(data.load(index)[0], expected)


def test_readable_images_keep_the_names_by_which_they_are_paired(tmp_path: Path) -> None:
    files = {f"{domain}/{name}.png": encoded(noise()) for domain in ("a", "b") for name in ("ä", "x/1", "y")}
    root = write_folder(tmp_path / "set", {**files, "a/bad.png": b"", "b/bad.png": b""})
    for out, labels in (("pairs.lmdb", None), ("images.lmdb", "none")):
        prepare(open_path(root, labels=labels), tmp_path / out, (8, 16), workers=1)
    data = open_path(tmp_path / "pairs.lmdb")
    assert data.names() == data.at_size(8).names() == ["x/1", "y", "ä"] * 2
    assert indices_by_name(data).tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(DataError, match="its images have no names"):
        open_path(tmp_path / "images.lmdb").names()


def test_a_set_without_readable_images_is_an_error_and_leaves_no_files(tmp_path: Path) -> None:
    source = photos(tmp_path / "set", 3)
    for file in (tmp_path / "set").iterdir():
        file.write_bytes(b"text")
    with pytest.raises(DataError, match=r"set: none of its 3 images can be read\. .*000\.png: not a readable image"):
        prepare(source, tmp_path / "out.lmdb", [8])
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_an_existing_path_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "out.lmdb").write_bytes(b"somebody's")
    with pytest.raises(DataError, match=r"out\.lmdb: already exists\. Delete it first, or choose another name"):
        prepare(NumberedDataset(3), tmp_path / "out.lmdb", [4])
    assert (tmp_path / "out.lmdb").read_bytes() == b"somebody's"


def test_an_unwritable_path_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match=r"out\.lmdb: can't be written"):
        prepare(NumberedDataset(3), tmp_path / "file" / "out.lmdb", [4])


# Disk use


def test_disk_use_is_estimated(tmp_path: Path) -> None:
    lines: list[str] = []
    summary = prepare(photos(tmp_path / "set", 200), tmp_path / "out.lmdb", [8, 16, 32, 64], say=lines.append)
    (estimate,) = re.findall(r"about ([\d.]+) (kB|MB) for 200 images at 8, 16, 32, 64 px; .* free", "\n".join(lines))
    expected = float(estimate[0]) * {"kB": 1e3, "MB": 1e6}[estimate[1]]
    assert 0.8 < summary.bytes / expected < 1.25


def test_too_little_disk_space_is_an_error_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(5000))
    with pytest.raises(DataError, match=r"out\.lmdb: needs about \d+ kB, but only 5 kB are free\."):
        prepare(photos(tmp_path / "set"), tmp_path / "out.lmdb", [64])
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


class Faulty(Dataset):
    """A data set with a bug."""

    info = DataInfo("faulty", 3, 8, 1)

    def load(self, index: int, size: int | None = None) -> tuple[np.ndarray, int]:
        raise ZeroDivisionError


def test_an_exception_in_the_data_set_is_raised_and_leaves_no_files(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        prepare(Faulty(), tmp_path / "out.lmdb", [8])
    assert list(tmp_path.iterdir()) == []


SCRIPT = """
from pathlib import Path
from ganzoo.data.preparing import prepare
from ganzoo.data.storage import StoredImages, open_path

class Own(StoredImages):
    pass

data = open_path(Path("pictures"))
if {own}:
    data.__class__ = Own
prepare(data, Path("out.lmdb"), [256], workers=2)
print("written once")
"""


def test_a_script_needs_no_main_guard(pictures):
    child = run_script(pictures.parent, own=False)
    assert (child.returncode, child.stdout) == (0, "written once\n"), child.stderr
    assert len(open_path(pictures.parent / "out.lmdb")) == 12


def test_a_script_with_a_data_set_of_its_own_gets_an_explanation_of_the_guard(pictures):
    child = run_script(pictures.parent, own=True)
    assert child.returncode == 1
    assert 'call this under `if __name__ == "__main__":`' in child.stderr.splitlines()[-1]


def run_script(folder: Path, own: bool) -> subprocess.CompletedProcess[str]:
    (folder / "script.py").write_text(SCRIPT.format(own=own))
    command = [sys.executable, str(folder / "script.py")]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
