"""Typed descriptions that are stored as JSON: of a run (options.json and every checkpoint), and of a training state.

Only their `from_json` validates the contents of files. It ignores unknown entries, which a newer ganzoo may have
written.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ganzoo.errors import printable
from ganzoo.interfaces.dataset import FITS, DataInfo
from ganzoo.interfaces.options import resolve
from ganzoo.interfaces.progress import Progress
from ganzoo.interfaces.train_options import TrainOptions

if TYPE_CHECKING:
    from ganzoo.interfaces.model import Model
    from ganzoo.interfaces.options import Options

MAX_NAMES = 1000  # of domains or attributes; a model may build networks for each domain
MAX_SIDE = 2**16  # px
MAX_COUNT = 2**40  # of images or scores between two adjustments of adaptive augmentation
_NAMES = ("domains", "attributes")  # entries of the data that are lists of names


@dataclass(frozen=True)
class Lineage:
    """The weights that a run started with.

    `source` is the path of the checkpoint or the name that the user gave, as in 'zoo:NAME'; `kimg` and `data` say how
    long it was trained, and the name of its data; `sha256` is the file's. The counts are those of the new networks'
    arrays: `taken` as they were, `adapted` to other classes or image channels, and `fresh`, which began afresh.
    """

    source: str
    kimg: float
    data: str
    sha256: str
    taken: int
    adapted: int
    fresh: int

    @property
    def name(self) -> str:
        """The source without the folders of this machine: the run and the checkpoint, or the name."""
        return "/".join(self.source.split("/")[-2:])


@dataclass(frozen=True)
class RunDescription:
    """Model, options and data of a run.

    `options` and `train` are validated only by `model_options` and `train_options`: the model may not be installed.
    `data` is None if options.json is older than this entry; checkpoints always have it. `data_path` is the absolute
    path of the data if it was given by path. `version` is ganzoo's version, `environment` describes the newest session
    (versions, device, threads), and `saved` is the Unix time when options.json was written. `lineage` is None if the
    run started with random weights.
    """

    model: str
    options: Mapping[str, Any]
    train: Mapping[str, Any] | None = None
    data: DataInfo | None = None
    data_path: str | None = None
    version: str | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)
    saved: float | None = None
    lineage: Lineage | None = None

    @classmethod
    def create(
        cls,
        model: Model,
        options: Options,
        train: TrainOptions,
        data: DataInfo,
        data_path: str | None = None,
        lineage: Lineage | None = None,
    ) -> RunDescription:
        """Describe a run of this version of ganzoo."""
        from ganzoo import __version__

        return cls(model.name, options.to_dict(), train.to_dict(), data, data_path, __version__, lineage=lineage)

    @classmethod
    def from_json(cls, entries: Any, required: Collection[str] = ()) -> RunDescription:
        """Read a description. `required` are mandatory keys besides 'model' and 'options'. A ValueError
        names a missing or invalid entry."""
        checks = {"model": _is_str, "options": _is_dict, "train": _is_dict, "data": _is_data}
        known = _validated(entries, checks, {"model", "options", *required})
        # Entries that only inform the user count as absent if they are invalid.
        kinds: dict[str, Any] = {"ganzoo": str, "data_path": str, "environment": dict, "saved": (int, float)}
        about = {name: value for name, kind in kinds.items() if isinstance(value := entries.get(name), kind)}
        return cls(
            known["model"],
            known["options"],
            known.get("train"),
            _data_info(known["data"]) if "data" in known else None,
            about.get("data_path"),
            about.get("ganzoo"),
            about.get("environment", {}),
            about.get("saved"),
            _lineage(entries.get("lineage")),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the entries to store, without those that are not set."""
        data = None if self.data is None else _data_entries(self.data)
        entries = {
            "ganzoo": self.version,
            "model": self.model,
            "train": None if self.train is None else dict(self.train),
            "options": dict(self.options),
            "data": data,
            "data_path": self.data_path,
            "lineage": None if self.lineage is None else dataclasses.asdict(self.lineage),
            "environment": dict(self.environment) or None,
            "saved": self.saved,
        }
        return {name: value for name, value in entries.items() if value is not None}

    def model_options(self, model: Model) -> Options:
        """Return the model's own options. OptionError if they are invalid for `model`."""
        return resolve(model.options, self.options, stored=True)

    def train_options(self, defaults: Mapping[str, Any] | None = None) -> TrainOptions:
        """Return the training options; those that were not stored have the model's `defaults`. OptionError if one is
        invalid."""
        return resolve(TrainOptions, self.train or {}, defaults, stored=True)

    @property
    def labels(self) -> str | None:
        """The labels that the user chose (None: the default ones)."""
        labels = (self.train or {}).get("labels")
        return labels if isinstance(labels, str) else None

    @property
    def data_name(self) -> str | None:
        """The name or path of the data, as given by the user."""
        name = (self.train or {}).get("data")
        return name if isinstance(name, str) else None


@dataclass(frozen=True)
class SchedulePosition:
    """Position in the stages: the stage's `index`, its image `size`, and `alpha`, how far that size is faded in."""

    index: int
    size: int
    alpha: float


@dataclass(frozen=True)
class AdaState:
    """State of adaptive augmentation: its probability `p`, and since the last adjustment of p the number of real
    `images`, the sum of the `signs` of the discriminator's scores of real images, and the number of these `scores`."""

    p: float = 0.0
    images: int = 0
    signs: int = 0
    scores: int = 0


@dataclass(frozen=True)
class StateMetadata:
    """Everything in a training state except the arrays: progress, position in the stages (None if it was not recorded),
    update counts (by network and weight, or only by network in old checkpoints), the names of the networks with an
    EMA, and the state of adaptive augmentation (None without it).

    Files store `position` as "moment" and `ema` as "averaged"."""

    progress: Progress
    position: SchedulePosition | None = None
    optimizer_steps: Mapping[str, int | Mapping[str, int]] = field(default_factory=dict)
    ema: tuple[str, ...] = ()
    ada: AdaState | None = None

    @classmethod
    def from_json(cls, entries: Any) -> StateMetadata:
        """Read the metadata. A ValueError names a missing or invalid entry."""
        checks = {
            "progress": _is_progress,
            "moment": _is_position,
            "optimizer_steps": _are_steps,
            "averaged": _are_names,
            "ada": _is_ada,
        }
        known = _validated(entries, checks, {"progress"})
        return cls(
            Progress.from_metadata(known["progress"]),
            SchedulePosition(**known["moment"]) if "moment" in known else None,
            known.get("optimizer_steps", {}),
            tuple(known.get("averaged", ())),
            AdaState(**known["ada"]) if "ada" in known else None,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the entries to store."""
        return {
            "progress": self.progress.to_metadata(),
            **({"moment": dataclasses.asdict(self.position)} if self.position else {}),
            "optimizer_steps": dict(self.optimizer_steps),
            "averaged": list(self.ema),
            **({"ada": dataclasses.asdict(self.ada)} if self.ada else {}),
        }


def _validated(
    entries: Any, checks: Mapping[str, Callable[[Any], bool]], required: Collection[str]
) -> Mapping[str, Any]:
    entries = entries if isinstance(entries, dict) else {}
    for name, is_valid in checks.items():
        if not is_valid(entries[name]) if name in entries else name in required:
            raise ValueError(f"{name!r} is missing or damaged")
    return {name: entries[name] for name in checks if name in entries}


def _data_entries(data: DataInfo) -> dict[str, Any]:
    entries = {**dataclasses.asdict(data), "domains": list(data.domains), "attributes": list(data.attributes)}
    if not data.attributes:
        del entries["attributes"]  # earlier versions of ganzoo refuse unknown entries here
    if data.fit == "crop":
        del entries["fit"]
    return entries


def _data_info(data: Mapping[str, Any]) -> DataInfo:
    names = {kind: tuple(map(printable, data.get(kind, ()))) for kind in _NAMES}
    return DataInfo(**{**data, "name": printable(data["name"]), **names})


def _lineage(entries: Any) -> Lineage | None:
    """Read a lineage; None if an entry is missing or invalid."""
    kinds: dict[str, Any] = {"source": str, "kimg": (int, float), "data": str, "sha256": str}
    kinds.update(dict.fromkeys(("taken", "adapted", "fresh"), int))
    if not isinstance(entries, dict) or not all(isinstance(entries.get(name), kind) for name, kind in kinds.items()):
        return None
    values: dict[str, Any] = {
        name: printable(entries[name]) if kind is str else entries[name] for name, kind in kinds.items()
    }
    return Lineage(**values)


def _is_data(data: Any) -> bool:
    kinds = {"name": str, "count": int, "size": int, "channels": int, "flip": bool, "fit": str}
    return (
        isinstance(data, dict)
        and {"name", "count", "size", "channels"} <= data.keys() <= {*kinds, *_NAMES}
        and all(type(value) is kinds[name] for name, value in data.items() if name not in _NAMES)
        and data["count"] >= 0
        and 1 <= data["size"] <= MAX_SIDE
        and data["channels"] in (1, 3, 4)
        and data.get("fit", "crop") in FITS
        and all(_are_names(data.get(kind, [])) for kind in _NAMES)
    )


def _is_progress(progress: Any) -> bool:
    try:
        return isinstance(progress, dict) and Progress.from_metadata(progress) is not None
    except ValueError:
        return False


def _is_position(position: Any) -> bool:
    if not isinstance(position, dict) or position.keys() != {"index", "size", "alpha"}:
        return False
    index, size, alpha = position["index"], position["size"], position["alpha"]
    valid_integers = all(type(number) is int and 0 <= number <= MAX_SIDE for number in (index, size))
    return valid_integers and type(alpha) in (int, float) and 0 <= alpha <= 1


def _is_ada(state: Any) -> bool:
    if not isinstance(state, dict) or state.keys() != {"p", "images", "signs", "scores"}:
        return False
    counts = state["images"], state["scores"]
    valid_counts = all(type(count) is int and 0 <= count <= MAX_COUNT for count in counts)
    valid_counts = valid_counts and type(state["signs"]) is int and abs(state["signs"]) <= state["scores"]
    return valid_counts and type(state["p"]) in (int, float) and 0 <= state["p"] <= 1


def _are_steps(steps: Any) -> bool:
    if not isinstance(steps, dict):
        return False
    counts = (count for each in steps.values() for count in (each.values() if isinstance(each, dict) else [each]))
    return all(type(count) is int and count >= 0 for count in counts)


def _are_names(names: Any) -> bool:
    is_list = isinstance(names, (list, tuple)) and len(names) <= MAX_NAMES
    return is_list and all(isinstance(name, str) for name in names)


def _is_str(value: Any) -> bool:
    return isinstance(value, str)


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)
