"""Checkpoints on a local hub: downloads, the cache, and what goes wrong."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ganzoo.checkpoints import checkpoint
from ganzoo.checkpoints.description import RunDescription, StateMetadata
from ganzoo.checkpoints.hub import FILE, Repository, cached_names
from ganzoo.checkpoints.opening import open_checkpoint
from ganzoo.errors import CheckpointError, CorruptCheckpointError, GanzooError, OptionError
from ganzoo.interfaces.dataset import DataInfo
from ganzoo.interfaces.progress import Progress
from ganzoo.registry import plugins
from tests.support import hub_server

NAME = "somebody/digits"


def content(kimg: int = 1) -> bytes:
    """Return a checkpoint of `gan`, with a small array in place of its weights."""
    run = RunDescription("gan", {}, {"data": "mnist"}, DataInfo("mnist", 60000, 28, 1))
    path = Path("made.safetensors")
    checkpoint.write(path, {"net/generator/x": np.zeros(9, "f4")}, run, StateMetadata(Progress(images=1000 * kimg)))
    return path.read_bytes()


def publish(hub: hub_server.Hub, file: bytes, name: str = FILE, **settings) -> str:
    """Commit a file to the repository, and return the commit."""
    repository = hub.repositories.setdefault(NAME, hub_server.Repository(**settings))
    repository.commits.append(hub_server.Commit({**repository.commits[-1].files, name: (file, True)}))
    return repository.commits[-1].sha


def images(name: str = f"hf:{NAME}", say: Callable[[str], None] = lambda line: None) -> int:
    """Open a checkpoint, and return the images that it was trained on."""
    use = lambda saved, folder: saved.metadata.progress.images  # noqa: E731
    return open_checkpoint(name, Path("experiments"), plugins.load(), use, say)


def test_a_checkpoint_is_downloaded_once(hub, capsys):
    publish(hub, content())
    saved, folder = open_checkpoint(f"hf:{NAME}", Path("experiments"), plugins.load(), lambda *found: found)
    assert saved.run.model == "gan"
    assert folder == Path("experiments/hf/somebody/digits")
    assert not folder.exists()
    assert "hf:somebody/digits: downloading a checkpoint of" in capsys.readouterr().err
    assert images() == 1000
    assert "downloading" not in capsys.readouterr().err
    assert hub.count(r"GET .*/resolve/") == 1
    assert list(cached_names()) == [f"hf:{NAME}"]


def test_a_new_version_is_downloaded_and_an_old_one_can_be_named(hub):
    first = publish(hub, content(1))
    assert images() == 1000
    publish(hub, content(2))
    assert images() == 2000
    assert images(f"hf:{NAME}@{first}") == 1000
    _, folder = open_checkpoint(f"hf:{NAME}@main", Path("runs"), plugins.load(), lambda *found: found)
    assert folder == Path("runs/hf/somebody/digits@main")


def test_only_the_checkpoint_is_downloaded(hub):
    publish(hub, b"code", "model.py")
    publish(hub, content())
    images()
    assert {request.rpartition("/")[2] for request in hub.requests if "/resolve/" in request} == {FILE}


def test_a_copy_is_used_if_the_hub_cannot_be_reached(hub):
    publish(hub, content())
    images()
    for status in (0, 503, 429):
        hub.failures = {".*": status}
        lines: list[str] = []
        assert images(say=lines.append) == 1000
        assert len(lines) == 1
        assert lines[0].endswith("Using the copy that was downloaded before.")


def test_a_copy_is_used_if_the_user_is_offline(hub, monkeypatch):
    publish(hub, content())
    images()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hub_server.forget_client()
    requests = len(hub.requests)
    assert images() == 1000
    assert len(hub.requests) == requests


@pytest.mark.parametrize(
    ("status", "problem"),
    [(0, "can't be reached"), (503, "has a problem"), (429, "too many requests from you. Try again in 7 seconds")],
)
def test_without_a_copy_it_is_said_what_to_do(hub, status, problem):
    publish(hub, content())
    hub.failures = {".*": status}
    with pytest.raises(CheckpointError, match=problem):
        images()


def test_a_repository_that_does_not_exist_or_is_private_is_an_error(hub, monkeypatch):
    with pytest.raises(CheckpointError, match=r"there is no such repository, or it is private. Log in with"):
        images()
    publish(hub, content(), private=True)
    assert images() == 1000
    monkeypatch.delenv("HF_TOKEN")
    hub_server.forget_client()
    with pytest.raises(CheckpointError, match="or it is private"):
        images()


def test_an_unknown_revision_is_an_error(hub):
    publish(hub, content())
    with pytest.raises(CheckpointError, match="no such branch, tag or commit"):
        images(f"hf:{NAME}@nowhere")


def test_a_repository_without_a_checkpoint_is_an_error_before_anything_is_downloaded(hub):
    publish(hub, b"something", "model.safetensors")
    with pytest.raises(CheckpointError, match=r"has no ganzoo\.safetensors"):
        images()
    assert hub.count(".*/resolve/") == 0


def test_a_file_that_is_not_a_checkpoint_is_never_unpickled(hub):
    publish(hub, b"\x80\x04cos\nsystem\n(S'touch pwned'\ntR.")
    with pytest.raises(CorruptCheckpointError):
        images()
    assert not Path("pwned").exists()


@pytest.mark.parametrize("name", ["hf:", "hf:x", "hf:a/b/c", "hf:../b", "hf:a/..", "hf:a/b@", "hf:a b/c", "hf:/a/b"])
def test_a_name_that_is_no_repository_is_refused(workdir, name):
    with pytest.raises(OptionError, match="give a repository as hf:USER/NAME"):
        images(name)


def test_names_of_revisions_cannot_leave_the_folder():
    assert Repository.parse("hf:a/b@refs/pr/1").folder == Path("hf/a/b@refs-pr-1")


def test_without_the_extra_the_command_that_installs_it_is_shown(workdir, monkeypatch):
    hub_server.forget_client()
    imported = builtins.__import__

    def without_client(name, *arguments):
        if name.partition(".")[0] == "huggingface_hub":
            raise ImportError("No module named 'huggingface_hub'")
        return imported(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without_client)
    with pytest.raises(GanzooError, match=r'pip install "ganzoo\[hub\]"'):
        images()
