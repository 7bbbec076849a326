"""If a process is killed while it saves, is a checkpoint ever lost that it had reported as saved?

    python experiments/trust/kill_saving.py            # 200 kills in about 5 minutes on one core

A child process, without Jittor, saves checkpoints of 30 MB with ganzoo's own writer, one after the other, and writes a
line for each that is reported as saved. SIGKILL ends it at a random moment. Every second kill waits for a temporary
file, so that many kills hit the writing itself. After each kill, the script checks that

* every checkpoint file has a correct checksum and the content that belongs to its number;
* every reported checkpoint exists, unless there are as many newer ones as a run keeps;
* no temporary file is left from processes before the one that was just killed.

The next child continues from the newest checkpoint. The exit status is 1 if a check fails.
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
from processes import (
    checkpoint_images,
    checkpoints,
    is_writing_checkpoint,
    read_intact,
    reported_saves,
    temporary_files,
)

from ganzoo.checkpoints import checkpoint
from ganzoo.checkpoints.description import RunDescription, StateMetadata
from ganzoo.files import leftovers
from ganzoo.interfaces.dataset import DataInfo
from ganzoo.interfaces.progress import Progress
from ganzoo.runs import Run

KEEP = 2
MAX_SAVING_SECONDS = 1.5  # before a kill


def expected_content(images: int, megabytes: float) -> tuple[dict[str, np.ndarray], RunDescription, StateMetadata]:
    """Return the arrays and descriptions of a checkpoint, which depend on its number of images."""
    count = int(megabytes * 1e6 / 8)
    counted = np.arange(images, images + count, dtype=np.int64)
    arrays = {"net/a": counted[: count // 2], "net/b": counted[count // 2 :].reshape(1, -1)}
    description = RunDescription("none", {}, data=DataInfo("none", count=0, size=8, channels=1))
    return arrays, description, StateMetadata(Progress(images=images))


def has_expected_content(found: checkpoint.Checkpoint, megabytes: float) -> bool:
    """Return whether a checkpoint has the content that belongs to its number."""
    arrays, _, metadata = expected_content(checkpoint_images(found.path), megabytes)
    same = arrays.keys() == found.tensors.keys() and metadata.progress == found.metadata.progress
    return same and all(np.array_equal(found.tensors[name], value) for name, value in arrays.items())


def save_forever(folder: Path, start: int, megabytes: float) -> None:
    """Save checkpoints in the child, as a run does: delete the temporary files of a killed process, report each save,
    and then delete the oldest checkpoint."""
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
        arrays, *descriptions = expected_content(start, megabytes)
        writer.save(folder / checkpoint.file_name(start), arrays.items(), *descriptions)
        start += 1


@dataclass
class Counts:
    """Counts over all kills."""

    saved: int = 0
    writing: int = 0
    unreported: int = 0
    faults: list[str] = field(default_factory=list)


def kill_once(folder: Path, megabytes: float, rng: random.Random, start: int, writing: bool) -> int:
    """Let a child save for a while, from number `start` on, kill it, and return its process number. If `writing`, kill
    it soon after it begins to write a file."""
    command = [sys.executable, __file__, "--child", str(folder), "--start", str(start), "--megabytes", str(megabytes)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert child.stdout is not None
    if child.stdout.readline().strip() != b"ready":
        raise click.ClickException(f"the child process failed with status {child.wait()}")
    time.sleep(rng.uniform(0, MAX_SAVING_SECONDS))
    limit = time.monotonic() + 10
    while writing and not is_writing_checkpoint(folder) and time.monotonic() < limit:
        time.sleep(0.0005)
    time.sleep(rng.uniform(0, 0.05) if writing else 0)
    child.send_signal(signal.SIGKILL)
    if child.wait() != -signal.SIGKILL:
        raise click.ClickException(f"the child process ended by itself, with status {child.returncode}")
    return child.pid


def check_folder(folder: Path, pid: int, megabytes: float, counts: Counts) -> int:
    """Check the folder after a kill, and return the number of the newest intact checkpoint, or 0."""
    intact: list[int] = []
    for path in checkpoints(folder):
        found = read_intact(path)
        if found is None:
            counts.faults.append(f"{path.name} is damaged")
        elif not has_expected_content(found, megabytes):
            counts.faults.append(f"{path.name} has other content")
        else:
            intact.append(checkpoint_images(path))
    saves = reported_saves(folder)
    for each in saves:
        if each not in intact and sum(newer > each for newer in intact) < KEEP:
            counts.faults.append(f"{checkpoint.file_name(each)} was reported as saved, and is lost")
    if saves != sorted(set(saves)):
        counts.faults.append("saves reported twice or out of order")
    left = [name for name in temporary_files(folder) if f"-{pid}-" not in name]
    if left:
        counts.faults.append(f"temporary files of earlier processes: {', '.join(left)}")
    counts.saved = len(saves)
    counts.writing += any(f"-{pid}-" in name for name in temporary_files(folder))
    counts.unreported += bool(intact) and max(intact) > max(saves, default=0)
    return max(intact, default=0)


@click.command(help=__doc__.split("\n\n", 1)[0])
@click.option("--kills", default=200, type=click.IntRange(1), show_default=True)
@click.option("--megabytes", default=30.0, help="Size of a checkpoint.", show_default=True)
@click.option("--seed", default=0, help="Random seed.", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="A new folder for the files.  [default: a temporary one]")
@click.option("--child", type=click.Path(path_type=Path), hidden=True)
@click.option("--start", default=1, hidden=True)
def main(kills: int, megabytes: float, seed: int, out: Path | None, child: Path | None, start: int) -> None:
    if child is not None:
        save_forever(child, start, megabytes)
    folder = out or Path(tempfile.mkdtemp(prefix="kill-saving-"))
    folder.mkdir(parents=True, exist_ok=True)
    if checkpoints(folder):
        raise click.UsageError(f"--out {folder}: the folder contains checkpoints; choose a new one.")
    rng, counts, started_at = random.Random(seed), Counts(), time.monotonic()
    for done in range(1, kills + 1):
        pid = kill_once(folder, megabytes, rng, start, writing=done % 2 == 0)
        start = check_folder(folder, pid, megabytes, counts) + 1
        if counts.faults or done % 10 == 0:
            seen = f"{counts.saved} saved, {counts.writing} kills while writing"
            click.echo(f"kill {done}: {seen}, {counts.faults or 'no faults'}")
        if counts.faults:
            break
    click.echo(
        f"{done} kills in {time.monotonic() - started_at:.0f} s: {counts.saved} checkpoints of {megabytes:g} MB "
        f"reported as saved; {counts.writing} kills hit while a file was being written, "
        f"{counts.unreported} when a checkpoint was complete but not yet reported.\n"
        f"{'LOST OR DAMAGED: ' + '; '.join(counts.faults) if counts.faults else 'Nothing that was reported was lost.'}"
    )
    if counts.faults:
        click.echo(f"The files are in {folder}")
    elif out is None:
        shutil.rmtree(folder)
    sys.exit(1 if counts.faults else 0)


if __name__ == "__main__":
    main()
