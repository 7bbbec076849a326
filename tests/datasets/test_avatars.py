"""Tests of the data set `avatars`: people in several drawing styles, which are its domains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ganzoo_datasets import avatars
from ganzoo_datasets.avatar_styles import STYLES, draw, person
from ganzoo_datasets.avatars import DOMAINS, AvatarDataset, Avatars, build

from ganzoo import DataError, DataInfo, OptionError, open_path, with_labels
from ganzoo.data.labelling import describe_labels

SIZES = (8, 16, 32, 64, 128)


@pytest.fixture
def few_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Limit the data set to four people, and return its data directory, which is empty."""
    monkeypatch.setenv("GANZOO_DATA", str(tmp_path))
    monkeypatch.setattr(avatars, "build", lambda path: build(path, people=3, validation_people=1, processes=1))
    return tmp_path


def test_the_domains_are_the_styles() -> None:
    assert sorted(STYLES) == list(DOMAINS)


def test_training_and_validation_images_are_generated_on_first_use(
    few_people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Avatars()
    assert not source.ready()
    data = source.open()
    validation = data.validation()
    assert validation is not None
    assert source.ready()
    assert data.info == DataInfo("avatars", 3 * 6, 128, 3, DOMAINS)
    assert validation.info == DataInfo("avatars-val", 1 * 6, 128, 3, DOMAINS)
    assert np.bincount(data.labels()).tolist() == [3] * 6
    assert [data.at_size(size).load(2)[0].shape for size in SIZES] == [(size, size, 3) for size in SIZES]
    assert sorted(path.name for path in few_people.iterdir()) == ["avatars-val.lmdb", "avatars.lmdb"]
    monkeypatch.setattr(avatars, "build", None)
    assert source.open().info == data.info


def test_people_for_validation_are_others_than_those_for_training() -> None:
    validation = AvatarDataset(range(3, 4), 0)
    data = AvatarDataset(range(3), 0, validation)
    assert data.validation() is validation
    for part, people in ((data, range(3)), (validation, range(3, 4))):
        assert list(part.names()) == [*map(str, people)] * 6
        for index in (0, len(part) - 1):
            image, label = part.load(index)
            number = people[index % len(people)]
            assert label == part.labels()[index]
            assert part.describe(index) == f"avatars: person {number}, {DOMAINS[label]}, seed 0"
            assert (image == draw(DOMAINS[label], person(0, number), 128)).all()


def test_the_images_of_a_person_are_paired_in_the_stored_set(few_people: Path) -> None:
    assert list(Avatars().open().names()) == ["0", "1", "2"] * 6


def test_what_is_known_of_the_images_is_stored(few_people: Path) -> None:
    data = Avatars().open()
    assert data.labelled_by == "style"
    source = AvatarDataset(range(3), 0).annotations()
    assert {**data.annotations()} == source
    assert source["skin"] == [person(0, number).skin for number in range(3)] * 6
    validation = data.validation()
    assert validation is not None
    assert validation.annotations()["glasses"] == AvatarDataset(range(3, 4), 0).annotations()["glasses"]
    assert describe_labels(data) == (
        "labels: style; --labels also accepts skin, background, hair, glasses, beard, mouth"
    )
    assert with_labels(data, "style").info == data.info


def test_a_model_is_trained_on_glasses(jittor, ganzoo, few_people: Path, workdir: Path) -> None:
    tiny = ["--size", "8", "--batch", "4", "--kimg", "0.008", "--tick", "0.008"]
    result = ganzoo("train", "gan", "--data", "avatars", "--conditional", "--labels", "glasses", *tiny)
    assert result.exit_code == 0, result.output
    assert "false, true" in ganzoo("generate", "--class", "x").stderr
    refused = ganzoo("train", "gan", "--data", "avatars", "--conditional", "--labels", "mouth", *tiny)
    assert "avatars: 6 of 18 images have no 'mouth'; the first is" in refused.stderr


def test_a_set_of_an_earlier_version_has_no_annotations(few_people: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganzoo.data.preparing.annotation_entries", lambda *arguments: {})
    data = Avatars().open()
    assert data.info.domains == DOMAINS
    assert [*data.annotations()] == ["label"]
    with pytest.raises(
        OptionError, match=r"no labels 'glasses'.* If an earlier version of ganzoo prepared it, prepare"
    ):
        with_labels(data, "glasses")


def test_the_bytes_depend_on_the_seed_but_not_on_the_number_of_processes(tmp_path: Path) -> None:
    files = {}
    for name, seed, processes in (("one", 5, 1), ("two", 5, 2), ("other", 6, 1)):
        build(tmp_path / f"{name}.lmdb", seed, 2, 1, processes)
        storage = open_path(tmp_path / f"{name}.lmdb").storage
        files[name] = [storage.read(key) for key in storage.keys]
    assert files["one"] == files["two"]
    assert not {*files["one"]} & {*files["other"]}


def test_damage_is_an_error_with_a_remedy(few_people: Path) -> None:
    (few_people / "avatars.lmdb").mkdir()
    (few_people / "avatars.lmdb" / "data.mdb").write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"not an LMDB.* Delete .*avatars\.lmdb and avatars-val\.lmdb"):
        Avatars().open()
