"""Upload of a run to Hugging Face's hub: its networks, its card and its samples."""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo import backend
from ganzoo.checkpoints.exporting import export
from ganzoo.checkpoints.hub import FILE, LOG_IN, Repository, client, user_errors
from ganzoo.errors import OptionError
from ganzoo.files import format_bytes
from ganzoo.sharing.card import PICTURE, README, REPOSITORY, CardOptions
from ganzoo.sharing.files import card_files

if TYPE_CHECKING:
    from ganzoo.checkpoints.checkpoint import Checkpoint
    from ganzoo.registry.plugins import Registry

Say = Callable[[str], None]


@dataclass(frozen=True)
class Pushed:
    """The `url` of the repository, and whether it was `changed`."""

    url: str
    changed: bool


def push(
    saved: Checkpoint,
    folder: Path,
    registry: Registry,
    name: str,
    options: CardOptions,
    *,
    private: bool = False,
    slim: bool = False,
    all_networks: bool = False,
    device: str = "auto",
    say: Say = lambda line: None,
) -> Pushed:
    """Upload what `export` writes, the card and the samples to the repository `name`, USER/NAME, which is created if
    there is none. The card is README.md in `folder`, if `write_card` has written it; otherwise it is made anew. If all
    files are already there, nothing is changed.

    `say` gets the sizes and the hub's remarks. Raises OptionError or CheckpointError if something is missing.
    """
    repository = Repository.parse(name)
    if repository.revision:
        raise OptionError(f"{name}: give the repository without a revision.")
    hub = client()
    if hub.get_token() is None:
        raise OptionError(f"{repository}: uploading needs a token that can write. {LOG_IN}.")
    options.check()
    backend.start(device)
    files = {**_card(saved, folder, registry, replace(options, repository=repository.id), device)}
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / FILE
        export(saved, registry, path, slim=slim, all_networks=all_networks)
        sizes = {FILE: path.stat().st_size, **{name: len(content) for name, content in files.items()}}
        say(f"{repository}: {', '.join(f'{name} ({format_bytes(size)})' for name, size in sizes.items())}")
        message = f"Upload {saved.run.model} at {saved.metadata.progress.kimg:g} kimg"
        with user_errors(repository), _remarks(say):
            return _upload(hub, repository, {FILE: path, **files}, message, private)


def _card(saved: Checkpoint, folder: Path, registry: Registry, options: CardOptions, device: str) -> dict[str, bytes]:
    """Return the content of the card and of its picture, by file name. OptionError if `options` would be ignored,
    because there is a card already."""
    written = folder / README
    try:
        text = written.read_text()
    except (OSError, UnicodeDecodeError):
        text = ""
    if "\nlibrary_name: ganzoo\n" not in text:  # none, or not a card
        return card_files(saved, folder, registry, options, device)
    if options.license or options.datasets:
        raise OptionError(f"--license, --dataset: {written} says this already. Edit it there, or delete it.")
    picture = {PICTURE: (folder / PICTURE).read_bytes()} if (folder / PICTURE).is_file() else {}
    return {README: text.replace(f"hf:{REPOSITORY}", f"hf:{options.repository}").encode(), **picture}


def _upload(hub: Any, repository: Repository, files: dict[str, Path | bytes], message: str, private: bool) -> Pushed:
    api = hub.HfApi(library_name="ganzoo")
    url = api.create_repo(repository.id, private=True if private else None, exist_ok=True)
    before = api.model_info(repository.id)
    if private and not before.private:
        raise OptionError(f"--private: {repository} exists and is public. Change that on its page, or omit --private.")
    operations = [
        hub.CommitOperationAdd(
            path_in_repo=name, path_or_fileobj=content if isinstance(content, bytes) else str(content)
        )
        for name, content in files.items()
    ]
    commit = api.create_commit(repository.id, operations, commit_message=message)
    return Pushed(str(url), commit.oid != before.sha)


@contextlib.contextmanager
def _remarks(say: Say) -> Iterator[None]:
    """Hand the hub's remarks, for instance about the card, to `say`, and silence the log of huggingface_hub."""
    logging: Any = import_module("huggingface_hub.utils.logging")
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
    finally:
        logging.set_verbosity(verbosity)
    for each in caught:
        if issubclass(each.category, UserWarning):
            say(f"warning: {' '.join(str(each.message).split())}")
