"""Descriptions of checkpoints, from the JSON that a file holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ganzoo.checkpoints.description import RunDescription, StateMetadata


def described(entries: dict[str, Any]) -> tuple[RunDescription, StateMetadata]:
    """The description of a run and of its training state, as `checkpoint.write` takes them."""
    return RunDescription.from_json(entries), StateMetadata.from_json(entries)


@dataclass(frozen=True)
class Forged:
    """A description that can be written, valid or not."""

    entries: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return self.entries
