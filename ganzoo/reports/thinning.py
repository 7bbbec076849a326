"""Fewer points and fewer sheets, so that the size of a report is bounded."""

from __future__ import annotations

from collections.abc import Sequence

MAX_BUCKETS = 200  # of a curve; each keeps two points

Point = tuple[float, float]


def thin_curve(points: Sequence[Point], buckets: int = MAX_BUCKETS) -> list[Point]:
    """Return at most 2 * `buckets` + 2 of the points (x, y), in their order: the first and the last, and of each bucket
    of neighbours the lowest and the highest, so that no spike is lost."""
    if len(points) <= 2 * buckets + 2:
        return list(points)
    kept = {0, len(points) - 1}
    for bucket in range(buckets):
        indices = range(bucket * len(points) // buckets, (bucket + 1) * len(points) // buckets)
        kept.add(min(indices, key=lambda index: points[index][1]))
        kept.add(max(indices, key=lambda index: points[index][1]))
    return [points[index] for index in sorted(kept)]


def thin_indices(count: int, limit: int) -> list[int]:
    """Return at most `limit` (2 or more) indices of `count` elements: the first, the last, and evenly between.

    The stride is a power of 2. So a growing list keeps its choice until the stride doubles, and elements that have been
    encoded once are used again.
    """
    stride = 1
    while len(range(0, count, stride)) > limit - 1:
        stride *= 2
    return sorted({*range(0, count, stride), count - 1}) if count else []
