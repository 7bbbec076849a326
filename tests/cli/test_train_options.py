"""Options of `ganzoo train` that have no effect, are out of range or have another program's name are reported. The
command's help is complete."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from ganzoo.checkpoints import checkpoint
from tests.cli.test_train import one_error
from tests.conftest import TINY_RUN_OPTIONS

NARROW = ["--max-size", "8", "--latent", "8", "--mapping-layers", "1", "--channels-base", "64", "--channels-max", "8"]


def dry_run_options(ganzoo, *arguments: str) -> dict[str, str]:
    """Return the options that a dry run shows."""
    result = ganzoo("train", *arguments, "--dry-run")
    assert result.exit_code == 0, result.output
    return dict(line.split() for line in result.stdout.splitlines() if line.startswith("    --"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gan", "--evaluate", "fid"], "--evaluate has no effect without --evaluate-every."),  # even the default
        (["gan", "--evaluate", "pr"], "--evaluate has no effect without --evaluate-every."),
        (["gan", "--evaluate-samples", "50"], "--evaluate-samples has no effect without --evaluate-every."),
        (["gan", "--keep-best", "metrics/fid2k"], "--keep-best metrics/fid2k needs --evaluate-every"),
        (["stylegan", "--mixing-prob", "0.5"], "--mixing-prob has no effect without --mixing."),
        (["stylegan", "--r1-gamma", "3"], "--r1-gamma has no effect with --loss wgan-gp, only with --loss r1."),
        (["stylegan", "--r1-interval", "3"], "--r1-interval has no effect with --loss wgan-gp"),
        (["stylegan", "--loss", "r1", "--gp-weight", "3"], "--gp-weight has no effect with --loss r1"),
        (["stylegan", "--loss", "r1", "--drift", "0"], "--drift has no effect with --loss r1, only with --loss wgan"),
        (["stylegan", "--ema", "0.9", "--ema-kimg", "5"], "--ema has no effect with --ema-kimg 5."),
        (["stylegan", "--sched", "--batch", "7"], "--batch has no effect: with these options stylegan sets"),
        (["lsgan", "--variant", "tutorial", "--dropout", "0.5"], "--dropout has no effect with --variant tutorial"),
        (["stargan2", "--wing", "wing.ckpt"], "--wing has no effect with --w-hpf 0."),
        (["stargan2", "--lambda-ds", "0", "--ds-iter", "5"], "--ds-iter has no effect with --lambda-ds 0."),
    ],
)
def test_an_option_without_effect_is_refused_with_the_option_that_it_needs(ganzoo, domains, arguments, message):
    model, *given = arguments
    assert message in one_error(ganzoo("train", model, "--data", "pictures", *given, "--dry-run"), 2)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--mixing", "--mixing-prob", "0.5"],
        ["--loss", "r1", "--r1-gamma", "3"],
        ["--preset", "no_effect.toml"],
        ["--preset", "paper", "--r1-gamma", "3"],
        ["--sched", "--max-size", "512", "--batch", "7"],  # for 512 px, which --sched does not list
    ],
)
def test_presets_and_options_with_an_effect_are_accepted(ganzoo, domains, arguments):
    Path("no_effect.toml").write_text("r1-gamma = 3\nmixing-prob = 0.1\nevaluate = 'pr'\n")
    dry_run_options(ganzoo, "stylegan", "--data", "pictures", *NARROW, *arguments)


def test_resuming_accepts_recorded_options_without_effect_but_refuses_new_ones(ganzoo, pictures):
    Path("no_effect.toml").write_text("r1-gamma = 3\n")
    common = ["--data", "pictures", *NARROW, "--batch", "4", "--tick", "1"]
    started = ganzoo("train", "stylegan", "--preset", "no_effect.toml", *common, "--kimg", "0.004")
    assert started.exit_code == 0, started.output
    again = ["train", "stylegan", "--resume", "0", "--kimg", "0.008"]
    for value in ("3", "4"):
        assert "--r1-gamma has no effect" in one_error(ganzoo(*again, "--r1-gamma", value), 2)
    assert ganzoo(*again).exit_code == 0


@pytest.mark.parametrize(
    "arguments", [["gan", "--ema"], ["lsgan", "--ema"], ["stylegan", "--ema"], ["stargan2", "--ema"]]
)
def test_an_ema_that_never_changes_is_refused(ganzoo, arguments):
    assert "--ema: '1' is not a number of at least 0 and below 1." in one_error(ganzoo("train", *arguments, "1"), 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stylegan", "--w-average", "1"], "--w-average: '1' is not a number of at least 0 and below 1"),
        (["stylegan", "--ema-kimg", "1e20"], "of at most 10000"),
        (["stylegan", "--phase", "600000"], "of at most 100000"),  # a number of images, as in the port, instead of kimg
        (["gan", "--kimg", "0.0004"], "--kimg: '0.0004' is not a number of at least 0.001"),
    ],
)
def test_values_that_make_no_sense_are_refused(ganzoo, workdir, arguments, message):
    assert message in one_error(ganzoo("train", *arguments), 2)


def test_a_refused_resume_names_the_conflicting_options(jittor, ganzoo, pictures):
    common = ["--data", "pictures", *NARROW, "--kimg", "0.004", "--tick", "1"]
    assert ganzoo("train", "stylegan", *common, "--batch", "4").exit_code == 0
    refused = one_error(ganzoo("train", "stylegan", "--resume", "0", "--preset", "paper"), 2)
    assert refused.startswith("Error: --architecture paper, --w-average 0.995: the networks of 00000-stylegan-pictures")


def test_a_checkpoint_with_an_ema_of_1_can_be_sampled_and_its_training_continued_with_another(jittor, ganzoo, pictures):
    result = ganzoo("train", "gan", "--data", "pictures", *TINY_RUN_OPTIONS, "--ema", "0.5")
    assert result.exit_code == 0, result.output
    run = Path("experiments/00000-gan-pictures")
    saved = checkpoint.read(checkpoint.newest(run))
    description = dataclasses.replace(saved.run, options={**saved.run.options, "ema": 1.0})
    checkpoint.write(saved.path, saved.tensors, description, saved.metadata)
    options = json.loads((run / "options.json").read_text())
    (run / "options.json").write_text(json.dumps({**options, "options": {**options["options"], "ema": 1.0}}))
    generated = ganzoo("generate", "--seeds", "0-1", "--grid", "1x2")
    assert generated.exit_code == 0, generated.output
    again = ["train", "gan", "--resume", "0", "--kimg", "0.032"]
    assert "--ema: 1.0 is not a number of at least 0 and below 1" in one_error(ganzoo(*again), 2)
    resumed = ganzoo(*again, "--ema", "0.9")
    assert resumed.exit_code == 0, resumed.output
    assert "changed: --ema was 1, is 0.9" in resumed.stdout


def test_choices_are_shown_in_the_case_in_which_they_must_be_written(ganzoo):
    shown = ganzoo("train", "stylegan", "--help").output
    for choices in ("--loss wgan-gp|r1", "--device auto|cpu|cuda", "--precision tf32|fp32|amp"):
        assert choices in shown
    message = one_error(ganzoo("train", "stylegan", "--loss", "R1"), 2)
    assert message.endswith("is not one of wgan-gp, r1. Did you mean 'r1'?")


def test_the_help_has_headings(ganzoo):
    lines = ganzoo("train", "lsgan", "--help").output.splitlines()
    headings = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    expected = [
        "Options of lsgan",
        "Training",
        "Reports and checkpoints",
        "Evaluation",
        "Machine",
        "Runs",
        "Other options",
    ]
    assert headings == [f"{each}:" for each in expected]
    row = {line.split()[0]: number for number, line in enumerate(lines) if line.startswith("  --")}
    places = [lines.index(heading) for heading in headings]
    assert places[0] < row["--variant"] < places[1] < row["--batch"] < places[2] < row["--keep"] < places[3]
    assert places[3] < row["--evaluate"] < places[4] < row["--device"] < places[5] < row["--resume"] < places[6]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gan", "--lr", "3"], "unknown option --lr. Use --learning-rate."),
        (["gan", "--batch_szie", "3"], "unknown option --batch_szie. Did you mean '--batch'?"),
        (["stylegan", "my-images", "--mixing"], "'my-images' is an unexpected argument. Use --data to name the data."),
        (["stylegan", "--max_iters", "5"], "Use --kimg, the length in thousands of images"),
        (["stylegan", "--code_size", "5"], "Use --latent."),
        (["stylegan", "--img_size", "5"], "Use --max-size."),
        (["stylegan", "--expname", "a"], "Use --experiments"),
        (["stylegan", "--gamma", "5", "--cbase", "64"], "unknown option --gamma. Use --r1-gamma."),
        (["gan", "--metrics", "fid"], "unknown option --metrics. Use --evaluate with --evaluate-every."),
        (["gan", "--snap", "5"], "unknown option --snap. Use --snapshot."),
        (["stargan2", "--img_size=5"], "unknown option --img_size. Use --size."),
        (["stargan2", "--total_iters", "5"], "Use --kimg, the length in thousands of images"),
        (["stargan2", "--num_domains", "5"], "Omit it: domains are the folders of --data."),
        (["stargan2", "--train_img_dir", "x"], "Use --data, with the folder that holds train and val."),
        (["stargan2", "--batch_size", "5"], "Use --batch."),
        (["stargan2", "--resume_iter", "5"], "Use --resume latest"),
    ],
)
def test_an_option_of_another_program_gets_a_hint_to_ours(ganzoo, arguments, message):
    assert message in one_error(ganzoo("train", *arguments), 2)


def test_all_unknown_options_are_reported_at_once(ganzoo):
    arguments = ["--mode", "train", "--total_iters", "5", "--batch_size", "-8", "--w_hpf", "1"]
    result = ganzoo("train", "stargan2", *arguments)
    assert result.exit_code == 2
    reported = [line.partition("unknown option ")[2].split(".")[0] for line in result.stderr.splitlines()]
    assert reported == ["--mode", "--total_iters", "--batch_size"]


def test_underscores_are_accepted_in_place_of_dashes(ganzoo, pictures):
    options = dry_run_options(
        ganzoo, "gan", "--data", "pictures", "--learning_rate", "0.5", "--size=8", "--micro_batch=4"
    )
    assert (options["--learning-rate"], options["--micro-batch"]) == ("0.5", "4")


def test_a_dry_run_shows_the_resolved_options(ganzoo, pictures):
    zoo = dry_run_options(ganzoo, "lsgan", "--data", "pictures")
    assert (zoo["--size"], zoo["--latent"], zoo["--norm-eps"], zoo["--flip"]) == ("32", "100", "0.8", "False")
    assert (zoo["--evaluate"], zoo["--dropout"]) == ("-", "0.25")
    tutorial = dry_run_options(ganzoo, "lsgan", "--data", "pictures", "--variant", "tutorial", "--norm-eps", "0.3")
    assert (tutorial["--size"], tutorial["--latent"], tutorial["--norm-eps"]) == ("112", "1024", "0.3")
    assert tutorial["--dropout"] == "-"
    growing = dry_run_options(ganzoo, "stylegan", "--data", "pictures", "--init-size", "4")
    assert growing["--max-size"] == "8"  # the power of two nearest to 10 px


@pytest.mark.parametrize("arguments", [["stylegan", "--max-size", "32", *NARROW[2:]], ["stargan2"]])
def test_a_dry_run_prepares_no_data_set(ganzoo, workdir, arguments):
    result = ganzoo("train", *arguments, "--dry-run")
    assert result.exit_code == 0, result.output
    assert "not prepared yet" in result.stdout
    assert "memory" in result.stdout
    assert list(workdir.iterdir()) == []


def test_a_dry_run_describes_the_data_set_that_would_be_prepared(workdir):
    """The description lacks only the number of images, which depends on the fonts, or on this test."""
    from ganzoo_datasets import avatars, styles, symbols
    from ganzoo_datasets.glyphs import Glyph

    from ganzoo import DataInfo, open_path

    styles.build(Path("styles.lmdb"), codes=[ord(letter) for letter in "abcdefghijk"], processes=1)
    symbols.build(Path("symbols.lmdb"), glyphs=[Glyph(0, 0x25A0)], processes=1)
    avatars.build(Path("avatars.lmdb"), people=1, validation_people=1, processes=1)
    for source in (avatars.Avatars(), styles.Styles(), symbols.Symbols()):
        prepared = open_path(Path(f"{source.name}.lmdb")).info
        assert isinstance(source.expected, DataInfo)
        assert dataclasses.replace(source.expected, count=prepared.count) == prepared


@pytest.mark.parametrize(
    ("folder", "data", "chosen"),
    [
        ("celeba_hq", "celeba_hq", "chosen for celeba_hq: --size 64, --w-hpf 1, --lambda-ds 1"),
        ("CelebA-HQ", "CelebA-HQ", "chosen for CelebA-HQ: --size 64, --w-hpf 1, --lambda-ds 1"),
        ("afhq/train", "afhq/train", "chosen for afhq: --size 64, --w-hpf 0, --lambda-ds 2"),
        ("afhq/train", "afhq", "chosen for afhq: --size 64, --w-hpf 0, --lambda-ds 2"),
        ("avatars", "avatars", "chosen for avatars: --size 64, --w-hpf 0, --lambda-ds 1"),
        ("mine", "mine", "chosen for mine: --size 64, --w-hpf 0, --lambda-ds 1"),
    ],
)
def test_settings_for_known_data_sets_are_chosen_by_folder_name_and_reported(ganzoo, domains, folder, data, chosen):
    (domains.parent / "data").mkdir()
    (domains.parent / "data" / "wing.ckpt").write_bytes(b"")
    target = domains.parent / folder
    target.parent.mkdir(exist_ok=True)
    domains.rename(target)
    result = ganzoo("train", "stargan2", "--data", f"./{data}", "--channels-max", "8", "--hidden", "8", "--dry-run")
    assert result.exit_code == 0, result.output
    assert chosen in result.stdout


def test_a_preset_may_begin_with_a_byte_order_mark(ganzoo, pictures):
    Path("mine.toml").write_text('batch = 5\ndata = "pictures"\n', "utf-8-sig")
    assert dry_run_options(ganzoo, "gan", "--preset", "mine.toml")["--batch"] == "5"


def test_no_summary_in_the_help_is_truncated(ganzoo):
    for command in ([], ["data"], ["train"], ["import"]):
        _, _, listed = ganzoo(*command, "--help").output.partition("Commands:")
        assert listed
        assert "..." not in listed


def test_every_command_reports_a_requested_plugin_that_is_missing(ganzoo, monkeypatch):
    monkeypatch.setenv("GANZOO_PLUGINS", "ganzoo_gan,nope")
    result = ganzoo("models")
    assert result.stdout.split()[0] == "gan"
    assert "warning: GANZOO_PLUGINS: no plugin 'nope' is installed." in result.stderr
