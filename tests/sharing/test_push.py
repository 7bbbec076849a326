"""`ganzoo push` and `hf:USER/NAME`, with a local hub."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ganzoo
from ganzoo.checkpoints import checkpoint
from ganzoo.checkpoints.hub import FILE
from tests.support import hub_server, mean_colour

NAME = "me/tiny-gan"
UPLOADS = r"PUT /lfs/"


@pytest.fixture
def push(ganzoo, trained, hub):
    """Return a function that pushes the trained run."""
    return lambda *arguments: ganzoo("push", str(trained), NAME, *arguments)


def files(hub: hub_server.Hub) -> dict[str, bytes]:
    """Return the files in the newest state of the repository."""
    return {name: content for name, (content, _) in hub.repositories[NAME].commits[-1].files.items()}


def test_a_run_is_uploaded_and_used_from_the_hub(push, hub, ganzoo, trained):
    result = push("--license", "mit")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"uploaded to {hub.url}/{NAME}, from ")
    assert f"hf:{NAME}: {FILE} (" in result.stderr
    found = files(hub)
    assert found.keys() == {FILE, "README.md", "samples.png"}
    assert found["samples.png"].startswith(b"\x89PNG")
    assert f'ganzoo.load("hf:{NAME}")' in found["README.md"].decode()
    assert not hub.repositories[NAME].private
    Path("uploaded.safetensors").write_bytes(found[FILE])
    assert ganzoo("export", str(trained), "--out", "exported.safetensors").exit_code == 0
    assert Path("exported.safetensors").read_bytes() == found[FILE]
    for name, out in ((str(trained), "one"), (f"hf:{NAME}", "other")):
        assert ganzoo("generate", name, "--seeds", "0-3", "--out", out).exit_code == 0
    assert Path("one/grid.png").read_bytes() == Path("other/grid.png").read_bytes()
    assert not list(Path("hf").glob("**/generated"))


def test_results_of_a_model_on_the_hub_are_written_to_the_experiments(push, ganzoo):
    assert push().exit_code == 0
    assert ganzoo("generate", f"hf:{NAME}", "--seeds", "0").exit_code == 0
    assert Path("experiments/hf/me/tiny-gan/generated/grid.png").exists()
    options = ["--against", "pictures", "--metrics", "fid", "--quick"]
    assert ganzoo("evaluate", f"hf:{NAME}", *options).exit_code == 0
    assert Path("experiments/hf/me/tiny-gan/evaluations.md").exists()
    assert len(ganzoo("runs").stdout.splitlines()) == 2


def test_the_same_again_makes_no_new_commit(push, hub):
    assert push().exit_code == 0
    uploads, commits = hub.count(UPLOADS), len(hub.repositories[NAME].commits)
    result = push()
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("nothing has changed at ")
    assert hub.count(UPLOADS) == uploads
    assert len(hub.repositories[NAME].commits) == commits
    assert push("--slim").stdout.startswith("uploaded to ")
    assert len(hub.repositories[NAME].commits) == commits + 1


def test_a_slim_file_has_half_the_size(push, hub):
    assert push().exit_code == 0
    full = len(files(hub)[FILE])
    assert push("--slim").exit_code == 0
    assert len(files(hub)[FILE]) < 0.55 * full


def test_all_networks_are_uploaded_on_request(push, hub):
    assert push("--all-networks").exit_code == 0
    assert b"net/discriminator/" in files(hub)[FILE]
    assert push().stdout.startswith("uploaded to ")
    assert b"net/discriminator/" not in files(hub)[FILE]


def test_an_edited_card_is_uploaded_as_it_is(push, hub, ganzoo, trained):
    assert ganzoo("card", str(trained), "--license", "mit").exit_code == 0
    card = trained / "README.md"
    card.write_text(card.read_text() + "\nMade on a rainy day.\n")
    assert push().exit_code == 0
    uploaded = files(hub)["README.md"].decode()
    assert uploaded.endswith("Made on a rainy day.\n")
    assert f"hf:{NAME}" in uploaded
    assert "USER/NAME" not in uploaded
    result = push("--license", "apache-2.0")
    assert result.exit_code == 2
    assert "says this already" in result.stderr


def test_a_readme_that_is_not_a_card_is_left_alone(push, hub, trained):
    (trained / "README.md").write_text("# my notes")
    assert push().exit_code == 0
    assert b"my notes" not in files(hub)["README.md"]
    assert (trained / "README.md").read_text() == "# my notes"


def test_push_private_creates_a_private_repository_and_refuses_a_public_one(push, hub):
    assert push("--private").exit_code == 0
    assert hub.repositories[NAME].private
    hub.repositories[NAME].private = False
    result = push("--private", "--slim")
    assert result.exit_code == 2
    assert "exists and is public" in result.stderr


def test_without_a_token_nothing_is_sent(push, hub, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    hub_server.forget_client()
    result = push()
    assert result.exit_code == 2
    assert "uploading needs a token that can write. Log in with `hf auth login`" in result.stderr
    assert not hub.requests


@pytest.mark.parametrize(
    ("failures", "problem"),
    [
        ({".*": 401}, "does not know your token"),
        ({"POST /api/repos/create": 403}, "your token may not do this"),
        ({"POST .*/commit/": 429}, "Try again in 7 seconds"),
        ({UPLOADS: 403}, "the upload was interrupted"),
    ],
)
def test_an_upload_that_fails_says_why(push, hub, failures, problem):
    hub.failures = failures
    result = push()
    assert result.exit_code == 1
    assert problem in result.stderr
    assert len(result.stderr.splitlines()) == 2  # the sizes, and the error


def test_after_an_interrupted_upload_the_rest_is_sent(push, hub):
    hub.failures = {"POST .*/commit/": 0}
    assert push().exit_code == 1
    assert hub.count(UPLOADS) == 1
    hub.failures = {}
    assert push().exit_code == 0
    assert hub.count(UPLOADS) == 1
    assert FILE in files(hub)


def test_a_licence_that_the_hub_does_not_know_is_refused_before_the_upload(push, hub):
    result = push("--license", "wtf")
    assert result.exit_code == 1
    assert '"license" must be one of' in result.stderr
    assert hub.count(UPLOADS) == 0


def test_the_hubs_remarks_are_shown(push):
    assert "warning: Warnings while validating metadata in README.md: - no license is given" in push().stderr


@pytest.mark.parametrize("name", ["tiny-gan", "me/tiny-gan@main", "a/b/c"])
def test_a_wrong_name_is_refused(ganzoo, trained, hub, name):
    result = ganzoo("push", str(trained), name)
    assert result.exit_code == 2
    assert not hub.requests


def test_training_cannot_be_resumed_from_the_hub(ganzoo):
    result = ganzoo("train", "gan", "--resume", f"hf:{NAME}")
    assert result.exit_code == 1
    assert "lacks what resuming needs" in result.stderr


def test_in_python_a_run_is_pushed_loaded_and_described(trained, hub):
    run = ganzoo.load(trained)
    assert run.push(NAME, license="mit") == f"{hub.url}/{NAME}"
    loaded = ganzoo.load(f"hf:{NAME}")
    assert np.array_equal(loaded.generate(range(3)), run.generate(range(3)))
    assert loaded.path == Path("experiments/hf/me/tiny-gan")
    assert "tiny-gan" in loaded._repr_html_()
    assert len(loaded.stats) == 0
    card = run.save_card("mine/README.md", license="mit")
    assert card == Path("mine/README.md")
    assert Path("mine/samples.png").exists()


def test_the_card_of_an_exported_file_gets_a_sheet_of_its_own(ganzoo, trained):
    assert ganzoo("export", str(trained), "--out", "shared.safetensors").exit_code == 0
    assert ganzoo("card", "shared.safetensors", "--out", "card/README.md").exit_code == 0
    assert Path("card/samples.png").read_bytes().startswith(b"\x89PNG")
    assert checkpoint.read(Path("shared.safetensors")).run.data_path is None


def test_the_card_of_a_model_that_translates_has_no_sheet(ganzoo, jittor, workdir, add_model):
    add_model(mean_colour.MeanColourModel())
    mean_colour.write_checkpoint(workdir / "model.safetensors")
    result = ganzoo("card", "model.safetensors", "--out", "card/README.md")
    assert result.exit_code == 0, result.output
    text = Path("card/README.md").read_text()
    assert "pipeline_tag: image-to-image" in text
    assert "samples.png" not in text
    assert not Path("card/samples.png").exists()
