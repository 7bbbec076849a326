"""Is anything lost that was reported as saved, when the process is killed while it saves?

    python experiments/trust/kill_saving.py            # 200 kills in about 5 minutes on one core

A child process, without Jittor, saves checkpoints of 30 MB through ganzoo's own writer, one after the other, and writes
a line for each that is reported as saved. It is killed by SIGKILL at a random moment; every other time not before a
temporary file is there, so that many kills hit the writing itself. After each kill:

* every file under a checkpoint's name is whole, by its checksum, and holds what belongs to its number;
* whatever was reported is there, unless as many newer ones as are kept are there;
* no temporary file is left of a process before the one that was just killed.

The next child goes on from the newest checkpoint. Exit status 1 if anything of this failed.
"""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np
from driving import being_written, checkpoints, hidden, number, reported, whole

from ganzoo.checkpoints import checkpoint
from ganzoo.checkpoints.description import RunDescription, StateMetadata
from ganzoo.files import leftovers
from ganzoo.interfaces.dataset import DataInfo
from ganzoo.interfaces.progress import Progress
from ganzoo.runs import Run

KEEP = 2
LONGEST = 1.5  # seconds of saving before a kill


def content(images: int, megabytes: float) -> tuple[dict[str, np.ndarray], RunDescription, StateMetadata]:
    """What `checkpoint.write` takes for the checkpoint of a number: each number has its own."""
    count = int(megabytes * 1e6 / 8)
    counted = np.arange(images, images + count, dtype=np.int64)
    arrays = {"net/a": counted[: count // 2], "net/b": counted[count // 2 :].reshape(1, -1)}
    description = RunDescription("none", {}, data=DataInfo("none", count=0, size=8, channels=1))
    return arrays, description, StateMetadata(Progress(images=images))


def right(found: checkpoint.Checkpoint, megabytes: float) -> bool:
    """Whether a checkpoint holds what belongs to its number."""
    arrays, _, metadata = content(number(found.path), megabytes)
    same = arrays.keys() == found.tensors.keys() and metadata.progress == found.metadata.progress
    return same and all(np.array_equal(found.tensors[name], value) for name, value in arrays.items())


def save_for_ever(folder: Path, start: int, megabytes: float) -> None:
    """What the child does. As a run does: what a killed process left is deleted first, a report follows each save, and
    the oldest go when a new one is there."""
    run = Run(folder)

    def saved(path: Path) -> None:
        run.log(f"saved {path.name}")
        checkpoint.prune(folder, KEEP)

    for path in leftovers(folder):
        path.unlink()
    writer = checkpoint.Writer(saved)
    assert "jittor" not in sys.modules
    print("ready", flush=True)
    while True:
        arrays, *description = content(start, megabytes)
        writer.save(folder / checkpoint.file_name(start), arrays.items(), *description)
        start += 1


@dataclass
class LossStats:
    """What was seen over all kills."""

    saved: int = 0
    writing: int = 0
    unreported: int = 0
    faults: list[str] = field(default_factory=list)


def kill_once(folder: Path, megabytes: float, rng: random.Random, start: int, writing: bool) -> int:
    """Let a child save for a while, from number `start` on, and kill it; its process number. If `writing`, soon after
    it began to write a file."""
    command = [sys.executable, __file__, "--child", str(folder), "--start", str(start), "--megabytes", str(megabytes)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert child.stdout is not None
    if child.stdout.readline().strip() != b"ready":
        raise click.ClickException(f"the child process failed with status {child.wait()}")
    time.sleep(rng.uniform(0, LONGEST))
    limit = time.monotonic() + 10
    while writing and not being_written(folder) and time.monotonic() < limit:
        time.sleep(0.0005)
    time.sleep(rng.uniform(0, 0.05) if writing else 0)
    child.send_signal(signal.SIGKILL)
    if child.wait() != -signal.SIGKILL:
        raise click.ClickException(f"the child process ended by itself, with status {child.returncode}")
    return child.pid


def judge(folder: Path, pid: int, megabytes: float, tally: LossStats) -> int:
    """Check the folder after a kill; the number of the newest whole checkpoint, 0 if there is none."""
    good: list[int] = []
    for path in checkpoints(folder):
        found = whole(path)
        if found is None:
            tally.faults.append(f"{path.name} is not whole")
        elif not right(found, megabytes):
            tally.faults.append(f"{path.name} holds something else")
        else:
            good.append(number(path))
    told = reported(folder)
    for each in told:
        if each not in good and sum(newer > each for newer in good) < KEEP:
            tally.faults.append(f"{checkpoint.file_name(each)} was reported as saved, and is lost")
    if told != sorted(set(told)):
        tally.faults.append("reported twice, or not in order")
    left = [name for name in hidden(folder) if f"-{pid}-" not in name]
    if left:
        tally.faults.append(f"left from before: {', '.join(left)}")
    tally.saved = len(told)
    tally.writing += any(f"-{pid}-" in name for name in hidden(folder))
    tally.unreported += bool(good) and max(good) > max(told, default=0)
    return max(good, default=0)


@click.command(help=__doc__.split("\n\n", 1)[0])
@click.option("--kills", default=200, type=click.IntRange(1), show_default=True)
@click.option("--megabytes", default=30.0, help="Size of a checkpoint.", show_default=True)
@click.option("--seed", default=0, help="Of the moments.", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="A new folder for the files.  [default: a temporary one]")
@click.option("--child", type=click.Path(path_type=Path), hidden=True)
@click.option("--start", default=1, hidden=True)
def main(kills: int, megabytes: float, seed: int, out: Path | None, child: Path | None, start: int) -> None:
    if child is not None:
        save_for_ever(child, start, megabytes)
    folder = out or Path(tempfile.mkdtemp(prefix="kill-saving-"))
    folder.mkdir(parents=True, exist_ok=True)
    if checkpoints(folder):
        raise click.UsageError(f"--out {folder}: there are checkpoints in it already.")
    rng, tally, began = random.Random(seed), LossStats(), time.monotonic()
    for done in range(1, kills + 1):
        pid = kill_once(folder, megabytes, rng, start, writing=done % 2 == 0)
        start = judge(folder, pid, megabytes, tally) + 1
        if tally.faults or done % 10 == 0:
            click.echo(
                f"kill {done}: {tally.saved} saved, {tally.writing} kills while writing, {tally.faults or 'all well'}"
            )
        if tally.faults:
            break
    click.echo(
        f"{done} kills in {time.monotonic() - began:.0f} s: {tally.saved} checkpoints of {megabytes:g} MB reported as "
        f"saved; {tally.writing} kills hit while a file was being written, {tally.unreported} between its last rename "
        f"and the report of it.\n"
        f"{'LOST OR DAMAGED: ' + '; '.join(tally.faults) if tally.faults else 'Nothing that was reported was lost.'}"
    )
    if tally.faults:
        click.echo(f"Left as it was: {folder}")
    elif out is None:
        shutil.rmtree(folder)
    sys.exit(1 if tally.faults else 0)


if __name__ == "__main__":
    main()
