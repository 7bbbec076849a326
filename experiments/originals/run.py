"""ganzoo and an original training program at equal cost: FID over minutes of training.

    python experiments/originals/run.py lsgan --preset experiments/originals/lsgan.toml --minutes 12

Trains the model twice on the same images, with the same widths and batch: with ganzoo and all options of the preset,
and with the original's updates in PyTorch (pytorch.py) and the published settings. The two programs take turns of a
minute on all cores; one is stopped while the other trains. A program's time includes its start and its pictures, and
the compilation of kernels that Jittor's cache lacks. Then ganzoo measures the FIDs of both; of a model that grows, only
once the last resolution is faded in, as FIDs at different sizes can't be compared. If the original averages weights
(EMA), its samples are also measured without the average, which is made for longer runs. The checkpoints, fid.json and a
plot are written to one folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import matplotlib
import numpy as np

import ganzoo
from ganzoo.checkpoints import checkpoint
from ganzoo.checkpoints.checkpoint import Checkpoint
from ganzoo.checkpoints.description import SchedulePosition
from ganzoo.data.catalog import open_data
from ganzoo.interfaces.options import flag
from ganzoo.interfaces.progress import Progress
from ganzoo.registry import plugins
from ganzoo.training.launch import read_preset

HERE = Path(__file__).parent
# Options of a preset that both programs get: data and its sizes, widths, batch and the length of the stages. The
# original's other settings are the published ones, which are ganzoo's defaults.
SHARED = (
    *("data", "batch", "size", "max_size", "init_size", "phase", "loss", "mixing"),
    *("channels_base", "channels_max", "latent", "mapping_layers", "hidden", "style", "ds_iter"),
)
# Options that change what is trained, and that pytorch.py doesn't have.
REFUSED = (
    *("labels", "variant", "conditional", "architecture", "from_rgb_activation", "sched", "alpha", "first_stage"),
    *("flip", "fit", "w_hpf"),
)
POLL_SECONDS = 0.2


def images_of(name: str) -> int:
    """Return the number of images that a file of either program was saved after."""
    return int(Path(name).stem.removeprefix("checkpoint-"))


def processes_of(pid: int) -> list[int]:
    """Return a process and its descendants. ganzoo compiles kernels in processes of another group."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(path.parent.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


class Program:
    """A training program that is stopped except during its turns, and the seconds of these."""

    def __init__(self, name: str, command: list[str], files: str, folder: Path, environment: dict[str, str]) -> None:
        self.name, self.pattern, self.folder, self.seconds = name, files, folder, 0.0
        self.times: dict[str, float] = {}  # the file of each checkpoint -> seconds
        with (folder / f"{name}.log").open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        self.signal(signal.SIGSTOP)

    def signal(self, number: int) -> None:
        for pid in processes_of(self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def take_turn(self, seconds: float) -> None:
        """Let the program run for this long, and note when its checkpoints appear."""
        begin = time.monotonic()
        self.signal(signal.SIGCONT)
        while (passed := time.monotonic() - begin) < seconds:
            self._note_checkpoints(self.seconds + passed)
            if self.process.poll() is not None:
                raise click.ClickException(f"{self.name} ended early; see {self.folder / self.name}.log.")
            time.sleep(min(POLL_SECONDS, seconds - passed))
        self.signal(signal.SIGSTOP)
        self.seconds += time.monotonic() - begin
        self._note_checkpoints(self.seconds)

    def _note_checkpoints(self, seconds: float) -> None:
        for path in self.folder.glob(self.pattern):
            self.times.setdefault(path.name, seconds)

    def times_after(self, images: int) -> dict[str, float]:
        """Return the times of the checkpoints of at least so many images."""
        return {name: seconds for name, seconds in self.times.items() if images_of(name) >= images}

    def end(self) -> None:
        self.signal(signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def ended(*programs: Program) -> Iterator[None]:
    """End the programs when the block ends, also by SIGTERM or because the terminal was closed."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
    try:
        yield
    finally:
        for each in programs:
            each.end()


def prepare(template: Checkpoint, sizes: list[int], every: float, folder: Path) -> Path:
    """Write the images at each size, the initial weights and the settings of the original's program."""
    registry = plugins.load()
    data = open_data(template.run.data_path or template.run.data_name or "", registry)
    (folder / "data").mkdir(parents=True)
    np.save(folder / "data" / "labels.npy", data.labels())
    for size in sizes:
        part = data.at_size(size)
        pixels = [part.load(index, size)[0] for index in range(len(part))]
        np.save(folder / "data" / f"{size}.npy", np.stack(pixels))
    np.savez(folder / "initial.npz", **checkpoint.with_prefix(template.tensors, "net/"))
    train = template.run.train_options()
    settings = {
        "model": template.run.model,
        "options": dict(template.run.options),
        "domains": len(template.data.domains),
        "batch": train.batch,
        "flip": template.data.flip,
        "every": round(1000 * every),
        "out": str(folder),
        "data": str(folder / "data"),
        "sizes": sizes,
    }
    path = folder / "settings.json"
    path.write_text(json.dumps(settings))
    return path


def as_checkpoint(template: Checkpoint, weights: Path, folder: Path, *, averaged: bool) -> Path:
    """Write the original's weights to a ganzoo checkpoint of the template's run, and return its path. If they are not
    to be `averaged`, the present weights take the place of the EMA."""
    with np.load(weights) as file:
        progress = json.loads(str(file["progress"]))
        found = {name: file[name] for name in file.files if name != "progress"}
    tensors = {}
    for name, value in template.tensors.items():
        kind, _, key = name.partition("/")
        if kind in ("net", "ema"):
            source = name if averaged else f"net/{key}"
            tensors[name] = found.get(source, value)  # the original's discriminator is not written
            assert tensors[name].shape == value.shape, name
    missing = {*found} - {*tensors}
    assert not missing, missing
    position = SchedulePosition(progress["stage"], progress["size"], progress["alpha"])
    images = Progress(progress["step"], progress["images"], progress["stage"], progress["stage_images"])
    path = folder / checkpoint.file_name(images.images)
    metadata = replace(template.metadata, progress=images, position=position, optimizer_steps={})
    checkpoint.write(path, tensors, template.run, metadata)
    return path


def measure(times: dict[Path, float], points: int, **arguments: Any) -> list[dict[str, float]]:
    """Return minutes, kimg and FID of some of the checkpoints, evenly spaced, and the last."""
    paths = sorted(times)
    chosen = {paths[round(index)] for index in np.linspace(0, len(paths) - 1, min(points, len(paths)))}
    found = []
    for path in sorted(chosen):
        loaded = ganzoo.load(path)
        scores = loaded.evaluate("fid", **arguments)
        (fid,) = scores.values()
        found.append({"minutes": times[path] / 60, "kimg": loaded.kimg, "fid": fid})
        print(f"{path}: {found[-1]['minutes']:.1f} min, {loaded.kimg:g} kimg, FID {fid:.1f}", flush=True)
    return found


def draw(path: Path, curves: dict[str, list[dict[str, float]]], title: str) -> None:
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for name, points in curves.items():
        kimg = points[-1]["kimg"]
        minutes, fids = ([each[key] for each in points] for key in ("minutes", "fid"))
        axes.plot(minutes, fids, marker=".", label=f"{name} ({kimg:,.0f} kimg)")
    axes.set(xlabel="minutes of training", ylabel="FID", title=title, ylim=(0, None))
    axes.legend(loc="lower left")  # below the curves
    figure.savefig(path, dpi=100)


@click.command()
@click.argument("model")
@click.option("--preset", required=True, help="TOML file with ganzoo's options.")
@click.option("--original", default="original", help="Name of the original in the plot.")
@click.option(
    "--minutes", default=20.0, help="Training time of each program; longer if one has nothing to measure by then."
)
@click.option("--turn", default=60.0, help="Seconds of a turn.")
@click.option("--every", default=20.0, help="kimg between two checkpoints.")
@click.option("--points", default=8, help="Checkpoints of each program to measure.")
@click.option("--samples", default=5000)
@click.option("--real", default=10_000)
@click.option("--folder", default="experiments/originals/out", help="Where everything is written; it must not exist.")
def main(
    model: str,
    preset: str,
    original: str,
    minutes: float,
    turn: float,
    every: float,
    points: int,
    samples: int,
    real: int,
    folder: str,
) -> None:
    found = plugins.load().model(model)
    options = read_preset(found, preset)
    if refused := [name for name in options if name in REFUSED]:
        raise click.ClickException(f"{preset}: the original can't be trained with {', '.join(map(flag, refused))}.")
    shared = {name: value for name, value in options.items() if name in SHARED}
    home = Path(folder)
    home.mkdir(parents=True)
    environment = dict(os.environ)  # ganzoo changes that of this process, even how threads wait
    one_step = {"kimg": 0.001, "tick": 0.001, "snapshot": 1}
    run = ganzoo.train(model, **shared, **one_step, experiments=home / "template")
    template = checkpoint.read(checkpoint.list_checkpoints(run.path)[-1])
    stages = found.stages(template.options(found), template.run.train_options(found.defaults), template.data)
    # A stage ends with the first batch beyond its images.
    grown = sum((stage.images or 0) + stage.batch for stage in stages[:-1]) + stages[-1].fade
    settings = prepare(template, [stage.size for stage in stages], every, home / "original")

    command = [sys.executable, "-m", "ganzoo", "train", model, "--preset", preset, "--kimg", "1000000"]
    command += ["--tick", str(every), "--snapshot", "1", "--keep", "100000", "--experiments", str(home / "ganzoo")]
    (home / "ganzoo").mkdir()
    ours = Program("ganzoo", command, "*/checkpoint-*.safetensors", home / "ganzoo", environment)
    command = [sys.executable, str(HERE / "pytorch.py"), str(settings)]
    theirs = Program("original", command, "*[0-9].npz", home / "original", environment)
    with ended(ours, theirs):
        while theirs.seconds < 60 * minutes or not (ours.times_after(grown) and theirs.times_after(grown)):
            ours.take_turn(turn)
            theirs.take_turn(turn)
            print(f"{theirs.seconds / 60:.1f} of {minutes:g} minutes", flush=True)

    (ours_run,) = (home / "ganzoo").glob("0*")
    times = {"ganzoo": {ours_run / name: seconds for name, seconds in ours.times_after(grown).items()}}
    has_average = any(name.startswith("ema/") for name in template.tensors)
    for name, averaged in {original: True, **({f"{original} without EMA": False} if has_average else {})}.items():
        written = home / ("averaged" if averaged else "not-averaged")
        written.mkdir()
        times[name] = {
            as_checkpoint(template, home / "original" / file, written, averaged=averaged): seconds
            for file, seconds in theirs.times_after(grown).items()
        }
    arguments: dict[str, Any] = {
        "samples": samples,
        "real": real,
        **({"mode": "latent"} if model == "stargan2" else {}),
    }
    curves = {name: measure(each, points, **arguments) for name, each in times.items()}
    (home / "fid.json").write_text(json.dumps(curves, indent=2))
    draw(home / "fid.png", curves, f"{model}, {template.data.name}, {minutes:g} minutes each, {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
