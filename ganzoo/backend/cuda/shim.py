"""A folder that presents CUDA 13 with cuDNN 9 as the CUDA 12 with cuDNN 8 that Jittor expects.

It contains links to the headers and libraries of a toolkit, wherever they are, a script in place of nvcc, and five
headers of our own that include the real ones and add what they lack for Jittor. Neither Jittor nor the toolkit is
modified.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from pathlib import Path

from ganzoo.backend.cuda.toolkit import CUDNN_9_LIBRARIES, LIBRARIES, SYSTEM_INCLUDE_DIRS, SYSTEM_LIBRARY_DIRS, Toolkit
from ganzoo.errors import BackendError, reason
from ganzoo.files import atomic_folder

_HERE = Path(__file__).parent
# Our headers, and the real header that each includes first.
_HEADERS = {
    "cuda_runtime.h": "cuda_runtime.h",
    "cudnn.h": "cudnn.h",
    "curand.h": "curand.h",
    "cub/cub.cuh": "cccl/cub/cub.cuh",
    "npp.h": None,
}
# Libraries that cuDNN 9 no longer has, and the ones that replaced them.
_REPLACED_BY = {
    "cudnn_ops_infer": "cudnn_ops",
    "cudnn_ops_train": "cudnn_ops",
    "cudnn_cnn_infer": "cudnn_cnn",
    "cudnn_cnn_train": "cudnn_cnn",
}
_OWN_ENTRIES = {Path(name).parts[0] for name in _HEADERS}


def make_cuda_home(kit: Toolkit, parent: Path) -> Path:
    """Return the folder for a toolkit, in `parent`, and create it if it does not exist. Its name contains a hash of its
    content: Jittor recompiles if and only if the name changes. Raises BackendError if it can't be created."""
    files, links = _files(kit), _links(kit)
    content = repr([sorted(files.items()), [(name, str(path), _size(path)) for name, path in sorted(links.items())]])
    folder = parent / f"home-{hashlib.sha256(content.encode()).hexdigest()[:16]}"
    if folder.is_dir():
        return folder
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with atomic_folder(folder) as temporary:  # other processes may do the same at this moment
            _write(temporary, files, links)
    except OSError as error:
        raise BackendError(f"{parent} is not writable ({reason(error)}); set HOME to another folder.") from error
    return folder


def _write(folder: Path, files: dict[str, str], links: dict[str, Path]) -> None:
    for name, target in links.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(target)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(os.fsencode(text))
    (folder / "bin/nvcc").chmod(0o755)


def _files(kit: Toolkit) -> dict[str, str]:
    """Return the text of each file to write, by its path in the folder."""
    files = {"bin/nvcc": f'{(_HERE / "nvcc.sh").read_text()}exec {shlex.quote(str(kit.nvcc))} "$@"\n'}
    for name, real in _HEADERS.items():
        begin = f'#include "{_real(kit, real)}"\n' if real else ""
        files[f"include/{name}"] = begin + (_HERE / "include" / name).read_text()
    return files


def _real(kit: Toolkit, name: str) -> Path:
    path = kit.find_header(name)
    if path is None:
        raise BackendError(f"{kit.nvcc}: the CUDA toolkit has no {name}. Run `ganzoo doctor`.")
    return path.resolve()


def _links(kit: Toolkit) -> dict[str, Path]:
    """Return the target of each link, by its path in the folder. If several folders have a file of the
    same name, the first folder's file is used."""
    links: dict[str, Path] = {}
    for folder in kit.include_dirs:
        for path in folder.iterdir() if folder not in SYSTEM_INCLUDE_DIRS else ():
            if path.name not in _OWN_ENTRIES:
                links.setdefault(f"include/{path.name}", path)
    for folder in kit.library_dirs:
        # nvcc links with libcudadevrt.a.
        names = ("lib*.so*", "libcudadevrt.a") if folder not in SYSTEM_LIBRARY_DIRS else ()
        for path in sorted(path for name in names for path in folder.glob(name)):
            links.setdefault(f"lib64/{path.name}", path.resolve())
    linked = {name for path in links.values() if (name := _library(path))}
    for name in sorted(linked.union(LIBRARIES, CUDNN_9_LIBRARIES, _REPLACED_BY)):
        if (real := kit.find_library(_REPLACED_BY.get(name, name))) is not None:
            links.setdefault(f"lib64/lib{name}.so", real.resolve())
    return links


def _library(path: Path) -> str | None:
    found = re.match(r"lib(\w+)\.so", path.name)
    return found[1] if found else None


def _size(path: Path) -> int:
    """Return a file's size, which tells versions of the file apart; 0 for a folder, whose content is ignored."""
    return path.stat().st_size if path.is_file() else 0
