"""The benchmark computes equal losses on both sides and writes its results; no time is asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from ganzoo.backend import environment
from tests.support.reference import needs_torch

BENCH = Path(__file__).parents[2] / "experiments" / "bench"


@pytest.fixture
def bench(tmp_path):
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(BENCH / "run.py"), *arguments, "--out", str(tmp_path / "made/here")]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return run


@needs_torch
def test_a_row_is_measured(bench, tmp_path, jittor):
    kernels = Path(jittor.flags.cache_path) / "jit"
    before = set(kernels.iterdir())
    done = bench("gan-28-64", "--turns", "2", "--precision", "fp32")
    assert done.returncode == 0, done.stderr
    assert "| gan 28 px, batch 64 |" in done.stdout
    (row,) = json.loads((tmp_path / "made/here/results.json").read_text())
    assert (row["model"], row["size"], row["batch"], row["turns"]) == ("gan", 28, 64, 2)
    assert row["ratio"] == pytest.approx(row["torch_s"] / row["ganzoo_s"])
    assert row["memory_ratio"] == pytest.approx(row["ganzoo_peak_bytes"] / row["torch_peak_bytes"])
    assert set(row["losses"]) == {"generator/adversarial", "discriminator/real", "discriminator/fake"}
    for ours, theirs in row["losses"].values():
        assert ours == pytest.approx(theirs, rel=1e-4)
    parameters = 1_510_032 + 533_505
    assert row["arithmetic_flop"] > 2 * 64 * parameters  # forward alone
    # The cold start moves the compiled kernels away and restores them.
    assert before <= set(kernels.iterdir())
    assert not [path for path in kernels.parent.iterdir() if path.name.startswith("jit-")]
    assert (tmp_path / "made/here/results.png").read_bytes().startswith(b"\x89PNG")


@needs_torch
@pytest.mark.skipif(not environment.amx_available(), reason="this processor has no AMX")
def test_a_row_is_measured_in_bfloat16_on_both_sides(bench, tmp_path):
    done = bench("gan-28-64", "--turns", "2", "--precision", "amp", "--no-cold")
    assert done.returncode == 0, done.stderr
    assert "### bfloat16 on both sides, " in done.stdout
    (row,) = json.loads((tmp_path / "made/here/results.json").read_text())
    assert (row["precision"], row["goal"]) == ("amp", 1.3)
    assert row["floor_s"] == pytest.approx(
        max(
            row["arithmetic_flop"] / row["matrix_product_flop_per_s"],
            row["moved_bytes"] / row["copy_bytes_per_s"],
        )
    )
    assert "AMX" in row["instruction_sets"]
    assert any(ours != pytest.approx(theirs, rel=1e-6) for ours, theirs in row["losses"].values())


@pytest.mark.parametrize("agreeing", [0, 2, None])
def test_losses_must_agree_for_one_of_three_seeds_of_the_noise(monkeypatch, agreeing):
    """By chance, rounding changes the losses after an update; it can't do so for each seed."""
    monkeypatch.syspath_prepend(BENCH)
    import rows
    import run

    tried = []

    def losses_of_a_step(row, config, seed):
        tried.append(seed)
        return {"d/real": [1.0, 1.0, 1.0], "g/adv": [1.0005 if seed == agreeing else 1.01, 1.0, 1.004]}

    monkeypatch.setattr(run, "losses_of_a_step", losses_of_a_step)
    row, config = rows.ROWS["gan-28-64"], run.Config(2)
    if agreeing is None:
        with pytest.raises(click.ClickException, match=r"^gan-28-64: g/adv is 1\.01 in ganzoo and 1\.0 in PyTorch$"):
            run.compare(row, config)
        assert tried == [0, 1, 2]
    else:
        assert run.compare(row, config)["g/adv"] == [1.0005, 1.0]
        assert tried == list(range(agreeing + 1))


def test_losses_may_differ_twice_as_much_as_those_of_pytorch_in_its_two_layouts(monkeypatch):
    monkeypatch.syspath_prepend(BENCH)
    import run

    assert run.differ(5.01, 5.0, 5.002, "fp32")
    assert not run.differ(5.01, 5.0, 5.006, "fp32")
    assert not run.differ(5.004, 5.0, 5.0, "fp32")
    assert run.differ(5.06, 5.0, 6.0, "fp32")


def test_kernels_that_others_compile_during_a_cold_start_are_kept(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCH)
    from run import restore_kernels

    kernels, backup = tmp_path / "jit", tmp_path / "jit-aside"
    for folder, names in ((kernels, "bc"), (backup, "ab")):
        folder.mkdir()
        for name in names:
            (folder / name).write_text(folder.name)
    restore_kernels(kernels, backup)
    assert [path.name for path in tmp_path.iterdir()] == ["jit"]
    assert {path.name: path.read_text() for path in kernels.iterdir()} == {
        "a": "jit-aside",
        "b": "jit-aside",
        "c": "jit",
    }


@pytest.fixture
def published(monkeypatch) -> list[dict]:
    monkeypatch.syspath_prepend(BENCH)
    rows: list[dict] = json.loads((BENCH / "results.json").read_text())
    return rows


def test_the_table_omits_a_cold_start_that_was_not_measured(published):
    import report
    import run

    row = {**published[0], "ganzoo_warm_start_s": 2.4, "ganzoo_cold_start_s": 13.8, "torch_start_s": 3.5}
    assert "| 2.4, cold 13.8 / 3.5 |" in report.tables([row])
    row["ganzoo_cold_start_s"] = None
    assert "| 2.4 / 3.5 |" in report.tables([row])
    assert run.summary_line(row).endswith("first step after 2.4 s")


def test_a_new_result_replaces_only_that_of_the_same_row_processor_and_precision(published):
    import run

    for key, value in (
        ("processor", "another"),
        ("instruction_sets", ["another"]),
        ("precision", "tf32"),
        ("size", 1),
    ):
        assert len(run.merge(published, [{**published[0], key: value}])) == len(published) + 1
    merged = run.merge(published, [{**published[0], "ratio": 99.0}])
    assert len(merged) == len(published)
    assert merged[0]["ratio"] == 99.0


def test_precisions_and_processors_have_tables_of_their_own(published):
    import report

    rows = [published[0], {**published[0], "precision": "amp"}, {**published[0], "processor": "another"}]
    titles = [line for line in report.tables(rows).splitlines() if line.startswith("###")]
    assert len(titles) == 3
    assert sum("bfloat16" in title for title in titles) == 1


def test_the_readme_shows_the_published_results(published):
    import report

    text = (BENCH / "README.md").read_text()
    for table in report.tables(published).split("\n\n"):
        assert table in text


def test_tf32_is_refused_on_the_cpu(bench):
    done = bench("gan-28-64", "--precision", "tf32")
    assert done.returncode == 2
    assert "--precision tf32 is for --device cuda" in done.stderr


@needs_torch
def test_different_losses_are_an_error(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    import run
    from rows import ROWS

    answers = {"save_weights": None, "losses": {"real": 0.5}}
    wrong = {"losses": {"real": 0.502}}

    class Fake:
        def __init__(self, name, row, config):
            self.answers = answers if name == "ganzoo" else wrong

        def request(self, word, *rest):
            return self.answers.get(word)

        def close(self):
            pass

    monkeypatch.setattr(run, "SideProcess", Fake)
    with pytest.raises(run.click.ClickException, match=r"gan-28-64: real is 0\.5 in ganzoo and 0\.502 in PyTorch"):
        run.compare(ROWS["gan-28-64"], run.Config(threads=1))


def test_an_unknown_row_is_a_one_line_error(bench):
    done = bench("gan-29-64")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("Error: unknown row gan-29-64; choose from stylegan-16-8")
