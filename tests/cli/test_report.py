"""`ganzoo report`: a page about a run, or one that compares runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.run_folders import row, run_folder


@pytest.fixture
def two_runs(workdir) -> list[Path]:
    return [run_folder(Path("experiments") / name, [row(1)], [1000]).path for name in ("00000-gan-a", "00001-gan-b")]


def test_the_newest_run_is_reported_in_its_folder(ganzoo, two_runs):
    result = ganzoo("report")
    assert (result.exit_code, result.stdout.strip()) == (0, str(two_runs[1] / "report.html"))
    assert "<h1>00001-gan-b</h1>" in (two_runs[1] / "report.html").read_text()


def test_a_run_is_named_as_elsewhere(ganzoo, two_runs):
    for name in ("0", "00000-gan-a", str(two_runs[0])):
        assert ganzoo("report", name).stdout.strip() == str(two_runs[0] / "report.html")


def test_several_runs_are_compared_in_the_current_folder(ganzoo, two_runs):
    result = ganzoo("report", "0", "1")
    assert (result.exit_code, result.stdout.strip()) == (0, "report.html")
    page = Path("report.html").read_text()
    assert "<h1>2 runs</h1>" in page
    assert page.count("<img") == 2


def test_out_names_the_file(ganzoo, two_runs):
    assert ganzoo("report", "0", "--out", "new/page.html").stdout.strip() == "new/page.html"
    assert Path("new/page.html").exists()
    assert not (two_runs[0] / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["7"], "there is no run '7' in experiments"),
        (["zoo:gan-mnist"], "there is no run 'zoo:gan-mnist'"),
        (["0", "--out", "page.pdf"], "--out page.pdf: the name must end in .html."),
        (["0", "--out", "experiments/00000-gan-a/stats.jsonl/page.html"], "can't be created"),
    ],
)
def test_mistakes_are_explained_in_one_line(ganzoo, two_runs, arguments, message):
    result = ganzoo("report", *arguments)
    assert result.exit_code != 0
    assert message in result.stderr
    assert result.stdout == ""


def test_a_folder_without_permission_is_an_error(ganzoo, two_runs, monkeypatch):
    def refuse(path: Path, *content: bytes) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("ganzoo.reports.atomic_write", refuse)
    result = ganzoo("report", "0")
    assert result.exit_code != 0
    assert "can't be written (Permission denied). Name another file with --out." in result.stderr


def test_without_a_run_the_error_says_how_to_start_one(ganzoo):
    assert "there is no run in experiments yet" in ganzoo("report").stderr
