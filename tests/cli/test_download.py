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
from ganzoo.data.transfer import RetryPolicy
from tests.data.file_server import FileServer, Response, serve
from tests.data.pictures import encoded, noise, write_folder, write_zip

DOMAINS = ("cat", "dog", "wild")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(downloading, "RETRY_POLICY", RetryPolicy(20.0, (0.0, 0.0)))
    files = {f"{part}/{name}/1.bmp": encoded(noise(64, 64), "bmp") for part in ("train", "val") for name in DOMAINS}
    with serve(write_zip(tmp_path / "served.zip", files).read_bytes()) as server:
        yield server


def ready(ganzoo, name: str) -> bool:
    rows = json.loads(ganzoo("data", "list", "--json").stdout)
    return {row["name"]: row["ready"] for row in rows}[name]


def test_a_downloaded_data_set_can_be_used_by_name(ganzoo, server, workdir):
    assert not ready(ganzoo, "afhq")
    server.responses = [Response(cut=20_000)]
    result = ganzoo("data", "download", "afhq", "--url", server.url)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "downloading 75 kB",
        "the connection broke at 20 kB of 75 kB; retrying in 0 s",
        "resuming at 20 kB of 75 kB",
        f"{workdir}/data/afhq.zip: 75 kB, complete",
        "Train with: ganzoo train MODEL --data afhq",
    ]
    assert [each.name for each in (workdir / "data").iterdir()] == ["afhq.zip"]
    assert ready(ganzoo, "afhq")
    assert "3 readable images of 3, RGB" in ganzoo("data", "check", "afhq").stdout


def test_the_default_url_is_the_official_one(ganzoo, server, monkeypatch):
    from ganzoo_datasets.afhq import AFHQ

    monkeypatch.setattr(AFHQ, "archive", server.url)
    assert ganzoo("data", "download", "afhq").exit_code == 0
    assert server.ranges == [None]


@pytest.mark.parametrize("existing", ["afhq.zip", "afhq.lmdb", "afhq/train/cat"])
def test_an_existing_data_set_is_not_downloaded_again(ganzoo, server, workdir, existing):
    (workdir / "data" / existing).mkdir(parents=True)
    result = ganzoo("data", "download", "afhq", "--url", server.url)
    path = workdir / "data" / existing.split("/")[0]
    assert result.stdout == (f"afhq: already exists at {path}. To replace it, delete it and repeat this command.\n")
    assert result.exit_code == 0
    assert server.ranges == []


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["celeba_hq"], 2, "no data set is called 'celeba_hq'. Did you mean 'celeba-hq'?"),
        (["mnist"], 2, "mnist: can't be downloaded. Data sets that can be: afhq, celeba-hq."),
        (["afhq", "--url", "file:///etc/hosts"], 2, "--url 'file:///etc/hosts': give an address that begins"),
        ([], 2, "Missing argument 'NAME'."),
    ],
)
def test_wrong_arguments_are_errors(ganzoo, workdir, arguments, status, message):
    result = ganzoo("data", "download", *arguments)
    assert result.exit_code == status
    assert result.stderr.startswith(f"Error: {message}")
    assert list(workdir.iterdir()) == []


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (Response(status=404), "the server has no such file (status 404)"),
        (Response(page=b"<html>"), "the server sent a web page; the link may be dead"),
        (Response(stall=0), "the server sent nothing for 1 s. Give another address"),
        (
            Response(stall=1_000),
            "the server sent nothing for 1 s. 1 kB of 75 kB are kept: run the same command to resume.",
        ),
        (Response(extra=-1_000), "the downloaded file (74 kB) is not an intact zip archive"),
    ],
    ids=["404", "web page", "no answer", "stalled", "too short"],
)
def test_an_error_is_one_line_with_advice(ganzoo, server, workdir, monkeypatch, response, message):
    server.default = response
    if response.stall is not None:
        monkeypatch.setattr(downloading, "RETRY_POLICY", RetryPolicy(1.0, ()))
    result = ganzoo("data", "download", "afhq", "--url", server.url)
    assert result.exit_code == 1
    lines = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert len(lines) == 1
    assert lines[0].startswith(f"Error: {server.url}: {message}")
    assert lines[0].endswith(f"with --url, or download the file yourself and save it as {workdir}/data/afhq.zip.")
    assert not (workdir / "data" / "afhq.zip").exists()


def test_a_zip_of_another_data_set_is_refused(ganzoo, server, workdir):
    result = ganzoo("data", "download", "celeba-hq", "--url", server.url)
    assert result.exit_code == 1
    assert "no image in a folder train/female/." in result.stderr
    assert not ready(ganzoo, "celeba-hq")


def test_a_data_set_copied_to_the_data_directory_can_be_used_by_name(ganzoo, workdir):
    files = {f"train/{name}/{i}.png": encoded(noise(9, 9, seed=i)) for name in ("female", "male") for i in range(2)}
    write_folder(workdir / "data" / "celeba-hq", files)
    assert "4 readable images of 4, RGB" in ganzoo("data", "check", "celeba-hq").stdout


def test_ctrl_c_keeps_the_partial_download(server, workdir):
    server.responses = [Response(stall=20_000)]
    command = [sys.executable, "-m", "ganzoo", "data", "download", "afhq", "--url", server.url]
    partial = workdir / "data" / "afhq.zip.part"
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        deadline = time.monotonic() + 20
        while not (partial.exists() and partial.stat().st_size == 20_000) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        lines, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert lines.splitlines()[-1] == "20 kB of 75 kB are kept: run the same command to resume."
    assert errors.splitlines()[-1] == "Error: interrupted"
    assert "Traceback" not in errors
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert server.ranges == [None, "bytes=20000-"]
    assert (workdir / "data" / "afhq.zip").read_bytes() == server.file
