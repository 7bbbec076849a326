"""What the next writing of a report uses again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ganzoo.reports.parameters import count_parameters
from ganzoo.reports.pictures import PictureCache


@dataclass
class ReportCache:
    """Encoded sheets and numbers of parameters of one run."""

    pictures: PictureCache = field(default_factory=PictureCache)
    _parameters: Mapping[str, int] = field(default_factory=dict)

    def parameters(self, folder: Path) -> Mapping[str, int]:
        """Return the number of parameters of each network, read once there is a checkpoint."""
        if not self._parameters:
            self._parameters = count_parameters(folder)
        return self._parameters
