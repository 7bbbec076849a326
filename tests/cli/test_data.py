from __future__ import annotations

import json
import os
import resource
import subprocess
import sys

import lmdb
import numpy as np
import pytest
from PIL import Image

from ganzoo.data.storage import open_path
from tests.data.pictures import encoded, noise, write_folder, write_zip


def test_list_shows_the_bundled_data_sets(ganzoo):
    rows = {row["name"]: row for row in json.loads(ganzoo("data", "list", "--json").stdout)}
    assert rows["mnist"]["ready"] is True
    assert rows["symbols"]["ready"] is False  # the data directory of this test is empty
    assert "mnist" in ganzoo("data", "list").stdout


def test_validation_images_are_not_listed_as_a_data_set(ganzoo, pictures, workdir):
    for name in ("mine", "mine-val", "interval", "other-val"):
        assert ganzoo("data", "prepare", "pictures", "--out", name).exit_code == 0
    names = {row["name"] for row in json.loads(ganzoo("data", "list", "--json").stdout)}
    assert names >= {"mine", "interval", "other-val"}
    assert "mine-val" not in names


def test_check_counts_a_good_folder(ganzoo, pictures):
    result = ganzoo("data", "check", "pictures")
    assert result.exit_code == 0
    assert "12 readable images of 12, RGB" in result.stdout
    assert "10 x 12 px: 12" in result.stdout


def test_check_lists_every_unreadable_file(ganzoo, pictures):
    (pictures / "03.png").write_bytes((pictures / "03.png").read_bytes()[:100])
    (pictures / "07.png").write_bytes(b"")
    result = ganzoo("data", "check", "pictures")
    assert result.exit_code == 1
    assert "pictures/03.png" in result.stdout
    assert "pictures/07.png" in result.stdout
    assert "2 of 12 images can't be read" in result.stderr


def test_check_reports_a_missing_data_set(ganzoo):
    result = ganzoo("data", "check", "mnits")
    assert result.exit_code == 1
    assert "Did you mean 'mnist'?" in result.stderr


def test_a_prepared_data_set_can_be_used_by_name(ganzoo, pictures, workdir):
    result = ganzoo("data", "prepare", "pictures", "--out", "mine", "--sizes", "4-8", "--flip")
    assert result.exit_code == 0, result.output
    assert "12 images at 4, 8 px" in result.stdout
    assert "Train with: ganzoo train MODEL --data mine" in result.stdout
    assert "12 readable images of 12, RGB" in ganzoo("data", "check", "mine").stdout
    rows = {row["name"]: row for row in json.loads(ganzoo("data", "list", "--json").stdout)}
    assert rows["mine"] == {"name": "mine", "summary": f"prepared: {workdir}/data/mine.lmdb", "ready": True}
    assert open_path(workdir / "data" / "mine.lmdb").info.flip is True
    assert "Did you mean 'mine'?" in ganzoo("data", "check", "mein").stderr


def test_prepare_refuses_an_empty_option(ganzoo, pictures, workdir):
    for option in (["--out", "mine", "--sizes", ""], ["--out", ""]):
        result = ganzoo("data", "prepare", "pictures", *option)
        assert (result.exit_code, result.stderr.startswith(f"Error: {option[-2]} ")) == (2, True)


def test_prepare_accepts_a_path_and_by_default_stores_sizes_up_to_that_of_the_images(ganzoo, pictures, workdir):
    result = ganzoo("data", "prepare", "./pictures", "--out", "some/where", "--lossless", "--workers", "1")
    assert result.exit_code == 0, result.output
    assert "some/where: 12 images at 8 px" in result.stdout
    assert "--data some/where" in result.stdout
    assert "8 x 8 px: 12" in ganzoo("data", "check", "some/where").stdout
    again = ganzoo("data", "prepare", "pictures", "--out", "some/where")
    assert again.exit_code == 1
    assert "some/where: already exists. Delete it first, or choose another name." in again.stderr


@pytest.mark.parametrize(("option", "domains"), [([], ("0", "1")), (["--labels", "none"], ())])
def test_prepare_uses_subfolders_as_domains_unless_disabled(ganzoo, workdir, option, domains):
    write_folder(workdir / "set", {f"{index}/a.png": encoded(noise(9, 9)) for index in range(2)})
    assert ganzoo("data", "prepare", "set", "--out", "mine", *option).exit_code == 0
    assert open_path(workdir / "data" / "mine.lmdb").info.domains == domains


def test_prepare_stores_mnist_with_its_digits_as_domains(ganzoo, workdir, monkeypatch):
    from ganzoo_datasets import mnist

    open_all = mnist.MNIST.open

    def open_few(self):
        digits = open_all(self)
        return mnist.Digits(digits._images[:100], digits._labels[:100])

    monkeypatch.setattr(mnist.MNIST, "open", open_few)
    assert ganzoo("data", "prepare", "mnist", "--out", "digits", "--sizes", "8-32").exit_code == 0
    data = open_path(workdir / "data" / "digits.lmdb")
    assert (data.info.count, data.info.size, data.info.channels, data.info.flip) == (100, 32, 1, False)
    assert data.info.domains == tuple("0123456789")
    assert [data.load(index)[1] for index in range(8)] == [5, 0, 4, 1, 9, 2, 1, 3]


@pytest.mark.parametrize("bad", [2, 21])
def test_prepare_lists_unreadable_images(ganzoo, pictures, workdir, bad):
    for index in range(bad):
        (pictures / f"bad {index:02d}.png").write_bytes(b"text")
        (pictures / f"good {index:02d}.png").write_bytes((pictures / "00.png").read_bytes())
    result = ganzoo("data", "prepare", "pictures", "--out", "mine")
    assert result.exit_code == 0
    assert f"{12 + bad} images at 8 px" in result.stdout
    assert f"{bad} images can't be read and were left out." in result.stdout
    listed = [index for index in range(bad) if f"pictures/bad {index:02d}.png: not a readable image" in result.stdout]
    assert listed == list(range(min(bad, 20)))
    file = workdir / "data" / "mine.lmdb.unreadable.txt"
    assert file.exists() is (bad > 20)
    if file.exists():
        assert [line.split(":")[0] for line in file.read_text().splitlines()] == [
            f"pictures/bad {index:02d}.png" for index in range(bad)
        ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "mine", "--sizes", "9"], "--sizes 9: give powers of two from 4 to 1024"),
        (["--out", "two words"], "--out 'two words': give a name"),
        (["--out", ".hidden"], "--out '.hidden': give a name"),
        (["--out", "mnist"], "--out mnist: a data set with this name already exists"),
        ([], "Missing option '--out'"),
    ],
)
def test_prepare_refuses_wrong_options(ganzoo, pictures, workdir, arguments, message):
    result = ganzoo("data", "prepare", "pictures", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert [path.name for path in workdir.iterdir()] == ["pictures"]


def test_a_data_set_that_is_not_bundled_can_be_prepared_under_its_name(ganzoo, workdir):
    assert "ganzoo data prepare PATH --out ffhq" in ganzoo("data", "check", "ffhq").stderr
    write_folder(workdir / "fetched", {f"0{index}000/{index}.png": encoded(noise(9, 9)) for index in range(3)})
    assert ganzoo("data", "prepare", "fetched", "--out", "ffhq").exit_code == 0
    assert "3 readable images of 3, RGB" in ganzoo("data", "check", "ffhq").stdout
    assert "ffhq         ready" in ganzoo("data", "list").stdout


# Unusual paths, memory limits, and messages of other libraries


def run(*arguments: str | bytes, limit: int | None = None, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a `ganzoo` command in its own process, whose address space has at most `limit` bytes."""

    def set_limit() -> None:
        if limit:
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    return subprocess.run(
        [sys.executable, "-m", "ganzoo", *arguments],
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **environment},
        preexec_fn=set_limit,
        timeout=100,
        check=False,
    )


def test_prepare_works_with_a_limited_address_space(pictures, workdir):
    result = run("data", "prepare", "pictures", "--out", "mine", "--workers", "1", limit=2 << 30)
    assert result.returncode == 0, result.stderr.decode()
    assert open_path(workdir / "data" / "mine.lmdb").info.count == 12


def test_too_small_an_address_space_is_reported_and_no_file_remains(ganzoo, pictures, workdir, monkeypatch):
    def refuse(*arguments: object, **options: object) -> None:
        (workdir / "data" / "mine.lmdb.preparing" / "data.mdb").touch()
        raise lmdb.MemoryError("Cannot allocate memory")

    monkeypatch.setattr(lmdb, "open", refuse)
    result = ganzoo("data", "prepare", "pictures", "--out", "mine")
    assert result.exit_code == 1
    assert "mine.lmdb: can't be written (address space is exhausted; raise the limit" in result.stderr
    assert "continues" not in result.stderr
    assert list((workdir / "data").iterdir()) == []


@pytest.mark.parametrize("name", [b"caf\xe9", "für 世".encode()])
@pytest.mark.parametrize("locale", [{}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])
def test_paths_with_any_bytes_can_be_prepared_in_any_locale(pictures, workdir, name, locale):
    folder = pictures.rename(workdir / os.fsdecode(name))
    (folder / "00.png").rename(folder / os.fsdecode(name + b".png"))
    (folder / os.fsdecode(name + b" bad.png")).write_bytes(b"text")
    prepared = run("data", "prepare", name, "--out", b"./" + name + b".lmdb", "--workers", "1", **locale)
    assert prepared.returncode == 0, prepared.stderr.decode()
    assert b"12 images at 8 px" in prepared.stdout
    for path in (name, name + b".lmdb"):
        checked = run("data", "check", b"./" + path, **locale)
        assert b"Traceback" not in checked.stderr
        assert b"12 readable images of 1" in checked.stdout


def test_the_fingerprint_of_an_unfinished_set_does_not_depend_on_the_locale(workdir):
    """The fingerprint must not depend on how Python decodes the path."""
    write_folder(workdir / "für", {f"{index}.png": encoded(noise(9, 9)) for index in range(3)})
    script = (
        "import pathlib; from ganzoo.data import preparing, storage; "
        "print(preparing._fingerprint(storage.open_path(pathlib.Path(__import__('sys').argv[1]))))"
    )
    fingerprints = {
        subprocess.run(
            [sys.executable, "-c", script, "für"], capture_output=True, check=True, env={**os.environ, **locale}
        ).stdout
        for locale in ({}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})
    }
    assert len(fingerprints) == 1


def test_a_data_directory_that_cannot_be_written_is_reported(pictures):
    for directory in ("/proc/x", "/proc"):
        result = run("data", "prepare", "pictures", "--out", "mine", GANZOO_DATA=directory)
        assert result.returncode == 1
        message = result.stderr.decode()
        assert f"{directory}/mine.lmdb: can't be written (No such file or directory). Set GANZOO_DATA" in message


EVIL = "\x1b[2Jbad\nError: fake line \x1b]0;pwned\x07"


def test_names_from_an_archive_cannot_control_the_terminal(ganzoo, workdir):
    names = {f"cat/{EVIL}.png": b"text", f"{EVIL}/1.png": encoded(noise()), "cat/2.png": encoded(noise())}
    write_zip(workdir / "set.zip", {**names, "cat/3.png": encoded(noise())})
    for command in ("check", "prepare"):
        result = ganzoo("data", command, "set.zip", *(["--out", "mine"] if command == "prepare" else []))
        assert "\\x1b[2Jbad\\nError: fake line" in result.output
        assert not {"\x1b", "\x07"} & {*result.output}
        assert not any(line.startswith("Error: fake") for line in result.output.splitlines())
    assert "\\x1b]0;pwned\\x07" in ganzoo("data", "check", "mine").stdout


def test_check_prints_no_warnings_about_readable_images(pictures):
    """Pillow would warn, and libtiff would write a line to stderr."""
    (pictures / "odd.gif").write_bytes(encoded(noise(9, 9).convert("P"), "gif", transparency=3))
    palette = Image.new("P", (4, 4))
    palette.info["transparency"] = b"\0\1\2"
    (pictures / "odd.png").write_bytes(encoded(palette, transparency=b"\0\1\2"))
    damaged = bytearray(encoded(noise(64, 64), "tiff", compression="tiff_adobe_deflate"))
    damaged[200:260] = bytes(60)
    (pictures / "bad.tif").write_bytes(damaged)
    result = run("data", "check", "pictures")
    assert b"bad.tif: not a readable image" in result.stdout
    assert result.stderr == b"Error: 1 of 15 images can't be read; they are listed above.\n"


def test_check_reports_how_folders_are_read_and_what_is_skipped(ganzoo, workdir):
    files = {f"{part}{domain}/1.png": encoded(noise()) for part in ("train", "test") for domain in "AB"}
    write_folder(workdir / "set", {**files, "trainA/2.heic": b"x", "trainA/3.HEIC": b"x"})
    lines = ganzoo("data", "check", "set").stdout.splitlines()
    assert lines[0] == "set: 2 readable images of 2, RGB"
    assert "    trained on: the domains A, B from trainA/ (1 image), trainB/ (1 image)" in lines
    assert "    2 other files ignored (.heic)" in lines
    assert "    not mirrored during training (use --flip to enable)" in lines
    assert "set-val: 2 readable images of 2, RGB" in lines


def test_one_image_is_reported_in_the_singular(ganzoo, workdir):
    write_folder(workdir / "set", {"a.png": encoded(noise(9, 9))})
    assert "1 readable image of 1" in ganzoo("data", "check", "set").stdout
    assert ": 1 image at 8 px" in ganzoo("data", "prepare", "set", "--out", "mine").stdout


def test_default_sizes_depend_on_all_images_not_only_the_first(ganzoo, workdir):
    files = {"00 thumbnail.png": encoded(noise(5, 5)), **{f"{n}.png": encoded(noise(70, 80)) for n in range(3)}}
    write_folder(workdir / "set", files)
    output = ganzoo("data", "prepare", "set", "--out", "mine").stdout
    assert "--sizes 8,16,32,64, as half of its images are at least 70 px on the shorter side (5 to 70 px)" in output
    assert open_path(workdir / "data" / "mine.lmdb").info.size == 64


@pytest.mark.parametrize("name", ["mine.zip", "mine.parquet"])
def test_prepare_writes_files_for_other_programs(ganzoo, workdir, name):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow", reason="needs pyarrow, which the extra `parquet` installs")
    files = {f"{kind}/{number}.png": encoded(noise(40, 50)) for kind in ("cat", "dog") for number in range(3)}
    write_folder(workdir / "set", files)
    result = ganzoo("data", "prepare", "set", "--out", name)
    assert result.exit_code == 0, result.output
    assert "--sizes 32, as all of its images are at least 40 px on the shorter side" in result.stdout
    assert ("domains become numbers: 0=cat, 1=dog" in result.stdout) == name.endswith("zip")
    assert f"{name}: 6 images at 32 px" in result.stdout
    assert f"Train with: ganzoo train MODEL --data {name}" in result.stdout
    assert "cat: 3" in ganzoo("data", "check", name).stdout
    assert sorted(path.name for path in workdir.iterdir()) == [name, "set"]
    result = ganzoo("data", "prepare", "set", "--out", f"other-{name}", "--sizes", "8-32")
    assert result.exit_code == 2
    assert "--sizes 8,16,32: a" in result.stderr


def test_prepare_fails_if_most_images_are_unreadable(ganzoo, pictures, workdir):
    for index in range(13):
        (pictures / f"bad {index:02d}.png").write_bytes(b"text")
    result = ganzoo("data", "prepare", "pictures", "--out", "mine")
    assert result.exit_code == 1
    assert "pictures: 13 of its 25 images can't be read, so nothing was written." in result.stderr
    assert list((workdir / "data").iterdir()) == []


def test_show_writes_a_sheet_and_prints_its_path(ganzoo, domains):
    result = ganzoo("data", "show", "pictures")
    assert (result.exit_code, result.stdout) == (0, "pictures.png\n"), result.output
    with Image.open("pictures.png") as plain:
        assert plain.height == 2 * 66 + 2  # a row for each domain
    result = ganzoo("data", "show", "pictures", "--out", "small.png", "--size", "16")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("augment", ["ada", "diffaugment"])
def test_show_writes_augmented_images(jittor, ganzoo, pictures, augment):
    result = ganzoo("data", "show", "pictures", "--augment", augment, "--size", "8")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == f"pictures-{augment}.png"
    with Image.open(f"pictures-{augment}.png") as sheet:
        pixels = np.asarray(sheet)
    assert (pixels[2:66, 2:66] != pixels[2:66, 68:132]).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--p", "0.5"], "--p has an effect only with --augment ada"),
        (["--augment", "diffaugment", "--flip"], "--flip has an effect only with --augment ada"),
        (["--out", "x.gif"], "--out x.gif: the name must end in .png, .jpg, .webp"),
    ],
)
def test_show_refuses_options_without_effect(ganzoo, pictures, arguments, message):
    result = ganzoo("data", "show", "pictures", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
