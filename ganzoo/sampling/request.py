"""The options of `ganzoo generate`: parse their texts, and refuse combinations that don't work."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ganzoo.errors import OptionError, did_you_mean, format_count

# The options of each kind of output, in addition to those common to all kinds.
KINDS = {
    "images": ("seeds", "at", "grid", "mix_with"),
    "interpolate": ("seeds", "at", "grid", "steps", "space", "path", "fps"),
    "mix": ("sources", "destinations", "mix_layers"),
}
STYLE_OPTIONS = ("psi", "psi_layers", "noise", "mix", "mix_with")  # options for style-based generators only
NOT_WITH_SOURCE = (
    "at",
    "class",
    "attributes",
    "grid",
    "size",
    "psi_layers",
    "noise",
    "mix",
    "mix_with",
    "sources",
    "destinations",
    "mix_layers",
)
LATENT_OPTIONS = ("seeds", "psi", "space", "path")  # options for styles that come from latents
TRANSLATION_STYLE_OPTIONS = ("reference", "seeds", "psi", "interpolate")  # options for translators with styles only
WALK_OPTIONS = ("steps", "space", "path", "fps")
# All values that `parse_request` and `parse_translation_request` read. Python's `format` becomes `format_`.
VALUES = {
    *(name for names in KINDS.values() for name in names),
    *STYLE_OPTIONS,
    *NOT_WITH_SOURCE,
    *LATENT_OPTIONS,
    *TRANSLATION_STYLE_OPTIONS,
    *("source", "domain", "format_"),
}
PSI = 0.7  # as in the figures of Karras et al. 2019 (appendix B)
SEEDS_PER_CLASS = 8  # default number of images of each class, if there are several
LISTED_NAMES = 20  # of classes or attributes, in an error
MAX_ATTRIBUTE = 1e30  # absolute value; within float32
MAX_SEEDS = 1_000_000
MAX_COORDINATE = 1e9  # of a point of the plane of seeds; float64 has seven decimals there
MAX_KEYS = 10_000  # maximum number of seeds or references in a walk: their latents are all in memory
MAX_FRAMES = 100_000  # maximum number of frames in a walk
ALL_LAYERS = 9999  # more layers than any generator has
NAMED_LAYERS = {"coarse": (0, 3), "middle": (4, 7), "fine": (8, ALL_LAYERS)}  # Karras et al. 2019, figure 3


Point = tuple[float, float]  # x and y on the plane of seeds, see `ganzoo.sampling.plane`


def flag(name: str) -> str:
    """'psi_layers' -> '--psi-layers'; both names if an option has two."""
    return "--psi / --truncation" if name == "psi" else "--" + name.replace("_", "-")


@dataclass(frozen=True)
class GenerateRequest:
    """A parsed call of `ganzoo generate`. None means that an option was not given, or that this kind of output does not
    use it."""

    kind: str  # a key of KINDS
    seeds: list[int] | None
    points: list[Point]  # of the plane of seeds, in place of seeds; empty if none are given
    classes: str | None
    attributes: str | None
    grid: tuple[int, int] | None
    size: int | None
    steps: int
    space: str | None
    path: str | None
    fps: int
    format: str
    psi: float
    psi_layers: int | None
    noise: str
    sources: list[int]
    destinations: list[int]
    mix_with: int | None  # seed whose style every image gets in `mix_layers`
    mix_layers: str
    style_flags: tuple[str, ...]  # the given options that require a style-based generator


@dataclass(frozen=True)
class TranslateRequest:
    """A parsed call of `ganzoo generate --source`. Without references, styles come from the seeds' latents."""

    sources: tuple[str, ...]
    references: tuple[str, ...]
    domain: str | None
    seeds: list[int]
    psi: float
    interpolate: bool
    steps: int
    space: str
    path: str
    fps: int
    format: str
    style_flags: tuple[str, ...]  # the given options that require a translator with styles


def parse_request(values: Mapping[str, Any]) -> GenerateRequest:
    """Parse the values of the command. OptionError if a value is invalid, or if some values conflict."""
    for name in ("domain", "reference"):
        if _given(values[name]):
            raise OptionError(f"{flag(name)}: requires --source, the images to translate.")
    kind = _kind(values)
    grid = parse_grid(values["grid"]) if values["grid"] is not None else None
    style_flags = [flag(name) for name in STYLE_OPTIONS if _given(values[name])]
    style_flags += ["--space w"] if values["space"] == "w" else []
    mix_layers = _or_default(values["mix_layers"], "coarse")
    parse_mix_layers(mix_layers)  # rejects invalid text now; layers that the image lacks are rejected later
    return GenerateRequest(
        kind=kind,
        seeds=None if values["seeds"] is None else parse_seeds(values["seeds"]),
        points=[parse_point(text) for text in values["at"] or ()],
        classes=values["class"],
        attributes=values["attributes"],
        grid=grid,
        size=values["size"],
        steps=_or_default(values["steps"], 15),
        space=values["space"],
        path=values["path"],
        fps=_or_default(values["fps"], 20),
        format=values["format_"] or ("gif" if kind == "interpolate" else "png"),
        psi=check_psi(_or_default(values["psi"], PSI)),
        psi_layers=None if values["psi_layers"] is None else parse_psi_layers(values["psi_layers"]),
        noise=values["noise"] or "const",
        sources=parse_seeds(_or_default(values["sources"], "0-4"), "--sources"),
        destinations=parse_seeds(_or_default(values["destinations"], "5-7"), "--destinations"),
        mix_with=None if values["mix_with"] is None else parse_seeds(str(values["mix_with"]), "--mix-with")[0],
        mix_layers=mix_layers,
        style_flags=tuple(style_flags),
    )


def parse_translation_request(values: Mapping[str, Any]) -> TranslateRequest:
    """Parse the values of the command with --source. OptionError if a value is invalid, or if some values conflict."""
    refused = dict.fromkeys(NOT_WITH_SOURCE, "not with --source")
    if values["reference"]:
        refused.update(dict.fromkeys(LATENT_OPTIONS, "not with --reference, which gives the style"))
    if not values["interpolate"]:
        refused.update(dict.fromkeys(WALK_OPTIONS, "for --interpolate only"))
    refused["class"] = "not with --source; --domain names the target domains"
    for name, why in refused.items():
        if _given(values[name]):
            raise OptionError(f"{flag(name)}: {why}.")
    _check_format("interpolate" if values["interpolate"] else "images", values["format_"], values["fps"])
    space = _or_default(values["space"], "z")
    return TranslateRequest(
        sources=values["source"],
        references=values["reference"],
        domain=values["domain"],
        seeds=parse_seeds(_or_default(values["seeds"], "0-3" if values["interpolate"] else "0-9")),
        psi=check_psi(_or_default(values["psi"], 1.0)),
        interpolate=values["interpolate"],
        steps=_or_default(values["steps"], 31 if values["reference"] else 15),
        space=space,
        path=_or_default(values["path"], "linear" if space == "w" else "spherical"),
        fps=_or_default(values["fps"], 20),
        format=values["format_"] or ("gif" if values["interpolate"] else "png"),
        style_flags=tuple(flag(name) for name in TRANSLATION_STYLE_OPTIONS if _given(values[name])),
    )


def parse_domains(text: str, domains: Sequence[str]) -> list[int]:
    """'dog,cat' -> the indices of these domains, without duplicates. OptionError if there is no such domain."""
    names = [text] if text in domains else [name.strip() for name in text.split(",")]
    for name in names:
        if name not in domains:
            raise OptionError(
                f"--domain: unknown domain {name!r}; choose from {', '.join(domains)}.{did_you_mean(name, domains)}"
            )
    return [domains.index(name) for name in dict.fromkeys(names)]


def _given(value: Any) -> bool:
    """Return whether the user gave an option. The number 0 counts as given; False and an empty tuple do not."""
    return value is not None and value is not False and value != ()


def _or_default(value: Any, default: Any) -> Any:
    return default if value is None else value


def _kind(values: Mapping[str, Any]) -> str:
    if values["mix"] and values["interpolate"]:
        raise OptionError("--mix and --interpolate: choose one of them.")
    kind = "mix" if values["mix"] else "interpolate" if values["interpolate"] else "images"
    if _given(values["at"]) and values["seeds"] is not None:
        raise OptionError("--at and --seeds: choose one of them.")
    allowed = [*KINDS[kind], *(["mix_layers"] if values["mix_with"] is not None else [])]
    for name in sorted({name for names in KINDS.values() for name in names}.difference(allowed)):
        if _given(values[name]):
            reason = f"not for --{kind}" if name in KINDS["images"] else f"for --{_kind_of(name)} only"
            raise OptionError(f"{flag(name)}: {reason}.")
    _check_format(kind, values["format_"], values["fps"])
    if kind == "mix" and values["noise"] == "random":
        raise OptionError("--noise random: not for --mix, which compares styles under the same noise.")
    return kind


def _kind_of(name: str) -> str:
    return next(kind for kind, names in KINDS.items() if name in names)


def _check_format(kind: str, format_: str | None, fps: int | None) -> None:
    if kind != "interpolate" and format_ in ("gif", "webp", "apng", "mp4"):
        raise OptionError(f"--format {format_}: for --interpolate only; still images are PNG.")
    if fps is not None and format_ == "png":
        raise OptionError(f"--fps {fps}: not for --format png; separate frames have no frame rate.")
    if fps is not None and fps > 50 and format_ in (None, "gif"):
        raise OptionError(f"--fps {fps}: a GIF has at most 50; use --format webp or mp4.")


def default_seeds(request: GenerateRequest, classes: int = 0) -> list[int]:
    """Return the seeds of a request without --seeds, for a number of classes of which each has an image per seed."""
    if request.grid is None:
        return list(range(SEEDS_PER_CLASS if classes > 1 else 32))
    seeds_per_cell = 4 if request.kind == "interpolate" else 1
    return list(range(request.grid[0] * request.grid[1] * seeds_per_cell))


def parse_classes(text: str | None, names: Sequence[str]) -> list[tuple[int, int | None]]:
    """'cat:4,dog' -> the index of each class, with its number of images (None: one for each seed). None and 'all' mean
    all classes. OptionError if there is no such class."""
    if text is None or (text == "all" and text not in names):
        return [(index, None) for index in range(len(names))]
    found: list[tuple[int, int | None]] = []
    for part in [text] if text in names else map(str.strip, text.split(",")):
        name, _, count = (part, "", "") if part in names else part.rpartition(":")
        if name not in names:
            name = name or count
            raise OptionError(
                f"--class: unknown class {name!r}; choose from {shortened(names)}.{did_you_mean(name, names)}"
            )
        if count and not re.fullmatch(r"0*[1-9]\d{0,5}", count):
            raise OptionError(f"--class: {part!r} is not a class and a number of images, like {names[0]}:4.")
        found.append((names.index(name), int(count) if count else None))
    return found


def parse_attributes(text: str, names: Sequence[str]) -> dict[int, float]:
    """'smiling=1,age=0.3' -> the value of each attribute by its index. OptionError if there is no such attribute, or if
    a value is not a number."""
    found: dict[int, float] = {}
    for part in text.split(","):
        name, _, value = map(str.strip, part.rpartition("="))
        if name and name not in names:
            raise OptionError(
                f"--attributes: unknown attribute {name!r}; choose from {shortened(names)}.{did_you_mean(name, names)}"
            )
        number = _number(value)
        if not name or number is None:
            raise OptionError(
                f"--attributes: {part.strip()!r} is not an attribute and a number, like {names[0]}=0.5; choose from "
                f"{shortened(names)}."
            )
        if names.index(name) in found:
            raise OptionError(f"--attributes: {name!r} is given twice.")
        found[names.index(name)] = number
    return found


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) <= MAX_ATTRIBUTE else None  # None for NaN, too


def shortened(names: Sequence[str]) -> str:
    """Return a list of names, without those after the first LISTED_NAMES."""
    return ", ".join(names[:LISTED_NAMES]) + (" ..." if len(names) > LISTED_NAMES else "")


def parse_seeds(text: str, option: str = "--seeds") -> list[int]:
    """'0-3,7' -> [0, 1, 2, 3, 7]. OptionError for anything else."""
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,18})\s*(?:-\s*(\d{1,18})\s*)?", part)
        if match is None or (match[2] and int(match[2]) < int(match[1])):
            raise OptionError(f"{option}: {part!r} is not a number or a range like 0-31.")
        last = int(match[2] or match[1])
        if last - int(match[1]) + len(seeds) >= MAX_SEEDS:
            raise OptionError(f"{option}: {text[:40]!r} is more than a million seeds.")
        seeds += range(int(match[1]), last + 1)
    return seeds


def parse_point(text: str) -> Point:
    """'3.5,0.25' -> (3.5, 0.25). OptionError unless both are numbers from 0 to MAX_COORDINATE."""
    numbers = [_number(part) for part in text.split(",")]
    x, y = numbers if len(numbers) == 2 else (None, None)
    if x is None or y is None or not (0 <= x <= MAX_COORDINATE and 0 <= y <= MAX_COORDINATE):
        raise OptionError(f"--at: {text!r} is not a point X,Y of the plane of seeds, like 3.5,0.25.")
    return x, y


def parse_grid(text: str) -> tuple[int, int]:
    """'4x8' -> (4, 8): rows and columns. OptionError for anything else."""
    from ganzoo.sampling.sheets import MAX_SHEET_IMAGES  # not at the top: --help should not import NumPy

    match = re.fullmatch(r"(\d{1,6})x(\d{1,6})", text)
    if match is None or not int(match[1]) * int(match[2]):
        raise OptionError(f"--grid: {text!r} is not ROWSxCOLUMNS, for example 4x8.")
    rows, columns = int(match[1]), int(match[2])
    if rows * columns > MAX_SHEET_IMAGES:
        raise OptionError(f"--grid: {text} exceeds the maximum of {format_count(MAX_SHEET_IMAGES, 'image')} per sheet.")
    return rows, columns


def check_walk_length(keys: int, steps: int, cells: int = 1) -> None:
    """Raise OptionError if a walk through `keys` seeds or references, shared among `cells`, is too long."""
    if keys > MAX_KEYS:
        raise OptionError(f"--interpolate: {keys:,} seeds or references exceed the maximum of {MAX_KEYS:,} per walk.")
    if keys // cells * steps > MAX_FRAMES:
        raise OptionError(
            f"--interpolate: {keys // cells * steps:,} frames exceed the maximum of {MAX_FRAMES:,}; use fewer "
            "--steps or --seeds."
        )


def check_psi(psi: float) -> float:
    """Return the truncation psi. OptionError unless it is a number from -100 to 100."""
    if not abs(psi) <= 100:  # written so that NaN is refused too
        raise OptionError(f"{flag('psi')}: {psi:g} is not a number from -100 to 100; 1 is no truncation.")
    return psi


def parse_psi_layers(text: str) -> int:
    """'8' -> 8, 'all' -> more layers than there can be. OptionError for anything else."""
    if text != "all" and not re.fullmatch(r"\d{1,4}", text):
        raise OptionError(f"--psi-layers: {text!r} is not 'all' or a number of layers.")
    return ALL_LAYERS if text == "all" else int(text)


def parse_mix_layers(text: str) -> Callable[[int], range]:
    """'coarse', 'middle', 'fine', '0-3' or '5' -> a function that maps an image's number of style layers to a range.

    OptionError for anything else; the returned function raises it too, if the image has no such layers.
    """
    match = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", text)
    if text not in NAMED_LAYERS and (match is None or int(match[2] or match[1]) < int(match[1])):
        raise OptionError(f"--mix-layers: {text!r} is not coarse, middle, fine or a range of layers like 0-3.")
    first, last = NAMED_LAYERS[text] if match is None else (int(match[1]), int(match[2] or match[1]))

    def layers(count: int) -> range:
        stop = min(last + 1, count) if match is None else last + 1
        if first >= count or stop > count:
            starts = f"starts at layer {first}, but " if match is None else ""
            raise OptionError(f"--mix-layers {text}: {starts}images of this size have the style layers 0-{count - 1}.")
        return range(first, stop)

    return layers
