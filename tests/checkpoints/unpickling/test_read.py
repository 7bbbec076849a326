from __future__ import annotations

import builtins
import collections
import hashlib
import io
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest

from ganzoo.checkpoints.unpickling import safe_load
from ganzoo.errors import CheckpointError
from tests.support.reference import needs_torch
from tests.support.torch_zip import torch_zip


@pytest.fixture(scope="module")
def expected(torch_files):
    with np.load(torch_files / "expected.npz") as file:
        return dict(file)


def assert_same(actual, expected):
    assert type(actual) is np.ndarray
    assert actual.dtype == expected.dtype.newbyteorder("=")
    assert np.array_equal(actual, expected)
    assert actual.shape == expected.shape
    assert actual.flags.c_contiguous


@needs_torch
@pytest.mark.parametrize("name", ["zip", "protocol4", "legacy"])
def test_pytorch_dictionaries_are_read(torch_files, expected, name):
    value = safe_load(torch_files / f"{name}.model")
    assert list(value) == ["networks", "optimizer", "tensors", "shape", "type", "device", "epoch", "no"]
    assert (value["shape"], value["type"], value["device"]) == ((1, 2), "float32", "cpu")
    assert (value["epoch"], value["no"]) == (3, None)
    for name, tensor in value["tensors"].items():
        assert_same(tensor, expected[name])
    assert len(value["networks"]) == 7
    for name, tensor in value["networks"].items():
        assert_same(tensor, expected[f"network {name}"])


@needs_torch
@pytest.mark.parametrize("name", ["zip", "legacy"])
def test_an_optimizer_state_is_read(torch_files, expected, name):
    adam = safe_load(torch_files / f"{name}.model")["optimizer"]
    assert adam["param_groups"][0]["betas"] == (0.0, 0.99)
    assert adam["param_groups"][0]["params"] == [0, 1, 2, 3]
    assert list(adam["state"]) == [0, 1, 2, 3]
    for index, moments in adam["state"].items():
        assert list(moments) == ["step", "exp_avg", "exp_avg_sq"]
        for name, tensor in moments.items():
            assert_same(tensor, expected[f"adam {index} {name}"])


@needs_torch
def test_the_name_of_the_file_does_not_matter(torch_files, tmp_path, expected):
    for name in ("state", "state-legacy"):
        copy = tmp_path / "renamed.pkl"
        copy.write_bytes((torch_files / f"{name}.model").read_bytes())
        assert_same(safe_load(copy)["0.weight"], expected["network 0.weight"])


@needs_torch
def test_a_storage_is_read_once_for_all_its_views(torch_files):
    tensors = safe_load(torch_files / "zip.model")["tensors"]
    assert np.shares_memory(tensors["view"], tensors["whole"])


@needs_torch
@pytest.mark.parametrize("name", ["negative", "negative-legacy"])
def test_a_lazy_view_is_refused(torch_files, name):
    with pytest.raises(CheckpointError, match=r"negative.*: not readable; .*save its \.clone\(\) instead"):
        safe_load(torch_files / f"{name}.model")


@needs_torch
@pytest.mark.parametrize("name", ["state", "state-legacy"])
def test_truncated_pytorch_files_are_refused(torch_files, tmp_path, name):
    whole = (torch_files / f"{name}.model").read_bytes()
    path = tmp_path / "cut.model"
    for length in [*range(0, len(whole), 53), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"cut\.model: "):
            safe_load(path)


ARRAYS = {
    "float32": np.arange(6, dtype=np.float32).reshape(2, 3),
    "float16": np.array([1.5, -2], np.float16),
    "float64": np.array(2.5),
    "fortran": np.arange(6.0).reshape(2, 3).T,
    "big endian": np.array([1, 256], ">i4"),
    "strided": np.arange(10)[::3],
    "bool": np.array([[True], [False]]),
    "empty": np.zeros((0, 4), np.int64),
    "bytes": np.arange(256, dtype=np.uint8),
}
VALUES = {
    "numbers": [1, -1, 255, 256, 65536, 2**40, -(2**70), 1.5, float("inf"), True, False, None],
    "texts": ("", "weights", "Gewichte ä 重 \n'\"\\"),
    "bytes": [b"", b"\x00\xff", bytes(300)],
    "nested": {"a": {"b": ({}, [], ())}},
    "ordered": collections.OrderedDict([("z", 1), ("a", 2)]),
    "number of NumPy": np.float32(0.5),
    3: "key",
}


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_of_every_protocol_are_read(tmp_path, protocol):
    path = tmp_path / "arrays.pkl"
    path.write_bytes(pickle.dumps({"arrays": ARRAYS, **VALUES}, protocol))
    value = safe_load(path)
    arrays = value.pop("arrays")
    assert value == VALUES
    assert list(value["ordered"]) == ["z", "a"]
    assert type(value["number of NumPy"]) is float
    assert list(arrays) == list(ARRAYS)
    for name, array in arrays.items():
        assert_same(array, ARRAYS[name])
        assert not array.flags.writeable


def test_the_names_of_numpy_2_are_known(tmp_path):
    path = tmp_path / "arrays.pkl"
    path.write_bytes(pickle.dumps(ARRAYS, 2).replace(b"numpy.core.", b"numpy._core."))
    for name, array in safe_load(path).items():
        assert_same(array, ARRAYS[name])


def test_a_jittor_file_is_read(jittor, tmp_path):
    arrays = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.ones(2, np.float32)}
    path = tmp_path / "seed.model"
    variables = {name: jittor.array(array) for name, array in arrays.items()}
    jittor.save({"variables": variables, "arrays": arrays, "step": 7}, str(path))
    value = safe_load(path)
    assert value["step"] == 7
    for part in (value["variables"], value["arrays"]):
        assert list(part) == ["weight", "bias"]
        for name, array in part.items():
            assert_same(array, arrays[name])
    whole = path.read_bytes()
    for damaged in (whole[:100] + bytes([whole[100] ^ 1]) + whole[101:], whole[:-3], whole[:-28] + b"x" + whole[-28:]):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"seed\.model: .*(checksum|damaged)"):
            safe_load(path)


class Calls:
    """An object whose pickle calls a function."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def hostile(marker):
    """Yield pickles that would create the file `marker` if they were run, with a pattern for the error about each."""
    command = f"touch {marker}"
    script = f"open({str(marker)!r}, 'w')"
    yield pickle.dumps(Calls(os.system, command)), "posix.system"
    for protocol in (0, 2, 4):
        yield pickle.dumps({"w": [Calls(builtins.eval, script)]}, protocol), "eval"
    yield pickle.dumps(Calls(getattr, {}, "get")), "getattr"
    yield f"cos\nsystem\n(S'{command}'\ntR.".encode(), "os.system"
    yield f"(S'{command}'\nios\nsystem\n.".encode(), "os.system"
    yield f"(cos\nsystem\nS'{command}'\no.".encode(), "os.system"
    text = command.encode()
    yield b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c" + bytes([len(text)]) + text + b"\x85R.", "os.system"
    yield f"(Vstorage\ncos\nsystem\n(V{command}\ntRV0\nVcpu\nI1\ntQ.".encode(), "os.system"
    yield b"cos\nsystem\n)\x81.", "os.system"
    yield b"\x80\x04cos\nsystem\n)}\x92.", "os.system"
    yield b"ctorch.serialization\nload\n.", "torch.serialization.load"
    yield b"ctorch\nFloatStorage\n}b.", "adds items"  # BUILD with a stand-in
    yield b"ccollections\nOrderedDict\n(K\x01tR.", "items"
    yield b"\x82\x01.", "EXT1"
    yield b"\x80\x05\x97.", "NEXT_BUFFER"
    yield b"c\x1b[2J\nx\n.", r"\\x1b\[2J"


def zip_file(pickled):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("any/data.pkl", pickled)
    return file.getvalue()


def jittor_file(pickled):
    return pickled + hashlib.sha1(pickled).digest() + b"HCAJSLHD"


def pickles(*values):
    return b"".join(value if type(value) is bytes else pickle.dumps(value, 2) for value in values)


MAGIC = 0x1950A86A20F9469CFC6C
SYSTEM = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
CONTAINERS = {
    "plain": lambda pickled: pickled,
    "jittor": jittor_file,
    "zip": zip_file,
    "legacy version": lambda pickled: pickles(MAGIC, pickled, SYSTEM, {}, []),
    "legacy system": lambda pickled: pickles(MAGIC, 1001, pickled, {}, []),
    "legacy value": lambda pickled: pickles(MAGIC, 1001, SYSTEM, pickled, []),
    "legacy keys": lambda pickled: pickles(MAGIC, 1001, SYSTEM, {}, pickled),
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_nothing_in_a_hostile_file_is_run(tmp_path, container):
    marker, path = tmp_path / "marker", tmp_path / "hostile.model"
    for pickled, reason in hostile(marker):
        path.write_bytes(CONTAINERS[container](pickled))
        # Names are not allowed in the header of a legacy file, so even harmless ones are refused there.
        expected = rf"hostile\.model: .*({reason}|FloatStorage|OrderedDict)"
        with pytest.raises(CheckpointError, match=expected) as caught:
            safe_load(path)
        assert str(caught.value).isprintable()
        assert not marker.exists()


def test_the_error_names_what_was_refused(tmp_path):
    path = tmp_path / "x.model"
    path.write_bytes(pickle.dumps(Calls(os.system, "true")))
    with pytest.raises(CheckpointError) as caught:
        safe_load(path)
    name = f"{os.system.__module__}.system"
    reason = f"refused; it refers to {name}, which does not belong in a weights file. Nothing in it was run."
    assert str(caught.value) == f"{path}: {reason}"


def test_a_tensor_is_built_from_opcodes(tmp_path):
    path = tmp_path / "x.model"
    path.write_bytes(torch_zip(offset=1, sizes="(K\x02", strides="(K\x02"))
    assert safe_load(path)["w"].tolist() == [1, 3]
    path.write_bytes(torch_zip(sizes="(K\x00I99\n", strides="(K\x01K\x01"))
    assert safe_load(path)["w"].shape == (0, 99)


@pytest.mark.parametrize(
    "changes",
    [
        {"offset": 1},
        {"offset": -1},
        {"offset": 2**70},
        {"sizes": "(K\x05"},
        {"sizes": "(I-4\n"},
        {"sizes": "(I" + str(2**62) + "\n"},
        {"sizes": "(K\x04I" + str(2**59) + "\n", "strides": "(K\x01K\x00"},  # broadcasting beyond memory
        {"sizes": "(" + "K\x01" * 40, "strides": "(" + "K\x01" * 40},
        {"strides": "(K\x02"},
        {"strides": "(I-1\n"},
        {"strides": "(K\x01K\x01"},
        {"strides": "(V1\n"},
        {"count": 3},
        {"count": 2**50},
        {"name": "DoubleStorage"},
        {"0": b""},
    ],
)
def test_a_tensor_that_does_not_fit_its_storage_is_refused(tmp_path, changes):
    path = tmp_path / "x.model"
    path.write_bytes(torch_zip(**changes))
    with pytest.raises(CheckpointError, match=r"x\.model: (damaged|refused|not a file)"):
        safe_load(path)


def legacy_file(count=2, data=bytes(8), keys=("7",), order="<"):
    tensor = (
        b"ctorch._utils\n_rebuild_tensor_v2\n((Vstorage\nctorch\nFloatStorage\nV7\nVcpu\nK\x02NtQK\x00(K\x02t(K\x01t"
    )
    system = {**SYSTEM, "little_endian": order == "<"}
    return pickles(MAGIC, 1001, system, tensor + b"\x89NtR.", list(keys)) + struct.pack(order + "q", count) + data


def test_a_legacy_file_with_inconsistent_storages_is_refused(tmp_path):
    path = tmp_path / "x.model"
    path.write_bytes(legacy_file())
    assert safe_load(path).tolist() == [0, 0]
    for data in (
        legacy_file(count=-1),
        legacy_file(count=3),
        legacy_file(data=bytes(7)),
        legacy_file(keys=()),
        legacy_file(keys=("7", "7")),
    ):
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match=r"x\.model: damaged"):
            safe_load(path)


def test_big_endian_files_are_read(tmp_path):
    path = tmp_path / "x.model"
    path.write_bytes(legacy_file(data=np.array([1, 2], ">f4").tobytes(), order=">"))
    assert_same(safe_load(path), np.array([1, 2], np.float32))
    path.write_bytes(torch_zip(**{"0": np.arange(4, dtype=">f4").tobytes()}))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("a/byteorder", "big")
    assert_same(safe_load(path)["w"], np.arange(4, dtype=np.float32))


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "x.model"
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("readme.txt", "")
    tar = bytes(257) + b"ustar" + bytes(250)
    for data in (b"", b"PK\x03\x04", b"\x89PNG\r\n", b"{}", other.getvalue(), tar, pickle.dumps(1) + b"more"):
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match=r"x\.model: "):
            safe_load(path)
    with pytest.raises(CheckpointError, match="no such file"):
        safe_load(tmp_path / "missing")
    with pytest.raises(CheckpointError, match="can't be read"):
        safe_load(tmp_path)


@needs_torch
@pytest.mark.filterwarnings("ignore:invalid escape sequence")  # from pickletools, about damaged strings
def test_damaged_files_are_read_or_refused(torch_files, tmp_path):
    seeds = [(torch_files / f"{name}.model").read_bytes() for name in ("state", "state-legacy", "legacy")]
    seeds += [pickle.dumps({"arrays": ARRAYS, **VALUES}, protocol) for protocol in (0, 2, 4, 5)]
    seeds += [torch_zip(), legacy_file()]
    rng = np.random.default_rng(0)
    path = tmp_path / "damaged.model"
    read = refused = 0
    for _ in range(1200):
        data = bytearray(seeds[rng.integers(len(seeds))])
        for _ in range(rng.integers(1, 4)):
            position = int(rng.integers(len(data)))
            length = int(rng.integers(3))
            data[position : position + length] = rng.integers(0, 256, rng.integers(3), dtype=np.uint8).tobytes()
        path.write_bytes(data)
        try:
            safe_load(path)
            read += 1
        except CheckpointError as error:
            assert str(error).startswith(f"{path}: ")
            assert len(str(error)) < len(str(path)) + 250
            refused += 1
    assert read > 20
    assert refused > 200
