"""Paths of images in a folder or an archive, written with '/'."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def common_folder(paths: Iterable[str]) -> str:
    """Return the innermost folder that contains all paths; '' is the root."""
    folders = [path.split("/")[:-1] for path in paths]
    first, last = min(folders), max(folders)  # a common prefix of these is common to all
    shared = next((at for at, (one, other) in enumerate(zip(first, last)) if one != other), len(first))
    return "/".join(first[:shared]) or "/" * shared  # '/' if paths begin with a slash, as in some archives


def strip_common_folder(paths: Sequence[str]) -> list[str]:
    """Return the paths without the folders that contain all of them."""
    start = len(folder_prefix(common_folder(paths)))
    return [path[start:] for path in paths]


def folder_prefix(folder: str) -> str:
    """Return the prefix of all paths in a folder."""
    return f"{folder}/" if folder.strip("/") else folder
