"""`ganzoo data download` from the command line, against a server on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganzoo.data import downloading
from ganzoo.data.transfer import Patience
from tests.data.pictures import encoded, lay_folder, lay_zip, noise
from tests.data.serving import Answer, Served, serving

DOMAINS = ("cat", "dog", "wild")


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(downloading, "PATIENCE", Patience(20.0, (0.0, 0.0)))
    files = {f"{part}/{name}/1.bmp": encoded(noise(64, 64), "bmp") for part in ("train", "val") for name in DOMAINS}
    with serving(lay_zip(tmp_path / "served.zip", files).read_bytes()) as server:
        yield server


def ready(ganzoo, name: str) -> bool:
    rows = json.loads(ganzoo("data", "list", "--json").stdout)
    return {row["name"]: row["ready"] for row in rows}[name]


def test_a_data_set_is_downloaded_and_found_by_its_name(ganzoo, served, workdir):
    assert not ready(ganzoo, "afhq")
    served.answers = [Answer(cut=20_000)]
    result = ganzoo("data", "download", "afhq", "--url", served.url)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "downloading 75 kB",
        "the connection broke at 20 kB of 75 kB; the next attempt is in 0 s",
        "continuing at 20 kB of 75 kB",
        f"{workdir}/data/afhq.zip: 75 kB, whole",
        "Train with: ganzoo train MODEL --data afhq",
    ]
    assert [each.name for each in (workdir / "data").iterdir()] == ["afhq.zip"]
    assert ready(ganzoo, "afhq")
    assert "3 readable images of 3, RGB" in ganzoo("data", "check", "afhq").stdout


def test_the_official_address_is_that_of_the_source(ganzoo, served, monkeypatch):
    from ganzoo_datasets.afhq import AFHQ

    monkeypatch.setattr(AFHQ, "archive", served.url)
    assert ganzoo("data", "download", "afhq").exit_code == 0
    assert served.ranges == [None]


@pytest.mark.parametrize("place", ["afhq.zip", "afhq.lmdb", "afhq/train/cat"])
def test_a_downloaded_data_set_is_not_downloaded_again(ganzoo, served, workdir, place):
    (workdir / "data" / place).mkdir(parents=True)
    result = ganzoo("data", "download", "afhq", "--url", served.url)
    there = workdir / "data" / place.split("/")[0]
    assert result.stdout == (
        f"afhq: is there already, at {there}. To replace it, delete that and give this command again.\n"
    )
    assert result.exit_code == 0
    assert served.ranges == []


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["celeba_hq"], 2, "no data set is called 'celeba_hq'. Did you mean 'celeba-hq'?"),
        (["mnist"], 2, "mnist: can't be downloaded. Sets that can: afhq, celeba-hq."),
        (["afhq", "--url", "file:///etc/hosts"], 2, "'file:///etc/hosts' can't be fetched: --url takes an address"),
        ([], 2, "Missing argument 'NAME'."),
    ],
)
def test_wrong_arguments_are_reported(ganzoo, workdir, arguments, status, message):
    result = ganzoo("data", "download", *arguments)
    assert result.exit_code == status
    assert result.stderr.startswith(f"Error: {message}")
    assert list(workdir.iterdir()) == []


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(status=404), "the server has no such file (status 404)"),
        (Answer(page=b"<html>"), "what comes from there is a web page; the link may be dead"),
        (Answer(stall=0), "the server sent nothing for 1 s. Give another address"),
        (
            Answer(stall=1_000),
            "the server sent nothing for 1 s. 1 kB of 75 kB are kept: the same command continues it.",
        ),
        (Answer(extra=-1_000), "what came from there, 74 kB, is no whole zip archive"),
    ],
    ids=["404", "page", "silent", "stalled", "too short"],
)
def test_a_failure_is_one_line_that_says_what_to_do(ganzoo, served, workdir, monkeypatch, answer, message):
    served.otherwise = answer
    if answer.stall is not None:
        monkeypatch.setattr(downloading, "PATIENCE", Patience(1.0, ()))
    result = ganzoo("data", "download", "afhq", "--url", served.url)
    assert result.exit_code == 1
    lines = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert len(lines) == 1
    assert lines[0].startswith(f"Error: {served.url}: {message}")
    assert lines[0].endswith(f"with --url, or fetch the file by hand and put it at {workdir}/data/afhq.zip.")
    assert not (workdir / "data" / "afhq.zip").exists()


def test_a_zip_of_another_set_is_refused(ganzoo, served, workdir):
    result = ganzoo("data", "download", "celeba-hq", "--url", served.url)
    assert result.exit_code == 1
    assert "without an image in a folder train/female/." in result.stderr
    assert not ready(ganzoo, "celeba-hq")


def test_a_set_laid_out_by_hand_is_found_under_its_name(ganzoo, workdir):
    files = {f"train/{name}/{i}.png": encoded(noise(9, 9, seed=i)) for name in ("female", "male") for i in range(2)}
    lay_folder(workdir / "data" / "celeba-hq", files)
    assert "4 readable images of 4, RGB" in ganzoo("data", "check", "celeba-hq").stdout


def test_ctrl_c_keeps_the_partial_download(served, workdir):
    served.answers = [Answer(stall=20_000)]
    command = [sys.executable, "-m", "ganzoo", "data", "download", "afhq", "--url", served.url]
    part = workdir / "data" / "afhq.zip.part"
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        give_up = time.monotonic() + 20
        while not (part.exists() and part.stat().st_size == 20_000) and time.monotonic() < give_up:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        said, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "20 kB of 75 kB are kept: the same command continues it."
    assert errors.splitlines()[-1] == "Error: interrupted"
    assert "Traceback" not in errors
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert served.ranges == [None, "bytes=20000-"]
    assert (workdir / "data" / "afhq.zip").read_bytes() == served.file
