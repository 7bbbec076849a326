from __future__ import annotations

import json


def test_list_names_the_bundled_sets(ganzoo):
    rows = {row["name"]: row for row in json.loads(ganzoo("data", "list", "--json").stdout)}
    assert rows["mnist"]["ready"] is True
    assert rows["symbols"]["ready"] is False  # the data directory of this test is empty
    assert "mnist" in ganzoo("data", "list").stdout


def test_check_counts_a_good_folder(ganzoo, pictures):
    result = ganzoo("data", "check", "pictures")
    assert result.exit_code == 0
    assert "12 readable images of 12, RGB" in result.stdout
    assert "10 x 12 px: 12" in result.stdout


def test_check_names_every_unreadable_file(ganzoo, pictures):
    (pictures / "03.png").write_bytes((pictures / "03.png").read_bytes()[:100])
    (pictures / "07.png").write_bytes(b"")
    result = ganzoo("data", "check", "pictures")
    assert result.exit_code == 1
    assert "pictures/03.png" in result.stdout
    assert "pictures/07.png" in result.stdout
    assert "2 of 12 images can't be read" in result.stderr


def test_check_of_nothing_is_told(ganzoo):
    result = ganzoo("data", "check", "mnits")
    assert result.exit_code == 1
    assert "Did you mean 'mnist'?" in result.stderr
