"""PyTorch's zip format, written without PyTorch."""

from __future__ import annotations

import io
import zipfile

import numpy as np


def torch_zip(name="FloatStorage", count=4, offset=0, sizes="(K\x04", strides="(K\x01", **members):
    """Return a file like those of torch.save, with one tensor. Its pickle is written opcode by opcode."""
    parts = [
        f"}}Vw\nctorch._utils\n_rebuild_tensor_v2\n((Vstorage\nctorch\n{name}\nV0\nVcpu\nI{count}\ntQ",
        f"I{offset}\n{sizes}t{strides}t\x89NtRs.",
    ]
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/data.pkl", "".join(parts).encode("latin-1"))
        for member, data in {"0": np.arange(4, dtype=np.float32).tobytes(), **members}.items():
            archive.writestr(f"a/data/{member}", data)
    return file.getvalue()
