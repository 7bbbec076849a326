"""What each step measures, at full size on a GPU and at tiny sizes in a rehearsal."""

from __future__ import annotations

from dataclasses import dataclass

from kit import SMALL, WORK

DRAWN = WORK / "drawn"  # small pictures for all models


@dataclass(frozen=True)
class Jobs:
    """Rows of the benchmark (MODEL-SIZE-BATCH) and runs of tests/support/agreement.py, for each step."""

    kernels: tuple[str, ...]  # for each process that compiles: PRECISION ROW...
    losses: tuple[str, ...]
    first_values: tuple[str, ...]  # RUN PRECISION, compared by `contact`
    values: tuple[str, ...]  # compared by `main`
    speed: tuple[str, ...]
    profile: tuple[str, ...]
    amp: tuple[str, ...]
    train: tuple[str, ...]  # trained one after the other
    growth: str  # added to the first of `train` to compile the kernels of all its sizes quickly
    data: tuple[str, ...]  # data sets to draw for training


GPU = Jobs(
    kernels=(
        "tf32 gan-28-64 lsgan-32-64",
        "tf32 stylegan-8-8 stylegan-16-8 stylegan-32-8 stylegan-64-4 stylegan-128-4",
        "tf32 stargan2-256-2",
        "amp stylegan-8-8 stylegan-32-8 stylegan-128-4",
        "amp stargan2-256-2",
        "amp lsgan-32-64 gan-28-64",
    ),
    losses=("gan-28-64", "lsgan-32-64", "stylegan-32-64", "stargan2-256-8"),
    first_values=("gan fp32", "lsgan-diffaugment fp32", "stylegan-ada fp32"),
    values=(
        *(f"{run} fp32" for run in ("gan", "lsgan", "stylegan", "stylegan-paper", "stargan2")),
        "lsgan-diffaugment fp32",
        "stylegan-ada fp32",
        "stylegan amp",
        "stargan2 amp",
    ),
    # The most informative rows come first, because a session may end before it reaches the last.
    speed=("stylegan-32-64", "stargan2-256-8", "lsgan-32-64", "gan-28-64", "stylegan-128-32", "stylegan-16-128"),
    profile=("stylegan-32-64", "stargan2-256-8", "stylegan-128-32", "lsgan-32-64"),
    amp=("stylegan-32-64", "lsgan-32-64", "stargan2-256-8"),
    # The networks are narrow: with 3 million weights, StyleGAN reaches 64 px in a minute; at full width there would be
    # nothing to see. StarGAN v2 takes about a thousand steps.
    train=(
        "stylegan --data symbols --max-size 64 --init-size 8 --phase 10 --batch 64 --channels-base 4096 "
        "--channels-max 128 --latent 128 --mapping-layers 4 --learning-rate 0.002 --ema-kimg 5 --loss r1 "
        "--r1-interval 4 --mixing --kimg 100000 --tick 20 --snapshot 2 --keep 1",
        "stargan2 --data styles --size 64 --batch 32 --channels-base 1024 --channels-max 128 --hidden 128 "
        "--learning-rate 0.0005 --ema 0.99 --ds-iter 1200 --kimg 100000 --tick 4 --snapshot 2 --keep 1",
    ),
    growth=f"--data {DRAWN} --phase 0.2 --kimg 1.5 --tick 0.5",
    data=("symbols", "styles"),
)
REHEARSAL = Jobs(
    kernels=("fp32 gan-28-64",),
    losses=("gan-28-64",),
    first_values=("gan fp32",),
    values=("gan fp32",),
    speed=("gan-28-64",),
    profile=("gan-28-64",),
    amp=(),
    train=(
        f"stylegan --data {DRAWN} --max-size 16 --init-size 8 --phase 0.016 --batch 8 --channels-base 256 "
        "--channels-max 16 --latent 32 --mapping-layers 2 --loss r1 --r1-interval 4 --mixing --kimg 0.064 --tick 0.032",
    ),
    growth="--kimg 0.032",
    data=(),
)
JOBS = REHEARSAL if SMALL else GPU


def jobs(kind: str) -> None:
    """Print the jobs of a kind, one per line, for kit.sh."""
    found = getattr(JOBS, kind)
    print(*([found] if isinstance(found, str) else found), sep="\n")
