from __future__ import annotations

import os
import re

import pytest

from ganzoo.checkpoints import checkpoint
from ganzoo.errors import OptionError, RunError
from ganzoo.metrics.report import save
from ganzoo.registry import plugins
from ganzoo.reports import render, render_comparison, save_report
from ganzoo.reports.facts import format_seconds
from ganzoo.reports.pictures import PictureCache, find_sheets, newest_sheet
from ganzoo.runs import Run
from tests.support.evaluations import record
from tests.support.run_folders import row, run_folder


def test_a_report_has_numbers_samples_curves_and_changed_options(tmp_path):
    rows = [row(1), row(2, size=32)]
    page = render(run_folder(tmp_path / "run", rows, [1000, 2000], {"latent": 7}), plugins.load())
    for expected in ("2 kimg of 100", "500 img/s", "losses: discriminator", "32 px", "Real images", "--latent"):
        assert expected in page
    assert page.count("data:image/") == 4  # the newest sheet, real images, and both sheets for the slider


def test_a_report_without_samples_or_statistics_says_so(tmp_path):
    page = render(run_folder(tmp_path / "run"))
    assert "There are none yet." in page
    assert "There are no statistics yet." in page


def test_names_and_options_can_not_inject_anything(tmp_path):
    evil = '</script><script>alert("x")</script>'
    losses = {f"{evil}/a": 1.0}
    run = run_folder(tmp_path / "<b>run", [row(1, losses=losses)], [1000], {evil: evil})
    (run.path / f"samples-000001000-{evil.replace('/', '')}.png").write_bytes(
        (run.path / "samples-000001000.png").read_bytes()
    )
    for page in (render(run, state=evil), render_comparison([run, run])):
        assert "<b>run" not in page
        assert "<script>alert" not in page
        assert page.count("<script>") == 1


def test_a_page_may_load_nothing(tmp_path):
    page = render(run_folder(tmp_path / "run", [row(1)], [1000]))
    assert "default-src 'none'" in page
    assert "unsafe" not in page
    assert not re.search(r"""(src|href)=["'](?!data:)""", page)


def test_damaged_pictures_and_rows_are_left_out(tmp_path):
    run = run_folder(
        tmp_path / "run", [row(1), row(2, images_per_second=float("nan")), row(3, images_per_second=1e299)], [1000]
    )
    (run.path / "samples-000002000.png").write_bytes(b"not a picture")
    (run.path / "reals.png").write_bytes(b"")
    page = render(run)
    assert "NaN" not in page.partition("<main>")[2].partition("<script>\n")[0]
    assert "Real images" not in page
    assert "1 of 2 sheets are shown" in page


def test_without_options_the_error_is_that_of_the_run(tmp_path):
    with pytest.raises(RunError):
        render(Run(tmp_path))


def test_the_size_of_a_report_is_bounded(tmp_path):
    rows = [row(tick / 10) for tick in range(1, 2001)]
    run = run_folder(tmp_path / "run", rows, range(100, 200_100, 100))
    page = render(run)
    assert len(page) < 4 << 20
    assert re.search(r"\d+ of 2000 sheets are shown", page)


def test_sheets_are_encoded_again_only_if_they_change(tmp_path):
    run, cache = run_folder(tmp_path / "run", [], [1000, 2000]), PictureCache()
    before = cache.sheets(run.path)[0].pictures
    os.utime(run.path / "samples-000002000.png", (1, 1))
    after = cache.sheets(run.path)[0].pictures
    assert after[0] is before[0]
    assert after[1] is not before[1]


def test_sheets_are_found_by_kind(tmp_path):
    for name in ("samples-000000010.png", "samples-000000010-latents.png", "samples-x.png"):
        (tmp_path / name).touch()
    assert list(find_sheets(tmp_path)) == ["", "latents"]


def test_several_runs_are_compared_by_what_differs(tmp_path):
    runs = [run_folder(tmp_path / name, [row(1)], [1000], {"latent": size}) for name, size in (("a", 7), ("b", 9))]
    page = render_comparison(runs)
    assert "<td>7</td><td>9</td>" in page
    assert "--data" not in page


def test_a_report_is_written_beside_the_run_or_to_a_file(tmp_path):
    run = run_folder(tmp_path / "run", [row(1)])
    assert save_report([run]) == run.path / "report.html"
    assert save_report([run], out=tmp_path / "new" / "x.html").read_text() == (run.path / "report.html").read_text()
    with pytest.raises(OptionError, match=r"must end in \.html"):
        save_report([run], out="x.txt")


def test_the_log_adds_warnings(tmp_path):
    run = run_folder(tmp_path / "run", [row(1)])
    for line in ("on CPU", "a.png: damaged. Left out of training.", "Error: no <space> left", "failed"):
        run.log(line)
    page = render(run)
    assert "Training failed at 1 of 100 kimg: no &lt;space&gt; left" in page
    assert "1 image was left out" in page
    assert "Training failed" not in render(run, state="running")


def test_the_best_checkpoint_is_marked_apart_from_others(tmp_path):
    rows = [row(kimg, metrics={"fid2k-real500-efficientnet-lite0": fid}) for kimg, fid in ((1, 30), (2, 10), (3, 20))]
    run = run_folder(tmp_path / "run", rows, train={"evaluate_every": 1.0})
    for images in (2000, 3000):
        (run.path / checkpoint.file_name(images)).touch()
    save(run.path, record({"fid": 20.0}, samples=2000))
    page = render(run, plugins.load())
    assert '{"kimg":3.0,"kind":"kept","label":"checkpoint at 3 kimg"}' in page
    assert "best checkpoint, at 2 kimg: fid2k-real500-efficientnet-lite0 10<" in page
    assert "2,000 generated and 500 real images" in page


def test_a_report_of_many_ticks_and_checkpoints_is_bounded(tmp_path):
    losses = {f"phase{index}/loss": 0.5 for index in range(30)}
    run = run_folder(tmp_path / "run", [row(tick, losses=losses) for tick in range(1, 1001)])
    for tick in range(1, 1001):
        (run.path / checkpoint.file_name(tick * 1000)).touch()
    page = render(run)
    assert len(page) < 2 << 20
    assert page.count('"kind":"kept"') <= 100


def test_a_comparison_of_many_runs_is_bounded(tmp_path):
    rows = [row(tick, losses={f"phase{index}/loss": 0.5 for index in range(10)}) for tick in range(1, 301)]
    runs = [run_folder(tmp_path / f"{index:05d}-gan", rows, [1000], side=400) for index in range(20)]
    page = render_comparison(runs)
    assert page.count("<img") == 20
    assert len(page) < 6 << 20


def test_sheets_of_a_comparison_are_scaled_down_to_their_share(tmp_path):
    folder = run_folder(tmp_path / "run", sheets=[1000], side=400).path
    whole, part = newest_sheet(folder, 1 << 20), newest_sheet(folder, 20_000)
    assert len(whole.data) > 20_000 >= len(part.data)
    assert newest_sheet(folder, 10) is None


def test_runs_of_the_same_name_are_told_apart(tmp_path):
    runs = [run_folder(tmp_path / name, [row(1)]) for name in ("one/00000-gan", "two/00000-gan", "00001-gan")]
    page = render_comparison([*runs, runs[0]])
    for name in ("one/00000-gan", "two/00000-gan", ">00001-gan<"):
        assert name in page
    assert "one/00000-gan (2)" in page
    assert str(tmp_path) not in page


def test_a_page_that_can_not_be_written_is_an_error(tmp_path):
    run = run_folder(tmp_path / "run", [row(1)])
    (run.path / "report.html").mkdir()
    with pytest.raises(OptionError, match=r"can't be written .*--out"):
        save_report([run])


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "5 s"), (60, "1 min"), (7500, "2 h 5 min"), (90061, "1 d 1 h"), (86400, "1 d")]
)
def test_durations_are_readable(seconds, text):
    assert format_seconds(seconds) == text


def test_a_run_has_the_same_colour_in_all_curves(tmp_path):
    one = run_folder(tmp_path / "one", [row(1)])
    two = run_folder(tmp_path / "two", [row(1, watched={"augmentation/p": 0.5})])
    assert '"title":"augmentation/p","curves":[{"name":"two","colour":1,' in render_comparison([one, two])
