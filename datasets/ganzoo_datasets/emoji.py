"""Emoji of several vendors: the same characters in several styles, from images that the user has downloaded."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ganzoo import DataError, DataInfo, Dataset
from ganzoo_datasets.from_files import FromFilesSource

if TYPE_CHECKING:
    import numpy as np

    from ganzoo_datasets.emoji_files import Code

SIDE = 64  # px
VALIDATION_EVERY = 10  # every tenth sign is for validation

# Signs that differ mainly in a person's sex count as one in the split: a model trained on the man and the woman with
# some job must not be validated on the person with that job.
NEUTRAL_SIGN = {
    0x1F468: 0x1F9D1,
    0x1F469: 0x1F9D1,
    0x1F466: 0x1F9D2,
    0x1F467: 0x1F9D2,
    0x1F474: 0x1F9D3,
    0x1F475: 0x1F9D3,
}


class Emoji(FromFilesSource):
    """Images from the npm packages emoji-datasource-VENDOR, which may not be distributed with ganzoo."""

    name = "emoji"
    summary = "emoji of several vendors as domains, 8 to 64 px, RGB; download them first (`--data emoji` explains how)"

    missing = (
        "it is not on this machine, and its licences don't let ganzoo distribute it. Download the images of two or "
        "more vendors,\n"
        "    npm pack emoji-datasource-google\n"
        "    npm pack emoji-datasource-twitter\n"
        "(there are also -apple and -facebook, each under its own licence) and prepare the data set once:\n"
        "    ganzoo data prepare emoji --from emoji-datasource-google-*.tgz --from emoji-datasource-twitter-*.tgz"
    )

    def from_files(self, files: Sequence[Path]) -> Dataset:
        from ganzoo_datasets.emoji_files import collect

        images = collect(files)
        if len(images) < 2:
            found = f"only {next(iter(images))}" if images else "none"
            raise DataError(
                f"emoji: at least two vendors are needed, one per domain, but {found} was found. Download another "
                "with `npm pack emoji-datasource-VENDOR` (google, twitter, apple, facebook), and give it with --from."
            )
        common = set.intersection(*(set(vendor_images) for vendor_images in images.values()))
        training, validation = split(common)
        if not training:
            raise DataError(f"emoji: the vendors {', '.join(sorted(images))} have no emoji in common.")
        return EmojiDataset(images, training, EmojiDataset(images, validation) if validation else None)


def split(codes: set[Code]) -> tuple[list[Code], list[Code]]:
    """Split emoji into training and validation; the variants of a sign, which share its code point, stay together."""
    signs = sorted({_sign(code) for code in codes})
    chosen = {*signs[VALIDATION_EVERY - 1 :: VALIDATION_EVERY]}
    ordered = sorted(codes)
    return [code for code in ordered if _sign(code) not in chosen], [code for code in ordered if _sign(code) in chosen]


def _sign(code: Code) -> int:
    return NEUTRAL_SIGN.get(code[0], code[0])


class EmojiImage(NamedTuple):
    """A vendor's image of an emoji: its origin, its label, and the content of its file."""

    origin: str
    label: int
    data: bytes


class EmojiDataset(Dataset):
    """All vendors' images of the emoji `codes`, with the vendors as domains; the encoded files are kept in memory."""

    has_alpha = True

    def __init__(
        self, images: Mapping[str, Mapping[Code, bytes]], codes: Sequence[Code], validation: EmojiDataset | None = None
    ) -> None:
        vendors = tuple(sorted(images))
        self._validation = validation
        self._images = [
            EmojiImage(f"{vendor}/{'-'.join(f'{point:04x}' for point in code)}.png", label, images[vendor][code])
            for label, vendor in enumerate(vendors)
            for code in codes
        ]
        self.info = DataInfo("emoji" if validation else "emoji-val", len(self._images), SIDE, 3, vendors)

    def load(self, index: int, size: int | None = None) -> tuple[np.ndarray, int]:
        from ganzoo import decode, to_array

        image = self._images[index]
        return to_array(decode(image.data, self.describe(index)), self.info.channels, size), image.label

    def labels(self) -> np.ndarray:
        import numpy as np

        return np.array([image.label for image in self._images])

    def with_alpha(self) -> EmojiDataset:
        other = copy.copy(self)
        other.info = replace(self.info, channels=4)
        other._validation = self._validation and self._validation.with_alpha()
        return other

    def validation(self) -> Dataset | None:
        return self._validation

    def describe(self, index: int) -> str:
        return f"emoji: {self._images[index].origin}"
