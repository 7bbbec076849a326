"""Warnings about a training, from its statistics. Each says nothing where there is no evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ganzoo.reports.best import is_recipe_of

Rows = Sequence[Mapping[str, Any]]

WON_TICKS = 5  # the discriminator must have won for as many ticks
WON_LOSS = 0.01  # mean loss of real and of generated images below which it has won
WORSE = 1.2  # a metric that has grown to as many times its best value is worse
WORSE_EVALUATIONS = 2  # in as many evaluations
LEAST_RISE = {"fid": 0.0, "kid": 0.005}  # a converged KID is near 0, where it varies by more than WORSE
RECALL_KEPT = 0.5  # share of the best recall below which diversity has fallen
LEAST_RECALL = 0.1  # best recall below which a fall says nothing


def find_warnings(rows: Rows) -> list[str]:
    """Return sentences about what may be wrong, with the evidence; none for a healthy run."""
    return [sentence for check in CHECKS for sentence in check(rows)]


def discriminator_won(rows: Rows) -> list[str]:
    """Warn if the losses of real and of generated images have both stayed near 0, for each phase that has both.

    Losses that have ever been negative are those of a critic (WGAN), which has no value at which it has won.
    """
    found = []
    for phase in sorted({name.rpartition("/")[0] for row in rows for name in row["losses"]}):
        pairs = [
            (row["kimg"], row["losses"][f"{phase}/real"], row["losses"][f"{phase}/fake"])
            for row in rows
            if f"{phase}/real" in row["losses"] and f"{phase}/fake" in row["losses"]
        ]
        if any(min(real, fake) < 0 for _, real, fake in pairs):
            continue
        won: list[tuple[float, float, float]] = []
        for pair in reversed(pairs):
            if max(pair[1:]) >= WON_LOSS:
                break
            won.append(pair)
        if len(won) >= WON_TICKS:
            _, real, fake = won[0]
            found.append(
                f"The discriminator has won since {won[-1][0]:g} kimg: the losses {phase}/real ({real:.2g}) and "
                f"{phase}/fake ({fake:.2g}) are close to 0, so the generator learns little. Try a lower learning rate, "
                "or --augment ada if there are few images."
            )
    return found


def skipped_updates(rows: Rows) -> list[str]:
    """Warn of updates that were skipped because of non-finite losses or gradients."""
    found = [(row["kimg"], row.get("skipped")) for row in rows]
    skipped = [(kimg, count) for kimg, count in found if isinstance(count, int) and count > 0]
    if not skipped:
        return []
    total, last = sum(count for _, count in skipped), skipped[-1][0]
    what = "1 update was" if total == 1 else f"{total:,} updates were"
    return [f"{what} skipped, last before {last:g} kimg: the loss or a gradient was not finite."]


def metric_rose(rows: Rows) -> list[str]:
    """Warn if FID or KID has been well above its best value in the last evaluations."""
    found = []
    for metric, rise in LEAST_RISE.items():
        for name, values in _metrics(rows, metric).items():
            best_at, best = min(values, key=lambda value: value[1])
            bound, last = max(WORSE * best, best + rise), values[-WORSE_EVALUATIONS:]
            if best > 0 and len(last) == WORSE_EVALUATIONS and all(value > bound for _, value in last):
                found.append(
                    f"{name} has risen from {best:.4g} at {best_at:g} kimg, its best, to {values[-1][1]:.4g}. The "
                    "checkpoint of the best value may be the better one, if it was kept."
                )
    return found


def diversity_fell(rows: Rows) -> list[str]:
    """Warn if recall has stayed far below its best value in the last evaluations."""
    found = []
    for name, values in _metrics(rows, "recall").items():
        best_at, best = max(values, key=lambda value: value[1])
        last = values[-WORSE_EVALUATIONS:]
        fell = all(value < RECALL_KEPT * best for _, value in last)
        if best >= LEAST_RECALL and len(last) == WORSE_EVALUATIONS and fell:
            found.append(
                f"Diversity has fallen: {name} was {best:.2g} at {best_at:g} kimg and is {values[-1][1]:.2g} now. The "
                "generator may have collapsed to few images."
            )
    return found


def _metrics(rows: Rows, metric: str) -> dict[str, list[tuple[float, float]]]:
    """Return the values of a metric at the last resolution, with their kimg, by full name. Values at other resolutions
    and of other recipes can't be compared."""
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        for name, value in row.get("metrics", {}).items():
            if is_recipe_of(metric, name) and row.get("size") == rows[-1].get("size"):
                found.setdefault(name, []).append((row["kimg"], value))
    return found


def ended_early(state: str, kimg: float, goal: float | None, error: str | None) -> list[str]:
    """Warn if training broke off before its `goal`. `error` is the one that ended it, if it is known."""
    if state not in _ENDINGS or (goal is not None and kimg >= goal):
        return []
    where = f"at {kimg:g}" + (f" of {goal:g} kimg" if goal is not None else " kimg")
    what, advice = _ENDINGS[state]
    return [f"Training {what} {where}{f': {error}' if error else advice}"]


def restarted(count: int) -> list[str]:
    """Warn if training has diverged and was restarted."""
    if not count:
        return []
    times = "once" if count == 1 else f"{count} times"
    return [f"Training diverged {times} and was restarted with another seed. Try a lower learning rate."]


def images_left_out(count: int, total: int) -> list[str]:
    """Warn of images that can't be read, of `total` in the data (0: unknown)."""
    if not count:
        return []
    what = "1 image" if count == 1 else f"{count:,} images"
    among = f" of {total:,}" if total else ""
    verb = "was" if count == 1 else "were"
    return [f"{what}{among} {verb} left out of training: unreadable. See log.txt, or run `ganzoo data check`."]


_ENDINGS = {
    "failed": ("failed", ". See log.txt."),
    "crashed": ("crashed in compiled code", ". The traceback is in log.txt."),
    "killed": ("was killed", ", perhaps because memory ran out. Continue with --resume."),
}
CHECKS: tuple[Callable[[Rows], list[str]], ...] = (
    discriminator_won,
    diversity_fell,
    metric_rose,
    skipped_updates,
)
