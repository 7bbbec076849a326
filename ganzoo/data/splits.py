"""The training and validation splits of a data set, recognised by the names of their folders."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ganzoo.data.paths import common_folder, folder_prefix, strip_common_folder
from ganzoo.errors import format_count, printable

TRAINING = "train"
VALIDATION = ("val", "validation", "valid", "dev", "test")  # in order of preference
STANDARD_NAMES = {TRAINING, *VALIDATION}
SPLITS_OF_FILES = {"t10k": "test"}  # of MNIST
# train, training_set, Testing, seg_pred, val2017, test1, ...
_SPLIT = re.compile(
    r"(?:seg_|images_)?(train|val|validation|valid|dev|test|pred)(?:ing)?(?:[_-]?(?:set|images))?(?:[_-]?\d{1,4})?"
)
# trainA and testB, as in CycleGAN's data sets
_SPLIT_OF_DOMAIN = re.compile(r"(train|val|validation|valid|test)[_-]?([A-Z])")


class SplitFolders(NamedTuple):
    """The training folders and the validation folders, by domain. The key '' means all domains in one folder; the
    folder '' is the root. `notes` explain how folders were interpreted, where that may surprise the user."""

    training: Mapping[str, str]
    validation: Mapping[str, str]
    notes: Sequence[str] = ()


def split_name(folder: str) -> str | None:
    """Return the split that a folder's name denotes: 'train', one of VALIDATION, 'pred', or None."""
    found = _SPLIT.fullmatch(folder.lower())
    return found[1] if found else None


def split_files(files: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Return the files for training and those for validation, by the words in their names, as in train-000.tar and
    set-val-000.tar. Of several splits for validation, the first in VALIDATION is used and the others are ignored, as
    with folders. Files without such a word are for training; if there are none for training, all are."""
    found: dict[str, list[Path]] = {}
    for file in files:
        splits = [SPLITS_OF_FILES.get(word, split_name(word)) for word in re.split(r"[-._ ]+", file.name.lower())]
        split = next((each for each in splits if each == TRAINING or each in VALIDATION), TRAINING)
        found.setdefault(split, []).append(file)
    if TRAINING not in found:
        return list(files), []
    return found[TRAINING], next((found[split] for split in VALIDATION if split in found), [])


def find_splits(images: Sequence[str]) -> SplitFolders:
    """Find the folders with the training images and with the validation images, by their names.

    Recognises three layouts, if no image is outside of them: a folder per split (train/, val/), a folder per split and
    domain (trainA/, testB/), and a folder per split in each domain's folder (cat/train/). Otherwise all images are for
    training. Enclosing folders are ignored; even a training folder, if it has no other split beside it.
    """
    paths = strip_common_folder(images) if images else []
    top_folders = {path.partition("/")[0] if "/" in path else "" for path in paths}
    root = common_folder(images) if images else ""
    folders = _match_splits(top_folders) or _match_splits_of_domains(top_folders)
    if folders is None and (folders := _match_domains_with_splits(paths)):
        top_folders = {"/".join(path.split("/")[:2]) for path in paths}
    if folders is None:
        return SplitFolders({"": ""}, {}, _ambiguity_notes(top_folders))
    training, validation = ({domain: posixpath.join(root, name) for domain, name in each.items()} for each in folders)
    unused = top_folders.difference(*(each.values() for each in folders))
    obvious = top_folders <= STANDARD_NAMES and not unused
    notes = () if obvious else _split_notes(folders, unused, root, images)
    return SplitFolders(training, validation, notes)


_FoldersByDomain = tuple[dict[str, str], dict[str, str]]  # training and validation folders, each by domain


def _match_splits(top_folders: Iterable[str]) -> _FoldersByDomain | None:
    """Match the layout train/, val/."""
    found: dict[str | None, list[str]] = {}
    for name in sorted(top_folders):
        found.setdefault(split_name(name), []).append(name)
    if None in found or len(found) < 2 or len(found.get(TRAINING, ())) != 1:
        return None
    if len({name.lower() for name in top_folders}) < len({*top_folders}):
        return None
    validation = next((found[split][0] for split in VALIDATION if split in found), None)
    return {"": found[TRAINING][0]}, {} if validation is None else {"": validation}


def _match_splits_of_domains(top_folders: Iterable[str]) -> _FoldersByDomain | None:
    """Match the layout trainA/, trainB/, testA/, testB/."""
    found: dict[str, dict[str, str]] = {}
    for name in sorted(top_folders):
        matched = _SPLIT_OF_DOMAIN.fullmatch(name)
        if not matched or matched[2] in found.setdefault(matched[1], {}):
            return None
        found[matched[1]][matched[2]] = name
    training = found.get(TRAINING, {})
    if len(found) < 2 or len(training) < 2:
        return None
    validation = next(found[split] for split in VALIDATION if split in found)
    return training, {domain: name for domain, name in validation.items() if domain in training}


def _match_domains_with_splits(paths: Iterable[str]) -> _FoldersByDomain | None:
    """Match the layout cat/train/, cat/val/, dog/train/, dog/val/."""
    found: dict[str, dict[str, str]] = {}
    for path in paths:
        domain, name, *rest = [*path.split("/", 2), "", ""]
        split = split_name(name) if rest[0] else None
        if split is None or found.setdefault(domain, {}).setdefault(split, name) != name:
            return None
    validation = {
        domain: next((names[split] for split in VALIDATION if split in names), "") for domain, names in found.items()
    }
    if len(found) < 2 or not any(validation.values()) or not all(TRAINING in names for names in found.values()):
        return None
    training = {domain: f"{domain}/{names[TRAINING]}" for domain, names in sorted(found.items())}
    return training, {domain: f"{domain}/{name}" for domain, name in sorted(validation.items()) if name}


def _split_notes(folders: _FoldersByDomain, unused: Iterable[str], root: str, images: Sequence[str]) -> list[str]:
    training, validation = folders

    def listed(names: Iterable[str]) -> str:
        """Format each name as in 'val/ (3 images)'."""
        starts = [(name, folder_prefix(posixpath.join(root, name))) for name in names]
        counts = [(name, sum(path.startswith(start) for path in images)) for name, start in starts]
        return ", ".join(f"{printable(name)}/ ({format_count(count, 'image')})" for name, count in counts)

    domains = f" the domains {', '.join(training)} from" if "" not in training else ""
    notes = [f"trained on:{domains} {listed(training.values())}"]
    if validation:
        notes.append(f"kept for validation: {listed(validation.values())}")
    return notes + ([f"not used: {listed(sorted(unused))}"] if unused else [])


def _ambiguity_notes(top_folders: Iterable[str]) -> list[str]:
    """Return a note if folders are named like splits but don't form a known layout."""
    ambiguous = sorted(name for name in top_folders if split_name(name) or _SPLIT_OF_DOMAIN.fullmatch(name))
    if len(ambiguous) < 2 or "" in top_folders:
        return []
    named = ", ".join(f"{printable(name)}/" for name in ambiguous)
    return [
        f"{named} are treated as domains, so all their images are used for training. If they are the parts of a split, "
        "keep only train/ and val/ in the folder, or give --data the training folder"
    ]
