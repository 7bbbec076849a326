from __future__ import annotations

import errno
import json
import random
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganzoo.checkpoints import checkpoint
from ganzoo.errors import CheckpointError, CorruptCheckpointError
from ganzoo.files import leftovers, os
from tests.support.descriptions import UnvalidatedDescription, parse_descriptions

ENTRIES = {
    "model": "gan",
    "options": {"size": 8},
    "data": {"name": "x", "count": 3, "size": 8, "channels": 1, "domains": ["a"], "flip": False},
    "progress": {"step": 1, "images": 4, "stage": 0, "stage_images": 4},
}
DESCRIPTION = parse_descriptions(ENTRIES)
TENSORS = {
    "net/g/w": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "net/g/steps": np.array([7], np.int32),
    "net/g/none": np.zeros((0, 3), np.float16),
    "net/g/on": np.array([True, False, True]),
    "net/g/scalar": np.array(1e300),
    "net/g/bytes": np.arange(5, dtype=np.uint8),
}


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / checkpoint.file_name(4000)
    checkpoint.write(path, TENSORS, *DESCRIPTION)
    return path


def test_a_written_checkpoint_is_read_back(saved):
    read = checkpoint.read(saved)
    assert (read.run, read.metadata) == DESCRIPTION
    header = saved.read_bytes()[8 : 8 + int.from_bytes(saved.read_bytes()[:8], "little")]
    entries = json.loads(json.loads(header)["__metadata__"]["ganzoo"])
    assert entries == {**ENTRIES, "format": 2, "optimizer_steps": {}, "averaged": []}
    assert read.tensors.keys() == TENSORS.keys()
    for name, value in TENSORS.items():
        assert read.tensors[name].dtype == value.dtype
        assert np.array_equal(read.tensors[name], value)
    assert read.data.domains == ("a",)


@given(st.data())
@settings(max_examples=60)
def test_a_truncated_file_is_rejected(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("cut") / "x.safetensors"
    checkpoint.write(path, TENSORS, *DESCRIPTION)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(CheckpointError, match=r"x\.safetensors"):
        checkpoint.read(path)


@given(st.data())
@settings(max_examples=100)
def test_any_flipped_bit_is_detected(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("flip") / "x.safetensors"
    checkpoint.write(path, TENSORS, *DESCRIPTION)
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"x\.safetensors"):
        checkpoint.read(path)


def test_trailing_bytes_are_detected(saved):
    saved.write_bytes(saved.read_bytes() + b"\0")
    with pytest.raises(CorruptCheckpointError):
        checkpoint.read(saved)


def test_the_same_content_gives_the_same_bytes(tmp_path):
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    checkpoint.write(first, TENSORS, *DESCRIPTION)
    checkpoint.write(second, dict(TENSORS), *parse_descriptions(dict(ENTRIES)))
    assert first.read_bytes() == second.read_bytes()


def test_zeros_in_the_description_are_not_mistaken_for_the_checksum(tmp_path):
    path = tmp_path / "x.safetensors"
    checkpoint.write(path, TENSORS, *parse_descriptions({**ENTRIES, "model": "0" * 64}))
    assert checkpoint.read(path).run.model == "0" * 64


def test_other_programs_can_read_a_checkpoint(saved):
    from safetensors.numpy import load_file

    read = load_file(str(saved))
    assert all(np.array_equal(read[name], value) and read[name].dtype == value.dtype for name, value in TENSORS.items())


def test_files_without_a_checksum_are_read(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "old.safetensors"
    weights = {"net/g/w": np.ones(3, np.float32)}
    save_file(weights, str(path), {"ganzoo": json.dumps({"format": 1, **ENTRIES})})
    assert np.array_equal(checkpoint.read(path).tensors["net/g/w"], weights["net/g/w"])


def test_files_that_are_not_readable_checkpoints_are_rejected(tmp_path):
    from safetensors.numpy import save_file

    save_file({"w": np.zeros(2)}, str(tmp_path / "foreign.safetensors"))
    with pytest.raises(CheckpointError, match="not a checkpoint of ganzoo"):
        checkpoint.read(tmp_path / "foreign.safetensors")
    save_file({"w": np.zeros(2)}, str(tmp_path / "half.safetensors"), {"ganzoo": json.dumps({"format": 1})})
    with pytest.raises(CheckpointError, match="description is damaged"):
        checkpoint.read(tmp_path / "half.safetensors")
    save_file({"w": np.zeros(2)}, str(tmp_path / "new.safetensors"), {"ganzoo": json.dumps({**ENTRIES, "format": 99})})
    with pytest.raises(CheckpointError, match="newer"):
        checkpoint.read(tmp_path / "new.safetensors")
    with pytest.raises(CheckpointError, match="no such file"):
        checkpoint.read(tmp_path / "missing.safetensors")


@pytest.mark.parametrize("header", [b"null", b"3", b"[]", b'{"__metadata__": 3}', b"[" * 10**5, b"\xff"], ids=repr)
def test_headers_of_wrong_types_are_rejected(tmp_path, header):
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(CorruptCheckpointError, match=r"x\.safetensors"):
        checkpoint.read(path)


@pytest.mark.parametrize("name", ["model", "options", "train", "data", "progress", "moment", "averaged"])
def test_invalid_descriptions_are_rejected_despite_a_valid_checksum(tmp_path, name):
    invalid = UnvalidatedDescription({**ENTRIES, name: 3})
    checkpoint.write(tmp_path / "x.safetensors", TENSORS, invalid, UnvalidatedDescription())
    with pytest.raises(CorruptCheckpointError, match="description is damaged"):
        checkpoint.read(tmp_path / "x.safetensors")


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_full_disk_leaves_the_previous_checkpoint_intact(saved, monkeypatch, failing):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    before = saved.read_bytes()
    monkeypatch.setattr(os, failing, full)
    with pytest.raises(CheckpointError, match="No space left on device: free some space"):
        checkpoint.write(saved, {"net/g/w": np.zeros(1000, np.float32)}, *DESCRIPTION)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_pruning_keeps_the_newest(tmp_path):
    for images in (400, 64_000, 1_200_000, 12_000_000):
        checkpoint.write(tmp_path / checkpoint.file_name(images), TENSORS, *DESCRIPTION)
    (tmp_path / "samples-0000001.png").write_bytes(b"")
    checkpoint.prune(tmp_path, 2)
    kept = sorted(path.name for path in tmp_path.glob("*.safetensors"))
    assert kept == [checkpoint.file_name(1_200_000), checkpoint.file_name(12_000_000)]
    assert checkpoint.newest(tmp_path) == tmp_path / kept[-1]
    assert (tmp_path / "samples-0000001.png").exists()


def test_only_files_with_the_name_of_a_checkpoint_are_listed(tmp_path):
    checkpoints = [tmp_path / checkpoint.file_name(images) for images in (200, 400, 999_999_999, 1_000_000_000)]
    other_names = ["good", "000000200 (copy)", "", "9-old", "-5", "\uff11"]
    other_files = [tmp_path / f"checkpoint-{name}.safetensors" for name in other_names]
    other_files += [tmp_path / "checkpoint-000000999.safetensors.bak", tmp_path / ".unfinished-notes"]
    for path in (*checkpoints, *other_files):
        path.write_bytes(b"")
    assert checkpoint.list_checkpoints(tmp_path) == checkpoints, "sorted by number, also beyond a billion"
    assert checkpoint.newest(tmp_path) == checkpoints[-1]
    checkpoint.prune(tmp_path, 1)
    assert sorted(tmp_path.iterdir()) == sorted([checkpoints[-1], *other_files])
    assert list(leftovers(tmp_path)) == []


def test_pruning_keeps_the_best_and_the_newest(tmp_path):
    paths = [tmp_path / checkpoint.file_name(images) for images in (400, 800, 1200, 1600)]
    for path in paths:
        checkpoint.write(path, TENSORS, *DESCRIPTION)
    checkpoint.prune(tmp_path, 1, best=paths[1])
    assert checkpoint.list_checkpoints(tmp_path) == [paths[1], paths[3]]


def test_the_newest_intact_checkpoint_is_found_behind_damaged_ones(tmp_path):
    paths = [tmp_path / checkpoint.file_name(images) for images in (400, 800, 1200)]
    for path in paths:
        checkpoint.write(path, TENSORS, *parse_descriptions({**ENTRIES, "ganzoo": path.name}))
    paths[2].write_bytes(paths[2].read_bytes()[:-3])
    damaged = []
    found = checkpoint.newest_intact(tmp_path, lambda path, error: damaged.append(path))
    assert (found.path, found.run.version, damaged) == (paths[1], paths[1].name, [paths[2]])
    for path in paths[:2]:
        path.write_bytes(b"")
    with pytest.raises(CorruptCheckpointError, match=paths[0].name):
        checkpoint.newest_intact(tmp_path, lambda path, error: None)
    assert checkpoint.newest_intact(tmp_path / "nowhere", lambda path, error: None) is None


def test_a_checkpoint_of_a_newer_ganzoo_is_not_skipped(tmp_path):
    from safetensors.numpy import save_file

    checkpoint.write(tmp_path / checkpoint.file_name(400), TENSORS, *DESCRIPTION)
    newer = tmp_path / checkpoint.file_name(800)
    save_file({"w": np.zeros(2)}, str(newer), {"ganzoo": json.dumps({**ENTRIES, "format": 99})})
    with pytest.raises(CheckpointError, match="newer"):
        checkpoint.newest_intact(tmp_path, lambda path, error: None)


class TestWriter:
    def test_changes_after_save_are_not_written(self, tmp_path):
        saved = []
        writer = checkpoint.Writer(saved.append)
        weights = np.zeros(100_000, np.float32)
        path = tmp_path / checkpoint.file_name(4)
        writer.save(path, iter([("w", weights)]), *DESCRIPTION)
        weights[:] = 1
        writer.wait()
        assert saved == [path]
        assert not checkpoint.read(path).tensors["w"].any()

    def test_a_checkpoint_is_reported_only_once_it_is_on_disk(self, tmp_path):
        images = []
        writer = checkpoint.Writer(lambda path: images.append(checkpoint.read(path).metadata.progress.images))
        writer.save(tmp_path / checkpoint.file_name(4), TENSORS.items(), *DESCRIPTION)
        writer.wait()
        assert images == [4]

    def test_save_returns_before_the_file_is_on_disk(self, tmp_path, monkeypatch):
        may_finish = threading.Event()
        fsync = os.fsync
        monkeypatch.setattr(os, "fsync", lambda *a: may_finish.wait(60) and fsync(*a))
        saved = []
        writer = checkpoint.Writer(saved.append)
        writer.save(tmp_path / checkpoint.file_name(4), TENSORS.items(), *DESCRIPTION)
        assert saved == []  # the file is not on disk yet
        may_finish.set()
        writer.wait()
        assert len(saved) == 1

    @pytest.mark.parametrize("method", ["wait", "save"])
    def test_a_failure_is_raised_in_the_training_thread(self, tmp_path, method):
        writer = checkpoint.Writer(lambda path: None)
        missing = tmp_path / "gone" / checkpoint.file_name(4)
        writer.save(missing, TENSORS.items(), *DESCRIPTION)
        with pytest.raises(CheckpointError, match="can't be written"):
            writer.wait() if method == "wait" else writer.save(missing, TENSORS.items(), *DESCRIPTION)
        writer.wait()  # the error is raised only once

    def test_nothing_reported_as_saved_is_lost_when_the_process_is_killed(self, tmp_path):
        rng = random.Random(0)
        for attempt in range(8):
            child = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path)], stdout=subprocess.PIPE, text=True)
            reported = child.stdout.readline().strip()  # the child has started writing
            time.sleep(rng.uniform(0, 0.2))
            child.kill()
            reported = [reported, *child.stdout.read().split()]
            child.stdout.close()
            child.wait()
            newest = checkpoint.newest_intact(tmp_path, lambda path, error: pytest.fail(str(error)))
            assert newest.path.name >= max(reported), attempt
            assert (newest.tensors["w"] == checkpoint.images_seen(newest.path)).all()


# Saves checkpoints forever, each filled with its own number.
SCRIPT = """
import pathlib, sys
import numpy as np
from ganzoo.checkpoints import checkpoint
from ganzoo.checkpoints.description import RunDescription, StateMetadata
from ganzoo.interfaces.dataset import DataInfo
from ganzoo.interfaces.progress import Progress
folder = pathlib.Path(sys.argv[1])
description = RunDescription("x", {}, data=DataInfo("x", count=1, size=8, channels=1)), StateMetadata(Progress())
def saved(path):
    checkpoint.prune(folder, 2)
    print(path.name, flush=True)
writer = checkpoint.Writer(saved)
newest = checkpoint.newest(folder)
images = checkpoint.images_seen(newest) if newest else 0
while True:
    images += 1
    writer.save(folder / checkpoint.file_name(images), [("w", np.full(1_000_000, images, np.float32))], *description)
"""


@pytest.mark.parametrize(
    "rows",
    [
        None,
        np.zeros((3, 1), np.float32),
        np.zeros((0, 2), np.float32),
        np.zeros((3, 2)),
        np.zeros((), np.float32),
        np.full((3, 2), np.inf, np.float32),
    ],
    ids=["missing", "width", "empty", "dtype", "number", "infinite"],
)
def test_damaged_attributes_are_refused(rows):
    tensors = {} if rows is None else {checkpoint.ATTRIBUTES: rows}
    with pytest.raises(CheckpointError, match=r"the checkpoint has no attributes|not rows of 2 finite numbers"):
        checkpoint.attribute_rows(tensors, 2)
