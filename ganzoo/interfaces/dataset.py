"""The interface of a data set.

This module is imported for every `--help`, so it imports neither numpy nor Pillow.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

from ganzoo.errors import DataError, OptionError, PluginError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np


FITS = ("crop", "pad", "stretch")  # values of DataInfo.fit
COLOURS = {1: "grey", 3: "RGB", 4: "RGBA"}  # by DataInfo.channels


@dataclass(frozen=True)
class DataInfo:
    """Facts about a data set.

    `count` is the number of images (0: unknown, as for an imported checkpoint). `size` is the shorter side of the
    images in px, or its median over a sample if they differ. `channels` is 1 (all images are grey), 3 (RGB) or 4 (RGBA,
    with straight alpha). `domains` names the labels (empty: no labels); those of folders are in alphabetical order.
    `flip` says whether a mirrored image is still valid, with the same label and attributes (not so for letters and
    digits). `attributes` names the numbers that describe each image (empty: none), such as ("smiling", "age"); see
    `Dataset.attributes`. A data set may have both domains and attributes. `fit` says how an image becomes square:
    "crop" takes its centre square, "pad" the whole image, centred on white (in RGBA on transparency), and "stretch" the
    whole image, distorted.
    """

    name: str
    count: int
    size: int
    channels: int
    domains: tuple[str, ...] = ()
    flip: bool = False
    attributes: tuple[str, ...] = ()
    fit: str = "crop"

    def __repr__(self) -> str:
        """Omit `fit` if it is "crop". Fingerprints hash this text, and earlier versions had no `fit`."""
        shown = (each.name for each in fields(self) if each.name != "fit" or self.fit != "crop")
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"


@dataclass(frozen=True)
class LoaderConfig:
    """How the loader chooses and crops training images. By default, it takes each image once per epoch, uncropped.

    At most one of these can be chosen:

    * `per_domain`: a batch of N has N images of every domain, in `Batch.domains`, as for CycleGAN. Each domain is
      shuffled by itself, and its epoch ends when all its images have been used. `--batch`, `--micro-batch` and kimg
      count the images of one domain.
    * `paired`: as `per_domain`, and the n-th images of all domains have the same name, such as a/1.png and b/1.png, as
      for pix2pix. They share their mirroring and their crop.
    * `balanced`: the domains take turns, so their frequencies in a batch differ by at most one, whatever their sizes:
      images of small domains are repeated, and large domains contribute a part of theirs to each of the others' epochs.
    * `references`: the domain of each image is drawn at random, so a batch may lack some domains. All domains are
      equally likely, whatever their sizes. Each image comes with two other images from a second random domain.

    Each image is, with probability `crop_probability`, cropped to a random 80-100% of its area before it is scaled.
    """

    references: bool = False
    crop_probability: float = 0.0
    per_domain: bool = False
    paired: bool = False
    balanced: bool = False

    @property
    def by_domain(self) -> bool:
        """Whether a batch has images of every domain, in `Batch.domains`."""
        return self.per_domain or self.paired


class Dataset(ABC):
    """Images by index. `load` is called from several threads at once, and by `ganzoo data prepare` from several
    processes if the data set can be pickled. `labelled_by` names the annotation that gives the labels, if one does."""

    info: DataInfo
    format: str = ""  # of its files, such as 'zip archive'
    labelled_by: str = ""  # the annotation that gives its labels or attributes, or several, separated by commas
    notes: Sequence[str] = ()  # remarks for the user on how its folders are read, one line each
    ignored_files: str | None = None  # number and kinds of other files, which are ignored
    has_alpha: bool = False  # whether images have transparency, which `with_alpha` keeps
    _labels_cache: np.ndarray | None = None

    def __len__(self) -> int:
        return self.info.count

    @abstractmethod
    def load(self, index: int, size: int | None = None) -> tuple[np.ndarray, int]:
        """Return the image as uint8 (H, W, C), C = `info.channels` or 1, and its label (0 if there are no domains).

        With `size`, the image is its centre square, resized to `size` px as by `ganzoo.crop_and_resize`. If the user
        chooses another `DataInfo.fit`, `size` is None, and the result is made square later.

        Raises DataError, naming the file, if the image can't be read.
        """

    def labels(self) -> np.ndarray:
        """Return the label of every image, int (N,); zeros if there are no domains.

        The default loads every image once, and returns -1 for those that can't be read. Override it if the labels are
        known without loading.
        """
        import numpy as np

        def label(index: int) -> int:
            try:
                return self.load(index)[1]
            except DataError:
                return -1

        if self._labels_cache is None:
            known = map(label, range(len(self))) if self.info.domains else [0] * len(self)
            self._labels_cache = np.fromiter(known, np.int64, len(self))
        return self._labels_cache

    def attributes(self) -> np.ndarray:
        """Return the attributes of every image, finite numbers, float32 (N, len(info.attributes)). Override it if
        `DataInfo.attributes` names any. It is called several times, so keep them in memory."""
        import numpy as np

        if self.info.attributes:
            raise PluginError(
                f"{self.info.name}: its info names the attributes {', '.join(self.info.attributes)}, but "
                f"{type(self).__name__} does not override `attributes`."
            )
        return np.zeros((len(self), 0), np.float32)

    def annotations(self) -> Mapping[str, Sequence[Any]]:
        """Return what is known of the images, by name, with a value for each image: text, a number, true or false, a
        list of numbers, or None where it is unknown. `--labels` chooses among them. The mapping may read the values of
        a name when they are used."""
        return {}

    def names(self) -> Sequence[str]:
        """Return the name of every image within its domain, by which `LoaderConfig.paired` finds the images that belong
        together: '1' for a/1.png and b/1.jpg. DataError if the images have no names."""
        raise DataError(f"{self.info.name}: its images have no names, so they can't be paired.")

    def validation(self) -> Dataset | None:
        """Return the images reserved for validation, if any. Their size, channels, domains and attributes (in the same
        order) are those of the training images, but a domain may be empty. DataError if they don't match."""
        return None

    def with_alpha(self) -> Dataset:
        """Return the same images as RGBA, with `info.channels` 4, and so the validation images. OptionError if they
        have no transparency. Override it, and set `has_alpha`, if `load` draws transparent parts over white."""
        if self.info.channels == 4:
            return self
        raise OptionError(f"--alpha: the images of {self.info.name} have no transparency. Omit it.")

    def at_size(self, size: int) -> Dataset:
        """Return the same images, in the same order and with the same labels and attributes, at the smallest stored
        size of at least `size`, or else the largest. Return this data set itself if only one size is stored."""
        return self

    def shorter_sides(self, max_count: int) -> list[int]:
        """Return the shorter side (px) of each stored image, or of `max_count` images spread evenly over the set."""
        return [self.info.size]

    def fingerprint(self) -> str:
        """Return a string that changes when the images do. Features of the images are cached under it.

        The default reads every pixel. Override it if changes can be detected without loading.
        """
        digest = hashlib.sha256(repr((type(self).__name__, self.info)).encode())
        for index in range(len(self)):
            try:
                image, label = self.load(index)
                digest.update(repr((image.shape, label)).encode() + image.tobytes())
            except DataError:
                digest.update(b"unreadable")
        return digest.hexdigest()

    def describe(self, index: int) -> str:
        """Return where image `index` comes from, for messages: a path or a key."""
        return f"image {index} of {self.info.name}"


class DataSource(ABC):
    """A data set that can be opened by name. Register an instance through the hook `ganzoo_datasets`.

    `expected` describes what `open` would prepare if nothing is ready yet. `ganzoo train --dry-run` uses it and
    prepares nothing; the number of images in it may be approximate.

    `archive` is the URL of a zip, which `ganzoo data download` saves as NAME.zip in the data directory if each of
    `archive_folders` contains images (e.g. 'train/cat'; a folder that encloses all of them is ignored).
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    expected: ClassVar[DataInfo | None] = None
    archive: ClassVar[str] = ""
    archive_folders: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def open(self) -> Dataset:
        """Open the data set, preparing it first if necessary. DataError says what is missing and how to get it."""

    def ready(self) -> bool:
        """Return whether `open` would find everything in place, without preparing anything."""
        return True

    def from_files(self, files: Sequence[Path]) -> Dataset:
        """Build the data set from files that the user has; `ganzoo data prepare NAME --from FILE` stores it. Override
        this if the data may not be redistributed and are not a folder of images. DataError says what is wrong."""
        raise OptionError(f"--from: {self.name} can't be built from your own files. Omit --from.")
