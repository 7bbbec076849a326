"""Training of models that draw images from every domain."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from ganzoo.checkpoints import checkpoint
from ganzoo.interfaces.dataset import LoaderConfig
from tests.support.two_domains import TwoDomains

TRAIN = ["train", "two-domains", "--data", "pictures", "--batch", "4", "--tick", "0.008", "--micro-batch", "3"]


@pytest.fixture(params=["per_domain", "paired"])
def two_domains(request, add_model, monkeypatch, domains) -> Path:
    """Register the model, drawing in one of the ways. Return the folder of its data."""
    monkeypatch.setattr(TwoDomains, "config", LoaderConfig(crop_probability=0.5, **{request.param: True}))
    add_model(TwoDomains())
    return domains


def test_an_extended_run_equals_an_uninterrupted_one(jittor, ganzoo, two_domains):
    assert ganzoo(*TRAIN, "--kimg", "0.024").exit_code == 0
    assert ganzoo(*TRAIN, "--kimg", "0.012").exit_code == 0
    assert ganzoo("train", "two-domains", "--resume", "latest", "--kimg", "0.024").exit_code == 0
    whole, extended = (
        checkpoint.read(checkpoint.newest(Path(f"experiments/0000{number}-two-domains-pictures"))) for number in (0, 1)
    )
    assert whole.metadata == extended.metadata
    assert whole.metadata.progress.step == 6
    for name, value in whole.tensors.items():
        np.testing.assert_array_equal(value, extended.tensors[name])


def test_a_dry_run_says_how_images_are_counted(jittor, ganzoo, two_domains):
    result = ganzoo(*TRAIN, "--dry-run")
    assert result.exit_code == 0, result.output
    assert "as many of each of 2 domains; --batch and --kimg count those of one domain" in result.stdout


def test_pairs_are_read_from_a_prepared_set(jittor, ganzoo, two_domains):
    assert ganzoo("data", "prepare", "pictures", "--out", "./p.lmdb", "--sizes", "8").exit_code == 0
    assert ganzoo(*TRAIN, "--data", "./p.lmdb", "--dry-run").exit_code == 0


@pytest.mark.parametrize("two_domains", ["paired"], indirect=True)
def test_an_image_without_a_partner_is_reported_in_one_line(jittor, ganzoo, two_domains):
    (two_domains / "one" / "3.png").unlink()
    result = ganzoo(*TRAIN)
    assert result.exit_code == 1
    assert "1 image has no partner of the same name in another domain: two/3. Add" in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("two_domains", ["paired"], indirect=True)
def test_a_validation_image_without_a_partner_is_reported_before_training(jittor, ganzoo, two_domains):
    for domain in ("one", "two"):
        (two_domains / "train" / domain).parent.mkdir(exist_ok=True)
        (two_domains / domain).rename(two_domains / "train" / domain)
        shutil.copytree(two_domains / "train" / domain, two_domains / "val" / domain)
    assert ganzoo(*TRAIN, "--kimg", "0.008").exit_code == 0
    (two_domains / "val" / "one" / "3.png").unlink()
    result = ganzoo(*TRAIN, "--kimg", "0.008")
    assert result.exit_code == 1
    assert "pictures-val: 1 image has no partner of the same name in another domain: two/3. Add" in result.output
    assert not Path("experiments/00001-two-domains-pictures").exists()


@pytest.mark.parametrize("two_domains", ["per_domain"], indirect=True)
def test_the_sheets_of_a_model_are_written_beside_the_samples(jittor, ganzoo, two_domains):
    assert ganzoo(*TRAIN, "--kimg", "0.008").exit_code == 0
    names = {path.name for path in Path("experiments/00000-two-domains-pictures").glob("samples-000000008*.png")}
    assert names == {f"samples-000000008{name}.png" for name in ("", "-first", "-second")}


def failing(model, inputs):
    yield "good", np.zeros((8, 8, 3), np.uint8)
    raise ZeroDivisionError("no sheet")


@pytest.mark.parametrize("two_domains", ["per_domain"], indirect=True)
def test_a_failing_sheet_is_reported_once_and_ends_no_training(jittor, ganzoo, two_domains, monkeypatch):
    monkeypatch.setattr(TwoDomains, "sheets", failing)
    result = ganzoo(*TRAIN, "--kimg", "0.016")
    assert result.exit_code == 0
    warning = "warning: sheets of two-domains: ZeroDivisionError: no sheet (the traceback is in log.txt)."
    assert result.output.count(f"{warning} Training continues.") == 1
    assert "finished: " in result.output
    assert Path("experiments/00000-two-domains-pictures/samples-000000016.png").exists()
