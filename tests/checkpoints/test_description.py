from __future__ import annotations

import pytest

from ganzoo.checkpoints.description import data_info, fault

DATA = {"name": "x", "count": 3, "size": 8, "channels": 1, "domains": ["a"], "flip": False}
MOMENT = {"index": 0, "size": 8, "alpha": 0.5}
WHOLE = {"model": "gan", "options": {}, "train": {}, "data": DATA, "moment": MOMENT, "averaged": ["generator"]}


def test_a_sound_description_has_no_fault():
    assert fault(WHOLE) is None
    assert fault({"model": "gan", "options": {}}) is None
    assert data_info(DATA).domains == ("a",)


def test_names_in_a_checkpoint_cannot_steer_the_terminal():
    info = data_info({**DATA, "name": "x\x1b[2J", "domains": ["a\n", "caf\udce9"]})
    assert (info.name, info.domains) == ("x\\x1b[2J", ("a\\n", "caf\\udce9"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("model", value) for value in (None, 3, ["gan"])),
        *((name, value) for name in ("options", "train", "progress", "optimizer_steps") for value in (None, [], "x")),
        *(("data", value) for value in (None, {}, {**DATA, "more": 1}, {**DATA, "flip": 1})),
        *(("data", {**DATA, "size": size}) for size in (None, True, 0, -8, 8.0, "8", 10**9)),
        *(("data", {**DATA, "channels": channels}) for channels in (0, 2, 4, "3")),
        *(("data", {**DATA, "count": count}) for count in (-1, 1.5)),
        *(("data", {**DATA, "domains": names}) for names in (None, 3, "ab", [3], ["a"] * 1001)),
        *(("moment", value) for value in (None, [], {}, {**MOMENT, "more": 1}, {**MOMENT, "index": -1})),
        *(("moment", {**MOMENT, "size": size}) for size in (None, "8", 10**9)),
        *(("moment", {**MOMENT, "alpha": alpha}) for alpha in (None, -1, 1.5, float("nan"))),
        *(("averaged", value) for value in (None, "generator", [3])),
    ],
    ids=lambda value: str(value)[:60],
)
def test_an_entry_of_another_kind_is_named(name, value):
    assert fault({**WHOLE, name: value}) == name
    if name == "data":
        with pytest.raises(ValueError, match="data is damaged"):
            data_info(value)


def test_what_is_no_description_is_told():
    assert fault([]) == fault({}) == "model"
