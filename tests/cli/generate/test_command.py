from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ganzoo.errors import OptionError
from ganzoo.sampling.request import parse_grid, parse_mix_layers, parse_psi_layers, parse_seeds
from tests.support import stylegan_checkpoint

RUN = Path("experiments/00000-gan-pictures")


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_generate_writes_a_file_per_seed_and_a_sheet(ganzoo, trained):
    result = ganzoo("generate", "--seeds", "3,5-7", "--grid", "2x2")
    assert result.exit_code == 0, result.output
    out = trained / "generated"
    assert sorted(path.name for path in out.iterdir()) == ["grid.png", *(f"seed000{n}.png" for n in (3, 5, 6, 7))]
    assert pixels(out / "seed0003.png").shape == (8, 8, 3)
    assert str(RUN / "generated" / "grid.png") in result.stdout
    sheet = pixels(out / "grid.png")
    assert np.array_equal(sheet[2:66, 2:66], pixels(out / "seed0003.png").repeat(8, 0).repeat(8, 1))


def test_a_seed_gives_the_same_image_in_any_batch(ganzoo, trained):
    assert ganzoo("generate", "--seeds", "0-9", "--out", "many").exit_code == 0
    assert ganzoo("generate", str(RUN), "--seeds", "7", "--out", "one").exit_code == 0
    checkpoint = str(next(RUN.glob("*.safetensors")))
    assert ganzoo("generate", checkpoint, "--seeds", "6-7", "--out", "two").exit_code == 0
    reference = pixels(Path("many/seed0007.png"))
    assert np.array_equal(reference, pixels(Path("one/seed0007.png")))
    assert np.array_equal(reference, pixels(Path("two/seed0007.png")))
    assert not np.array_equal(reference, pixels(Path("many/seed0008.png")))


def test_a_checkpoint_is_enough(ganzoo, trained):
    alone = Path("elsewhere.safetensors")
    alone.write_bytes(next(RUN.glob("*.safetensors")).read_bytes())
    for path in Path("pictures").iterdir():
        path.unlink()
    assert ganzoo("generate", str(alone), "--seeds", "1").exit_code == 0
    assert Path("generated/seed0001.png").exists()


@pytest.mark.parametrize("format_", ["gif", "webp", "png"])
def test_an_interpolation_passes_through_its_seeds_in_a_loop(ganzoo, trained, format_):
    result = ganzoo("generate", "--interpolate", "--seeds", "0-3", "--grid", "1x2", "--steps", "4", "--format", format_)
    assert result.exit_code == 0, result.output
    out = trained / "generated"
    if format_ == "png":
        frames = [pixels(path) for path in sorted(out.glob("interpolation*.png"))]
    else:
        with Image.open(out / f"interpolation.{format_}") as animation:
            frames = []
            for index in range(animation.n_frames):
                animation.seek(index)
                frames.append(np.asarray(animation.convert("RGB")))
    assert len(frames) == 8
    assert ganzoo("generate", "--seeds", "0-3", "--out", "images").exit_code == 0
    # The left cell walks from seed 0 to seed 1 and back, the right one from 2 to 3. A GIF has 256 colours per frame.
    tolerance = 40 if format_ == "gif" else 1
    for frame, left, right in ((0, 0, 2), (4, 1, 3)):
        for column, seed in ((0, left), (1, right)):
            cell = frames[frame][2:66:8, 2 + 66 * column : 66 + 66 * column : 8].astype(int)
            assert np.abs(cell - pixels(Path(f"images/seed{seed:04d}.png"))).max() <= tolerance


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["nowhere"], 1, "there is no run 'nowhere'"),
        (["missing.safetensors"], 1, "there is no such file"),
        (["options.json"], 1, "not an intact checkpoint"),
        (["--seeds", "3-1"], 2, "'3-1' is not a number or a range"),
        (["--seeds", ""], 2, "not a number or a range"),
        (["--grid", "4"], 2, "'4' is not ROWSxCOLUMNS"),
        (["--grid", "1x2", "--seeds", "0-9"], 2, "no room for 10 seeds"),
        (["--interpolate", "--grid", "2x2", "--seeds", "0-5"], 2, "can't be shared among the 4 cells"),
        (["--format", "gif"], 2, "for --interpolate only"),
        (["--steps", "0"], 2, "--steps"),
        (["--out", "options.json"], 2, "--out"),
        (["--device", "cuda"], 1, "cuda"),
        (["--size", "16"], 2, "--size 16: this run was trained at 8 px"),
        (["--psi", "0.5"], 2, "--psi / --truncation: for style-based generators only; gan is not style-based"),
        (["--psi-layers", "8"], 2, "--psi-layers: for style-based"),
        (["--noise", "none"], 2, "--noise: for style-based"),
        (["--mix"], 2, "--mix: for style-based"),
        (["--interpolate", "--space", "w"], 2, "--space w: for style-based"),
        (["--psi", "0"], 2, "--psi / --truncation: for style-based generators only"),
        (["--size", "0"], 2, "--size 0: this run was trained at 8 px"),
        (["--seeds", "0-499999,500000-999999,7"], 2, "more than a million seeds"),
        (["--grid", "33x32"], 2, "--grid: 33x32 exceeds the maximum of 1,024 images per sheet"),
        (["--grid", "999x999", "--interpolate"], 2, "--grid: 999x999 exceeds the maximum of 1,024 images per sheet"),
        (["--interpolate", "--seeds", "5"], 2, "a walk needs at least two seeds, but --seeds names one"),
        (
            ["--interpolate", "--seeds", "0-10009"],
            2,
            "10,010 seeds or references exceed the maximum of 10,000 per walk",
        ),
        (["--interpolate", "--grid", "1x1", "--seeds", "0-99", "--steps", "1001"], 2, "100,100 frames exceed"),
        (["0/checkpoint-000000008.safetensors"], 1, "checkpoint-000000008.safetensors: there is no such file"),
        (["7/checkpoint-000000016.safetensors"], 1, "7/checkpoint-000000016.safetensors: there is no such file"),
    ],
)
def test_bad_input_is_reported_in_one_line(ganzoo, trained, arguments, status, message):
    Path("options.json").write_text("{}")
    before = set(Path().rglob("*"))
    result = ganzoo("generate", *arguments)
    assert (result.exit_code, len([x for x in result.stderr.splitlines() if x.startswith("Error")])) == (status, 1)
    assert message in result.stderr
    result = ganzoo("generate", *arguments, *([] if "--out" in arguments else ["--out", "new/deep"]))
    assert result.exit_code == status
    assert set(Path().rglob("*")) == before, "a failed command left files behind"


def test_a_failed_command_leaves_no_empty_folder(ganzoo, trained, monkeypatch):
    from ganzoo.errors import GanzooError
    from ganzoo.sampling import image_files

    def full(path, image):
        raise GanzooError(f"{path}: can't be written (No space left on device).")

    monkeypatch.setattr(image_files, "save", full)
    Path("there").mkdir()
    for out in ("new/deep", "there"):
        assert ganzoo("generate", "--seeds", "0-3", "--out", out).exit_code == 1
    assert Path("there").exists()
    assert not Path("new").exists()


@pytest.mark.parametrize("name", ["0/checkpoint-000000016.safetensors", "00000-gan-pictures/checkpoint-000000016"])
def test_a_checkpoint_can_be_named_by_its_run(ganzoo, trained, name):
    result = ganzoo("generate", name, "--seeds", "0-1")
    assert result.exit_code == 0, result.output
    assert f"from {RUN}/checkpoint-000000016.safetensors" in result.stdout
    assert (trained / "generated" / "seed0001.png").exists()


def test_weights_that_are_not_finite_are_reported_by_name(ganzoo, trained):
    from ganzoo.checkpoints import checkpoint

    saved = checkpoint.read(next(RUN.glob("*.safetensors")))
    for value, word in ((np.nan, "NaN"), (np.inf, "infinite")):
        damaged = saved.tensors["net/generator/layers.0.weight"].copy()
        damaged[0, 0] = value
        tensors = {**saved.tensors, "net/generator/layers.0.weight": damaged}
        checkpoint.write(Path("bad.safetensors"), tensors, saved.run, saved.metadata)
        for command in (("generate",), ("evaluate", "--samples", "12")):
            result = ganzoo(command[0], "bad.safetensors", *command[1:])
            assert result.exit_code == 1
            assert f"the weight net/generator/layers.0.weight is {word} in places" in result.stderr
    assert not Path("generated").exists()


def make_run(name: str, write) -> Path:
    """Make a run folder with the checkpoint that `write` saves to a given path."""
    from ganzoo.checkpoints import checkpoint

    run = Path("experiments") / name
    run.mkdir(parents=True)
    path = run / "checkpoint-000000001.safetensors"
    write(path)
    description = {"train": {}, **checkpoint.read(path).run.to_json()}
    (run / "options.json").write_text(json.dumps(description))
    return run


def test_without_a_run_the_newest_suitable_one_is_used(ganzoo, trained):
    make_run("00001-stylegan-nothing", lambda path: stylegan_checkpoint.write_checkpoint(path, size=8))
    shutil.copytree(RUN, "experiments/00002-gan-pictures")
    shutil.copytree(RUN, "experiments/00003-gan-pictures")
    result = ganzoo("generate", "--mix", "--sources", "0", "--destinations", "1")
    assert result.exit_code == 0, result.output
    assert "from experiments/00001-stylegan-nothing/checkpoint-000000001.safetensors" in result.stdout
    assert [line for line in result.stderr.splitlines() if "skipping" in line] == [
        "skipping 00003-gan-pictures: --mix: for style-based generators only; gan is not style-based."
    ]
    assert "from experiments/00003-gan-pictures" in ganzoo("generate", "--seeds", "0").stdout
    named = ganzoo("generate", "3", "--mix")
    assert (named.exit_code, "gan is not style-based" in named.stderr) == (2, True)
    shutil.rmtree("experiments/00001-stylegan-nothing")
    none = ganzoo("generate", "--mix")
    assert (none.exit_code, none.stderr) == (
        2,
        "Error: --mix: for style-based generators only; gan is not style-based.\n",
    )


def test_a_run_whose_checkpoints_are_all_damaged_is_skipped(ganzoo, trained):
    shutil.copytree(RUN, "experiments/00001-gan-pictures")
    for path in Path("experiments/00001-gan-pictures").glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])
    result = ganzoo("generate", "--seeds", "0")
    assert result.exit_code == 0, result.output
    assert "skipping 00001-gan-pictures: " in result.stderr
    assert f"from {RUN}/" in result.stdout
    assert ganzoo("generate", "1", "--seeds", "0").exit_code == 1


def test_a_sheet_is_no_larger_than_its_images_need(ganzoo, trained):
    for grid, shape in (("500x2", (2, 2)), ("1x1000", (1, 4)), ("2x2", (2, 2))):
        result = ganzoo("generate", "--seeds", "0-3", "--grid", grid, "--out", grid)
        assert result.exit_code == 0, result.output
        height, width, _ = pixels(Path(grid) / "grid.png").shape
        assert ((height - 2) // 66, (width - 2) // 66) == shape


def test_one_image_is_reported_in_the_singular(ganzoo, trained):
    output = ganzoo("generate", "--seeds", "5").stdout
    assert f"1 image: {RUN}/generated/seed*.png" in output


def test_the_path_of_a_walk_is_spherical_by_default(ganzoo, trained):
    for out, path in (("usual", []), ("arc", ["--path", "spherical"]), ("line", ["--path", "linear", "--space", "z"])):
        walk = ("--seeds", "0-1", "--grid", "1x1", "--steps", "4", "--format", "png", "--out", out)
        assert ganzoo("generate", "--interpolate", *walk, *path).exit_code == 0
    usual, arc, line = ([pixels(path) for path in sorted(Path(out).iterdir())] for out in ("usual", "arc", "line"))
    assert np.array_equal(usual, arc)
    assert np.array_equal(arc[0], line[0])
    assert not np.array_equal(arc[2], line[2])


def test_the_size_of_a_sheet_is_limited_by_memory(ganzoo, trained, monkeypatch):
    from ganzoo.sampling import sheets

    monkeypatch.setattr(sheets, "SHEET_BYTES", 5 * 8 * 8 * 3)
    result = ganzoo("generate", "--seeds", "0-9")
    assert "sheet of the first 5" in result.stdout
    assert len(list((trained / "generated").glob("seed*.png"))) == 10
    assert ganzoo("generate", "--seeds", "0-9", "--grid", "1x10").exit_code == 0
    assert pixels(trained / "generated" / "grid.png").shape[:2] == (68, 5 * 66 + 2)
    walk = ganzoo("generate", "--interpolate", "--grid", "2x3", "--seeds", "0-11")
    assert walk.exit_code == 2
    assert "--grid: 2 rows of 3 images exceed the maximum of 5 per sheet at 8 px" in walk.stderr


def test_jittor_is_not_imported_before_the_device_is_chosen():
    check = "import ganzoo.cli.generate.output, sys; assert 'jittor' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_without_any_run_the_error_explains_how_to_start_one(ganzoo):
    result = ganzoo("generate")
    assert result.exit_code == 1
    assert "ganzoo train MODEL" in result.stderr


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=20))
def test_seeds_can_be_listed(seeds):
    assert parse_seeds(",".join(map(str, seeds))) == seeds


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_seeds_can_be_a_range(first, count):
    assert parse_seeds(f"{first}-{first + count}") == list(range(first, first + count + 1))


@given(st.text())
def test_any_text_is_parsed_or_refused(text):
    for parse in (parse_seeds, parse_grid, parse_mix_layers, parse_psi_layers):
        try:
            assert parse(text) is not None
        except OptionError as error:
            assert str(error).startswith("--")


def test_two_processes_can_sample_one_run_at_once(trained):
    command = [sys.executable, "-m", "ganzoo", "generate", "--seeds", "0-7", "--grid", "2x4"]
    children = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for child in children:
        errors = child.communicate()[1]
        assert child.returncode == 0, errors
    assert pixels(trained / "generated" / "grid.png").any()
