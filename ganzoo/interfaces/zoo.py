"""Trained models that plugins bring. Plugins register them through the hook `ganzoo_zoo_models`.

This module is imported for every `--help`, so it imports neither numpy nor Jittor.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ganzoo.errors import PluginError, reason

CARD, WEIGHTS, PICTURE = ".json", ".safetensors", ".png"  # suffixes of the files of an entry


@dataclass(frozen=True)
class ZooModel:
    """A trained model that a plugin brings. `zoo:NAME` names it wherever a run or a checkpoint can be given.

    `file` is a checkpoint, as `ganzoo export` writes it, and `sha256` the file's SHA-256 in hexadecimal. `summary` is
    one sentence. `license` is that of the weights, `data_license` that of the training data. `recipe` is the command
    that trained it, or several joined by '&&'; `usage` is one that generates images with it. `metrics` has values by
    names that say how they were measured, such as fid5k-real10k-efficientnet-lite0. `picture` is a PNG of a sheet of
    samples. The model, its options, the data and the length of training are read from the checkpoint.
    """

    name: str
    summary: str
    file: Path
    sha256: str
    license: str
    data_license: str
    recipe: str
    usage: str
    metrics: Mapping[str, float]
    picture: Path | None = None


TEXTS = ("summary", "sha256", "license", "data_license", "recipe", "usage")  # entries of a card besides the metrics


def zoo_models(folder: Path) -> list[ZooModel]:
    """Read the trained models in a folder of a plugin's package, in the order of their names: of each, the card
    NAME.json, the checkpoint NAME.safetensors and, if there is one, the picture NAME.png.

    A card is a JSON object with the other fields of `ZooModel`. PluginError if it can't be read. `experiments/zoo.py`
    writes these files.
    """
    return [_read(card) for card in sorted(folder.glob(f"*{CARD}"))]


def _read(card: Path) -> ZooModel:
    try:
        entries = json.loads(card.read_bytes())
        texts = {name: entries[name] for name in TEXTS}
        metrics = entries["metrics"]
    except KeyError as error:
        raise PluginError(f"{card}: {error} is missing") from error
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise PluginError(f"{card}: not a card of a trained model ({reason(error)})") from error
    picture = card.with_suffix(PICTURE)
    return ZooModel(
        name=card.stem,
        file=card.with_suffix(WEIGHTS),
        metrics=metrics,
        picture=picture if picture.exists() else None,
        **texts,
    )
