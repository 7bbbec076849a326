"""Presets: TOML files for --preset, the options made of them, and the stages of training that these options ask for."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from ganzoo.cli.train import _options_of, _read_preset
from ganzoo.interfaces.options import describe, resolve
from ganzoo.interfaces.train_options import TrainOptions
from tests.fuzz.edits import ODD, Choices, made, own_errors
from tests.fuzz.models import DATA, MODELS, consider

EXAMPLES = {bool: True, int: 64, float: 1.0, str: "losses/d/adv"}
TEXTS = (
    *("1e400", "0x7fffffffffffffffffff", "1979-05-27T07:32:00Z", "nan", "[1,", "{}", "{a=1}", '"\\ud800"', "'''"),
    *("9" * 9999, f"0x{'f' * 9999}", "[" * 3000, "{a=" * 3000),
)


def seeds() -> list[bytes]:
    """Every option of a model with its default, or with that of a preset."""
    return [
        "".join(f"{name.replace('_', '-')} = {_toml(value)}\n" for name, value in _values(model).items()).encode()
        for model in MODELS.values()
    ]


def _values(model: Any) -> dict[str, Any]:
    values = {**TrainOptions().to_dict(), **model.options().to_dict(), **model.presets.get("paper", {})}
    known = {**describe(TrainOptions), **describe(model.options)}
    return {name: EXAMPLES[known[name].type] if value is None else value for name, value in values.items()}


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, (bool, float)) else repr(value)


def edit(choices: Choices, seed: bytes) -> bytes:
    lines = seed.decode().splitlines()
    texts = (*map(_toml, ODD), *TEXTS)
    for _ in range(1 + choices.below(4)):
        at = choices.below(len(lines))
        name = lines[at].partition(" = ")[0]
        lines[at] = choices.pick([f"{name} = {choices.pick(texts)}", f"[{name}]", f"{name}.a = 1", lines[at - 1]])
    return "\n".join(lines).encode("utf-8", "replace")


def check(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "preset.toml"
        path.write_bytes(made(data, seeds(), edit))
        for model in MODELS.values():
            with own_errors():
                preset = _read_preset(model, str(path))
                train = resolve(TrainOptions, _options_of(TrainOptions, preset), model.defaults)
                consider(model, train, resolve(model.options, _options_of(model.options, preset)), DATA)
