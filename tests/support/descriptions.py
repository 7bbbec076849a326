"""Descriptions of checkpoints, made from the JSON entries of a checkpoint file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ganzoo.checkpoints.description import RunDescription, StateMetadata


def parse_descriptions(entries: dict[str, Any]) -> tuple[RunDescription, StateMetadata]:
    """Return the descriptions of a run and of its training state, for `checkpoint.write`."""
    return RunDescription.from_json(entries), StateMetadata.from_json(entries)


@dataclass(frozen=True)
class UnvalidatedDescription:
    """A description without validation, for writing invalid checkpoints."""

    entries: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return self.entries
