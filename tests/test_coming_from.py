"""The commands of COMING_FROM.md work on data and checkpoints of the other programs.

Trainings are dry runs. For commands that download or take minutes, only the options are checked.
"""

from __future__ import annotations

import pickle
import re
import shlex
import shutil
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

from ganzoo.checkpoints import unpickling
from ganzoo.interfaces.options import options_by_name
from ganzoo.interfaces.train_options import TrainOptions
from ganzoo.registry import plugins
from tests.support.reference import needs_torch, random_weights, stargan2_port, stylegan_port
from tests.test_readme import ROOT, SHORTER, commands

PAGE = ROOT / "COMING_FROM.md"
HELP_ONLY = (["data", "download"], ["data", "align"], ["evaluate", "--against"])


def write_pictures(folder: Path, count: int = 3) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(count):
        pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:05d}.{'jpg' if 'symbol' in str(folder) else 'png'}")


@pytest.fixture
def other_programs_files(jittor, workdir: Path) -> None:
    """Write data and checkpoints of the other programs, at the paths in their READMEs."""
    from ganzoo_stargan2.landmarks import FAN

    for part in ("train", "val"):
        for data_set, domains in (("afhq", ("cat", "dog", "wild")), ("celeba_hq", ("female", "male"))):
            for domain in domains:
                write_pictures(workdir / "data" / data_set / part / domain)
    for part in ("src", "ref"):
        for domain in ("cat", "dog"):
            write_pictures(workdir / "assets/representative/afhq" / part / domain, 1)
    write_pictures(workdir / "data-ffhq/ffhq")
    write_pictures(workdir / "color_symbol_7k")
    for folder in ("torch", "expr/checkpoints", "exp_ffhq/checkpoint", "checkpoint"):
        (workdir / folder).mkdir(parents=True)
    shutil.copy(
        stargan2_port.ReferenceFiles(workdir / "torch").path("nets_ema"), "expr/checkpoints/100000_nets_ema.ckpt"
    )
    rng = np.random.default_rng(8)
    wing = random_weights([(name, tuple(var.shape)) for name, var in FAN().state().items()], rng)
    Path("expr/checkpoints/wing.ckpt").write_bytes(pickle.dumps({"state_dict": wing}))
    files = stylegan_port.ReferenceFiles(workdir / "torch", 16)
    shutil.copy(files.path("step"), "checkpoint/train_step-4.model")
    for name, target in (("affine", "exp_ffhq/checkpoint/300000.model"), ("ema-zip", "checkpoint/FFHQ_80000.model")):
        Path(target).write_bytes(pickle.dumps(unpickling.safe_load(files.path(name)), 4))


@needs_torch
def test_the_commands_of_the_page_work_one_after_the_other(ganzoo, other_programs_files):
    found = commands(PAGE)
    assert len(found) > 20
    for command in found:
        arguments = shlex.split(command)[1:]
        if arguments[0] == "train" and "--help" not in arguments:
            arguments.append("--dry-run")
            if "--resume" not in arguments:  # narrow networks
                short = SHORTER.get(arguments[1], [])
                arguments += short[: short.index("--batch")] if "--batch" in short else short
        if arguments[:2] in HELP_ONLY:
            arguments.append("--help")
        result = ganzoo(*arguments)
        assert result.exit_code == 0, f"{command}\n{result.output}"


def test_our_options_in_the_tables_exist():
    models = plugins.load().models
    known = {f"--{name.replace('_', '-')}" for name in options_by_name(TrainOptions)}
    for name in ("stargan2", "stylegan"):
        known |= {f"--{each.replace('_', '-')}" for each in options_by_name(models[name].options)}
    from ganzoo_stargan2.align_command import align

    from ganzoo.cli.generate.command import generate

    for command in (align, generate):
        known |= {name for param in command.params if isinstance(param, click.Option) for name in param.opts}
    known |= {"--resume", "--from", "--experiments", "--no-from-rgb-activation"}
    rows = re.findall(r"^\| (.+) \| (.+) \|$", PAGE.read_text(), flags=re.M)
    named = {option for _, ours in rows for option in re.findall(r"`(--[\w-]+)`", ours)}
    assert len(named) > 20
    assert named <= known, named - known
    for theirs, ours in rows:
        if "the same with `-` for `_`" in ours:
            same = {option.replace("_", "-") for option in re.findall(r"`(--\w+)`", theirs)}
            assert same <= known, same - known


def test_the_page_lists_the_data_sets_that_are_mirrored_by_default():
    """The sentence about --flip names every data set that is mirrored by default, and no other."""
    (names,) = re.findall(r"`--flip` is the default only for ([^.]+)\.", PAGE.read_text())
    listed = set(re.findall(r"`([\w-]+)`", names))
    page = (ROOT / "datasets/README.md").read_text()
    table = page[page.index("|---") : page.index("![")]
    rows = re.findall(r"^\| `([\w-]+)` \|(.+)\|$", table, flags=re.M)
    assert len(rows) == 10
    assert listed == {name for name, cells in rows if cells.split("|")[3].strip() == "yes"}
