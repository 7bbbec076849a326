"""Download of a data set's zip archive: resumable, verified, and moved into place only when complete."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ganzoo.data.images import is_image
from ganzoo.data.partial import PartialFile, open_partial
from ganzoo.data.transfer import BAR, CHUNK, RetryPolicy, Say, TransferError, transfer, validate_url
from ganzoo.data.zip_storage import open_archive, open_member
from ganzoo.errors import DataError, OptionError
from ganzoo.files import data_dir, format_bytes
from ganzoo.progress_bars import progress_bar

if TYPE_CHECKING:
    from ganzoo.registry.plugins import Registry

RETRY_POLICY = RetryPolicy()


def download_dataset(name: str, registry: Registry, url: str | None = None, say: Say = lambda line: None) -> None:
    """Download the data set `name` to the data directory, from `url` (None: its official address).

    If the data set is already there, only reports that through `say`. OptionError for an unknown name, a data set
    without an archive or an invalid URL; DataError as for `download`.
    """
    source = registry.dataset(name)
    if not source.archive:
        available = sorted(each.name for each in registry.datasets.values() if each.archive)
        raise OptionError(f"{name}: can't be downloaded. Data sets that can be: {', '.join(available) or 'none'}.")
    for place in (data_dir() / f"{name}{ending}" for ending in (".lmdb", "", ".zip")):
        if place.exists():
            say(f"{name}: already exists at {place}. To replace it, delete it and repeat this command.")
            return
    path = data_dir() / f"{name}.zip"
    download(source.archive if url is None else url, path, source.archive_folders, say=say)
    say(f"{path}: {format_bytes(path.stat().st_size)}, complete")
    say(f"Train with: ganzoo train MODEL --data {name}")


def download(
    url: str,
    path: Path,
    folders: Sequence[str] = (),
    *,
    policy: RetryPolicy | None = None,
    say: Say = lambda line: None,
) -> None:
    """Download the zip archive at `url` to `path`. It must have images in each of `folders` ('train/cat').

    After an interruption the downloaded part stays beside `path`, and the same call resumes it. DataError, with the
    reason and a remedy, if the server doesn't respond or doesn't have the file, if the file is not an intact archive or
    has another layout, if the disk is full, or if another process downloads it. OptionError unless `url` is HTTP(S).
    """
    url = validate_url(url)
    advice = f"Give another address with --url, or download the file yourself and save it as {path}."
    with open_partial(path) as partial:
        try:
            transfer(url, partial, policy or RETRY_POLICY, say)
            _check(partial, url, folders, advice)
        except TransferError as error:
            raise DataError(f"{url}: {error}. {partial.resume_hint(url)}{advice}") from error
        except KeyboardInterrupt:
            say(partial.resume_hint(url).strip() or "nothing was kept")
            raise
        partial.finish()


def _check(partial: PartialFile, url: str, folders: Sequence[str], advice: str) -> None:
    """Check that the file is an intact zip archive with images in each of `folders`. If it isn't, delete it or move it
    aside, and raise DataError."""
    try:
        names = _verify_archive(partial.path)
    except Exception as error:  # zipfile raises BadZipFile, zlib.error, EOFError and more
        partial.delete()
        raise DataError(
            f"{url}: the downloaded file ({format_bytes(partial.size)}) is not an intact zip archive ({error}) and was "
            f"deleted. {advice}"
        ) from error
    images = [f"/{name}" for name in names if is_image(name)]
    missing = [folder for folder in folders if not any(f"/{folder}/" in image for image in images)]
    if missing:
        aside = partial.target.with_name(f"{partial.target.stem}.refused.zip")
        partial.set_aside(aside)
        raise DataError(
            f"{url}: a zip archive with other content: no image in a folder {missing[0]}/. It was saved as {aside}; "
            f"inspect it, then delete it. {advice}"
        )


def _verify_archive(path: Path) -> list[str]:
    """Return the names in a zip archive, after verifying the checksum of every file. A damaged archive may raise almost
    any exception."""
    with open_archive(path) as archive:
        members = archive.infolist()
        total = sum(member.compress_size for member in members)
        with progress_bar(total=total, desc="checking", **BAR) as bar:
            for member in members:
                with open_member(archive, member) as file:
                    while file.read(CHUNK):
                        pass  # zipfile compares the checksum at the end of the file
                bar.update(member.compress_size)
    return [member.filename for member in members]
