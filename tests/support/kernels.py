"""The kernels of Jittor that a process uses."""

from __future__ import annotations


def loaded_kernels(process: int | str = "self") -> set[str]:
    """Return the paths of the kernels that a process, given by its id, has compiled or loaded."""
    with open(f"/proc/{process}/maps") as file:
        return {line.split()[-1] for line in file if line.rstrip().endswith("_op.so")}
