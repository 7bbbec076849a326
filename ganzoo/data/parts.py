"""The parts of a data set that its folders name: what is trained on, what is kept for validation, what is neither."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ganzoo.data.pyramid import below_wrapper, inside, wrapper
from ganzoo.errors import counted, printable

TRAINING = "train"
VALIDATION = ("val", "validation", "valid", "dev", "test")  # of several, the first
USUAL = {TRAINING, *VALIDATION}
# train, training_set, Testing, seg_pred, val2017, test1 and the like
_PART = re.compile(
    r"(?:seg_|images_)?(train|val|validation|valid|dev|test|pred)(?:ing)?(?:[_-]?(?:set|images))?(?:[_-]?\d{1,4})?"
)
# trainA and testB, as the sets of CycleGAN are laid out
_PART_OF_DOMAIN = re.compile(r"(train|val|validation|valid|test)[_-]?([A-Z])")


class Parts(NamedTuple):
    """The folders of the images for training ('' is the root) and of those for validation, by the domain that each
    holds; under '' if a folder holds all domains. `notes` say how folders were read, where that may surprise."""

    training: Mapping[str, str]
    validation: Mapping[str, str]
    notes: Sequence[str] = ()


def part_of(name: str) -> str | None:
    """The part that a folder of this name holds: 'train', one of VALIDATION, 'pred', or none."""
    found = _PART.fullmatch(name.lower())
    return found[1] if found else None


def split(images: Sequence[str]) -> Parts:
    """A folder for training and one for validation with nothing but others of such names beside them, below what wraps
    them; or such pairs, one for each domain or in each domain; else the root.

    (A folder for training alone is but another wrapping folder.)
    """
    paths = below_wrapper(images) if images else []
    tops = {path.partition("/")[0] if "/" in path else "" for path in paths}
    above = wrapper(images) if images else ""
    places = _whole(tops) or _by_domain(tops)
    if places is None and (places := _in_domains(paths)):
        tops = {"/".join(path.split("/")[:2]) for path in paths}
    if places is None:
        return Parts({"": ""}, {}, _doubts(tops))
    training, validation = ({domain: posixpath.join(above, name) for domain, name in each.items()} for each in places)
    left = tops.difference(*(each.values() for each in places))
    notes = () if tops <= USUAL and not left else _told(places, left, below=above, images=images)
    return Parts(training, validation, notes)


Places = tuple[dict[str, str], dict[str, str]]  # names of folders by domain: for training, for validation


def _whole(tops: Iterable[str]) -> Places | None:
    """A folder for each part."""
    found: dict[str | None, list[str]] = {}
    for name in sorted(tops):
        found.setdefault(part_of(name), []).append(name)
    if None in found or len(found) < 2 or len(found.get(TRAINING, ())) != 1:
        return None
    if len({name.lower() for name in tops}) < len({*tops}):
        return None
    kept = next((found[part][0] for part in VALIDATION if part in found), None)
    return {"": found[TRAINING][0]}, {} if kept is None else {"": kept}


def _by_domain(tops: Iterable[str]) -> Places | None:
    """A folder for each part of each domain."""
    found: dict[str, dict[str, str]] = {}
    for name in sorted(tops):
        matched = _PART_OF_DOMAIN.fullmatch(name)
        if not matched or matched[2] in found.setdefault(matched[1], {}):
            return None
        found[matched[1]][matched[2]] = name
    training = found.get(TRAINING, {})
    if len(found) < 2 or len(training) < 2:
        return None
    kept = next(found[part] for part in VALIDATION if part in found)
    return training, {domain: name for domain, name in kept.items() if domain in training}


def _in_domains(paths: Iterable[str]) -> Places | None:
    """A folder for each part in the folder of each domain."""
    found: dict[str, dict[str, str]] = {}
    for path in paths:
        domain, name, *rest = [*path.split("/", 2), "", ""]
        part = part_of(name) if rest[0] else None
        if part is None or found.setdefault(domain, {}).setdefault(part, name) != name:
            return None
    kept = {domain: next((names[part] for part in VALIDATION if part in names), "") for domain, names in found.items()}
    if len(found) < 2 or not any(kept.values()) or not all(TRAINING in names for names in found.values()):
        return None
    training = {domain: f"{domain}/{names[TRAINING]}" for domain, names in sorted(found.items())}
    return training, {domain: f"{domain}/{name}" for domain, name in sorted(kept.items()) if name}


def _told(places: Places, left: Iterable[str], below: str, images: Sequence[str]) -> list[str]:
    training, validation = places

    def listed(names: Iterable[str]) -> str:
        """'val/ (3 images)' of each."""
        starts = [(name, inside(posixpath.join(below, name))) for name in names]
        counts = [(name, sum(path.startswith(start) for path in images)) for name, start in starts]
        return ", ".join(f"{printable(name)}/ ({counted(count, 'image')})" for name, count in counts)

    of = f" the domains {', '.join(training)} from" if "" not in training else ""
    notes = [f"trained on:{of} {listed(training.values())}"]
    if validation:
        notes.append(f"kept for validation: {listed(validation.values())}")
    return notes + ([f"not used: {listed(sorted(left))}"] if left else [])


def _doubts(tops: Iterable[str]) -> list[str]:
    """What to say of folders that look like parts, beside others that do not."""
    odd = sorted(name for name in tops if part_of(name) or _PART_OF_DOMAIN.fullmatch(name))
    if len(odd) < 2 or "" in tops:
        return []
    named = ", ".join(f"{printable(name)}/" for name in odd)
    return [
        f"{named} are taken for domains, and all images in them are trained on. If they are parts of a set, keep "
        "only train/ and val/ in the folder, or give --data the one for training"
    ]
