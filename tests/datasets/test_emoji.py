from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from ganzoo_datasets import emoji_files
from ganzoo_datasets.emoji import Emoji, split
from ganzoo_datasets.emoji_files import Code, collect
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ganzoo import DataError, DataInfo
from tests.data.pictures import encoded, noise, write_folder

Run = Callable[..., Result]

CODES = [f"1f6{index:02x}" for index in range(11)]


def image_file(vendor: str, code: str) -> bytes:
    return encoded(noise(64, 64, seed=sum(f"{vendor} {code}".encode())))


def members(vendor: str, codes: Iterable[str] = CODES) -> dict[str, bytes]:
    """Return the files of an npm package, including two that are not images of 64 px."""
    files = {f"package/img/{vendor}/64/{code}.png": image_file(vendor, code) for code in codes}
    files[f"package/img/{vendor}/sheets/64.png"] = b"a sheet of all emoji"
    files["package/package.json"] = b"{}"
    return files


def pack(path: Path, files: dict[str, bytes], *others: tarfile.TarInfo) -> Path:
    """Write to a .tgz these files and `others`, which are members without content."""
    with tarfile.open(path, "w:gz") as archive:
        for other in others:
            archive.addfile(other)
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


@pytest.fixture
def packages(workdir: Path) -> list[str]:
    """Return arguments that name the archives of two vendors. Each vendor has an emoji that the other one lacks."""
    pack(workdir / "google.tgz", members("google", [*CODES, "1f700"]))
    pack(workdir / "twitter.tgz", members("twitter", [*CODES, "1f701"]))
    return ["--from", "google.tgz", "--from", "twitter.tgz"]


# The command


def test_transparency_is_kept_on_request(ganzoo: Run, workdir: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 4), np.uint8)
    for vendor in ("google", "twitter"):
        files = {f"package/img/{vendor}/64/{code}.png": encoded(Image.fromarray(pixels)) for code in CODES}
        pack(workdir / f"{vendor}.tgz", files)
    result = ganzoo("data", "prepare", "emoji", "--from", "google.tgz", "--from", "twitter.tgz", "--alpha")
    assert result.exit_code == 0, result.output
    data = Emoji().open()
    validation = data.validation()
    assert validation is not None
    assert data.info.channels == validation.info.channels == 4
    np.testing.assert_array_equal(data.load(3)[0], pixels)
    np.testing.assert_array_equal(validation.load(0)[0], pixels)


def test_the_data_set_is_prepared_from_archives(ganzoo: Run, packages: list[str], workdir: Path) -> None:
    result = ganzoo("data", "prepare", "emoji", *packages, "--lossless")
    assert result.exit_code == 0, result.output
    assert "Train with: ganzoo train MODEL --data emoji" in result.stdout
    assert "data/emoji.lmdb: 20 images at 8, 16, 32, 64 px" in result.stdout
    assert "data/emoji-val.lmdb: 2 images" in result.stdout
    data = Emoji().open()
    validation = data.validation()
    assert validation is not None
    assert data.info == DataInfo("emoji", 20, 64, 3, ("google", "twitter"))
    assert validation.info == DataInfo("emoji-val", 2, 64, 3, ("google", "twitter"))
    for index, (vendor, code) in enumerate((vendor, code) for vendor in data.info.domains for code in CODES[:9]):
        at = index + index // 9  # a vendor's images for training are emoji 1 to 9, and emoji 11, which this loop skips
        pixels, label = data.load(at)
        np.testing.assert_array_equal(pixels, np.asarray(Image.open(io.BytesIO(image_file(vendor, code)))))
        assert data.info.domains[label] == vendor
    np.testing.assert_array_equal(
        validation.load(1)[0], np.asarray(Image.open(io.BytesIO(image_file("twitter", CODES[9]))))
    )
    assert "20 readable images of 20" in ganzoo("data", "check", "emoji").stdout
    assert sorted(path.name for path in workdir.iterdir()) == ["data", "google.tgz", "twitter.tgz"]


def test_the_data_set_can_have_another_name_and_other_sizes(ganzoo: Run, packages: list[str], workdir: Path) -> None:
    result = ganzoo("data", "prepare", "emoji", *packages, "--out", "signs", "--sizes", "16")
    assert result.exit_code == 0, result.output
    assert (workdir / "data" / "signs.lmdb").exists()
    assert "20 readable images of 20" in ganzoo("data", "check", "signs").stdout


def test_preparing_the_data_set_twice_is_refused(ganzoo: Run, packages: list[str]) -> None:
    assert ganzoo("data", "prepare", "emoji", *packages).exit_code == 0
    again = ganzoo("data", "prepare", "emoji", *packages)
    assert again.exit_code == 1
    assert "emoji.lmdb: already exists. Delete it first" in again.stderr


def test_the_error_for_a_missing_set_says_how_to_get_it(ganzoo: Run) -> None:
    assert not Emoji().ready()
    result = ganzoo("data", "check", "emoji")
    assert result.exit_code == 1
    for command in ("npm pack emoji-datasource-google", "npm pack emoji-datasource-twitter", "prepare emoji --from"):
        assert command in result.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["mnist", "--from", "google.tgz"], 2, "--from: mnist can't be built from your own files"),
        (["emjoi", "--from", "google.tgz"], 2, "Did you mean 'emoji'?"),
        (["emoji"], 2, "Missing option '--out'"),
        (["emoji", "--from", "nowhere.tgz"], 1, "nowhere.tgz: there is no such file"),
        (
            ["emoji", "--from", "google.tgz"],
            1,
            "at least two vendors are needed, one per domain, but only google was found",
        ),
        (["emoji", "--from", "google.tgz", "--from", "other.tgz"], 1, "apple, google have no emoji in common"),
        (
            ["emoji", "--from", "empty.tgz"],
            1,
            "empty.tgz: no emoji images in it (expected paths like img/VENDOR/64/1f600.png",
        ),
        (["emoji", "--from", "google.tgz", "--from", "text.tgz"], 1, "text.tgz: not an intact .tgz archive"),
    ],
)
def test_invalid_arguments_are_errors(
    ganzoo: Run, packages: list[str], workdir: Path, arguments: list[str], status: int, message: str
) -> None:
    pack(workdir / "other.tgz", members("apple", ["1f800"]))
    pack(workdir / "empty.tgz", {"package/package.json": b"{}"})
    (workdir / "text.tgz").write_bytes(b"no archive")
    result = ganzoo("data", "prepare", *arguments)
    assert result.exit_code == status
    assert message in result.stderr
    assert not (workdir / "data").exists()


# Files


def test_folders_and_archives_give_the_same_images(tmp_path: Path) -> None:
    files = members("google")
    archive, folder = pack(tmp_path / "a.tgz", files), write_folder(tmp_path / "folder", files)
    expected = {"google": {(0x1F600 + index,): image_file("google", code) for index, code in enumerate(CODES)}}
    assert collect([archive]) == expected
    for given_folder in (folder, folder / "package", folder / "package/img", folder / "package/img/google/64"):
        assert collect([given_folder]) == expected


def test_one_file_can_contain_several_vendors(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.tgz", {**members("google"), **members("apple")})
    assert {vendor: len(found) for vendor, found in collect([archive]).items()} == {"google": 11, "apple": 11}


def test_hostile_members_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    others = []
    for code, kind, target in (
        ("1f700", tarfile.SYMTYPE, str(tmp_path / "secret.png")),
        ("1f701", tarfile.LNKTYPE, "package/img/google/64/1f600.png"),
        ("1f702", tarfile.FIFOTYPE, ""),
        ("1f703", tarfile.DIRTYPE, ""),
    ):
        other = tarfile.TarInfo(f"package/img/google/64/{code}.png")
        other.type, other.linkname = kind, target
        others.append(other)
    files = members("google")
    files["package/img/google/64/1f704.png"] = bytes(emoji_files.MAX_IMAGE_BYTES + 1)
    files["package/img/google/64/../../../1f705.png"] = b"elsewhere"
    found = collect([pack(tmp_path / "a.tgz", files, *others)])
    assert [f"{code[0]:x}" for code in found["google"]] == CODES
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tgz", "secret.png"]


def test_links_and_pipes_in_folders_are_ignored(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set", members("google")) / "package/img/google/64"
    (folder / "1f700.png").symlink_to(folder / "1f600.png")
    os.mkfifo(folder / "1f701.png")
    (folder / "1f702.png").mkdir()
    assert len(collect([tmp_path / "set"])["google"]) == 11


def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.tgz")
    with pytest.raises(DataError, match=r"a\.tgz: neither a file nor a folder"):
        collect([tmp_path / "a.tgz"])


def test_an_archive_that_expands_without_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emoji_files, "MAX_UNPACKED_BYTES", 1 << 20)
    bomb = pack(tmp_path / "bomb.tgz", {"package/zeros": bytes(5 << 20), **members("google")})
    with pytest.raises(DataError, match=r"bomb\.tgz: unpacks to more than 1 MiB"):
        collect([bomb])


@pytest.mark.parametrize("fraction", [0.02, 0.5, 0.98])
def test_a_truncated_archive_is_an_error(tmp_path: Path, fraction: float) -> None:
    path = pack(tmp_path / "a.tgz", members("google"))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * fraction)])
    with pytest.raises(DataError, match=r"a\.tgz: not an intact \.tgz archive .* Download it again"):
        collect([path])


def test_damage_anywhere_is_an_error_or_harmless(tmp_path: Path) -> None:
    intact = pack(tmp_path / "a.tgz", members("google", CODES[:2])).read_bytes()
    failed = 0
    for at in range(0, len(intact), max(1, len(intact) // 150)):
        damaged = bytearray(intact)
        damaged[at] ^= 0x55
        (tmp_path / "b.tgz").write_bytes(damaged)
        try:
            found = collect([tmp_path / "b.tgz"])
        except DataError:
            failed += 1
        else:
            assert {*found["google"]} <= {(0x1F600,), (0x1F601,)}
    assert failed > 100  # damage is harmless only in the file name, time and system of the gzip header


def test_an_unreadable_image_is_skipped(ganzoo: Run, packages: list[str], workdir: Path) -> None:
    files = members("google")
    files["package/img/google/64/1f603.png"] = b"no picture"
    pack(workdir / "google.tgz", files)
    result = ganzoo("data", "prepare", "emoji", *packages)
    assert result.exit_code == 0
    assert "emoji: google/1f603.png: not a readable image" in result.stdout
    assert "emoji.lmdb: 19 images" in result.stdout


def test_transparent_images_are_composited_over_white(tmp_path: Path) -> None:
    transparent = encoded(Image.new("RGBA", (64, 64), (255, 0, 0, 0)))
    files = {f"img/{vendor}/64/{code}.png": transparent for vendor in ("a", "b") for code in ("1f600", "1f601")}
    data = Emoji().from_files([pack(tmp_path / "a.tgz", files)])
    assert (data.load(0)[0] == 255).all()
    assert data.validation() is None


# The split

SIGNS = st.integers(0x1F300, 0x1F400)
CODE = st.tuples(SIGNS) | st.tuples(SIGNS, st.integers(0x1F3FB, 0x1F3FF))


@given(st.sets(CODE))
def test_the_split_is_complete_and_keeps_variants_of_a_sign_together(codes: set[Code]) -> None:
    training, validation = split(codes)
    assert sorted(training + validation) == sorted(codes)
    assert not {code[0] for code in training} & {code[0] for code in validation}
    signs = {code[0] for code in codes}
    assert len({code[0] for code in validation}) == len(signs) // 10


def test_a_man_a_woman_and_a_person_with_the_same_job_stay_together() -> None:
    people = {(sign, 0x200D, 0x1F33E) for sign in (0x1F468, 0x1F469, 0x1F9D1)}
    for others in range(12):
        training, validation = split(people | {(sign,) for sign in range(0x1F300, 0x1F300 + others)})
        assert {*training} >= people or {*validation} >= people
