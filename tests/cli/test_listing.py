from __future__ import annotations

import json


def test_models_are_listed_with_name_summary_and_paper(ganzoo):
    rows = {row["name"]: row for row in json.loads(ganzoo("models", "--json").stdout)}
    assert {"gan", "lsgan"} <= rows.keys()
    assert "arXiv" in rows["lsgan"]["paper"]
    assert rows["gan"]["summary"] in ganzoo("models").stdout


def test_train_help_names_every_option_with_its_default(ganzoo):
    text = ganzoo("train", "lsgan", "--help").stdout
    for flag in ("--variant", "--size", "--data", "--kimg", "--batch", "--resume", "--preset", "--dry-run"):
        assert flag in text
    assert "[default: 64]" in text
