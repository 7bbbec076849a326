"""Faces and figures in six styles, as domains for image translation; drawn from parts by DiceBear."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo import DataInfo, Dataset
from ganzoo_datasets.generated import GeneratedSource, log

if TYPE_CHECKING:
    import numpy as np

SEED = 0
SIZES = (8, 16, 32, 64, 128)  # px
PEOPLE, VALIDATION_PEOPLE = 4000, 400  # each is drawn in every style
DOMAINS = ("cutouts", "lorelei", "notionists", "open-peeps", "pixel-art", "voxel-art")


class Avatars(GeneratedSource):
    """People in six styles: a set for image-to-image models and for faces that needs no download."""

    name = "avatars"
    summary = "4,000 people, each in six drawing styles as domains, 8 to 128 px, RGB; generated in minutes"
    split = True
    expected = DataInfo("avatars", PEOPLE * len(DOMAINS), SIZES[-1], 3, DOMAINS)

    def generate(self) -> None:
        build(self.path)


class AvatarDataset(Dataset):
    """People that are drawn when they are loaded: `people` (their numbers) in every style."""

    labelled_by = "style"

    def __init__(self, people: Sequence[int], seed: int, validation: Dataset | None = None) -> None:
        self._people, self._seed, self._validation = people, seed, validation
        name = "avatars-val" if validation is None else "avatars"
        self.info = DataInfo(name, len(people) * len(DOMAINS), SIZES[-1], 3, DOMAINS)

    def load(self, index: int, size: int | None = None) -> tuple[np.ndarray, int]:
        from ganzoo import crop_and_resize
        from ganzoo_datasets.avatar_styles import draw, person

        label, number = divmod(index, len(self._people))
        image = draw(DOMAINS[label], person(self._seed, self._people[number]), SIZES[-1])
        return crop_and_resize(image, size), label

    def labels(self) -> np.ndarray:
        import numpy as np

        return np.arange(len(DOMAINS)).repeat(len(self._people))

    def annotations(self) -> dict[str, list[Any]]:
        from ganzoo_datasets.avatar_annotations import describe
        from ganzoo_datasets.avatar_styles import person

        people = [person(self._seed, number) for number in self._people]
        found = [{"style": style, **describe(style, each)} for style in DOMAINS for each in people]
        return {name: [each[name] for each in found] for name in found[0]}

    def names(self) -> Sequence[str]:
        return [str(number) for number in self._people] * len(DOMAINS)

    def validation(self) -> Dataset | None:
        return self._validation

    def describe(self, index: int) -> str:
        label, number = divmod(index, len(self._people))
        return f"avatars: person {self._people[number]}, {DOMAINS[label]}, seed {self._seed}"


def build(
    path: Path,
    seed: int = SEED,
    people: int = PEOPLE,
    validation_people: int = VALIDATION_PEOPLE,
    processes: int | None = None,
) -> None:
    """Draw people in all styles: `people` into the LMDB at `path`, and others into the validation LMDB beside it.

    A seed gives the same bytes for any number of processes. DataError if a process dies or an LMDB can't be written.
    """
    from ganzoo import prepare

    validation = AvatarDataset(range(people, people + validation_people), seed)
    prepare(AvatarDataset(range(people), seed, validation), path, SIZES, lossless=True, workers=processes, say=log)
