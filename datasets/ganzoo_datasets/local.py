"""Data sets that can't be bundled. They are opened from the data directory; an error says how to get a missing one."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from ganzoo import DataError, Dataset, DataSource, data_dir


class LocalSource(DataSource):
    """A data set of faces that the user has downloaded: NAME.lmdb, a folder NAME or NAME.zip in the data directory.

    `official` is the source of the data set, `layout` lists the paths of its files, and `domains` says whether its
    folders are domains.
    """

    official: ClassVar[str]
    layout: ClassVar[tuple[str, ...]]
    domains: ClassVar[bool] = False

    def ready(self) -> bool:
        return self._found() is not None

    def open(self) -> Dataset:
        from ganzoo import open_path

        path = self._found()
        if path is None:
            raise DataError(self._explanation())
        labels = None if self.domains else "none"
        return open_path(path, self.name, flip=True, labels=labels)  # faces may be mirrored

    def _found(self) -> Path | None:
        places = (data_dir() / f"{self.name}{ending}" for ending in (".lmdb", "", ".zip"))
        return next((place for place in places if place.exists()), None)

    def _explanation(self) -> str:
        indented = "\n".join(f"    {line}" for line in self.layout)
        command = f"Download it with\n    ganzoo data download {self.name}\n(from {self.archive}), or by hand:\n"
        return (
            f"{self.name}: it is not on this machine, and its licence doesn't let ganzoo distribute it. "
            f"{command if self.archive else ''}"
            f"Get it from its official source,\n"
            f"    {self.official}\n"
            f"as a folder or a .zip of this layout (other files in it don't matter):\n"
            f"{indented}\n"
            f"and prepare it once, replacing PATH with its path:\n"
            f"    ganzoo data prepare PATH --out {self.name}\n"
            f"Then --data {self.name} works. (--data PATH also works without this step, but is slower.)"
        )
