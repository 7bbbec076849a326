"""Files that are no weights, or not in a form that is read: each is refused by a line that says what it is."""

from __future__ import annotations

import argparse
import io
import json
import os
import pickle

import numpy as np
import pytest
from PIL import Image

from ganzoo.checkpoints.unpickling import safe_load
from ganzoo.errors import CheckpointError
from tests.support.reference import needs_torch


def refusal(folder, data: bytes) -> str:
    path = folder / "given.model"
    path.write_bytes(data)
    with pytest.raises(CheckpointError) as caught:
        safe_load(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert line.endswith(".")
    assert "\n" not in line
    return line.removeprefix(f"{path}: ")


def saved(save) -> bytes:
    file = io.BytesIO()
    save(file)
    return file.getvalue()


def safetensors(metadata: dict) -> bytes:
    header = {"__metadata__": metadata, "w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(4)


def picture(format_: str) -> bytes:
    return saved(lambda file: Image.new("RGB", (4, 4)).save(file, format_))


def named(name: str) -> bytes:
    """A pickle that names a class and makes an object of it."""
    module, _, last = name.rpartition(".")
    return f"c{module}\n{last}\n)\x81.".encode("latin-1")


WEIGHTS = {"w": np.ones(3, np.float32)}
FOREIGN = {
    "png": (picture("PNG"), "a picture, not weights"),
    "jpeg": (picture("JPEG"), "a picture, not weights"),
    "gif": (picture("GIF"), "a picture, not weights"),
    "webp": (picture("WEBP"), "a picture"),
    "tiff": (picture("TIFF"), "a picture, not weights"),
    "npy": (saved(lambda file: np.save(file, WEIGHTS["w"])), "a single array of NumPy (.npy)"),
    "npz": (saved(lambda file: np.savez(file, **WEIGHTS)), "arrays of NumPy (.npz)"),
    "ganzoo": (safetensors({"ganzoo": "{}"}), "a checkpoint of ganzoo itself"),
    "safetensors": (safetensors({}), "a .safetensors file, which isn't read here. Save its weights with torch.save"),
    "gzip": (b"\x1f\x8b\x08" + bytes(20), "packed with gzip; unpack it first"),
    "a page": (b"<!DOCTYPE html><html>Not found</html>", "a web page, not the file"),
    "LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "`git lfs pull`"),
    "nothing": (b"", "not a file of PyTorch or Jittor, or a damaged one."),
    "noise": (b"\xb0\x01\x02", "not a file of PyTorch or Jittor, or a damaged one."),
    "StyleGAN of NVIDIA": (named("dnnlib.tflib.network.Network"), "a network of NVIDIA's StyleGAN code"),
    "StyleGAN3": (named("torch_utils.persistence._reconstruct_persistent_obj"), "a network of NVIDIA's StyleGAN code"),
    "a whole model": (named("torch.nn.modules.linear.Linear"), "save model.state_dict() instead"),
    "a model of one's own": (named("__main__.StyledGenerator"), "save model.state_dict() instead"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_known_kind_of_file_is_called_by_its_name(tmp_path, kind):
    data, words = FOREIGN[kind]
    assert words in refusal(tmp_path, data)


def test_advice_about_a_whole_model_is_not_given_for_what_may_be_hostile(tmp_path):
    for name in ("os.system", "subprocess.Popen", "torch.serialization.load"):
        assert refusal(tmp_path, named(name)).endswith("Nothing in it was run.")


@needs_torch
def test_a_whole_model_of_pytorch_is_answered_with_what_to_save(torch_files, tmp_path):
    line = refusal(tmp_path, (torch_files / "model.model").read_bytes())
    assert "torch.nn.modules.container.Sequential" in line
    assert "save model.state_dict() instead" in line


def test_the_options_that_a_training_was_started_with_are_passed_over(tmp_path):
    path = tmp_path / "x.pt"
    for protocol in (2, 4, 5):
        path.write_bytes(pickle.dumps({**WEIGHTS, "args": argparse.Namespace(lr=0.1, other=[1])}, protocol))
        found = safe_load(path)
        assert found["args"] == {}
        assert np.array_equal(found["w"], WEIGHTS["w"])


def test_a_file_larger_than_the_memory_is_not_read(tmp_path):
    path = tmp_path / "large.model"
    with open(path, "wb") as file:
        file.truncate(1 << 43)  # a hole of 8 TB
    with pytest.raises(CheckpointError, match=r"large\.model: too large for the memory of this machine\.$"):
        safe_load(path)


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path, kind):
    path = tmp_path / "pipe" if kind == "pipe" else "/dev/zero"
    if kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(CheckpointError, match=r"can't be read \(not a regular file\)"):
        safe_load(path)
