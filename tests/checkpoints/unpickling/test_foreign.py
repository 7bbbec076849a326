"""Files that are not weights or have an unsupported format are refused, and the error says what they are."""

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


def error_for(folder, data: bytes) -> str:
    path = folder / "given.model"
    path.write_bytes(data)
    with pytest.raises(CheckpointError) as caught:
        safe_load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert message.endswith(".")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


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


def pickle_of(name: str) -> bytes:
    """Return a pickle that instantiates the class with this name."""
    module, _, last = name.rpartition(".")
    return f"c{module}\n{last}\n)\x81.".encode("latin-1")


WEIGHTS = {"w": np.ones(3, np.float32)}
UNSUPPORTED = {
    "png": (picture("PNG"), "an image, not weights"),
    "jpeg": (picture("JPEG"), "an image, not weights"),
    "gif": (picture("GIF"), "an image, not weights"),
    "webp": (picture("WEBP"), "an image"),
    "tiff": (picture("TIFF"), "an image, not weights"),
    "npy": (saved(lambda file: np.save(file, WEIGHTS["w"])), "a single NumPy array (.npy)"),
    "npz": (saved(lambda file: np.savez(file, **WEIGHTS)), "NumPy arrays (.npz)"),
    "ganzoo": (safetensors({"ganzoo": "{}"}), "a checkpoint of ganzoo itself"),
    "safetensors": (safetensors({}), "a .safetensors file, which can't be read here. Save its weights with torch.save"),
    "gzip": (b"\x1f\x8b\x08" + bytes(20), "packed with gzip; unpack it first"),
    "web page": (b"<!DOCTYPE html><html>Not found</html>", "a web page instead of"),
    "LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "`git lfs pull`"),
    "empty": (b"", "not a file of PyTorch or Jittor, or a damaged one."),
    "noise": (b"\xb0\x01\x02", "not a file of PyTorch or Jittor, or a damaged one."),
    "StyleGAN of NVIDIA": (pickle_of("dnnlib.tflib.network.Network"), "a network of NVIDIA's StyleGAN code"),
    "StyleGAN3": (
        pickle_of("torch_utils.persistence._reconstruct_persistent_obj"),
        "a network of NVIDIA's StyleGAN code",
    ),
    "a pickled model": (pickle_of("torch.nn.modules.linear.Linear"), "save model.state_dict() instead"),
    "a pickled model of the user": (pickle_of("__main__.StyledGenerator"), "save model.state_dict() instead"),
}


@pytest.mark.parametrize("kind", UNSUPPORTED)
def test_a_known_kind_of_file_is_identified(tmp_path, kind):
    data, words = UNSUPPORTED[kind]
    assert words in error_for(tmp_path, data)


def test_no_advice_is_given_on_a_file_that_may_be_hostile(tmp_path):
    for name in ("os.system", "subprocess.Popen", "torch.serialization.load"):
        assert error_for(tmp_path, pickle_of(name)).endswith("Nothing in it was run.")


@needs_torch
def test_a_pickled_model_is_refused_with_advice_on_what_to_save(torch_files, tmp_path):
    message = error_for(tmp_path, (torch_files / "model.model").read_bytes())
    assert "torch.nn.modules.container.Sequential" in message
    assert "save model.state_dict() instead" in message


def test_training_options_in_the_file_are_ignored(tmp_path):
    path = tmp_path / "x.pt"
    for protocol in (2, 4, 5):
        path.write_bytes(pickle.dumps({**WEIGHTS, "args": argparse.Namespace(lr=0.1, other=[1])}, protocol))
        found = safe_load(path)
        assert found["args"] == {}
        assert np.array_equal(found["w"], WEIGHTS["w"])


def test_a_file_larger_than_memory_is_not_read(tmp_path):
    path = tmp_path / "large.model"
    with open(path, "wb") as file:
        file.truncate(1 << 43)  # a sparse file of 8 TB
    with pytest.raises(CheckpointError, match=r"large\.model: too large for the memory of this machine\.$"):
        safe_load(path)


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_file_that_is_not_regular_is_refused_without_waiting(tmp_path, kind):
    path = tmp_path / "pipe" if kind == "pipe" else "/dev/zero"
    if kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(CheckpointError, match=r"can't be read \(not a regular file\)"):
        safe_load(path)
