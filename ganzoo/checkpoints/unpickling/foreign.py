"""Recognition of files that are not weights or have an unsupported format, so that the error can suggest a remedy.

Users often give a Git LFS pointer, a whole pickled model, or a web page that was saved in place of the weights.
"""

from __future__ import annotations

import sys

# First bytes of a file -> what it is, as the rest of a sentence that begins with the file's name.
_SIGNATURES = {
    b"\x89PNG\r\n": "an image, not weights",
    b"\xff\xd8\xff": "an image, not weights",
    b"GIF8": "an image, not weights",
    b"RIFF": "an image or a sound, not weights",
    b"II*\0": "an image, not weights",
    b"MM\0*": "an image, not weights",
    b"\x93NUMPY": "a single NumPy array (.npy), not named weights",
    b"\x89HDF\r\n": "an HDF5 file; save the weights with PyTorch or Jittor",
    b"\x1f\x8b": "packed with gzip; unpack it first",
    b"7z\xbc\xaf": "packed with 7-Zip; unpack it first",
    b"Rar!": "packed with RAR; unpack it first",
    b"<": "a web page instead of the expected file; download it again",
    b"version https://git-lfs": "a pointer to a file in Git LFS; fetch that with `git lfs pull`",
}
_NVIDIA = ("dnnlib.", "torch_utils.")
_STANDARD = {*sys.builtin_module_names, *sys.stdlib_module_names}


def identify(data: bytes) -> str | None:
    """Return what kind of file this is if it is a known, unsupported kind; otherwise None."""
    for beginning, what in _SIGNATURES.items():
        if data.startswith(beginning):
            return what
    end = 8 + int.from_bytes(data[:8], "little")  # of a .safetensors file's header
    if end > len(data) or data[8:9] != b"{" or data[:end].rstrip()[-1:] != b"}":
        return None
    header = data[8:end]
    if b'"ganzoo"' in header:
        return (
            "a checkpoint of ganzoo itself, which needs no import. `ganzoo generate` reads it directly, and "
            "`ganzoo train MODEL --resume RUN` continues its run"
        )
    return "a .safetensors file, which can't be read here. Save its weights with torch.save, as a dict of named tensors"


def remedy(name: str) -> str:
    """Return advice on a pickle that refers to `name`, a class or function of another program; '' if the pickle
    may be hostile."""
    if name.startswith(_NVIDIA):
        return (
            ". It is a network of NVIDIA's StyleGAN code, stored as a pickled program. "
            "The --help of this command lists the files that can be read"
        )
    module, _, last = name.rpartition(".")
    if module.split(".")[0] not in _STANDARD and last[:1].isupper():
        return ". If this is a whole model, saved by torch.save(model), save model.state_dict() instead"
    return ""
