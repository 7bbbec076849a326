"""Emoji of several vendors: the same characters in several styles, from images that the user has fetched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ganzoo import DataError, DataInfo, Dataset, DataSource, data_dir

if TYPE_CHECKING:
    import numpy as np

SIDE = 64  # px
KEPT = 10  # every tenth sign is kept for validation

# Signs that differ mainly in a person's sex count as one in the split: a model trained on the man and the woman at some
# work must not be validated on the person at the same work.
SAME = {0x1F468: 0x1F9D1, 0x1F469: 0x1F9D1, 0x1F466: 0x1F9D2, 0x1F467: 0x1F9D2, 0x1F474: 0x1F9D3, 0x1F475: 0x1F9D3}

Code = tuple[int, ...]  # code points of an emoji: the sign first, then skin tone, sex and joined characters


class Emoji(DataSource):
    """Images from the npm packages emoji-datasource-VENDOR, which may not be distributed with ganzoo."""

    name = "emoji"
    summary = "emoji of several vendors as domains, 8 to 64 px, RGB; to be fetched (`--data emoji` tells how)"

    @property
    def path(self) -> Path:
        """The LMDB that `ganzoo data prepare` writes."""
        return data_dir() / f"{self.name}.lmdb"

    def ready(self) -> bool:
        return self.path.exists()

    def open(self) -> Dataset:
        from ganzoo import open_path

        if not self.ready():
            raise DataError(
                "emoji: it is not on this machine, and ganzoo may not pass it on. Fetch the pictures of two vendors or "
                "more,\n"
                "    npm pack emoji-datasource-google\n"
                "    npm pack emoji-datasource-twitter\n"
                "(there are -apple and -facebook too, each under a licence of its own) and make the set of them once:\n"
                "    ganzoo data prepare emoji --from emoji-datasource-google-*.tgz "
                "--from emoji-datasource-twitter-*.tgz\n"
                "From then on --data emoji works."
            )
        return open_path(self.path, self.name)

    def from_files(self, files: Sequence[Path]) -> Dataset:
        from ganzoo_datasets.emoji_files import collect

        pictures = collect(files)
        if len(pictures) < 2:
            found = f"{next(iter(pictures))}'s only" if pictures else "of none"
            raise DataError(
                f"emoji: at least two vendors are needed, as each is a domain, and these are {found}. Fetch another "
                "with `npm pack emoji-datasource-VENDOR` (google, twitter, apple, facebook), and give it with --from."
            )
        common = set.intersection(*(set(of_vendor) for of_vendor in pictures.values()))
        training, validation = split(common)
        if not training:
            raise DataError(f"emoji: the vendors {', '.join(sorted(pictures))} have no emoji in common.")
        return Pictures(pictures, training, Pictures(pictures, validation) if validation else None)


def split(codes: set[Code]) -> tuple[list[Code], list[Code]]:
    """Split emoji into training and validation; the variants of a sign, which share its code point, stay together."""
    signs = sorted({_sign(code) for code in codes})
    kept = {*signs[KEPT - 1 :: KEPT]}
    ordered = sorted(codes)
    return [code for code in ordered if _sign(code) not in kept], [code for code in ordered if _sign(code) in kept]


def _sign(code: Code) -> int:
    return SAME.get(code[0], code[0])


class Picture(NamedTuple):
    """A vendor's image of an emoji: its origin, its label, and the content of its file."""

    origin: str
    label: int
    data: bytes


class Pictures(Dataset):
    """All vendors' images of the emoji `codes`, with the vendors as domains; the encoded files are kept in memory."""

    def __init__(
        self, pictures: Mapping[str, Mapping[Code, bytes]], codes: Sequence[Code], kept: Pictures | None = None
    ) -> None:
        vendors = tuple(sorted(pictures))
        self._kept = kept
        self._pictures = [
            Picture(f"{vendor}/{'-'.join(f'{point:04x}' for point in code)}.png", label, pictures[vendor][code])
            for label, vendor in enumerate(vendors)
            for code in codes
        ]
        self.info = DataInfo("emoji" if kept else "emoji-val", len(self._pictures), SIDE, 3, vendors)

    def load(self, index: int, size: int | None = None) -> tuple[np.ndarray, int]:
        from ganzoo import decode, to_array

        picture = self._pictures[index]
        return to_array(decode(picture.data, self.describe(index)), 3, size), picture.label

    def labels(self) -> np.ndarray:
        import numpy as np

        return np.array([picture.label for picture in self._pictures])

    def validation(self) -> Dataset | None:
        return self._kept

    def describe(self, index: int) -> str:
        return f"emoji: {self._pictures[index].origin}"
