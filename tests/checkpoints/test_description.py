from __future__ import annotations

import dataclasses
import json

import pytest

from ganzoo.checkpoints.description import AdaState, Lineage, RunDescription, SchedulePosition, StateMetadata
from ganzoo.interfaces.options import resolve
from ganzoo.interfaces.progress import Progress
from ganzoo.interfaces.train_options import TrainOptions
from tests.support.descriptions import parse_descriptions

DATA = {"name": "x", "count": 3, "size": 8, "channels": 1, "domains": ["a"], "flip": False}
POSITION = {"index": 0, "size": 8, "alpha": 0.5}
ADA = {"p": 0.25, "images": 8, "signs": -2, "scores": 6}
PROGRESS = {"step": 2, "images": 8, "stage": 0, "stage_images": 8}
RUN = {
    **{"ganzoo": "0.1", "model": "gan", "train": {"kimg": 2.0}, "options": {"size": 8}, "data": DATA},
    **{"data_path": "/images", "environment": {"device": "cpu"}, "saved": 1.5},
}
STATE = {
    **{"progress": PROGRESS, "moment": POSITION, "optimizer_steps": {"generator": {"w": 2}}},
    "averaged": ["generator"],
    "ada": ADA,
}


def test_a_complete_description_is_read_and_written_unchanged():
    run, state = parse_descriptions({**RUN, **STATE})
    assert json.dumps(run.to_json()) == json.dumps(RUN)
    assert json.dumps(state.to_json()) == json.dumps(STATE)
    assert (run.data.domains, run.version, run.data_name) == (("a",), "0.1", None)
    assert state == StateMetadata(
        *(Progress(2, 8, 0, 8), SchedulePosition(0, 8, 0.5), {"generator": {"w": 2}}, ("generator",)),
        AdaState(0.25, 8, -2, 6),
    )


def test_the_names_of_attributes_are_stored_if_there_are_any():
    entries = {**RUN, "data": {**DATA, "attributes": ["smiling", "age\n"]}}
    data = RunDescription.from_json(entries).data
    assert data.attributes == ("smiling", "age\\n")
    assert RunDescription.from_json(RunDescription.from_json(entries).to_json()).data == data


def test_the_fit_of_the_images_is_stored_unless_they_are_cropped():
    cropped, padded = (RunDescription.from_json({**RUN, "data": {**DATA, **fit}}) for fit in ({}, {"fit": "pad"}))
    assert (cropped.data.fit, padded.data.fit) == ("crop", "pad")
    assert cropped.to_json()["data"] == DATA  # earlier versions refuse entries that they don't know
    assert padded.to_json()["data"] == {**DATA, "fit": "pad"}


LINEAGE = {
    **{"source": "/runs/00000-gan-x/checkpoint-000000008.safetensors", "kimg": 0.008, "data": "x", "sha256": "ab"},
    **{"taken": 5, "adapted": 1, "fresh": 2},
}


def test_the_weights_that_a_run_started_with_are_stored():
    run = RunDescription.from_json({**RUN, "lineage": LINEAGE})
    assert run.to_json()["lineage"] == LINEAGE
    assert run.lineage.name == "00000-gan-x/checkpoint-000000008.safetensors"
    assert Lineage(**{**LINEAGE, "source": "zoo:mnist"}).name == "zoo:mnist"


@pytest.mark.parametrize(
    "damaged", [None, [], {**LINEAGE, "kimg": "1"}, {name: LINEAGE[name] for name in LINEAGE if name != "data"}]
)
def test_a_damaged_lineage_counts_as_absent(damaged):
    assert RunDescription.from_json({**RUN, "lineage": damaged}).lineage is None


def test_a_lineage_is_safe_to_print():
    run = RunDescription.from_json({**RUN, "lineage": {**LINEAGE, "source": "zoo:\x1b[2J", "more": 1}})
    assert run.lineage.source == "zoo:\\x1b[2J"


def test_a_description_cannot_be_changed():
    run, state = parse_descriptions({**RUN, **STATE})
    for each in (run, state):
        name = dataclasses.fields(each)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(each, name, None)


def test_model_and_options_suffice():
    minimal = {"model": "gan", "options": {}}
    run = RunDescription.from_json(minimal)
    assert (run.data, run.train, run.to_json()) == (None, None, minimal)
    assert run.train_options() == TrainOptions()
    assert StateMetadata.from_json({"progress": {}}) == StateMetadata(Progress())


def test_options_of_an_unknown_model_are_preserved():
    options = {"of a plugin": [1, {"that": "is not installed"}]}
    assert RunDescription.from_json({"model": "gone", "options": options}).to_json()["options"] == options


def test_entries_of_a_newer_version_are_ignored():
    assert parse_descriptions({**RUN, **STATE, "more": [1]}) == parse_descriptions({**RUN, **STATE})


def test_one_update_count_for_all_weights_of_a_network_is_read():
    steps = {"generator": 3}
    assert StateMetadata.from_json({**STATE, "optimizer_steps": steps}).optimizer_steps == steps


def test_train_options_are_completed_by_the_defaults_of_the_model():
    run = RunDescription("gan", {}, {"kimg": 2.0})
    assert run.train_options({"batch": 7}) == resolve(TrainOptions, {"kimg": 2.0, "batch": 7})


def test_names_in_a_checkpoint_cannot_control_the_terminal():
    info = RunDescription.from_json({**RUN, "data": {**DATA, "name": "x\x1b[2J", "domains": ["a\n", "caf\udce9"]}}).data
    assert (info.name, info.domains) == ("x\\x1b[2J", ("a\\n", "caf\\udce9"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("model", value) for value in (None, 3, ["gan"])),
        *((name, value) for name in ("options", "train", "progress", "optimizer_steps") for value in (None, [], "x")),
        *(("data", value) for value in (None, {}, {**DATA, "more": 1}, {**DATA, "flip": 1})),
        *(("data", {**DATA, "size": size}) for size in (None, True, 0, -8, 8.0, "8", 10**9)),
        *(("data", {**DATA, "channels": channels}) for channels in (0, 2, 5, "3")),
        *(("data", {**DATA, "count": count}) for count in (-1, 1.5)),
        *(("data", {**DATA, "domains": names}) for names in (None, 3, "ab", [3], ["a"] * 1001)),
        *(("data", {**DATA, "fit": fit}) for fit in (None, 3, "squeeze", ["pad"])),
        *(("data", {**DATA, "attributes": names}) for names in (None, 3, "ab", [3], ["a"] * 1001)),
        *(("progress", {**PROGRESS, "images": images}) for images in (None, "8", -1, 1.5)),
        *(("moment", value) for value in (None, [], {}, {**POSITION, "more": 1}, {**POSITION, "index": -1})),
        *(("moment", {**POSITION, "size": size}) for size in (None, "8", 10**9)),
        *(("moment", {**POSITION, "alpha": alpha}) for alpha in (None, -1, 1.5, float("nan"))),
        *(("optimizer_steps", {"generator": steps}) for steps in (None, "x", -1, {"w": 1.5}, {"w": [1]})),
        *(("ada", value) for value in (None, [], {}, {**ADA, "more": 1}, {**ADA, "signs": 7}, {**ADA, "scores": 1.5})),
        *(("ada", {**ADA, "p": p}) for p in (None, -1, 1.5, float("nan"))),
        *(("ada", {**ADA, "images": images}) for images in (None, -1, 10**400)),
        *(("averaged", value) for value in (None, "generator", [3])),
    ],
    ids=lambda value: str(value)[:60],
)
def test_an_invalid_entry_is_named(name, value):
    with pytest.raises(ValueError, match=f"'{name}' is missing or damaged"):
        parse_descriptions({**RUN, **STATE, name: value})


@pytest.mark.parametrize(("name", "value"), [("ganzoo", 3), ("data_path", []), ("environment", "x"), ("saved", {})])
def test_a_damaged_entry_that_is_only_informative_counts_as_missing(name, value):
    found = RunDescription.from_json({**RUN, name: value}).to_json()
    assert found == {key: entry for key, entry in RUN.items() if key != name}


def test_a_missing_entry_is_named():
    for entries in ([], {}):
        with pytest.raises(ValueError, match="'model' is missing or damaged"):
            RunDescription.from_json(entries)
    with pytest.raises(ValueError, match="'train' is missing or damaged"):
        RunDescription.from_json({"model": "gan", "options": {}}, required=("train",))
    with pytest.raises(ValueError, match="'progress' is missing or damaged"):
        StateMetadata.from_json(RUN)
