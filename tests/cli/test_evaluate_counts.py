"""`ganzoo evaluate`: how many generated and real images are measured, and how this is reported."""

from __future__ import annotations

import json
import re
from pathlib import Path

RUN = Path("experiments/00000-gan-pictures")


def results() -> list[dict]:
    """Return the results of all evaluations so far."""
    lines = (RUN / "evaluations.jsonl").read_text().splitlines()
    return [result for line in lines for result in json.loads(line)["results"]]


def test_as_many_real_images_are_read_as_there_are_samples(ganzoo, trained, monkeypatch):
    from ganzoo.metrics import sources

    monkeypatch.setattr(sources, "MIN_REAL", 5)
    for arguments in (("--samples", "7"), ("--samples", "2"), ("--samples", "7", "--real", "9")):
        result = ganzoo("evaluate", "--metrics", "kid", *arguments)
        assert result.exit_code == 0, result.output
    counts = [(each["samples"], each["real"]) for each in results()]
    assert counts == [(7, 7), (2, 5), (7, 9)]
    table = (RUN / "evaluations.md").read_text()
    assert all(f"| {samples} | {real} | kid |" in table for samples, real in counts)


def test_a_quick_evaluation_uses_few_images(ganzoo, trained, monkeypatch):
    from ganzoo.metrics import tasks

    monkeypatch.setattr(tasks, "QUICK", 8)
    assert ganzoo("evaluate", "--metrics", "kid", "--quick").exit_code == 0
    assert ganzoo("evaluate", "--metrics", "kid", "--quick", "--samples", "5").exit_code == 0
    counts = [(each["samples"], each["real"]) for each in results()]
    assert counts == [(8, 8), (5, 8)]


def test_a_long_computation_is_announced_first(ganzoo, trained, monkeypatch):
    from ganzoo.metrics import evaluation

    monkeypatch.setattr(evaluation, "ESTIMATE_AFTER", 0.0)
    monkeypatch.setattr(evaluation, "REPORT_ABOVE", 0.0)
    result = ganzoo("evaluate", "--metrics", "kid", "--samples", "300")
    assert result.exit_code == 0, result.output
    assert re.search(r"^generating: 300 images take about \d+ s$", result.stdout, flags=re.M)


def test_only_readable_images_are_counted(ganzoo, trained):
    for index in (3, 7):
        Path(f"pictures/{index:02d}.png").write_bytes(b"no image")
    command = ("evaluate", "--samples", "11", "--metrics", "kid", "--against", "pictures")
    for _ in range(2):  # the second time from cached features
        result = ganzoo(*command)
        assert result.exit_code == 0, result.output
        assert result.stdout.splitlines()[-2].split()[:2] == ["11", "10"]
    assert [each["real"] for each in results()] == [10, 10]
    result = ganzoo("evaluate", "--folders", "pictures", "pictures", "--size", "8", "--metrics", "kid")
    assert result.stdout.splitlines()[-1].split()[:2] == ["10", "10"]
    for path in sorted(Path("pictures").iterdir())[:11]:
        path.write_bytes(b"no image")
    result = ganzoo("evaluate", "--folders", "pictures", "pictures", "--size", "8", "--metrics", "fid")
    assert result.exit_code == 2
    assert "fid: pictures has 1 image; a covariance needs at least 2. Add images" in result.stderr


def test_the_deviation_of_kid_is_omitted_if_all_subsets_are_the_same(ganzoo, trained):
    result = ganzoo("evaluate", "--samples", "12", "--metrics", "kid")
    assert result.exit_code == 0, result.output
    assert list(results()[0]["numbers"]) == ["kid"]
    assert "kid_std" not in result.stdout
