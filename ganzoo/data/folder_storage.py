"""Storages of image files identified by paths: the base class, and the one for folders."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np

from ganzoo.data.abstract_storage import Storage, check_size
from ganzoo.data.annotations import LazyAnnotations, are_classes, require_complete
from ganzoo.data.images import is_hidden, is_image
from ganzoo.data.label_file import LABEL_FILE, FileLabels, find_label_file, read_labels
from ganzoo.data.labels import FOLDER, NO_LABELS, domains_of, labels_of_values, uniform_labels
from ganzoo.data.layout import Listing, describe_ignored, find_domains, labels_of, relocate_domains
from ganzoo.data.metadata_file import MetadataFiles, find_metadata
from ganzoo.data.paths import common_folder, folder_prefix
from ganzoo.data.pyramid import choose_size, find_sizes
from ganzoo.data.splits import find_splits
from ganzoo.errors import DataError, printable, reason
from ganzoo.files import open_regular

ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst", ".7z", ".rar")
SPLIT_ARCHIVE = re.compile(r"\.(z\d\d|r\d\d|\d\d\d)$")

FileStorageT = TypeVar("FileStorageT", bound="FileStorage")


class FileStorage(Storage):
    """Image files identified by paths. The folders can separate training and validation images (`splits`),
    sizes (`pyramid`) or domains (`layout`)."""

    _name_folders: Sequence[str] = ()
    _folder_labels: np.ndarray | None = None  # among _folder_domains
    _file_labels: FileLabels | None = None
    _metadata_files: MetadataFiles | None = None

    def _interpret_folders(self, listing: Listing, size: int | None, labels: str | None) -> None:
        """Find the images and their labels: those named `labels` (see `with_labels`) if files or folders give them by
        default, otherwise the default ones."""
        note = self._find_metadata(listing, labels)
        try:
            has_label_file = self._use_label_file(listing)
        except DataError as error:
            if labels not in (FOLDER, NO_LABELS):
                raise DataError(f"{error} To do without this file, use --labels folder or none.") from error
            has_label_file, note = False, " ".join(filter(None, [note, f"{error} So it is ignored"]))
        if not has_label_file:
            self._use_folders(listing, size)
        self._annotated_keys = self.keys  # of one stored size
        self._folder_domains, self._folder_labels = self.domains, self.labels
        self.labelled_by = FOLDER if self.domains else ""
        self._use_file_labels(labels)
        self.notes = [*self.notes, *filter(None, [self.labels_note, note])]

    def _use_folders(self, listing: Listing, size: int | None) -> None:
        splits = find_splits(listing.images)
        self.notes, self.ignored_files = splits.notes, listing.ignored_files()
        self.archives = [path for path in listing.others if is_archive(path)]
        self._domain_folders, self._named_keys, self._name_folders = None, list[str](), list[str]()
        self._validation_folder, self._validation_keys = splits.validation.get("", ""), dict[str, list[str]]()
        if splits.validation:
            folders = {domain: splits.validation.get(domain) for domain in splits.training}
            self._validation_name_folders = [folder or "" for folder in folders.values()]
            self._validation_keys = {
                domain: listing.below(folder) if folder else [] for domain, folder in folders.items()
            }
        if "" not in splits.training:
            self.domains = tuple(splits.training)
            self._set_images_by_domain({domain: listing.below(folder) for domain, folder in splits.training.items()})
            self._name_by(splits.training.values())
            return
        self._root = self._set_images(listing.below(splits.training[""]), splits.training[""], size)
        self._domain_folders = find_domains(listing, self.keys, self._root) if self.keys else None
        if self._domain_folders:
            self.domains = tuple(map(printable, self._domain_folders.names))
            self.labels = labels_of(self.keys, self._domain_folders)
            self._name_by(posixpath.join(self._domain_folders.folder, name) for name in self._domain_folders.names)

    def _use_label_file(self, listing: Listing) -> bool:
        """Use all images, whatever their folders, with the labels in a file. Return whether there is such a file."""
        path = find_label_file(listing.others, listing.images)
        if path is None:
            return False
        folder = path.removesuffix(LABEL_FILE)
        try:
            found = read_labels(self.read(path), listing.images, folder)
        except DataError as error:
            raise DataError(f"{self.path}/{folder}{error}") from error
        except Exception as error:  # as in StoredImages._read
            raise DataError(f"{self.path}/{path}: can't be read ({reason(error)}).") from error
        if found is None:
            return False
        self.keys, self._validation_keys = listing.images, dict[str, list[str]]()
        self._file_labels = found
        prepared = found.fit is not None  # by ganzoo: folders only limit the files in each
        if domains := None if prepared else find_domains(listing, self.keys, ""):
            self.domains, self.labels = tuple(map(printable, domains.names)), labels_of(self.keys, domains)
        self.metadata, self.fit = dict(found.metadata), found.fit
        others = [each for each in listing.others if each != path]
        self.ignored_files = describe_ignored(others)
        self.archives = [each for each in others if is_archive(each)]
        return True

    def _find_metadata(self, listing: Listing, labels: str | None) -> str:
        """Find the metadata files, and take them and the images that are not of the set off the listing. Return a note
        on them; '' if there is none."""
        if not listing.images:
            return ""
        try:
            found = find_metadata(listing.others, listing.images, self._read_file)
            if not isinstance(found, MetadataFiles):
                return found or ""
            listing.images = found.without_others(self._read_file)
        except DataError as error:
            if labels in (FOLDER, NO_LABELS):
                return f"{printable(str(error))} So it is ignored, and images in columns for other images are used too"
            raise DataError(f"{self.path}/{error} To do without this file, use --labels folder or none.") from error
        self._metadata_files = found
        listing.others = [each for each in listing.others if each not in found.paths]
        return ""

    def _read_file(self, path: str) -> bytes:
        try:
            return self.read(path)
        except Exception as error:  # as in StoredImages._read
            raise DataError(f"{path}: can't be read ({reason(error)}).") from error

    def _use_file_labels(self, labels: str | None) -> None:
        """Use the labels of a file in place of the folders', if there is one, and `labels` is its name or None."""
        found = self._file_labels
        if found is not None and labels in (None, found.name):
            self.domains, self.labels, self.attribute_names, self.attributes = found[:4]
            self.labelled_by = found.name if self.domains or self.attribute_names else ""
            self.labels_note = found.note()
        elif found is None and self._metadata_files and (name := self._metadata_files.label):
            values = self._metadata_annotations().get(name, []) if labels in (None, name) else []
            if values and are_classes([value for value in values if value is not None]):
                values = uniform_labels(values)
                require_complete(values, name, str(self.path), self._describe)
                self.domains = domains_of(values, f"{self.path}, column {name}")
                self.labels, self.labelled_by = labels_of_values(values, self.domains, self._describe), name
                self.labels_note = (
                    f"{posixpath.basename(self._metadata_files.paths[0])} gives the labels, in its column {name}"
                )

    def _metadata_annotations(self) -> LazyAnnotations:
        if self._metadata_files is None:
            return LazyAnnotations({})
        try:
            return self._metadata_files.annotations(self._read_file, self._annotated_keys)
        except DataError as error:
            raise DataError(f"{self.path}/{error}") from error

    def _describe(self, index: int) -> str:
        return printable(f"{self.path}/{self._annotated_keys[index]}")

    def annotations(self) -> Mapping[str, Sequence[Any]]:
        others = dict[str, Sequence[Any]]()
        if self._file_labels is not None and (values := self._file_labels.values()):
            others[self._file_labels.name] = values
        if self._folder_labels is not None:
            others[FOLDER] = [self._folder_domains[label] for label in self._folder_labels]
        return self._metadata_annotations() | others

    def _name_by(self, folders: Iterable[str]) -> None:
        """Let the images' names be their paths in these folders, one for each domain."""
        self._named_keys, self._name_folders = self.keys, list(folders)

    def names(self) -> list[str] | None:
        if self._folder_labels is None or not self._name_folders:
            return None
        starts = [len(folder_prefix(folder)) for folder in self._name_folders]
        # The keys of one stored size, since the paths of the others may differ.
        return [
            posixpath.splitext(key[starts[label] :])[0] for key, label in zip(self._named_keys, self._folder_labels)
        ]

    def _set_images_by_domain(self, keys: Mapping[str, list[str]]) -> None:
        """Use these images, given by domain."""
        self.keys = [key for each in keys.values() for key in each]
        labels = [label for label, each in enumerate(keys.values()) for _ in each]
        self.labels = np.array(labels, np.int64) if self.domains else None

    def _set_images(self, keys: list[str], folder: str, size: int | None) -> str:
        """Use these images and return the folder that contains them: `folder`, or the folder of one size inside it."""
        self.keys, self.size = keys, None
        self._keys_by_size = find_sizes(keys, self.read)
        self.sizes = tuple(self._keys_by_size)
        if not self.sizes:
            return folder
        self._select_size(size)
        return posixpath.join(common_folder(keys), str(self.size))

    def _select_size(self, size: int | None) -> None:
        self.size = choose_size(size, self.sizes)
        self.keys = self._keys_by_size[self.size]

    def validation(self) -> Storage | None:
        if not self._validation_keys:
            return None
        if self.labelled_by == FOLDER:
            return self._validation_images()
        try:
            other = self._by_folder()._validation_images().unlabelled()
        except DataError:  # the folders may differ from those for training if they give no labels
            other = self.unlabelled()._validation_images()
        if self._metadata_files is None or self.labelled_by != self._metadata_files.label:
            return other
        values = uniform_labels(other._metadata_annotations()[self.labelled_by])
        if values.count(None) == len(values):  # such as the images of a test whose labels are secret
            return None
        other.domains, other.labelled_by = self.domains, self.labelled_by
        other.labels = labels_of_values(values, other.domains, other._describe)
        return other

    def _by_folder(self: FileStorageT) -> FileStorageT:
        """Return the same images with the domains that their folders give."""
        other = self.unlabelled()
        other.domains, other.labels, other.labelled_by = self._folder_domains, self._folder_labels, FOLDER
        return other

    def _validation_images(self: FileStorageT) -> FileStorageT:
        """Return the validation images, labelled by their folders if the training images are."""
        other = self._shallow_copy()
        other._validation_keys, other.labels, other.notes, other.ignored_files = {}, None, (), None
        if "" not in self._validation_keys:
            other._set_images_by_domain(self._validation_keys)
            other._name_by(self._validation_name_folders)
            other._annotated_keys, other._folder_labels = other.keys, other.labels
            return other
        try:
            root = other._set_images(self._validation_keys[""], self._validation_folder, self.size)
            if self.domains and self._domain_folders:
                domains = relocate_domains(self._domain_folders, self._root, root, other.keys)
                other.labels = labels_of(other.keys, domains)
                other._name_by(posixpath.join(domains.folder, name) for name in domains.names)
        except DataError as error:
            raise DataError(f"{printable(self.path)}: {printable(str(error))}") from error
        other._annotated_keys, other._folder_labels = other.keys, other.labels
        return other


class FolderStorage(FileStorage):
    """Images at any depth below a folder; symbolic links are followed."""

    format = "folder"

    def __init__(self, path: Path, size: int | None = None, labels: str | None = None) -> None:
        self.path = path
        self._interpret_folders(_list_folder(path), size, labels)

    def files(self) -> Iterable[Path]:
        sources = (
            self._metadata_files.paths
            if self._metadata_files and self.labelled_by == self._metadata_files.label
            else ()
        )
        return (self.path / path for path in (*self.keys, *sources))

    def read(self, key: str) -> bytes:
        with open_regular(self.path / key) as file:
            size = os.fstat(file.fileno()).st_size
            check_size(size)
            return file.read(size)


def is_archive(path: str) -> bool:
    """Return whether a file is named like an archive or a part of a split archive: x.z01, x.7z.001, x.part1.rar."""
    return path.lower().endswith(ARCHIVES) or bool(SPLIT_ARCHIVE.search(path.lower()))


def _list_folder(root: Path) -> Listing:
    """List the files and folders below a folder."""
    folders, files = [], []
    for folder, own in _walk(root):
        below = folder.relative_to(root)
        folders.append(below.as_posix())
        files += [(below / name).as_posix() for name in own]
    return Listing(files, (folder for folder in folders if folder != "."))


def images_below(root: Path) -> list[Path]:
    """Return the image files at any depth in a folder, sorted; symbolic links are followed. Skips pipes and other
    special files, but not broken links. DataError if a folder can't be listed."""
    found = (folder / name for folder, names in _walk(root) for name in names if is_image(name))
    return sorted(path for path in found if path.is_file() or not path.exists())


def _walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield `root` and every visible folder below it, each with the names of its files. Follows symbolic links, but
    visits a folder only once, even if links form a cycle. DataError if a folder can't be listed."""
    seen = set()
    for folder, names, files in os.walk(root, followlinks=True, onerror=_raise_unlistable):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            names.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        names[:] = sorted(name for name in names if not is_hidden(name))
        yield Path(folder), files


def _raise_unlistable(error: OSError) -> NoReturn:
    raise DataError(f"{printable(error.filename)}: can't be listed ({reason(error)}).") from error
