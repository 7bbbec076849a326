"""Measures how long `ganzoo explore` takes from the request of a picture to its PNG, one request after the other.

    python experiments/bench_explore.py zoo:gan-mnist zoo:lsgan-mnist experiments/00003-stylegan-symbols

Starts the server on a free port for each run, asks for pictures along a drag over the plane of seeds, or of different
seeds if the run translates images, and prints the median and the 95th percentile.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click


@contextmanager
def serving(name: str, device: str) -> Iterator[http.client.HTTPConnection]:
    """Serve a run, and yield a connection once it is warmed up."""
    command = [sys.executable, "-m", "ganzoo", "explore", name, "--port", "0", "--device", device]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as child:
        assert child.stdout is not None
        try:
            port = 0
            for line in child.stdout:
                if found := re.search(r":(\d+)/", line):
                    port = int(found[1])
                if line.startswith("ready"):
                    break
            yield http.client.HTTPConnection("127.0.0.1", port)
        finally:
            child.terminate()


def get(connection: http.client.HTTPConnection, path: str) -> bytes:
    connection.request("GET", path)
    response = connection.getresponse()
    content = response.read()
    assert response.status == 200, content
    return content


def pictures(status: dict, count: int) -> Iterator[str]:
    """Yield the addresses of pictures with different points, seeds and psi."""
    controls = status["controls"]
    source = status["offered"][0]["name"] if controls["translates"] else ""
    for number in range(count):
        psi = f"&psi={0.5 + number % 50 / 100:.2f}" if controls["style_layers"] or controls["looks"] else ""
        if controls["translates"]:
            place = f"source={source}" + (
                f"&domain={controls['domains'][0]}&seed={number}" if controls["looks"] else ""
            )
        else:
            place = f"x={3 + number * 0.037:.3f}&y={2 + number * 0.021:.3f}"
        yield f"/picture?tab=bench&place=main&{place}{psi}"


@click.command()
@click.argument("runs", nargs=-1, required=True)
@click.option("--count", default=200, help="Pictures per run.")
@click.option("--device", default="auto")
def main(runs: tuple[str, ...], count: int, device: str) -> None:
    for name in runs:
        with serving(name, device) as connection:
            status = json.loads(get(connection, "/status"))
            times = []
            for path in pictures(status, count):
                started_at = time.perf_counter()
                get(connection, path)
                times.append(1000 * (time.perf_counter() - started_at))
        median, slow = statistics.median(times), statistics.quantiles(times, n=20)[-1]
        print(f"{name:<40} {status['size']:>4} px   median {median:6.1f} ms   95th percentile {slow:6.1f} ms")


if __name__ == "__main__":
    main()
