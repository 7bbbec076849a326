"""Models with attributes on the command line: training, resuming, generating and evaluating."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganzoo.registry import plugins
from tests.support import shades

RUN = Path("experiments/00000-shades-gan-shades")
OPTIONS = ("train", "shades-gan", "--data", "shades", "--batch", "4", "--tick", "0.008")


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """Register the model and its data sets."""
    load = plugins.load
    monkeypatch.setattr(plugins, "load", lambda *arguments, **named: shades.register(load(*arguments, **named)))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("attributes") / "experiments"


@pytest.fixture
def run(ganzoo, kept: Path) -> Path:
    """Return the folder of a run with attributes, trained once and copied for each test."""
    if not kept.exists():
        result = ganzoo(*OPTIONS, "--kimg", "0.016")
        assert result.exit_code == 0, result.output
        shutil.copytree("experiments", kept)
    shutil.copytree(kept, "experiments", dirs_exist_ok=True)
    return RUN


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def generate(ganzoo, *arguments: str, out: str = "out") -> dict[str, np.ndarray]:
    """Return the generated pictures by name."""
    result = ganzoo("generate", *arguments, "--out", out)
    assert result.exit_code == 0, result.output
    return {path.stem: pixels(path) for path in Path(out).iterdir()}


def one_error(result, status: int = 2) -> str:
    assert result.exit_code == status, result.output
    (line,) = result.stderr.strip().splitlines()
    return line


def tensors(number: int, images: int) -> dict[str, np.ndarray]:
    from ganzoo.checkpoints import checkpoint

    return checkpoint.read(next(Path("experiments").glob(f"{number:05d}-*/checkpoint-{images:09d}.*"))).tensors


def test_a_run_draws_sheets_and_keeps_attributes_in_its_checkpoint(run):
    assert {path.name for path in run.glob("samples-000000016*.png")} == {
        "samples-000000016.png",
        "samples-000000016-own.png",
    }
    assert "warning" not in (run / "log.txt").read_text()
    assert np.array_equal(tensors(0, 16)["data/attributes"], shades.Shades().attributes())


def test_a_seed_always_gives_the_same_picture(ganzoo, run):
    images = generate(ganzoo, "--seeds", "0-5")
    assert np.array_equal(generate(ganzoo, "--seeds", "3", out="alone")["seed0003"], images["seed0003"])
    assert len({image[0, 0].item() for name, image in images.items() if name != "grid"}) > 1


def test_the_data_are_not_needed_for_sampling(ganzoo, run, monkeypatch):
    images = generate(ganzoo, "--seeds", "0-3")
    monkeypatch.setattr(shades.ShadesSource, "open", lambda source: pytest.fail("the data set was opened"))
    again = generate(ganzoo, "--seeds", "0-3", out="again")
    assert all(np.array_equal(images[name], again[name]) for name in images)


def test_attributes_can_be_set_for_all_images(ganzoo, run):
    """Of a trained layer, the images are the tanh of a sum, so their differences show the weights."""
    weights = tensors(0, 16)["ema/generator/layer.weight"][0]
    bias = tensors(0, 16)["ema/generator/layer.bias"][0]
    own = generate(ganzoo, "--seeds", "4", out="own")["seed0004"]
    changed = generate(ganzoo, "--seeds", "4", "--attributes", "age=0.25", out="changed")["seed0004"]
    both = generate(ganzoo, "--seeds", "4", "--attributes", "age=0.25, bright=-1.5", out="both")["seed0004"]
    from ganzoo.sampling import latents

    z = latents.from_seeds([4], 2)[0]
    (row,) = latents.attributes_from_seeds([4], shades.Shades().attributes())
    for image, attributes in ((own, row), (changed, [row[0], 0.25]), (both, [-1.5, 0.25])):
        expected = np.tanh(np.concatenate([z, attributes]).astype(np.float64) @ weights + bias)
        assert np.abs(image - (expected + 1) * 127.5).max() <= 0.51
    assert not np.array_equal(own, changed)


def test_a_walk_interpolates_attributes_linearly(ganzoo, run):
    walk = ("--interpolate", "--seeds", "5,5", "--grid", "1x1", "--steps", "2", "--format", "png")
    frames = generate(ganzoo, *walk, "--attributes", "bright=1", out="walk")
    still = generate(ganzoo, "--seeds", "5", "--attributes", "bright=1", out="still")["seed0005"]
    assert [abs(int(frame[10, 10]) - int(still[0, 0])) <= 1 for frame in frames.values()] == [True] * 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("brigth=1", "--attributes: unknown attribute 'brigth'; choose from bright, age. Did you mean 'bright'?"),
        ("bright", "--attributes: 'bright' is not an attribute and a number, like bright=0.5; choose from bright, age"),
        ("bright=x", "--attributes: 'bright=x' is not an attribute and a number"),
        ("bright=nan", "--attributes: 'bright=nan' is not an attribute and a number"),
        ("bright=1e99", "--attributes: 'bright=1e99' is not an attribute and a number"),
        ("", "--attributes: '' is not an attribute and a number"),
        ("age=1,age=2", "--attributes: 'age' is given twice."),
    ],
)
def test_an_invalid_attribute_is_one_error(ganzoo, run, text, message):
    assert message in one_error(ganzoo("generate", "--attributes", text))


def test_a_model_with_attributes_refuses_class(ganzoo, run):
    message = one_error(ganzoo("generate", "--class", "3", "--attributes", "age=1"))
    assert "--class: this model has no classes, but the attributes bright, age; set them with --attributes." in message


def test_a_model_without_attributes_refuses_them(ganzoo, run):
    result = ganzoo("train", "shades-gan", "--data", "plain", "--batch", "4", "--kimg", "0.004")
    assert result.exit_code == 0, result.output
    assert "data/attributes" not in tensors(1, 4)
    assert "--attributes: this model has no attributes." in one_error(ganzoo("generate", "1", "--attributes", "age=1"))
    assert "not with --source" in one_error(ganzoo("generate", "--source", "x.png", "--attributes", "age=1"))


def test_training_can_be_interrupted_and_resumed_exactly(ganzoo, run):
    assert ganzoo(*OPTIONS, "--kimg", "0.008").exit_code == 0
    assert ganzoo("train", "shades-gan", "--resume", "1", "--kimg", "0.016").exit_code == 0
    one, other = tensors(0, 16), tensors(1, 16)
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(("data", "names"), [("tints", "bright, hue"), ("plain", "none")])
def test_a_run_is_not_resumed_with_other_attributes(ganzoo, run, data, names):
    for more in ((), ("--dry-run",)):
        options = ("--data", data, "--other-data", "--kimg", "0.02", *more)
        result = ganzoo("train", "shades-gan", "--resume", "latest", *options)
        assert f"--data {data}: the run was trained on the attributes bright, age, but the data has {names}. " in str(
            result.stderr.strip().splitlines()[-1]
        )


def test_samples_are_evaluated_with_the_attributes_of_the_data(ganzoo, run):
    for _ in range(2):
        result = ganzoo("evaluate", "--metrics", "brightness", "--samples", "20", "--real", "10")
        assert result.exit_code == 0, result.output
    records = (run / "evaluations.jsonl").read_text().splitlines()
    values = {line.split('"brightness": ')[1].split("}")[0] for line in records}
    assert len(values) == 1, "an evaluation is reproducible"
    message = one_error(ganzoo("evaluate", "--metrics", "brightness", "--against", "tints"), 1)
    assert "its attributes (bright, hue) differ from the model's (bright, age)" in message


def test_metrics_are_measured_during_training(ganzoo):
    result = ganzoo(
        *OPTIONS, "--kimg", "0.008", "--evaluate", "brightness", "--evaluate-every", "0.008", "--evaluate-samples", "10"
    )
    assert result.exit_code == 0, result.output
    assert '"brightness10": ' in (RUN / "stats.jsonl").read_text()


def test_a_dry_run_and_a_check_name_the_attributes(ganzoo):
    result = ganzoo(*OPTIONS, "--dry-run")
    assert result.exit_code == 0, result.output
    assert "data     shades: 10 images of 8 px, 1 channel, attributes bright, age" in result.output
    assert "attribute age: 1 to 10" in ganzoo("data", "check", "shades").output
    assert "attributes: bright, age" in ganzoo("data", "show", "shades").output


def test_a_prepared_data_set_keeps_its_attributes(ganzoo):
    result = ganzoo("data", "prepare", "shades", "--out", "stored", "--sizes", "8", "--workers", "1")
    assert result.exit_code == 0, result.output
    assert "attributes: bright, age" in ganzoo("data", "show", "stored").output
    check = ganzoo("data", "check", "stored").output
    assert "attribute bright: 0 to 0.705882" in check
    assert "attribute age: 1 to 10" in check


def test_an_exported_run_has_the_attributes_that_seeds_choose(ganzoo, run):
    assert ganzoo("export", "--out", "shared.safetensors").exit_code == 0
    one = generate(ganzoo, "--seeds", "0-3", out="one")
    other = generate(ganzoo, "shared.safetensors", "--seeds", "0-3", out="other")
    assert one.keys() == other.keys()
    assert all((other[name] == image).all() for name, image in one.items())
