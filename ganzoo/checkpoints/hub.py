"""Checkpoints on Hugging Face's hub: `hf:USER/NAME` and `hf:USER/NAME@REVISION`, through huggingface_hub.

Only one file of a repository is downloaded, by its name. It is safetensors, as all checkpoints: nothing is unpickled.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from ganzoo.checkpoints.checkpoint import Checkpoint, read
from ganzoo.errors import CheckpointError, GanzooError, OptionError, reason
from ganzoo.files import format_bytes

PREFIX = "hf:"
FILE = "ganzoo.safetensors"  # in the repository; the name says that it is a checkpoint of ganzoo
LOG_IN = "Log in with `hf auth login`, or set HF_TOKEN"
_NAME = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", re.ASCII)
_HTTP_LIBRARIES = ("requests", "httpx", "httpx2")
Say = Callable[[str], None]
Network = tuple[type[Exception], ...]


class UnavailableError(CheckpointError):
    """The hub can't be reached, or does not serve us now."""


@dataclass(frozen=True)
class Repository:
    """A repository on the hub: its `id`, USER/NAME, and the `revision` (a branch, a tag or a commit; None: the newest
    state)."""

    id: str
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> Repository:
        """Read 'USER/NAME' or 'USER/NAME@REVISION', also after 'hf:'. OptionError if it is not that."""
        match = _NAME.fullmatch(text.removeprefix(PREFIX))
        if match is None or ".." in text or "--" in match[1]:
            raise OptionError(f"{text}: give a repository as hf:USER/NAME, or hf:USER/NAME@REVISION.")
        return cls(match[1], match[2])

    def __str__(self) -> str:
        return f"{PREFIX}{self.id}" + (f"@{self.revision}" if self.revision else "")

    @property
    def folder(self) -> Path:
        """The folder for results, in that of all runs."""
        user, name = self.id.split("/")
        return Path("hf", user, name + (f"@{self.revision.replace('/', '-')}" if self.revision else ""))


def is_named(name: str | None) -> bool:
    """Return whether the user names a checkpoint on the hub."""
    return name is not None and name.startswith(PREFIX)


def open_on_hub(name: str, experiments: Path, say: Say) -> tuple[Checkpoint, Path]:
    """Download a checkpoint, unless there is a copy of its newest version, and read it. Return it with the folder for
    results, which need not exist. `say` gets a warning if the hub can't be reached and an older copy is used."""
    repository = Repository.parse(name)
    return read(_download(repository, say)), experiments / repository.folder


def _download(repository: Repository, say: Say) -> Path:
    hub = client()
    place = {"repo_id": repository.id, "filename": FILE, "revision": repository.revision}
    try:
        with user_errors(repository):
            _announce(hub, repository, place)
            return Path(hub.hf_hub_download(**place, library_name="ganzoo"))
    except UnavailableError as error:
        found = hub.try_to_load_from_cache(**place)
        if not isinstance(found, str):
            raise
        say(f"{error} Using the copy that was downloaded before.")
        return Path(found)


def _announce(hub: Any, repository: Repository, place: dict[str, Any]) -> None:
    """Print the size of the file, if it has to be downloaded. CheckpointError if the repository has no such file."""
    info = hub.HfApi(library_name="ganzoo").model_info(
        repository.id, revision=repository.revision, files_metadata=True, timeout=10
    )
    sizes = {each.rfilename: each.size for each in info.siblings or ()}
    if FILE not in sizes:
        raise _without_checkpoint(repository)
    if not isinstance(hub.try_to_load_from_cache(**{**place, "revision": info.sha}), str):
        size = "" if sizes[FILE] is None else f" of {format_bytes(sizes[FILE])}"
        print(f"{repository}: downloading a checkpoint{size}", file=sys.stderr, flush=True)


def cached_names() -> Iterator[str]:
    """Yield the names of the checkpoints that have been downloaded, for shell completion."""
    from huggingface_hub import constants

    for path in Path(constants.HF_HUB_CACHE).glob(f"models--*/snapshots/*/{FILE}"):
        yield PREFIX + path.parts[-4].removeprefix("models--").replace("--", "/", 1)


def client() -> Any:
    """Return the module huggingface_hub. OptionError if it is not installed."""
    try:
        import huggingface_hub
    except ImportError as error:
        raise OptionError(f'Hugging Face needs huggingface-hub. Run: pip install "ganzoo[hub]" ({error})') from error
    return huggingface_hub


@contextlib.contextmanager
def user_errors(repository: Repository) -> Iterator[None]:
    """Turn the errors of huggingface_hub that are raised in the body into errors for users. Within the body, its
    progress bars are shown only where ours would be."""
    from huggingface_hub.errors import HfHubHTTPError

    # The bases of the library for HTTP: of requests, httpx or its successor, depending on the version.
    bases: Any = HfHubHTTPError.__mro__
    network: Network = tuple(each for each in bases if each.__module__.partition(".")[0] in _HTTP_LIBRARIES)
    try:
        with _progress_bars():
            yield
    except GanzooError:
        raise
    except network + (OSError, ValueError, RuntimeError) as error:  # noqa: RUF005 (mypy)
        raise _explained(error, repository, network) from error


@contextlib.contextmanager
def _progress_bars() -> Iterator[None]:
    from ganzoo.progress_bars import shows_widgets  # takes milliseconds, and is needed only here

    utils: Any = import_module("huggingface_hub.utils")
    silence = not (sys.stderr.isatty() or shows_widgets() or utils.are_progress_bars_disabled())
    if silence:
        utils.disable_progress_bars()
    try:
        yield
    finally:
        if silence:
            utils.enable_progress_bars()


def _explained(error: Exception, repository: Repository, network: Network) -> GanzooError:
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return CheckpointError(f"{repository}: ask for access on the repository's page. {LOG_IN}.")
    if isinstance(error, errors.RepositoryNotFoundError):
        return CheckpointError(f"{repository}: there is no such repository, or it is private. {LOG_IN} if it is yours.")
    if isinstance(error, errors.RevisionNotFoundError):
        return CheckpointError(f"{repository}: the repository has no such branch, tag or commit.")
    if isinstance(error, errors.EntryNotFoundError) and not isinstance(error, errors.LocalEntryNotFoundError):
        return _without_checkpoint(repository)
    if isinstance(error, errors.HfHubHTTPError) and error.response is not None:
        return _refused(error, repository)
    cause = error.__cause__
    if isinstance(error, RuntimeError) and cause is not None and isinstance(cause, (*network, OSError)):
        return CheckpointError(
            f"{repository}: the upload was interrupted ({reason(cause)}). Run the same command again."
        )
    if isinstance(error, (*network, ConnectionError, TimeoutError, errors.LocalEntryNotFoundError)):
        return UnavailableError(f"{repository}: the hub can't be reached ({reason(error)}).")
    return CheckpointError(f"{repository}: {' '.join(str(error).split())}")


def _refused(error: Any, repository: Repository) -> CheckpointError:
    """Return the error for an answer of the hub."""
    status, wait = error.response.status_code, error.response.headers.get("Retry-After")
    if status == 401:
        return CheckpointError(f"{repository}: the hub does not know your token. {LOG_IN} anew.")
    if status == 403:
        return CheckpointError(f"{repository}: your token may not do this. {LOG_IN} with one that can write there.")
    if status == 429:
        when = f"in {wait} seconds" if wait else "later"
        return UnavailableError(f"{repository}: the hub has had too many requests from you. Try again {when}.")
    if status >= 500:
        return UnavailableError(f"{repository}: the hub has a problem (HTTP {status}).")
    what = getattr(error, "server_message", None) or str(error)
    return CheckpointError(f"{repository}: the hub refused this (HTTP {status}): {' '.join(what.split())}")


def _without_checkpoint(repository: Repository) -> CheckpointError:
    return CheckpointError(
        f"{repository}: the repository has no {FILE}, so it was not made by `ganzoo push`, or not completely."
    )
