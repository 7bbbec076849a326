from __future__ import annotations

import errno
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganzoo.errors import CheckpointError
from ganzoo.training import checkpoint

METADATA = {
    "model": "gan",
    "options": {"size": 8},
    "data": {"name": "x", "count": 3, "size": 8, "channels": 1, "domains": ["a"], "flip": False},
    "progress": {"step": 1, "images": 4, "tick": 0, "seconds": 1.5},
}
TENSORS = {"net/g/w": np.arange(6, dtype=np.float32).reshape(2, 3).T, "net/g/steps": np.array([7], np.int32)}


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / checkpoint.name_at(4000)
    checkpoint.write(path, TENSORS, METADATA)
    return path


def test_what_was_written_is_read(saved):
    read = checkpoint.read(saved)
    assert read.metadata == {**METADATA, "format": 1}
    assert read.tensors.keys() == TENSORS.keys()
    for name, value in TENSORS.items():
        assert read.tensors[name].dtype == value.dtype
        assert np.array_equal(read.tensors[name], value)
    assert read.data.domains == ("a",)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_file_cut_anywhere_is_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("cut") / "x.safetensors"
    checkpoint.write(path, TENSORS, METADATA)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(CheckpointError, match=r"x\.safetensors"):
        checkpoint.read(path)


def test_foreign_files_are_refused(tmp_path):
    from safetensors.numpy import save_file

    save_file({"w": np.zeros(2)}, str(tmp_path / "foreign.safetensors"))
    with pytest.raises(CheckpointError, match="not a checkpoint of ganzoo"):
        checkpoint.read(tmp_path / "foreign.safetensors")
    save_file({"w": np.zeros(2)}, str(tmp_path / "half.safetensors"), {"ganzoo": json.dumps({"format": 1})})
    with pytest.raises(CheckpointError, match="description is damaged"):
        checkpoint.read(tmp_path / "half.safetensors")
    save_file({"w": np.zeros(2)}, str(tmp_path / "new.safetensors"), {"ganzoo": json.dumps({**METADATA, "format": 99})})
    with pytest.raises(CheckpointError, match="newer"):
        checkpoint.read(tmp_path / "new.safetensors")
    with pytest.raises(CheckpointError, match="no such file"):
        checkpoint.read(tmp_path / "missing.safetensors")


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_full_disk_leaves_the_former_checkpoint_whole(saved, monkeypatch, failing):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    before = saved.read_bytes()
    monkeypatch.setattr(checkpoint.os, failing, full)
    with pytest.raises(CheckpointError, match="No space left on device"):
        checkpoint.write(saved, {"net/g/w": np.zeros(1000, np.float32)}, METADATA)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_the_newest_are_kept(tmp_path):
    for images in (400, 64_000, 1_200_000, 12_000_000):
        checkpoint.write(tmp_path / checkpoint.name_at(images), TENSORS, METADATA)
    (tmp_path / "samples-0000001.png").write_bytes(b"")
    checkpoint.prune(tmp_path, 2)
    kept = sorted(path.name for path in tmp_path.glob("*.safetensors"))
    assert kept == [checkpoint.name_at(1_200_000), checkpoint.name_at(12_000_000)]
    assert checkpoint.newest(tmp_path) == tmp_path / kept[-1]
    assert (tmp_path / "samples-0000001.png").exists()
