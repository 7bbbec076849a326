"""`ganzoo train --resume` finds the right run, checkpoint and data."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
from pathlib import Path

import pytest
from PIL import Image

from ganzoo.checkpoints import checkpoint
from tests.cli.test_train import RUN, one_error, start, wait_for
from tests.conftest import TINY_RUN_OPTIONS


@pytest.fixture
def trained(jittor, ganzoo, pictures):
    result = ganzoo("train", "gan", "--data", "pictures", *TINY_RUN_OPTIONS, "--snapshot", "1")
    assert result.exit_code == 0, result.output
    return (pictures.parent / RUN).relative_to(Path.cwd())


def options(run: Path = RUN) -> dict:
    return json.loads((run / "options.json").read_text())


def test_a_copy_beside_the_checkpoints_is_left_alone(ganzoo, trained):
    older, newer = checkpoint.list_checkpoints(trained)
    copies = [trained / "checkpoint-good.safetensors", trained / "checkpoint-000000008 (copy).safetensors"]
    for copy in copies:
        shutil.copy(older, copy)
    result = ganzoo("train", "gan", "--resume", "0", "--kimg", "0.032", "--keep", "1")
    assert result.exit_code == 0, result.output
    assert f"from {newer.name}" in result.output
    assert all(copy.read_bytes() for copy in copies)
    for command in (["generate", "--seeds", "0-1"], ["evaluate", "--samples", "12", "--metrics", "kid"]):
        assert "checkpoint-000000032.safetensors" in ganzoo(*command).output


def test_latest_means_the_newest_run_of_the_model_with_a_checkpoint(ganzoo, trained):
    for number, content in enumerate(
        (json.dumps(options()), "{damaged", json.dumps({**options(), "model": "lsgan"})), 1
    ):
        folder = trained.with_name(f"0000{number}-gan-other")
        folder.mkdir()
        (folder / "options.json").write_text(content)
    result = ganzoo("train", "gan", "--resume", "latest", "--kimg", "0.024")
    assert result.exit_code == 0, result.output
    assert "skipping 00001-gan-other: it has no checkpoint" in result.output
    assert f"finished: {trained}" in result.output


def test_a_run_can_be_named_by_its_newest_checkpoint_but_not_by_an_older_one(ganzoo, trained):
    older, newer = checkpoint.list_checkpoints(trained)
    message = one_error(ganzoo("train", "gan", "--resume", str(older), "--kimg", "0.024"), 1)
    assert f"continues from its newest checkpoint, {newer.name}. To continue from an older one, copy" in message
    result = ganzoo("train", "gan", "--resume", str(newer), "--kimg", "0.024")
    assert result.exit_code == 0, result.output
    assert f"finished: {trained}" in result.output
    assert "not a run of ganzoo" in one_error(ganzoo("train", "gan", "--resume", "pictures/x.safetensors"), 1)


def test_a_goal_already_reached_is_reported_and_changes_nothing(ganzoo, trained):
    before = {path.name: path.read_bytes() for path in trained.iterdir() if path.name != "log.txt"}
    for kimg in ("0.012", "0.016"):
        result = ganzoo("train", "gan", "--resume", "latest", "--kimg", kimg)
        assert result.exit_code == 0, result.output
        assert f"is already at 0.016 kimg; --kimg {kimg} leaves nothing to train" in result.output
        assert "finished" not in result.output
    assert {path.name: path.read_bytes() for path in trained.iterdir() if path.name != "log.txt"} == before


def test_the_data_of_a_run_are_found_from_any_working_folder(ganzoo, trained, workdir, monkeypatch):
    elsewhere = workdir / "elsewhere"
    (elsewhere / "pictures").mkdir(parents=True)
    for number in range(12):  # another folder with the same name and number of images
        Image.new("RGB", (9, 9)).save(elsewhere / "pictures" / f"{number}.png")
    monkeypatch.chdir(elsewhere)
    run = str(workdir / trained)
    result = ganzoo("train", "gan", "--resume", run, "--kimg", "0.024")
    assert result.exit_code == 0, result.output
    assert "changed: the data" not in result.output
    assert options(workdir / RUN)["train"]["data"] == "pictures"
    assert options(workdir / RUN)["data_path"] == str(workdir / "pictures")
    assert "vs. pictures;" in ganzoo("evaluate", run, "--samples", "12", "--metrics", "kid").output
    (workdir / "pictures").rename(workdir / "moved")
    moved = ganzoo("train", "gan", "--resume", run, "--kimg", "0.032")
    assert moved.exit_code == 0, moved.output
    assert f"changed: the data moved from {workdir / 'pictures'} to {elsewhere / 'pictures'}" in moved.output


def test_missing_data_are_reported_with_the_option_to_give_their_location(ganzoo, trained, workdir):
    (workdir / "pictures").rename(workdir / "moved")
    message = one_error(ganzoo("train", "gan", "--resume", "0", "--kimg", "0.024"), 1)
    assert f"its training data are no longer at {workdir / 'pictures'}. Give their location with --data." in message
    assert "Give their location with --against." in one_error(ganzoo("evaluate", "--samples", "12"), 1)
    moved = ganzoo("train", "gan", "--resume", "0", "--kimg", "0.024", "--data", "moved")
    assert moved.exit_code == 0, moved.output
    assert "changed: trained on pictures before, now on moved (12 images)" in moved.output


def test_an_old_run_without_a_recorded_data_path_continues(ganzoo, trained, workdir, monkeypatch):
    description = options()
    del description["data_path"]
    (trained / "options.json").write_text(json.dumps(description))
    assert ganzoo("train", "gan", "--resume", "0", "--kimg", "0.024").exit_code == 0
    (trained / "options.json").write_text(
        json.dumps({**description, "train": {**description["train"], "data": "./pictures"}})
    )
    (workdir / "empty").mkdir()
    monkeypatch.chdir(workdir / "empty")
    message = one_error(ganzoo("train", "gan", "--resume", str(workdir / RUN), "--kimg", "0.032"), 1)
    assert "its training data are no longer at ./pictures. Give their location with --data." in message


def test_the_printed_command_continues_the_run(ganzoo, pictures):
    child = start("train", "gan", "--data", "pictures", *TINY_RUN_OPTIONS, "--kimg", "1000", "--experiments", "my runs")
    run = Path("my runs/00000-gan-pictures")
    wait_for((run / "stats.jsonl").exists, child)
    child.send_signal(signal.SIGTERM)
    assert child.wait(timeout=60) == 128 + signal.SIGTERM
    hint = next(line for line in Path("output.txt").read_text().splitlines() if line.startswith("Continue with: "))
    command = shlex.split(hint.partition(": ")[2])
    assert command == ["ganzoo", "train", "gan", "--resume", str(run)]
    stopped = checkpoint.images_seen(checkpoint.newest(run))
    result = ganzoo(*command[1:], "--kimg", str(stopped / 1000 + 0.008))
    assert result.exit_code == 0, result.output


def test_an_interrupted_measurement_is_repeated(ganzoo, pictures):
    track = ["--evaluate-every", "0.008", "--evaluate", "kid", "--evaluate-samples", "12"]
    assert ganzoo("train", "gan", "--data", "pictures", *TINY_RUN_OPTIONS, *track).exit_code == 0
    stats = RUN / "stats.jsonl"
    complete = [json.loads(line) for line in stats.read_text().splitlines()]
    incomplete = {name: value for name, value in complete[1].items() if name != "metrics"}
    stats.write_text(f"{json.dumps(complete[0])}\n{json.dumps(incomplete)}\n")
    result = ganzoo("train", "gan", "--resume", "0", "--kimg", "0.024")
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in stats.read_text().splitlines()]
    assert rows[:2] == complete
    assert [row["images"] for row in rows if "metrics" in row] == [8, 16, 24]
    off = ganzoo("train", "gan", "--resume", "0", "--kimg", "0.032", "--evaluate-every", "0")
    assert off.exit_code == 0, off.output
    assert "metrics" not in json.loads(stats.read_text().splitlines()[-1])


@pytest.mark.parametrize("name", ["stats.jsonl", "log.txt", "losses.png", "samples-000000024.png", "reals.png"])
def test_no_content_of_a_run_folder_causes_a_traceback(ganzoo, trained, name):
    path = trained / name
    if path.exists():
        path.unlink()
    path.mkdir()
    result = ganzoo("train", "gan", "--resume", "0", "--kimg", "0.024")
    if name == "stats.jsonl":
        assert "stats.jsonl" in one_error(result, 1)
    else:
        assert result.exit_code == 0, result.output
    assert ganzoo("runs").exit_code == 0


def test_statistics_in_another_format_do_not_stop_a_run(ganzoo, trained):
    rows = [json.loads(line) for line in (trained / "stats.jsonl").read_text().splitlines()]
    del rows[-1]["seconds"], rows[-1]["skipped"]
    rows[-1]["size"] = ["x"]
    (trained / "stats.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    result = ganzoo("train", "gan", "--resume", "0", "--kimg", "0.024")
    assert result.exit_code == 0, result.output
    assert (trained / "losses.png").stat().st_size


def test_a_run_can_be_resumed_with_augmentation(ganzoo, trained):
    result = ganzoo("train", "gan", "--resume", "0", "--kimg", "0.048", "--augment", "ada")
    assert result.exit_code == 0, result.output
    assert "changed: --augment was none, is ada" in result.output
    rows = [json.loads(line) for line in (trained / "stats.jsonl").read_text().splitlines()]
    assert "augmentation/p" not in rows[0]["watched"]
    assert rows[-1]["watched"].keys() >= {"augmentation/p", "augmentation/r_t"}
    assert checkpoint.read(checkpoint.newest(trained)).metadata.ada is not None
    result = ganzoo("train", "gan", "--resume", "0", "--kimg", "0.064", "--augment", "none")
    assert "changed: --augment was ada, is none" in result.output
