"""Compare settings of a model by the FID after equally many training images, for a preset found by measuring.

    python experiments/results/settings.py lsgan --preset experiments/lsgan-mnist.toml --kimg 40 --seeds 3 \\
        --try "" --try "--ema 0.999" --try "--learning-rate 2e-4 --dropout 0.25"

Each --try is a set of options of `ganzoo train` that are added to the preset. Each is trained with the seeds 0 to
N - 1, and --jobs trainings run at the same time. Prints a Markdown table with the mean and the standard deviation of
the FIDs of each. A measurement that is in --folder already is not repeated, so more can be tried later.
"""

from __future__ import annotations

import json
import os
import shlex
import statistics
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import click

from ganzoo import signals


def folder_of(home: Path, options: Sequence[str], seed: int) -> Path:
    """Return the folder of the run with these options and seed."""
    name = "_".join(option.lstrip("-").replace(os.sep, "_") for option in options) or "preset"
    return home / name / str(seed)


class Commands:
    """Runs commands of ganzoo, several at the same time, and can end them all."""

    def __init__(self, threads: int) -> None:
        self.environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        self.running: set[subprocess.Popen[bytes]] = set()
        self.ended = False
        self.lock = threading.Lock()

    def run(self, folder: Path, *arguments: str) -> None:
        """Run a command, whose output goes to a log. ClickException if it fails."""
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / "log.txt"
        command = [sys.executable, "-m", "ganzoo", *arguments, "--experiments", str(folder)]
        with log.open("ab") as file:
            with self.lock:
                if self.ended:
                    raise click.Abort
                # A session of its own, so that Ctrl-C reaches it through `end` only: a second signal would kill it.
                process = subprocess.Popen(
                    command, stdout=file, stderr=file, env=self.environment, start_new_session=True
                )
                self.running.add(process)
            status = process.wait()
            self.running.discard(process)
        if status:
            last = log.read_text(errors="replace").strip().splitlines()[-1:]
            raise click.ClickException(f"{shlex.join(command[2:])}: {''.join(last)} (see {log})")

    def end(self) -> None:
        with self.lock:
            self.ended = True
        for process in self.running.copy():
            process.terminate()


def measure(commands: Commands, folder: Path, train: Sequence[str], evaluate: Sequence[str]) -> float:
    """Train and evaluate unless that was done before, and return the FID."""
    found = [*folder.glob("0*/evaluations.jsonl")]
    if not found:
        for unfinished in folder.glob("0*"):
            unfinished.rename(unfinished.with_name(f"unfinished-{unfinished.name}"))
        commands.run(folder, "train", *train)
        commands.run(folder, "evaluate", "latest", "--metrics", "fid", *evaluate)
        found = [*folder.glob("0*/evaluations.jsonl")]
    numbers: dict[str, dict[str, float]] = json.loads(found[0].read_text().splitlines()[-1])["mean"]
    return next(iter(numbers.values()))["fid"]


def table(fids: dict[str, list[float]]) -> str:
    """Return a table of the mean and standard deviation for each setting."""
    lines = ["| setting | FID | seeds |", "|---|---|---|"]
    for name, values in fids.items():
        deviation = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
        lines.append(
            f"| {f'`{name}`' if name else 'the preset'} | {statistics.mean(values):.1f}{deviation} | {len(values)} |"
        )
    return "\n".join(lines)


@click.command()
@click.argument("model")
@click.option("--preset", help="TOML file with the options that all have in common.")
@click.option(
    "--try", "tried", multiple=True, required=True, help="Options to add, in quotes; can be given several times."
)
@click.option("--kimg", default=40.0, help="Length of each training.")
@click.option("--seeds", default=3, help="Trainings of each setting.")
@click.option("--samples", default=5000, help="Images to generate for a FID.")
@click.option("--real", default=10_000, help="Real images for a FID, at most.")
@click.option("--mode", help="Styles of a translation model's FID: latent or reference.")
@click.option("--jobs", default=os.cpu_count() or 1, help="Trainings at the same time.")
@click.option(
    "--folder", default="experiments/settings", type=click.Path(path_type=Path), help="Where runs are written."
)
def main(
    model: str,
    preset: str | None,
    tried: tuple[str, ...],
    kimg: float,
    seeds: int,
    samples: int,
    real: int,
    mode: str | None,
    jobs: int,
    folder: Path,
) -> None:
    common = [model, "--kimg", str(kimg), "--tick", str(kimg), "--snapshot", "1"]
    common += ["--preset", preset] if preset else []
    evaluate = ["--samples", str(samples), "--real", str(real), *(["--mode", mode] if mode else [])]
    commands = Commands(threads=max(1, (os.cpu_count() or 1) // jobs))
    fids: dict[str, list[float]] = {}
    with signals.interruptible(), ThreadPoolExecutor(jobs) as pool:

        def start(name: str, seed: int) -> Future[float]:
            options = shlex.split(name)
            train = [*common, *options, "--seed", str(seed)]
            return pool.submit(measure, commands, folder_of(folder, options, seed), train, evaluate)

        waiting = {name: [start(name, seed) for seed in range(seeds)] for name in tried}
        try:
            for name, results in waiting.items():
                fids[name] = [each.result() for each in results]
                click.echo(f"{name or 'the preset'}: {', '.join(f'{value:.1f}' for value in fids[name])}", err=True)
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            if isinstance(error, KeyboardInterrupt):
                commands.end()
            raise  # after an error, once the other running commands have ended by themselves
    click.echo(table(fids))


if __name__ == "__main__":
    main()
