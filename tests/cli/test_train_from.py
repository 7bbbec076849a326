"""`ganzoo train --from`: a new run that starts with the weights of another."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal
from pathlib import Path

import ganzoo_gan
import numpy as np
import pytest
from PIL import Image

import ganzoo as zoo
from ganzoo import backend
from ganzoo.checkpoints import checkpoint
from tests.cli.test_train import one_error, start, wait_for
from tests.cli.test_train_stages import NARROW
from tests.conftest import TINY_RUN_OPTIONS
from tests.support.mean_colour import write_checkpoint
from tests.support.runs import newest, same, tensors

SOURCE = Path("experiments/00000-gan-pictures")
RUN = Path("experiments/00001-gan-others")
SHORT = ["--batch", "4", "--kimg", "0.016", "--tick", "0.008"]


@pytest.fixture
def others(trained) -> Path:
    """Return another folder of images, beside a trained run: 9 of them, grey."""
    folder = Path("others")
    folder.mkdir()
    for index in range(9):
        pixels = np.random.default_rng(index).integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return folder


def train(ganzoo, *options: str) -> str:
    result = ganzoo("train", "gan", "--from", "0", "--data", "others", *SHORT, *options)
    assert result.exit_code == 0, result.output
    return result.output


def first(run: Path) -> checkpoint.Checkpoint:
    return checkpoint.read(run / checkpoint.file_name(0))


def test_a_new_run_starts_with_the_weights_of_another(ganzoo, trained, others):
    before = {path.name: path.read_bytes() for path in trained.iterdir()}
    output = train(ganzoo, "--keep", "9")
    assert "starting with the weights of 00000-gan-pictures/checkpoint-000000016.safetensors, after 0.016 kimg on " in (
        output
    )
    assert "options of the source: --size 8" in output  # which was not given
    assert "image channels: RGB becomes grey: the weights of the colours are averaged" in output
    assert {path.name: path.read_bytes() for path in trained.iterdir()} == before
    begun, source = first(RUN), tensors(trained)
    assert begun.metadata.progress.images == 0
    assert not any(value.any() for name, value in begun.tensors.items() if name.startswith("adam/"))
    name = "net/discriminator/layers.2.weight"
    assert np.array_equal(begun.tensors[name], source[name])
    assert not np.array_equal(tensors(RUN)[name], source[name])
    assert newest(RUN).metadata.progress.images == 16
    rows = [json.loads(line)["images"] for line in (RUN / "stats.jsonl").read_text().splitlines()]
    assert rows == [8, 16]
    assert "starting with the weights of" in (RUN / "log.txt").read_text()


def test_the_lineage_is_kept_and_shown(ganzoo, trained, others):
    train(ganzoo)
    entries = json.loads((RUN / "options.json").read_text())["lineage"]
    assert entries["source"] == str(trained / "checkpoint-000000016.safetensors")
    assert (entries["kimg"], entries["data"]) == (0.016, "pictures")
    assert (entries["taken"] > 0, entries["adapted"], entries["fresh"]) == (True, 3, 0)
    run = zoo.load(1)
    assert json.loads(json.dumps(vars(run.lineage))) == entries
    assert "started from</td><td>00000-gan-pictures/checkpoint-000000016.safetensors, 0.016 kimg" in run._repr_html_()
    assert zoo.load(0).lineage is None
    listed = ganzoo("runs").output.splitlines()
    assert listed[1].endswith("finished")
    assert listed[2].endswith("finished, from 00000-gan-pictures/checkpoint-000000016.safetensors")
    assert json.loads(ganzoo("runs", "--json").output)[1]["from"] == run.lineage.name
    assert ganzoo("train", "gan", "--resume", "1", "--kimg", "0.024").exit_code == 0
    assert zoo.load(1).lineage == run.lineage
    assert ganzoo("export", "1", "--out", "shared.safetensors").exit_code == 0
    shared = checkpoint.read(Path("shared.safetensors")).run.lineage
    assert shared.source == run.lineage.name  # without the folders of this machine


def test_options_of_the_networks_come_from_the_source_and_others_do_not(ganzoo, trained, others):
    options = ("--size", "8", "--latent", "7", "--learning-rate", "0.01", "--batch", "6", "--kimg", "0.006")
    assert ganzoo("train", "gan", "--data", "pictures", *options).exit_code == 0
    assert ganzoo("train", "gan", "--from", "1", "--data", "others", "--kimg", "0.064").exit_code == 0
    stored = json.loads((RUN.with_name("00002-gan-others") / "options.json").read_text())
    assert (stored["options"]["size"], stored["options"]["latent"]) == (8, 7)
    assert (stored["options"]["learning_rate"], stored["train"]["batch"]) == (2e-4, 64)
    result = ganzoo("train", "gan", "--from", "1", "--data", "others", "--latent", "9", "--dry-run")
    assert "shapes: 1 array had another shape, such as generator.layers.0.weight" in result.output


def test_a_dry_run_says_the_same_and_writes_nothing(ganzoo, trained, others):
    backend.run_pending()
    with backend.jittor().profile_scope() as report:
        result = ganzoo("train", "gan", "--from", "0", "--data", "others", "--freeze-d", "1", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "3 adapted, 0 begin afresh" in result.output
    assert len(report) <= 1, "no kernel runs"  # the header
    assert not RUN.exists()


def test_a_resumed_run_equals_an_uninterrupted_one(ganzoo, others):
    train(ganzoo, "--kimg", "0.024", "--freeze-d", "1", "--snapshot", "1", "--keep", "9")
    train(ganzoo, "--freeze-d", "1")
    stopped = RUN.with_name("00002-gan-others")
    shutil.copytree(RUN, stopped.with_name("00003-gan-others"))  # as if it had been killed before its first checkpoint
    for path in checkpoint.list_checkpoints(stopped.with_name("00003-gan-others"))[1:]:
        path.unlink()
    shutil.rmtree(SOURCE)
    shutil.rmtree("pictures")
    for number in ("2", "3"):
        result = ganzoo("train", "gan", "--resume", number, "--kimg", "0.024")
        assert result.exit_code == 0, result.output
        run = RUN.with_name(f"0000{number}-gan-others")
        assert same(tensors(run), tensors(RUN))
        assert newest(run).metadata == newest(RUN).metadata
        assert newest(run).run.lineage == newest(RUN).run.lineage


def test_a_killed_run_continues_exactly(ganzoo, others):
    options = ["--kimg", "0.8", "--snapshot", "1", "--keep", "3"]
    train(ganzoo, *options)
    child = start("train", "gan", "--from", "0", "--data", "others", *SHORT, *options)
    killed = RUN.with_name("00002-gan-others")
    wait_for(lambda: len(checkpoint.list_checkpoints(killed)) == 3, child)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    assert checkpoint.images_seen(checkpoint.newest(killed)) < 800
    assert ganzoo("train", "gan", "--resume", "2").exit_code == 0
    assert checkpoint.newest(killed).read_bytes() == checkpoint.newest(RUN).read_bytes()


def test_a_run_without_any_checkpoint_left_is_not_continued_with_random_weights(ganzoo, others):
    train(ganzoo)
    for path in checkpoint.list_checkpoints(RUN):
        path.unlink()
    message = one_error(ganzoo("train", "gan", "--resume", "1"), 1)
    assert f"Start a new run with --from {SOURCE.resolve()}" in message


def test_frozen_blocks_keep_their_weights_to_the_bit(ganzoo, trained, others):
    shutil.rmtree("others")
    shutil.copytree("pictures", "others")
    train(ganzoo, "--freeze-d", "1")
    before, after = tensors(trained), tensors(RUN)
    for name in ("weight", "bias"):
        assert np.array_equal(before[f"net/discriminator/layers.0.{name}"], after[f"net/discriminator/layers.0.{name}"])
        assert not np.array_equal(
            before[f"net/discriminator/layers.2.{name}"], after[f"net/discriminator/layers.2.{name}"]
        )
    result = ganzoo("train", "gan", "--resume", "1", "--kimg", "0.024", "--freeze-d", "0")
    assert "changed: --freeze-d was 1, is 0" in result.output
    assert not np.array_equal(
        tensors(RUN)["net/discriminator/layers.0.weight"], after["net/discriminator/layers.0.weight"]
    )


def test_an_exported_file_has_no_discriminator(ganzoo, trained, others):
    assert ganzoo("export", "0", "--out", "shared.safetensors", "--slim").exit_code == 0
    options = ["train", "gan", "--from", "shared.safetensors", "--data", "pictures", *SHORT]
    result = ganzoo(*options)
    assert result.exit_code == 0, result.output
    assert "discriminator: not in the file; it begins afresh" in result.output
    message = one_error(ganzoo(*options, "--freeze-d", "1"), 2)
    assert "--freeze-d 1: discriminator.layers.0.bias begins with random weights, because shared.safetensors" in message


def test_a_file_with_all_networks_is_as_good_a_start_as_its_checkpoint(ganzoo, trained, others):
    assert ganzoo("export", "0", "--out", "shared.safetensors", "--all-networks").exit_code == 0
    for source in ("0", "shared.safetensors"):
        options = ["--from", source, "--data", "pictures", "--freeze-d", "1", *SHORT]
        result = ganzoo("train", "gan", *options)
        assert result.exit_code == 0, result.output
        assert "not in the file" not in result.output
    first, second = (tensors(Path("experiments") / f"0000{number}-gan-pictures") for number in (1, 2))
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_a_model_that_grows_starts_again_unless_told_otherwise(ganzoo, trained):
    grown = ["--data", "pictures", "--batch", "4", "--phase", "0.004"]
    options = [*NARROW, "--max-size", "16", "--init-size", "8", "--kimg", "0.02"]
    assert ganzoo("train", "stylegan", *grown, *options).exit_code == 0
    result = ganzoo("train", "stylegan", *grown, "--from", "1", "--max-size", "32", "--kimg", "0.004")
    assert result.exit_code == 0, result.output
    assert "options of the source: --latent 8, --mapping-layers 2, --channels-base 512, --channels-max 8" in (
        result.output
    )
    assert "stages: training begins at 8 px; the source had reached 16 px" in result.output
    assert "which begin afresh (images of 32 px instead of 16)" in result.output
    result = ganzoo("train", "stylegan", *grown, "--from", "1", "--init-size", "16", "--kimg", "0.004")
    assert result.exit_code == 0, result.output
    assert "--max-size 16" in result.output
    assert "stages: " not in result.output
    assert ganzoo("generate", "3", "--seeds", "0-3").exit_code == 0


def test_a_conditional_source_asks_for_classes_or_for_a_run_without_them(ganzoo, domains, workdir):
    assert ganzoo("train", "gan", "--data", "pictures", "--conditional", *TINY_RUN_OPTIONS).exit_code == 0
    shutil.copytree("pictures/one", "single")
    command = ["train", "gan", "--from", "0", "--data", "single", *SHORT]
    assert one_error(ganzoo(*command), 2).endswith("subfolder of images for each, or add --no-conditional.")
    result = ganzoo(*command, "--no-conditional")
    assert result.exit_code == 0, result.output
    assert "domains: one, two left out" in result.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["lsgan", "--from", "0"], "--from 0: its weights are those of gan, and this would train lsgan. Use `ganzoo "),
        (["gan", "--from", "0", "--resume", "0"], "--from starts a new run, and --resume continues one"),
        (["gan", "--freeze-d", "1"], "--freeze-d needs --from"),
        (["gan", "--resume", "0", "--freeze-d", "1"], "--freeze-d: it is for runs that were started with --from"),
        (["gan", "--from", "0", "--freeze-d", "3"], "the discriminator has only 2 blocks that can be frozen"),
        (["gan", "--other-data"], "--other-data has no effect without --resume and --data"),
    ],
)
def test_what_cannot_work_is_refused(ganzoo, trained, options, message):
    given = options if "--resume" in options else [*options, "--data", "pictures"]
    assert message in one_error(ganzoo("train", *given), 2)
    assert not RUN.exists()


@pytest.mark.parametrize(
    ("source", "message"),
    [("7", "there is no run '7'"), ("none.safetensors", "none.safetensors: there is no such file")],
)
def test_a_missing_source_is_one_error(ganzoo, trained, source, message):
    assert message in one_error(ganzoo("train", "gan", "--from", source, "--data", "pictures"), 1)


def test_latest_is_the_newest_run_of_the_model(ganzoo, trained, others):
    folder = trained.with_name("00001-mean-colour-x")
    folder.mkdir()
    description = json.loads((trained / "options.json").read_text())
    (folder / "options.json").write_text(json.dumps({**description, "model": "mean-colour"}))
    write_checkpoint(folder / checkpoint.file_name(8))
    result = ganzoo("train", "gan", "--from", "latest", "--data", "others", *SHORT)
    assert result.exit_code == 0, result.output
    assert "starting with the weights of 00000-gan-pictures/" in result.output


def test_a_run_that_fails_before_its_first_report_leaves_no_folder(ganzoo, trained, others, monkeypatch):
    build = ganzoo_gan.GAN.build

    def build_with_unused_weight(self, options, data, train):
        setup = build(self, options, data, train)
        setup.networks["generator"].unused = zoo.jt.ones(3)
        return setup

    monkeypatch.setattr(ganzoo_gan.GAN, "build", build_with_unused_weight)
    result = ganzoo("train", "gan", "--from", "0", "--data", "others", *SHORT)
    assert "no phase gives a gradient to generator.unused" in one_error(result, 1)
    assert not RUN.exists()


class WithFixedNetwork(ganzoo_gan.GAN):
    """The basic GAN beside a network that is not trained, whose weights are in a file."""

    name = "fixed"
    file = Path("fixed.npy")

    def check(self, options, train, data, new):
        if new and not self.file.exists():
            raise zoo.OptionError("there is no file fixed.npy")
        return ()

    def build(self, options, data, train):
        class Fixed(zoo.Network):
            def __init__(self):
                super().__init__()
                self.numbers = zoo.jt.zeros(3).stop_grad()

        setup = super().build(options, data, train)
        return dataclasses.replace(setup, networks={**setup.networks, "fixed": Fixed()})

    def load_pretrained(self, options, networks):
        networks["fixed"].load_state({"numbers": np.load(self.file)})


def test_a_network_that_is_not_trained_comes_from_the_source(jittor, ganzoo, pictures, add_model):
    add_model(WithFixedNetwork())
    np.save("fixed.npy", np.arange(3, dtype=np.float32))
    assert ganzoo("train", "fixed", "--data", "pictures", *TINY_RUN_OPTIONS).exit_code == 0
    Path("fixed.npy").unlink()
    assert "no file fixed.npy" in one_error(ganzoo("train", "fixed", "--data", "pictures", *TINY_RUN_OPTIONS), 2)
    result = ganzoo("train", "fixed", "--from", "0", "--data", "pictures", *SHORT)
    assert result.exit_code == 0, result.output
    assert tensors(Path("experiments/00001-fixed-pictures"))["net/fixed/numbers"].tolist() == [0, 1, 2]


def test_python_takes_the_same_options(ganzoo, trained, others):
    train(ganzoo, "--freeze-d", "1")
    run = zoo.train("gan", "others", from_=0, batch=4, kimg=0.016, tick=0.008, freeze_d=1)
    assert same(tensors(run.path), tensors(RUN))
    assert run.lineage == zoo.load(1).lineage
    with pytest.raises(zoo.OptionError, match="--from starts a new run"):
        zoo.train("gan", from_=SOURCE, resume="latest")
