"""Validation of a run's description, which is stored in options.json and in every checkpoint."""

from __future__ import annotations

from typing import Any

from ganzoo.errors import printable
from ganzoo.interfaces.dataset import DataInfo

MOST_DOMAINS = 1000  # a limit, since a model may build networks for each domain
LARGEST = 2**16  # px; side of an image


def fault(described: Any) -> str | None:
    """Return the name of the first entry that is missing or invalid; None if the description is valid.

    Only 'model' and 'options' are required. Options, train options, progress and optimizer steps need only be dicts
    here; their values are validated where they are used.
    """
    if not isinstance(described, dict) or not isinstance(described.get("model"), str):
        return "model"
    if not isinstance(described.get("options"), dict):
        return "options"
    dicts = dict.fromkeys(("train", "progress", "optimizer_steps"), _is_dict)
    checks = {**dicts, "data": _is_data, "moment": _is_moment, "averaged": _is_names}
    return next((name for name, fits in checks.items() if name in described and not fits(described[name])), None)


def data_info(data: Any) -> DataInfo:
    """Convert a description of data to a DataInfo. ValueError if it is invalid."""
    if not _is_data(data):
        raise ValueError("its description of the data is damaged")
    names = tuple(map(printable, data.get("domains", ())))
    return DataInfo(**{**data, "name": printable(data["name"]), "domains": names})


def _is_data(data: Any) -> bool:
    kinds = {"name": str, "count": int, "size": int, "channels": int, "flip": bool}
    return (
        isinstance(data, dict)
        and {"name", "count", "size", "channels"} <= data.keys() <= {*kinds, "domains"}
        and all(type(value) is kinds[name] for name, value in data.items() if name != "domains")
        and data["count"] >= 0
        and 1 <= data["size"] <= LARGEST
        and data["channels"] in (1, 3)
        and _is_names(data.get("domains", []))
    )


def _is_moment(moment: Any) -> bool:
    if not isinstance(moment, dict) or moment.keys() != {"index", "size", "alpha"}:
        return False
    index, size, alpha = moment["index"], moment["size"], moment["alpha"]
    whole = all(type(number) is int and 0 <= number <= LARGEST for number in (index, size))
    return whole and type(alpha) in (int, float) and 0 <= alpha <= 1


def _is_names(names: Any) -> bool:
    few = isinstance(names, (list, tuple)) and len(names) <= MOST_DOMAINS
    return few and all(isinstance(name, str) for name in names)


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)
