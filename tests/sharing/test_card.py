"""The card of a run, as huggingface_hub reads it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganzoo.checkpoints import checkpoint
from ganzoo.checkpoints.description import Lineage, RunDescription, StateMetadata
from ganzoo.interfaces.dataset import DataInfo
from ganzoo.interfaces.progress import Progress
from ganzoo.metrics import report
from ganzoo.registry import plugins
from ganzoo.sharing.card import CardOptions, card_text
from tests.support.evaluations import record

huggingface_hub = pytest.importorskip("huggingface_hub")

DATA = DataInfo("mnist", 60000, 28, 1)


def checkpoint_of_gan(path: Path = Path("checkpoint-000001000.safetensors"), data: DataInfo = DATA, **changes):
    run = RunDescription("gan", {"latent": 7}, {"data": data.name, "kimg": 1.0, "batch": 32}, data, version="0.1.0")
    metadata = StateMetadata(Progress(images=1000))
    return checkpoint.Checkpoint(path, {}, replace(run, **changes), metadata)


def card(saved=None, folder: Path = Path(), translates: bool = False, **options) -> str:
    saved = saved or checkpoint_of_gan()
    return card_text(saved, folder, plugins.load(), CardOptions(**options), translates=translates, picture=True)


def test_the_hub_reads_the_metadata(workdir):
    report.save(workdir, record({"fid": 30.25, "recall": 0.5}))
    (workdir / "README.md").write_text(card(license="cc-by-4.0", datasets=["user/digits"]))
    loaded = huggingface_hub.ModelCard.load(workdir / "README.md")
    assert loaded.data.license == "cc-by-4.0"
    assert loaded.data.library_name == "ganzoo"
    assert loaded.data.pipeline_tag == "unconditional-image-generation"
    assert loaded.data.datasets == ["user/digits"]
    assert loaded.data.tags == ["ganzoo", "gan", "image-generation"]
    assert loaded.data.model_name == "gan on mnist"
    fid, recall = loaded.data.eval_results
    assert (fid.metric_type, fid.metric_value, recall.metric_type, recall.metric_value) == ("fid", 30.25, "recall", 0.5)
    assert fid.metric_name == "fid500-real500-efficientnet-lite0"
    assert (fid.dataset_type, fid.task_type) == ("mnist", "unconditional-image-generation")
    recipe = {"backbone": "efficientnet-lite0", "samples": 500, "real": 500, "size": 28, "seed": 0, "ganzoo": "0.1.0"}
    assert recipe.items() <= fid.metric_args.items()
    assert loaded.content == huggingface_hub.ModelCard(loaded.content).content


def test_the_text_says_how_the_model_was_made_and_how_to_use_it():
    text = card(repository="somebody/digits")
    assert 'ganzoo.load("hf:somebody/digits")' in text
    assert "ganzoo generate hf:somebody/digits --seeds 0-31" in text
    assert "ganzoo train gan --data mnist --kimg 1 --batch 32 --latent 7" in text
    assert "| length | 1 kimg" in text
    assert "60,000 images, 28 px, grey" in text
    assert "| `latent` | 7 |" in text
    assert "![Samples](samples.png)" in text
    assert "## Evaluation" not in text


def test_a_model_that_translates_is_described_as_such():
    text = card(translates=True)
    assert "pipeline_tag: image-to-image" in text
    assert "--source my-image.png" in text
    assert "run.translate(" in text


def test_only_the_metrics_of_this_checkpoint_are_shown_and_the_newest_of_each(workdir):
    for images, value in ((500, 90.0), (1000, 50.0)):
        report.save(workdir, record({"fid": value}, images=images))
    report.save(workdir, record({"fid": 40.0}, checkpoint="renamed.safetensors"))
    text = card()
    assert "| 40 | 500 | 500 | efficientnet-lite0 |" in text
    assert "| 50 |" not in text
    assert "| 90 |" not in text


def test_paths_of_this_machine_are_left_out():
    data = DataInfo("pictures", 12, 28, 1)
    train = {"data": "/home/me/secret/pictures"}
    text = card(checkpoint_of_gan(data=data, train=train, data_path="/home/me/secret/pictures"))
    assert "secret" not in text
    assert "--data pictures" in text
    assert "datasets:" not in text  # a folder is not a data set of the hub


def test_a_model_that_began_with_others_weights_says_so():
    start = Lineage("zoo:mnist", 40, "mnist", "ab" * 32, taken=10, adapted=0, fresh=0)
    saved = checkpoint_of_gan()
    saved = replace(saved, run=replace(saved.run, lineage=start))
    assert f"| began with | zoo:mnist, trained for 40 kimg on mnist, SHA-256 {'ab' * 32} |" in card(saved)
    assert "began with" not in card()


def test_names_of_domains_cannot_break_the_card():
    data = DataInfo("a: b\n---", 12, 28, 1, ("<script>", "x|y", "z\x1b"))
    text = card(checkpoint_of_gan(data=data))
    assert "<script>" not in text
    assert "x\\|y" in text
    loaded = huggingface_hub.ModelCard(text)
    assert loaded.text.lstrip().startswith("# gan on a: b\\n---")


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [("license", "MIT License", "--license 'MIT License'"), ("datasets", ["a b"], "--dataset 'a b'")],
)
def test_a_value_that_the_hub_would_refuse_is_refused(option, value, problem):
    with pytest.raises(Exception, match=problem):
        CardOptions(**{option: value}).check()


@pytest.fixture
def run(workdir: Path) -> Path:
    """Return a run whose checkpoint has no weights, only a description and a sheet of samples."""
    folder = workdir / "experiments" / "00000-gan-mnist"
    folder.mkdir(parents=True)
    saved = checkpoint_of_gan()
    checkpoint.write(
        folder / "checkpoint-000001000.safetensors", {"net/x": np.zeros(1, "f4")}, saved.run, saved.metadata
    )
    (folder / "options.json").write_text("{}")
    Image.new("L", (28, 28)).save(folder / "samples-000001000.png")
    return folder


def test_the_command_writes_the_card_and_a_sheet_beside_it(ganzoo, run):
    result = ganzoo("card", "--license", "mit")
    assert result.exit_code == 0, result.output
    assert (run / "samples.png").read_bytes() == (run / "samples-000001000.png").read_bytes()
    assert huggingface_hub.ModelCard.load(run / "README.md").data.license == "mit"
    assert ganzoo("card", "0", "--out", "other/card.md").exit_code == 0
    assert Path("other/samples.png").exists()


def test_a_card_that_may_have_been_edited_is_not_overwritten(ganzoo, run):
    (run / "README.md").write_text("mine")
    result = ganzoo("card")
    assert result.exit_code == 1 + 1
    assert "README.md already exists" in result.stderr
    assert (run / "README.md").read_text() == "mine"


def test_a_wrong_file_name_is_refused(ganzoo, run):
    assert "must end in .md" in ganzoo("card", "--out", "card.txt").stderr
