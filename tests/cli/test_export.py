"""`ganzoo export`: what the file contains, and that it generates the same images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganzoo.checkpoints import checkpoint
from tests.support import mean_colour


def images(folder: str) -> dict[str, np.ndarray]:
    return {path.name: np.asarray(Image.open(path)).astype(int) for path in Path(folder).glob("*.png")}


def test_an_exported_file_generates_the_same_images(ganzoo, trained):
    result = ganzoo("export", "--out", "shared.safetensors")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("shared.safetensors: ")
    exported, original = checkpoint.read(Path("shared.safetensors")), checkpoint.read(checkpoint.newest(trained))
    assert {name.split("/")[0] for name in exported.tensors} <= {"net", "ema"}
    assert {name.split("/")[1] for name in exported.tensors} == {"generator"}
    assert exported.metadata.progress == original.metadata.progress
    assert exported.run.data_path is None  # the paths of this machine are nobody's business
    assert exported.run.train["data"] == "pictures"
    for name, out in ((trained, "one"), ("shared.safetensors", "other")):
        assert ganzoo("generate", str(name), "--seeds", "0-3", "--out", out).exit_code == 0
    assert images("one").keys() == images("other").keys()
    assert all((images("other")[name] == image).all() for name, image in images("one").items())
    assert (
        ganzoo("evaluate", "shared.safetensors", "--against", "pictures", "--metrics", "fid", "--quick").exit_code == 0
    )


def test_a_slim_file_has_half_the_size_and_nearly_the_same_images(ganzoo, trained):
    for out, slim in (("full.safetensors", []), ("slim.safetensors", ["--slim"])):
        assert ganzoo("export", "--out", out, *slim).exit_code == 0
        assert ganzoo("generate", out, "--seeds", "0-3", "--out", out.partition(".")[0]).exit_code == 0
    full, slim = (Path(f"{name}.safetensors").stat().st_size for name in ("full", "slim"))
    assert slim < 0.55 * full
    for name, image in images("full").items():
        assert np.abs(images("slim")[name] - image).max() <= 2


def test_a_translator_keeps_all_networks_that_translate(ganzoo, jittor, workdir, add_model):
    add_model(mean_colour.MeanColourModel())
    mean_colour.write_checkpoint(workdir / "model.safetensors")
    Image.new("RGB", (8, 8), (200, 100, 50)).save("source.png")
    assert ganzoo("export", "model.safetensors", "--out", "shared.safetensors").exit_code == 0
    for name, out in (("model.safetensors", "one"), ("shared.safetensors", "other")):
        assert ganzoo("generate", name, "--source", "source.png", "--out", out).exit_code == 0
    assert images("one")
    assert all((images("other")[name] == image).all() for name, image in images("one").items())


@pytest.mark.parametrize(
    ("out", "problem"),
    [("shared.bin", "the name must end in .safetensors"), ("taken.safetensors", "already exists")],
)
def test_a_wrong_name_is_refused(ganzoo, trained, out, problem):
    Path("taken.safetensors").write_bytes(b"mine")
    result = ganzoo("export", "--out", out)
    assert result.exit_code == 2
    assert f"--out {out}: {problem}" in result.stderr
    assert Path("taken.safetensors").read_bytes() == b"mine"


def test_weights_beyond_float16_are_refused(ganzoo, trained):
    path = checkpoint.newest(trained)
    saved = checkpoint.read(path)
    tensors = {
        name: value * np.float32(1e30) if "/generator/" in name else value for name, value in saved.tensors.items()
    }
    checkpoint.write(path, tensors, saved.run, saved.metadata)
    result = ganzoo("export", "--out", "slim.safetensors", "--slim")
    assert result.exit_code == 1
    assert "is too large for float16; export it without --slim" in result.stderr
    assert not Path("slim.safetensors").exists()


def test_training_cannot_be_resumed_from_it(ganzoo, trained):
    assert ganzoo("export", "--out", "shared.safetensors").exit_code == 0
    newest = checkpoint.newest(trained)
    Path("shared.safetensors").replace(newest)
    result = ganzoo("train", "gan", "--resume", "latest", "--kimg", "0.1")
    assert result.exit_code == 1
    assert "it was exported, without discriminator, so training can't be resumed" in result.stderr


def test_all_networks_are_written_on_request(ganzoo, trained):
    assert ganzoo("export", "--out", "shared.safetensors", "--all-networks", "--slim").exit_code == 0
    exported, original = checkpoint.read(Path("shared.safetensors")), checkpoint.read(checkpoint.newest(trained))
    names = {name for name in original.tensors if name.startswith("net/discriminator/")}
    assert names
    for name in names:
        assert np.array_equal(exported.tensors[name], original.tensors[name].astype(np.float16))
    assert {name.split("/")[0] for name in exported.tensors} <= {"net", "ema"}  # no optimizer
    assert ganzoo("generate", "shared.safetensors", "--seeds", "0-3").exit_code == 0
    result = ganzoo("export", "shared.safetensors", "--out", "again.safetensors", "--all-networks", "--slim")
    assert result.exit_code == 0, result.output
    assert Path("again.safetensors").read_bytes() == Path("shared.safetensors").read_bytes()


def test_networks_that_were_left_out_cannot_be_exported(ganzoo, trained):
    assert ganzoo("export", "--out", "shared.safetensors").exit_code == 0
    result = ganzoo("export", "shared.safetensors", "--out", "again.safetensors", "--all-networks")
    assert result.exit_code == 2
    assert "--all-networks: shared.safetensors was itself exported, without discriminator." in result.stderr
    assert not Path("again.safetensors").exists()


def test_training_cannot_be_resumed_from_all_networks(ganzoo, trained):
    assert ganzoo("export", "--out", "shared.safetensors", "--all-networks").exit_code == 0
    newest = checkpoint.newest(trained)
    Path("shared.safetensors").replace(newest)
    result = ganzoo("train", "gan", "--resume", "latest", "--kimg", "0.1")
    assert result.exit_code == 1
    assert "it was exported, without the state of the optimizers, so training can't be resumed" in result.stderr
    assert f"ganzoo train gan --from experiments/{trained.name}/{newest.name}" in result.stderr
