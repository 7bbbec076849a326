"""Class-conditional models on the command line: training, generating and evaluating."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import TINY_RUN_OPTIONS

RUN = Path("experiments/00000-gan-pictures")


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("conditional") / "experiments"


@pytest.fixture
def conditional(ganzoo, domains: Path, kept: Path) -> Path:
    """Return the folder of a class-conditional run, trained once and copied for each test."""
    if not kept.exists():
        result = ganzoo("train", "gan", "--data", "pictures", "--conditional", *TINY_RUN_OPTIONS)
        assert result.exit_code == 0, result.output
        shutil.copytree("experiments", kept)
    shutil.copytree(kept, "experiments", dirs_exist_ok=True)
    return RUN


def generate(ganzoo, *arguments: str, out: str = "out") -> list[str]:
    result = ganzoo("generate", *arguments, "--out", out)
    assert result.exit_code == 0, result.output
    return sorted(path.name for path in Path(out).iterdir())


def one_error(result, status: int = 2) -> str:
    assert result.exit_code == status, result.output
    (line,) = result.stderr.strip().splitlines()
    return line


def test_the_sheets_of_a_run_have_a_row_per_class(conditional):
    sheet = pixels(next(conditional.glob("samples-*.png")))
    assert sheet.shape[0] == 2 * 66 + 2
    assert not (sheet[:, :30] == 255).all(), "the rows have labels"


def test_by_default_every_class_is_generated_from_the_same_seeds(ganzoo, conditional):
    names = [f"{name}-seed000{seed}.png" for name in ("one", "two") for seed in range(8)]
    assert generate(ganzoo) == sorted([*names, "grid.png"])
    assert not np.array_equal(pixels(Path("out/one-seed0003.png")), pixels(Path("out/two-seed0003.png")))
    assert generate(ganzoo, "--class", "all", out="all") == generate(ganzoo, out="default")


def test_an_image_does_not_depend_on_the_other_classes(ganzoo, conditional):
    generate(ganzoo)
    assert generate(ganzoo, "--class", "two", "--seeds", "3", out="alone") == ["grid.png", "two-seed0003.png"]
    assert np.array_equal(pixels(Path("alone/two-seed0003.png")), pixels(Path("out/two-seed0003.png")))


def test_a_number_of_images_can_be_given_for_each_class(ganzoo, conditional):
    names = generate(ganzoo, "--class", "two:2,one:1", "--seeds", "5-9")
    assert names == ["grid.png", "one-seed0005.png", "two-seed0005.png", "two-seed0006.png"]
    sheet = pixels(Path("out/grid.png"))
    assert (sheet[68:, -66:] == 255).all(), "a row that is shorter than the others ends in white"


def test_a_walk_leads_from_class_to_class(ganzoo, conditional):
    walk = ("--interpolate", "--class", "one,two", "--seeds", "5,5", "--grid", "1x1", "--steps", "2")
    assert len(generate(ganzoo, *walk, "--format", "png", out="walk")) == 4
    generate(ganzoo, "--seeds", "5", out="images")
    for frame, name in ((0, "one"), (2, "two")):
        cell = pixels(Path(f"walk/interpolation{frame:05d}.png"))[2:66:8, 2:66:8].astype(int)
        assert np.abs(cell - pixels(Path(f"images/{name}-seed0005.png"))).max() <= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--class", "tow"], "--class: unknown class 'tow'; choose from one, two. Did you mean 'two'?"),
        (["--class", "one:x"], "--class: 'one:x' is not a class and a number of images, like one:4."),
        (["--class", "one:3", "--seeds", "0-1"], "--class one:3: 3 images of a class need as many seeds"),
        (["--grid", "2x2"], "--grid: not with several classes"),
        (["--source", "pictures", "--class", "one"], "--class: not with --source; --domain names the target domains."),
    ],
)
def test_a_request_that_cannot_be_met_is_one_error(ganzoo, conditional, arguments, message):
    assert message in one_error(ganzoo("generate", *arguments))


def test_a_model_without_classes_refuses_class(ganzoo, trained):
    assert "--class: this model has no classes" in one_error(ganzoo("generate", "--class", "3"))


def test_a_run_is_not_resumed_with_other_classes(ganzoo, conditional):
    shutil.move("pictures/two", "pictures/three")
    message = one_error(ganzoo("train", "gan", "--resume", "latest", "--data", "pictures", "--kimg", "0.02"))
    assert "trained on the domains one, two, but the data has one, three" in message


def test_data_without_domains_are_refused(ganzoo, pictures):
    message = one_error(ganzoo("train", "gan", "--data", "pictures", "--conditional", *TINY_RUN_OPTIONS))
    assert "--data pictures: it has no domains, but gan needs at least two" in message


def test_training_can_be_interrupted_and_resumed_exactly(ganzoo, conditional):
    """The labels of fake images are those of the real ones, so no state but the progress is needed."""
    options = ("train", "gan", "--data", "pictures", "--conditional", *TINY_RUN_OPTIONS[:-4], "--tick", "0.008")
    assert ganzoo(*options, "--kimg", "0.008").exit_code == 0
    assert ganzoo("train", "gan", "--resume", "1", "--kimg", "0.016").exit_code == 0
    weights = [next(Path("experiments").glob(f"0000{n}-*/checkpoint-000000016.*")) for n in (0, 1)]
    from ganzoo.checkpoints import checkpoint

    one, other = (checkpoint.read(path).tensors for path in weights)
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)
