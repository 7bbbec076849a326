"""Presets: TOML files for --preset, the options they set, and the resulting training stages."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from ganzoo.interfaces.options import Option, options_by_name, resolve
from ganzoo.interfaces.train_options import TrainOptions
from ganzoo.training.launch import read_preset, select_options
from tests.fuzz.edits import ODD_VALUES, Choices, file_from, ganzoo_errors_allowed
from tests.fuzz.models import DATA, MODELS, check_options

EXAMPLE_VALUES = {bool: True, int: 64, float: 1.0, str: "losses/d/adv"}  # for options that default to None
TEXTS = (
    *("1e400", "0x7fffffffffffffffffff", "1979-05-27T07:32:00Z", "nan", "[1,", "{}", "{a=1}", '"\\ud800"', "'''"),
    *("9" * 9999, f"0x{'f' * 9999}", "[" * 3000, "{a=" * 3000),
)


def seeds() -> list[bytes]:
    """Return a preset for each model, with a value for every option: the default, or that of the preset 'paper'."""
    return [
        "".join(f"{name.replace('_', '-')} = {_toml(value)}\n" for name, value in _values(model).items()).encode()
        for model in MODELS.values()
    ]


def _values(model: Any) -> dict[str, Any]:
    values = {**TrainOptions().to_dict(), **model.options().to_dict(), **model.presets.get("paper", {})}
    known = {**options_by_name(TrainOptions), **options_by_name(model.options)}
    return {name: _example(known[name]) if value is None else value for name, value in values.items()}


def _example(option: Option) -> Any:
    return option.choices[0] if option.choices else EXAMPLE_VALUES[option.type]


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, (bool, float)) else repr(value)


def edit(choices: Choices, seed: bytes) -> bytes:
    lines = seed.decode().splitlines()
    texts = (*map(_toml, ODD_VALUES), *TEXTS)
    for _ in range(1 + choices.below(4)):
        at = choices.below(len(lines))
        name = lines[at].partition(" = ")[0]
        lines[at] = choices.pick([f"{name} = {choices.pick(texts)}", f"[{name}]", f"{name}.a = 1", lines[at - 1]])
    return "\n".join(lines).encode("utf-8", "replace")


def check(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "preset.toml"
        path.write_bytes(file_from(data, seeds(), edit))
        for model in MODELS.values():
            with ganzoo_errors_allowed():
                preset = read_preset(model, str(path))
                train = resolve(TrainOptions, select_options(TrainOptions, preset), model.defaults)
                check_options(model, train, resolve(model.options, select_options(model.options, preset)), DATA)
