"""Is ganzoo faster than PyTorch? Times one training iteration of each model, both sides taking turns.

    python experiments/bench/run.py                        # all rows, about 20 minutes on 2 cores
    python experiments/bench/run.py stylegan-32-8 gan-28-64 --turns 15
    python experiments/bench/run.py --precision amp        # in bfloat16 on both sides
    python experiments/bench/run.py --device cuda --precision tf32 --out FOLDER    # on a GPU, with other sizes

ganzoo runs the step of `ganzoo train`. PyTorch runs an eager, literal transcription of the authors' iteration in two
processes, with contiguous arrays and with channels_last; only the faster is reported. The three processes stay alive
and take turns iteration by iteration, so that other load on the machine slows all of them. While one works, the others
sleep.

Before a row is measured, both sides take one step from the same weights with the same noise, and must compute the same
losses. Writes results.json and results.png to --out, and prints a line per row; README.md explains the numbers.
results.json keeps the results of other processors and of rows that are not measured again.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
from rows import CPU_ROWS, GPU_GOALS, GPU_ROWS, INSTRUCTION_SETS, ROWS, Row

from ganzoo.backend import environment

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SIDES = ("ganzoo", "torch", "torch-channels-last")
PAUSE_SECONDS = 0.05  # a pause before each turn, because the threads of the previous side busy-wait for a while
# Maximum relative difference of a loss. In amp it is largest after the first updates, in which Adam moves every weight
# by the learning rate, however small its gradient is: rounding can reverse such a move by changing the gradient's sign.
LOSS_TOLERANCE = {"fp32": 1e-3, "tf32": 1e-2, "amp": 0.1}
# Rounding can also change the sign of an activation near 0 and so, through Adam, the losses after an update. PyTorch's
# losses of stargan2 in its two layouts, which round in different ways, differ by up to 0.3 %. So ganzoo's may differ
# from PyTorch's by LOSS_TOLERANCE or, if that is more, by twice as much as those two, but at most by MAX_TOLERANCE.
MAX_TOLERANCE = {"fp32": 1e-2, "tf32": 1e-2, "amp": 0.1}
# Such differences depend on the noise, unlike one between the networks, so losses are compared with up to three seeds
# of the noise.
NOISE_SEEDS = (0, 1, 2)
# Results with the same values of all these keys measure the same thing; the latest is kept.
KEYS = ("processor", "instruction_sets", "device", "gpu", "precision", "model", "size", "batch")
UTILISATION_SECONDS = 3.0  # the utilisation of a GPU is measured over this time


class Config(NamedTuple):
    """Threads, device and precision of both sides."""

    threads: int
    device: str = "cpu"
    precision: str = "fp32"


class SideProcess:
    """A child process that runs one side and answers requests: see serve.py."""

    def __init__(self, name: str, row: Row, config: Config) -> None:
        reader, writer = os.pipe()
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "OMP_NUM_THREADS": str(config.threads), "PYTHONPATH": path}
        command = [sys.executable, str(HERE / "serve.py"), name, row.name, str(writer)]
        command += [str(config.threads), config.device, config.precision]
        self.started_at = time.perf_counter()
        self.child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=sys.stderr, text=True, env=environment, pass_fds=[writer]
        )
        os.close(writer)
        self.answers = os.fdopen(reader)
        self.turns: list[dict[str, float]] = []

    def request(self, *words: str | float) -> Any:
        """Send a request and return the answer."""
        assert self.child.stdin is not None
        self.child.stdin.write(json.dumps(words) + "\n")
        self.child.stdin.flush()
        answer = self.answers.readline()
        if not answer:
            raise click.ClickException(f"a process ended with status {self.child.wait()}")
        return json.loads(answer)

    def iterate(self) -> dict[str, float]:
        time.sleep(PAUSE_SECONDS)
        found: dict[str, float] = self.request("iterate")
        return found

    def time_first_iteration(self) -> float:
        """Return the seconds from the start of the process to the end of its first iteration."""
        self.request("iterate")
        return time.perf_counter() - self.started_at

    def close(self) -> None:
        assert self.child.stdin is not None
        self.child.stdin.close()
        self.child.wait()


@contextlib.contextmanager
def start_sides(row: Row, config: Config, *names: str) -> Iterator[list[SideProcess]]:
    """Start processes one after the other, so that none slows the start of another."""
    sides: list[SideProcess] = []
    try:
        for name in names:
            sides.append(SideProcess(name, row, config))
            sides[-1].request("ready")
        yield sides
    finally:
        for side in sides:
            side.close()


def compare(row: Row, config: Config) -> dict[str, list[float]]:
    """Return the losses of both sides in one step from the same weights with the same noise, by name. Raises
    ClickException if they differ with each of NOISE_SEEDS."""
    for seed in NOISE_SEEDS:
        losses = losses_of_a_step(row, config, seed)
        differing = [name for name, values in losses.items() if differ(*values, config.precision)]
        if not differing:
            return {name: values[:2] for name, values in losses.items()}
    name = differing[0]
    ours, theirs, _ = losses[name]
    raise click.ClickException(f"{row.name}: {name} is {ours} in ganzoo and {theirs} in PyTorch")


def differ(ours: float, theirs: float, theirs_in_other_layout: float, precision: str) -> bool:
    """Whether a loss differs by more than rounding."""
    ours_off, other_off = (abs(loss - theirs) / max(1.0, abs(theirs)) for loss in (ours, theirs_in_other_layout))
    return ours_off > min(max(LOSS_TOLERANCE[precision], 2 * other_off), MAX_TOLERANCE[precision])


def losses_of_a_step(row: Row, config: Config, seed: int) -> dict[str, list[float]]:
    """Return the losses in one step from the same weights, with the noise of this seed, by name: those of ganzoo, of
    PyTorch, and of PyTorch with channels_last.

    On the CPU, PyTorch computes them in float32: under autocast, its second derivatives for convolutions from or to
    three channels are wrong by half of their size."""
    theirs_config = config._replace(precision="fp32") if config.device == "cpu" else config
    with (
        tempfile.TemporaryDirectory() as folder,
        start_sides(row, config, "ganzoo") as (ours,),
        start_sides(row, theirs_config, *SIDES[1:]) as (theirs, other),
    ):
        weights = str(Path(folder) / "weights.npz")
        ours.request("save_weights", weights)
        found = ours.request("losses", seed)
        expected, expected_other = (side.request("losses", seed, weights) for side in (theirs, other))
    if found.keys() != expected.keys():
        raise click.ClickException(f"{row.name}: ganzoo has the losses {sorted(found)}, PyTorch {sorted(expected)}")
    return {name: [found[name], expected[name], expected_other[name]] for name in found}


def cold_start(row: Row, config: Config) -> float:
    """Return the seconds from the start of a process that finds no compiled kernels to the end of its first
    iteration."""
    with start_sides(row, config, "ganzoo") as (side,):
        kernels = Path(side.request("kernel_folder"))
    backup = kernels.with_name(f"{kernels.name}-aside-{os.getpid()}")
    kernels.rename(backup)
    try:
        kernels.mkdir()
        side = SideProcess("ganzoo", row, config)
        try:
            return side.time_first_iteration()
        finally:
            side.close()
    finally:
        restore_kernels(kernels, backup)


def restore_kernels(kernels: Path, backup: Path) -> None:
    """Move `backup` back to the folder `kernels`. Keep what is there now: other processes may have compiled it
    meanwhile, and may still be compiling."""
    cold = kernels.with_name(f"{kernels.name}-cold-{os.getpid()}")
    kernels.rename(cold)
    backup.rename(kernels)
    for path in cold.iterdir():
        if not (kernels / path.name).exists():
            path.rename(kernels / path.name)
    shutil.rmtree(cold, ignore_errors=True)


def measure(row: Row, turns: int, config: Config, cold: bool) -> dict[str, Any]:
    """Return all numbers of a row; with `cold` also the time of a first step without compiled kernels."""
    losses, cold_s = compare(row, config), cold_start(row, config) if cold else None
    sides: dict[str, SideProcess] = {}
    starts: dict[str, float] = {}
    try:
        for name in SIDES:
            sides[name] = SideProcess(name, row, config)
            starts[name] = sides[name].time_first_iteration()
        for side in sides.values():
            side.iterate()
        for _ in range(turns):
            for side in sides.values():
                side.turns.append(side.iterate())
        flop, moved = sides["torch"].request("work")
        bandwidth = sides["torch"].request("copy_bytes_per_s")
        utilisation = [sides[name].request("gpu_utilisation", UTILISATION_SECONDS) for name in SIDES[:2]]
        peak_flop_per_s = max(sides[name].request("matmul_flop_per_s") for name in SIDES[:2])
    finally:
        for side in sides.values():
            side.close()
    median = {name: statistics.median(turn["wall"] for turn in side.turns) for name, side in sides.items()}
    theirs = min(SIDES[1:], key=median.__getitem__)
    ours, other = sides["ganzoo"].turns, sides[theirs].turns
    peak_bytes = [max(turn["peak"] for turn in turns_of_side) for turns_of_side in (ours, other)]
    return {
        "model": row.model,
        "size": row.size,
        "batch": row.batch,
        "ganzoo_s": median["ganzoo"],
        "torch_s": median[theirs],
        "ratio": median[theirs] / median["ganzoo"],
        "goal": row.goal_of(config.device, config.precision),
        "processor": environment.processor(),
        "instruction_sets": instruction_sets(),
        "device": config.device,
        "precision": config.precision,
        "gpu_busy": utilisation,
        "torch_layout": "channels_last" if theirs == SIDES[2] else "contiguous",
        "torch_both_s": [median[name] for name in SIDES[1:]],
        "ganzoo_spread_s": quartiles(ours),
        "torch_spread_s": quartiles(other),
        "ganzoo_images_per_s": row.batch / median["ganzoo"],
        "torch_images_per_s": row.batch / median[theirs],
        "ganzoo_peak_bytes": peak_bytes[0],
        "torch_peak_bytes": peak_bytes[1],
        "memory_ratio": peak_bytes[0] / peak_bytes[1],
        "ganzoo_cold_start_s": cold_s,
        "ganzoo_warm_start_s": starts["ganzoo"],
        "torch_start_s": starts[theirs],
        "arithmetic_flop": flop,
        "moved_bytes": moved,
        "copy_bytes_per_s": bandwidth,
        "floor_s": max(flop / peak_flop_per_s, moved / bandwidth),
        "matrix_product_flop_per_s": peak_flop_per_s,
        "ganzoo_share": flop / median["ganzoo"] / peak_flop_per_s,
        "torch_share": flop / median[theirs] / peak_flop_per_s,
        "losses": losses,
        "turns": turns,
        "threads": config.threads,
        "load": os.getloadavg()[0],
    }


def instruction_sets() -> list[str]:
    """Return the names of the processor's vector and matrix instructions."""
    flags = environment.processor_flags()
    return [name for flag, name in INSTRUCTION_SETS.items() if flag in flags]


def merge(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return all results, the new ones in place of old ones of the same row, processor and precision."""
    results = {json.dumps([result.get(key) for key in KEYS]): result for result in [*old, *new]}
    return list(results.values())


def quartiles(turns: list[dict[str, float]]) -> list[float]:
    """Return the first and third quartile of the times."""
    quarters = statistics.quantiles([turn["wall"] for turn in turns], n=4)
    return [quarters[0], quarters[2]]


def summary_line(found: dict[str, Any]) -> str:
    cold = found["ganzoo_cold_start_s"]
    return (
        f"{found['model']:<9} {found['size']:>4} px  batch {found['batch']:<3} {found['precision']}  "
        f"ganzoo {found['ganzoo_s']:8.4f} s  "
        f"PyTorch {found['torch_s']:8.4f} s  ratio {found['ratio']:5.2f} (goal {found['goal']})  "
        f"memory {found['ganzoo_peak_bytes'] / 2**20:,.0f} / {found['torch_peak_bytes'] / 2**20:,.0f} MiB "
        f"= {found['memory_ratio']:.2f}  first step after {found['ganzoo_warm_start_s']:.1f} s"
        f"{'' if cold is None else f', cold {cold:.1f} s'}"
    )


@click.command()
@click.argument("names", nargs=-1)
@click.option("--turns", default=9, help="Timed iterations of each side.")
@click.option("--threads", default=len(os.sched_getaffinity(0)))
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu")
@click.option(
    "--precision",
    "precisions",
    multiple=True,
    type=click.Choice([*GPU_GOALS]),
    help="Of both sides, repeatable.  [default: tf32 on CUDA; on the CPU fp32, and amp where there is AMX]",
)
@click.option(
    "--cold/--no-cold", default=None, help="Also time the first step without compiled kernels.  [default: on the CPU]"
)
@click.option("--out", type=click.Path(path_type=Path), default=HERE)
def main(
    names: tuple[str, ...],
    turns: int,
    threads: int,
    device: str,
    precisions: tuple[str, ...],
    cold: bool | None,
    out: Path,
) -> None:
    """Measure the rows NAMES (default: all rows for the device)."""
    if unknown := [name for name in names if name not in ROWS]:
        raise click.UsageError(f"unknown row {unknown[0]}; choose from {', '.join(ROWS)}")
    if turns < 2:
        raise click.UsageError(f"--turns is {turns}, but quartiles need at least 2")
    if device == "cpu" and "tf32" in precisions:
        raise click.UsageError("--precision tf32 is for --device cuda; the CPU computes in fp32 or amp")
    cold = device == "cpu" if cold is None else cold
    out.mkdir(parents=True, exist_ok=True)
    file = out / "results.json"
    results = json.loads(file.read_text()) if file.exists() else []
    for precision in precisions or default_precisions(device):
        config = Config(threads, device, precision)
        for name in names or (GPU_ROWS if device == "cuda" else CPU_ROWS):
            found = measure(ROWS[name], turns, config, cold)
            results = merge(results, [found])
            click.echo(summary_line(found))
            file.write_text(json.dumps(results, indent=1) + "\n")
    from report import draw, tables

    draw(results, out / "results.png")
    click.echo(tables(results))


def default_precisions(device: str) -> tuple[str, ...]:
    if device == "cuda":
        return ("tf32",)
    return ("fp32", "amp") if environment.amx_available() else ("fp32",)


if __name__ == "__main__":
    main()
