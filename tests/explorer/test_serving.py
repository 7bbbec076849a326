"""Tests of `ganzoo explore` as a process: its address, its end, newer checkpoints, and errors at the start."""

from __future__ import annotations

import http.client
import importlib
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image

from ganzoo.errors import OptionError
from ganzoo.explorer.serving import bind
from tests.support.kernels import loaded_kernels
from tests.support.stylegan_checkpoint import write_checkpoint

TRUST = Path(__file__).parents[2] / "experiments" / "trust"


def get(address: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
    connection.request("GET", path)
    response = connection.getresponse()
    return response.status, response.read()


def test_pictures_are_those_of_the_command_line(ganzoo, trained, explore):
    status, picture = get(explore(), "/picture?tab=t&place=p&x=3&y=2")
    assert status == 200
    assert ganzoo("generate", "--seeds", "203", "--out", "made").exit_code == 0
    Path("picture.png").write_bytes(picture)
    assert pixels("picture.png") == pixels("made/seed0203.png")


def pixels(path: str) -> tuple[tuple[int, int], bytes]:
    with Image.open(path) as image:
        return image.size, image.tobytes()


def test_a_newer_checkpoint_is_shown(ganzoo, trained, explore):
    address = explore("0")
    assert json.loads(get(address, "/status")[1])["kimg"] == 0.016
    assert ganzoo("train", "gan", "--resume", "0", "--kimg", "0.032").exit_code == 0
    end = time.monotonic() + 30
    while json.loads(get(address, "/status")[1])["kimg"] != 0.032:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert get(address, "/picture?tab=t&place=p&x=3")[0] == 200


@pytest.fixture
def growing(jittor, workdir):
    """Return the folder of a style-based run whose networks have grown to 8 px."""
    Path("growing").mkdir()
    Path("growing/options.json").write_text("{}")
    write_checkpoint(workdir / "growing/checkpoint-000000008.safetensors", 8)
    return workdir / "growing"


PICTURES = [
    "x=3",
    "x=3&y=0.25",
    "x=2.5&y=7.75&psi=0.3",
    "x=2.5&psi=0",
    "psi=1",
    "psi=-1&noise=random",
    "x=0.5&noise=none",
    "mix=5&layers=0",
    "x=0.5&mix=6&layers=1-2&psi=0.5",
    "x=1&mix=7&layers=coarse&noise=random",
]


def test_no_picture_needs_a_kernel_that_the_first_ones_did_not(growing, explore, children):
    """Compiling a kernel takes seconds. They are compiled before the page is shown, also when the networks grow."""
    address, before = explore("growing"), set()
    for size in (8, 16):
        path = growing / f"checkpoint-{size:09d}.safetensors"
        if not path.exists():
            write_checkpoint(path, size, alpha=0.5)  # blending two resolutions needs more kernels
        end = time.monotonic() + 60
        while json.loads(get(address, "/status")[1])["size"] != size:
            assert time.monotonic() < end
            time.sleep(0.1)
        former, before = before, loaded_kernels(children[0].pid)
        assert before > former
        for query in PICTURES:
            assert get(address, f"/picture?tab=t&place=p&{query}")[0] == 200, query
        assert loaded_kernels(children[0].pid) == before


def test_a_checkpoint_that_was_named_stays(ganzoo, trained, explore):
    address = explore(str(next(trained.glob("checkpoint-*"))))
    assert ganzoo("train", "gan", "--resume", "0", "--kimg", "0.032").exit_code == 0
    time.sleep(4)
    assert json.loads(get(address, "/status")[1])["kimg"] == 0.016


@pytest.mark.parametrize("method", ["Ctrl-C", "SIGTERM to the group", "hang-up"])
def test_it_ends_at_once_with_open_connections(workdir, trained, monkeypatch, method):
    monkeypatch.syspath_prepend(TRUST)
    endings = importlib.import_module("endings")
    stop, number = endings.STOP_METHODS[method]
    command = [sys.executable, "-m", "ganzoo", "explore", "--port", "0", "--device", "cpu"]
    terminal = endings.Terminal(command, workdir, workdir / "screen.txt")
    assert terminal.wait_until(lambda: "ready" in terminal.output(), seconds=120), terminal.output()
    found = re.search(r"http://([\d.]+):(\d+)/", terminal.output())
    assert found is not None
    with (
        socket.create_connection((found[1], int(found[2]))) as idle,
        socket.create_connection((found[1], int(found[2]))) as half,
    ):
        half.sendall(b"POST /images HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhalf")
        time.sleep(0.2)
        stop(terminal)
        status = terminal.wait(endings.MAX_ENDING_SECONDS)
        assert idle.fileno() >= 0
    terminal.close()
    assert status == 128 + number, terminal.output()
    assert endings.ending_faults(endings.Scenario("explore", seconds=0), terminal, status, number) == []
    assert terminal.kill_leftovers() == []


def test_the_address_and_the_line_for_ssh_are_printed(trained):
    command = [sys.executable, "-m", "ganzoo", "explore", "--port", "0", "--device", "cpu"]
    environment = {**os.environ, "SSH_CONNECTION": "10.0.0.2 5000 10.0.0.7 22", "USER": "ann", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline(), child.stdout.readline()]
        child.terminate()
    port = urlsplit(lines[0].strip()).port
    assert lines[0] == f"http://127.0.0.1:{port}/\n"
    assert lines[1] == f"on your own machine: ssh -L {port}:127.0.0.1:{port} ann@10.0.0.7\n"


def test_another_address_needs_the_token_that_is_printed(trained, explore):
    address = explore("--host", "0.0.0.0")
    found = re.fullmatch(r"http://[^:]+:(\d+)/\?token=([\w-]{32,})", address)
    assert found is not None
    local = f"http://127.0.0.1:{found[1]}/"
    assert get(local, "/status")[0] == 401
    assert get(local, f"/?token={found[2]}")[0] == 200
    assert get(local, "/status?token=wrong")[0] == 401


def test_a_port_in_use_is_one_line(ganzoo, trained):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        result = ganzoo("explore", "--port", str(port))
    assert result.exit_code == 2
    assert result.stderr == f"Error: --port {port}: in use by another program; give another, or 0 for a free one.\n"


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(OptionError, match=r"--host 192.0.2.1: "):
        bind("192.0.2.1", 0)
    with pytest.raises(OptionError, match=r"--host no.such.host.invalid: "):
        bind("no.such.host.invalid", 0)


def test_a_missing_extra_is_one_line(ganzoo, trained, monkeypatch):
    monkeypatch.setattr("ganzoo.cli.explore.find_spec", lambda name: None if name == "uvicorn" else object())
    result = ganzoo("explore")
    assert (result.exit_code, result.stderr) == (
        2,
        "Error: `ganzoo explore` needs uvicorn: pip install 'ganzoo[app]'\n",
    )


def test_a_run_that_does_not_exist_is_one_line(ganzoo, trained):
    result = ganzoo("explore", "7")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: there is no run '7' in experiments.")
