"""`--labels` of `ganzoo train`, and of the commands that use a run or its data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ganzoo.checkpoints import checkpoint
from tests.conftest import TINY_RUN_OPTIONS
from tests.support.runs import newest, same
from tests.support.shades import ShadesGAN

TRAIN = ["train", "gan", "--data", "pictures", "--conditional", "--labels", "hair", *TINY_RUN_OPTIONS]
RUN = Path("experiments/00000-gan-pictures")


@pytest.fixture
def described(pictures: Path) -> Path:
    """Return the folder `pictures`, with a metadata.csv."""
    names = sorted(path.name for path in pictures.iterdir())
    lines = [f"{name},{'red' if at % 3 else 'blond'},{20 + at},{at / 8},{at % 4}" for at, name in enumerate(names)]
    (pictures / "metadata.csv").write_text("\n".join(["file_name,hair,age,height,mood", *lines, ""]))
    return pictures


def one_error(result, status: int = 2) -> str:
    assert result.exit_code == status, result.output
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


def test_a_run_with_labels_stops_and_resumes_exactly_and_is_evaluated_with_them(jittor, ganzoo, described):
    assert ganzoo(*TRAIN).exit_code == 0
    assert json.loads((RUN / "options.json").read_text())["train"]["labels"] == "hair"
    assert ganzoo(*TRAIN, "--kimg", "0.008").exit_code == 0
    resumed = ganzoo("train", "gan", "--resume", "1", "--kimg", "0.016")
    assert resumed.exit_code == 0, resumed.output
    whole, continued = (newest(RUN.with_name(f"0000{number}-gan-pictures")) for number in (0, 1))
    assert whole.data.domains == ("blond", "red")
    assert whole.metadata == continued.metadata
    assert same(whole.tensors, continued.tensors)
    evaluated = ganzoo("evaluate", "0", "--metrics", "kid", "--samples", "10", "--per-class")
    assert evaluated.exit_code == 0, evaluated.output
    assert "blond" in evaluated.output
    against = ganzoo("evaluate", "0", "--metrics", "kid", "--samples", "10", "--against", "mnist")
    assert "its domains (0, 1, 2" in one_error(against, 1)


def test_a_run_is_not_resumed_with_other_labels(jittor, ganzoo, described):
    assert ganzoo(*TRAIN, "--kimg", "0.008").exit_code == 0
    resume = ["train", "gan", "--resume", "latest", "--kimg", "0.016", "--labels"]
    assert "has no labels 'hiar'. Did you mean 'hair'?" in one_error(ganzoo(*resume, "hiar"))
    refused = ganzoo(*resume, "mood")
    assert refused.exit_code == 2
    assert "was trained on the domains blond, red, but the data has 0, 1, 2, 3" in refused.stderr
    assert "has no effect without --conditional" in one_error(
        ganzoo("train", "gan", "--data", "pictures", *resume[6:], "hair")
    )


def test_several_columns_are_attributes_of_a_model(jittor, ganzoo, described, add_model):
    add_model(ShadesGAN())
    train = ["train", "shades-gan", "--data", "pictures", "--batch", "4", "--kimg", "0.008", "--tick", "0.008"]
    result = ganzoo(*train, "--labels", "age,height")
    assert result.exit_code == 0, result.output
    saved = checkpoint.read(checkpoint.newest(Path("experiments/00000-shades-gan-pictures")))
    assert saved.data.attributes == ("age", "height")
    resume = ["train", "shades-gan", "--resume", "latest", "--kimg", "0.012"]
    assert "the attributes age, height, but the data has mood" in ganzoo(*resume, "--labels", "mood,").stderr
    assert ganzoo(*resume).exit_code == 0


def test_labels_are_chosen_for_checking_showing_and_preparing(ganzoo, described, workdir):
    assert "    --labels accepts hair, age, height, mood\n" in ganzoo("data", "check", "pictures").stdout
    checked = ganzoo("data", "check", "pictures", "--labels", "hair").stdout
    assert "    labels: hair; --labels also accepts age, height, mood\n" in checked
    assert "    domain blond: 4\n" in checked
    assert ganzoo("data", "show", "pictures", "--labels", "mood").exit_code == 0
    assert "Did you mean 'height'?" in one_error(ganzoo("data", "show", "pictures", "--labels", "hight"))
    prepared = ganzoo("data", "prepare", "pictures", "--out", "mine", "--sizes", "8", "--labels", "age,height")
    assert prepared.exit_code == 0, prepared.output
    checked = ganzoo("data", "check", "mine").stdout
    assert "    labels: age,height; --labels also accepts hair, age, height, mood\n" in checked
    assert "    attribute age: 20 to 31\n" in checked
    assert "    domain blond: 4\n" in ganzoo("data", "check", "mine", "--labels", "hair").stdout


def test_a_dry_run_does_not_prepare_a_set_for_its_labels(jittor, ganzoo, workdir):
    refused = ganzoo("train", "gan", "--data", "avatars", "--conditional", "--labels", "hair", "--dry-run")
    assert "avatars: not prepared yet, so its labels for --labels hair are unknown" in one_error(refused, 1)
