"""Fixtures: files that PyTorch itself has written."""

from __future__ import annotations

import subprocess
import sys

import pytest

# A child process writes PyTorch's files, and the expected content to a .npz beside them.
TORCH = """
import sys
import numpy as np
import torch

folder = sys.argv[1]
torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
adam = torch.optim.Adam(net.parameters(), lr=1e-3, betas=(0.0, 0.99))
net(torch.randn(4, 3)).sum().backward()
adam.step()
row = torch.arange(12.0)
tensors = {
    "parameter": torch.nn.Parameter(torch.randn(2, 3)),
    "view": row[3:7],
    "whole": row,
    "transposed": row.reshape(3, 4).t(),
    "every second": row[1::2],
    "expanded": torch.tensor([[1.0], [2.0]]).expand(2, 3),
    "scalar": torch.tensor(7),
    "empty": torch.zeros(0, 3),
    "bool": torch.tensor([True, False, True]),
    "bfloat16": torch.tensor([1.5, -2.0, 3.140625]).bfloat16(),
    "uint16": torch.tensor([1, 65535], dtype=torch.uint16),
    **{name: torch.tensor([1, 2, 100]).to(getattr(torch, name)) for name in
       ("float16", "float64", "int8", "uint8", "int16", "int32", "int64")},
}
content = {"networks": net.state_dict(), "optimizer": adam.state_dict(), "tensors": tensors,
             "shape": torch.Size([1, 2]), "type": torch.float32, "device": torch.device("cpu"), "epoch": 3, "no": None}
torch.save(content, folder + "/zip.model")
torch.save(content, folder + "/protocol4.model", pickle_protocol=4)
torch.save(content, folder + "/legacy.model", _use_new_zipfile_serialization=False)
torch.save(net.state_dict(), folder + "/state.model")
torch.save(net.state_dict(), folder + "/state-legacy.model", _use_new_zipfile_serialization=False)
torch.save(net, folder + "/model.model")
for name, legacy in (("negative", False), ("negative-legacy", True)):  # lazily negated views
    view = torch.tensor([1 + 2j]).conj().imag
    torch.save({"w": view}, f"{folder}/{name}.model", _use_new_zipfile_serialization=not legacy)
tensors["bfloat16"] = tensors["bfloat16"].float()
state = {"network " + name: value for name, value in net.state_dict().items()}
for index, moments in adam.state_dict()["state"].items():
    state.update({f"adam {index} {name}": value for name, value in moments.items()})
np.savez(folder + "/expected.npz", **{name: value.detach().numpy() for name, value in {**state, **tensors}.items()})
"""


@pytest.fixture(scope="module")
def torch_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("torch")
    subprocess.run([sys.executable, "-c", TORCH, str(folder)], check=True)
    return folder
