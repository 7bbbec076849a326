"""Small files that would take much time or memory to read are refused."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile

import pytest

from ganzoo.checkpoints.unpickling import machine, safe_load
from ganzoo.errors import CheckpointError
from tests.support.torch_zip import torch_zip


def bombs():
    deep = b"]" * 100_000 + b"a" * 99_999 + b"."
    yield "deep", deep, "nested too deeply"
    yield "cycle", b"]q\x00h\x00a.", "contains itself"
    yield "doubling", b"]" + b"q\x00]h\x00ah\x00a" * 30 + b".", "expands"
    yield "key", b"}" + b")" + b"\x85" * 100_000 + b"Ns.", "a dictionary key"
    numbers = b"".join(b"L%dL\n0" % (index * (2**61 - 1)) for index in range(1, 100_000)).replace(b"\n0", b"\nN")
    yield "colliding keys", b"}(" + numbers + b"u.", "a dictionary key"
    yield "colliding memo", b"N" + numbers.replace(b"L\nN", b"\n").replace(b"L", b"p") + b".", "invalid memo index"
    text = b"X" + struct.pack("<I", 10**6) + b"a" * 10**6
    encode = b"c_codecs\nencode\nq\x00" + text + b"Vlatin1\n\x86q\x01R]("
    yield "copies", encode + b"h\x00h\x01R" * 1000 + b"e.", "expands"
    sizes = "(" + f"I{2**59}\n" * 10_000
    yield "dimensions", torch_zip(sizes=sizes, strides=sizes), "sizes of an array"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"N" * 10**8)
    yield "zip", file.getvalue(), "compressed"
    whole = bytearray(torch_zip())
    position = whole.rfind(b"PK\x01\x02")
    whole[position + 20 : position + 28] = struct.pack("<II", 2**31, 2**31)
    yield "declared", bytes(whole), "longer than the file"


@pytest.mark.parametrize(("data", "reason"), [pytest.param(*bomb[1:], id=bomb[0]) for bomb in bombs()])
def test_bombs_fail_fast_without_using_memory(tmp_path, data, reason):
    path = tmp_path / "bomb.model"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=rf"bomb\.model: .*{reason}"):
            safe_load(path)
        assert tracemalloc.get_traced_memory()[1] < 200 * 2**20
    finally:
        tracemalloc.stop()


def test_a_very_long_pickle_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "long.model"
    path.write_bytes(b"N0" * 600 + b"N.")
    assert safe_load(path) is None
    monkeypatch.setattr(machine, "MAX_OPCODES", 1000)
    with pytest.raises(CheckpointError, match="far longer"):
        safe_load(path)
