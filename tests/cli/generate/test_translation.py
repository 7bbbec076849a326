"""`ganzoo generate --source`: sources, styles, each kind of output, and each error."""

from __future__ import annotations

import shutil
import weakref
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganzoo import backend
from tests.data.pictures import encoded, noise, write_folder
from tests.sampling.test_translation import alike, cells, mean, with_mean_colour
from tests.support import mean_colour

SOURCES = {"a.png": (9, 12), "below/b.jpg": (8, 8), "c.webp": (20, 16)}


@pytest.fixture
def workspace(jittor, workdir, add_model) -> Path:
    """Make a folder with a checkpoint `model.safetensors` and folders `sources` (3 images) and `val` (2 dogs and a
    fox)."""
    add_model(mean_colour.MeanColourModel())
    mean_colour.write_checkpoint(workdir / "model.safetensors")
    kinds = {".png": "png", ".jpg": "jpeg", ".webp": "webp"}
    files = {
        name: encoded(noise(*size, seed=seed), kinds[Path(name).suffix])
        for seed, (name, size) in enumerate(SOURCES.items())
    }
    write_folder(workdir / "sources", {**files, "notes.txt": b"no image", ".hidden.png": b"no image"})
    named = ("dog/rex.png", "dog/sam.png", "wild fox/reineke.png")
    write_folder(workdir / "val", {name: encoded(coloured_image(seed)) for seed, name in enumerate(named)})
    return workdir


def coloured_image(seed: int) -> Image.Image:
    """Return a reference image of 8 x 8 px in a unique colour."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 60, (8, 8, 3), np.uint8) + rng.integers(30, 150, 3, np.uint8))


@pytest.fixture
def translate(ganzoo, workspace):
    """Return a function that runs `ganzoo generate` on the checkpoint, and returns the new folder with its output."""
    folders = (Path(f"out{index}") for index in range(9))

    def run(*arguments: str) -> Path:
        out = next(folders)
        result = ganzoo("generate", "model.safetensors", *arguments, "--out", str(out))
        assert result.exit_code == 0, result.output
        return out

    return run


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def square(path: Path) -> np.ndarray:
    """Return the input of the model for a source, computed by Pillow alone."""
    image = Image.open(path).convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return np.asarray(image.resize((8, 8), Image.Resampling.LANCZOS, box=(left, top, left + side, top + side)))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_each_source_is_translated_to_each_domain_with_each_seed(translate, workspace):
    out = translate("--source", "sources", "--domain", "dog,cat", "--seeds", "0,3")
    files = [f"{stem}-{domain}-seed000{n}.png" for stem in "abc" for domain in ("cat", "dog") for n in (0, 3)]
    assert names(out) == sorted(["grid.png", *files])
    from ganzoo.sampling.latents import from_seeds

    for name, path in (("a", "sources/a.png"), ("b", "sources/below/b.jpg"), ("c", "sources/c.webp")):
        # The colours of the EMA; the trained network's colours differ.
        colour = mean_colour.COLOURS[[1]] + from_seeds([3], 5)[:, :3] / 3
        expected = with_mean_colour(square(workspace / path)[None], colour)[0]
        assert alike(pixels(out / f"{name}-dog-seed0003.png"), expected)
    sheet = cells(pixels(out / "grid.png"), 3)
    assert sheet.shape[0] == 1 + 2 * 2
    assert np.array_equal(sheet[0, 1], square(workspace / "sources/below/b.jpg"))
    assert np.array_equal(sheet[1, 0], pixels(out / "a-dog-seed0000.png"))
    assert np.array_equal(sheet[4, 2], pixels(out / "c-cat-seed0003.png"))


def test_by_default_an_image_is_translated_to_every_domain_with_ten_seeds(translate):
    out = translate("--source", "sources/a.png")
    assert len(names(out)) == 3 * 10 + 1
    assert (out / "a-wild fox-seed0009.png").exists()


def test_a_translation_has_the_style_of_its_reference(translate, workspace):
    out = translate("--source", "sources", "--reference", "val/dog", "--domain", "dog")
    assert names(out) == sorted(["grid.png", *(f"{s}-dog-{r}.png" for s in "abc" for r in ("rex", "sam"))])
    colour = mean(square(workspace / "val/dog/sam.png"))[None]
    expected = with_mean_colour(square(workspace / "sources/a.png")[None], colour)[0]
    assert alike(pixels(out / "a-dog-sam.png"), expected)
    sheet = cells(pixels(out / "grid.png"), 4)
    assert sheet.shape[0] == 3
    assert (sheet[0, 0] == 255).all()
    assert np.array_equal(sheet[0, 1], square(workspace / "sources/a.png"))
    assert np.array_equal(sheet[2, 0], square(workspace / "val/dog/sam.png"))
    assert alike(sheet[2, 1], expected)


def test_domain_selects_references_from_folders_of_several_domains(translate, workspace):
    out = translate("--source", "sources/a.png", "--reference", "val", "--domain", "dog")
    assert names(out) == ["a-dog-rex.png", "a-dog-sam.png", "grid.png"]
    # A single reference belongs to the given domain, whatever its folder is called.
    out = translate("--source", "sources/a.png", "--reference", "val/dog/rex.png", "--domain", "cat")
    assert names(out) == ["a-cat-rex.png", "grid.png"]


def test_folders_named_after_domains_determine_the_domains_of_references(translate):
    out = translate("--source", "sources/a.png", "--reference", "val", "--reference", "val/dog/rex.png")
    stems = ["a-dog-dog-rex", "a-dog-dog-rex-2", "a-dog-dog-sam", "a-wild fox-wild fox-reineke", "grid"]
    assert names(out) == sorted(f"{stem}.png" for stem in stems)


def test_psi_is_1_by_default(translate):
    outs = [translate("--source", "sources/a.png", "--domain", "cat", "--seeds", "0-2", *psi)
            for psi in ([], ["--psi", "1"], ["--truncation", "0"], ["--psi", "0.7"])]  # fmt: skip
    drawn = [[pixels(out / f"a-cat-seed000{seed}.png") for seed in range(3)] for out in outs]
    assert np.array_equal(drawn[0], drawn[1])
    assert np.array_equal(drawn[2][0], drawn[2][2])
    assert not alike(drawn[0][0], drawn[0][2])
    assert not alike(drawn[0][0], drawn[3][0])


def test_files_of_the_same_name_do_not_overwrite_each_other(translate, workspace):
    write_folder(workspace / "twins", {name: encoded(noise(seed=seed)) for seed, name in enumerate(
        ["x/1.png", "y/1.png", "y/1.bmp", "y-1.png", "x-1.png"])})  # fmt: skip
    out = translate("--source", "twins", "--domain", "cat", "--seeds", "0")
    assert len(names(out)) == 5 + 1
    different = {pixels(path).tobytes() for path in out.glob("*-cat-seed0000.png")}
    assert len(different) == 5
    assert {"x-1-cat-seed0000.png", "y-1-cat-seed0000.png"} <= set(names(out))


MODES = {
    "grey.png": lambda: encoded(noise(12, 15, "L")),
    "alpha.png": lambda: encoded(noise(12, 15, "RGBA")),
    "palette.png": lambda: encoded(noise(12, 15, "P")),
    "cmyk.jpg": lambda: encoded(noise(12, 15, "CMYK"), "jpeg"),
    "wide.png": lambda: encoded(Image.fromarray(np.arange(256, dtype=np.uint16).reshape(16, 16) * 257)),
    "strip.png": lambda: encoded(Image.new("RGB", (500, 1), "red")),
}


def test_sources_can_have_any_mode_and_size(translate, workspace):
    write_folder(workspace / "modes", {name: make() for name, make in MODES.items()})
    out = translate("--source", "modes", "--domain", "dog", "--seeds", "0")
    assert len(names(out)) == len(MODES) + 1
    sheet = cells(pixels(out / "grid.png"), len(MODES))
    wide = sheet[0, sorted(MODES).index("wide.png")].astype(int)
    assert np.array_equal(wide[..., 0], wide[..., 2])
    assert wide.min() < 30 < 225 < wide.max()
    assert (sheet[0, sorted(MODES).index("strip.png")] == [255, 0, 0]).all()


def test_a_photo_is_rotated_by_its_exif_orientation(translate, workspace):
    upright = Image.new("RGB", (16, 16), "black")
    upright.paste("white", (0, 0, 16, 8))
    exif = Image.Exif()
    exif[0x0112] = 6
    (workspace / "turned.png").write_bytes(encoded(upright.transpose(Image.Transpose.ROTATE_90), exif=exif))
    out = translate("--source", "turned.png", "--domain", "dog", "--seeds", "0")
    shown = cells(pixels(out / "grid.png"), 1)[0, 0].astype(int)
    assert shown[:3].min() > 200 > 50 > shown[5:].max()


def test_a_grey_model_writes_grey_images(ganzoo, workspace, monkeypatch):
    make = mean_colour.make
    monkeypatch.setattr(mean_colour, "make", lambda colours: make(colours[:, :1], 1))
    info = mean_colour.DataInfo("grey", 3, 8, 1, mean_colour.DOMAINS)
    mean_colour.write_checkpoint(Path("grey.safetensors"), data=info, colours=mean_colour.COLOURS[:, :1])
    assert ganzoo("generate", "grey.safetensors", "--source", "sources", "--reference", "val").exit_code == 0
    with Image.open("generated/a-dog-rex.png") as image:
        assert image.mode == "L"


def test_a_bad_image_in_a_folder_is_named_and_left_out(ganzoo, workspace):
    write_folder(workspace / "sources", {"aa.png": b"no image", "z.png": encoded(noise())[:60]})
    result = ganzoo("generate", "model.safetensors", "--source", "sources", "--seeds", "0", "--out", "out")
    assert result.exit_code == 0, result.output
    assert len(names(workspace / "out")) == 3 * 3 + 1
    assert result.stderr.count("Left out: sources/aa.png: not a readable image") == 1
    assert result.stderr.count("Left out: sources/z.png: not a readable image") == 1


def test_the_same_command_gives_the_same_files(translate):
    for arguments in (["--seeds", "0-2", "--psi", "0.5"], ["--reference", "val"]):
        one, other = (translate("--source", "sources", *arguments) for _ in range(2))
        assert names(one) == names(other)
        assert all((one / name).read_bytes() == (other / name).read_bytes() for name in names(one))


def test_a_checkpoint_is_enough(ganzoo, workspace):
    shutil.move("model.safetensors", "elsewhere.safetensors")
    shutil.rmtree("val")
    assert ganzoo("generate", "elsewhere.safetensors", "--source", "sources/a.png", "--seeds", "1").exit_code == 0
    assert Path("generated/a-dog-seed0001.png").exists()


def test_a_sheet_shows_only_as_many_images_as_fit(ganzoo, workspace, monkeypatch):
    from ganzoo.sampling import sheets

    monkeypatch.setattr("ganzoo.sampling.translation_sheet.MAX_COLUMNS", 2)
    monkeypatch.setattr(sheets, "MAX_SHEET_IMAGES", 12)
    result = ganzoo("generate", "model.safetensors", "--source", "sources", "--seeds", "0-1", "--out", "out")
    assert "sheet of the first 2 sources and 5 styles" in result.stdout
    assert len(names(workspace / "out")) == 3 * 6 + 1
    assert cells(pixels(workspace / "out/grid.png"), 2).shape[0] == 1 + 5


def test_of_many_references_only_those_on_the_sheet_stay_in_memory(translate, workspace, monkeypatch):
    from ganzoo.sampling import input_images, sheets

    to_array, created, counts = input_images.to_array, [], []

    def counting(*arguments):
        image = to_array(*arguments)
        created.append(weakref.ref(image))
        counts.append(sum(each() is not None for each in created))
        return image

    write_folder(workspace / "many", {f"{index:02}.png": encoded(coloured_image(index)) for index in range(40)})
    monkeypatch.setattr(input_images, "to_array", counting)
    monkeypatch.setattr(sheets, "MAX_SHEET_IMAGES", 12)
    monkeypatch.setattr("ganzoo.sampling.translation.MAX_CHUNK", 4)
    out = translate("--source", "sources/a.png", "--reference", "many", "--domain", "dog")
    assert len(names(out)) == 40 + 1
    sheet = cells(pixels(out / "grid.png"), 2)
    assert len(sheet) == 1 + 5
    assert np.array_equal(sheet[5, 0], square(workspace / "many/04.png"))
    assert max(counts) < 16
    counts.clear()
    created.clear()  # images of the first command may live until the next garbage collection
    walk = ["--interpolate", "--steps", "2", "--format", "png"]
    translate("--source", "sources/a.png", "--reference", "many", "--domain", "dog", *walk)
    assert max(counts) < 10


def test_linked_folders_are_followed_and_read_once(translate, workspace):
    (workspace / "linked").mkdir()
    (workspace / "linked" / "there").symlink_to(workspace / "val" / "dog")
    (workspace / "linked" / "again").symlink_to(workspace / "linked")
    out = translate("--source", "linked", "--domain", "cat", "--seeds", "0")
    assert names(out) == ["grid.png", "rex-cat-seed0000.png", "sam-cat-seed0000.png"]


def frames(out: Path, columns: int) -> list[np.ndarray]:
    return [cells(pixels(path), columns) for path in sorted(out.glob("interpolation*.png"))]


@pytest.mark.parametrize("space", [[], ["--space", "w"], ["--path", "linear"]])
def test_a_walk_passes_through_its_seeds_in_every_domain(translate, space):
    walk = ["--interpolate", "--seeds", "2,5", "--steps", "4", "--psi", "0.5", "--format", "png", *space]
    drawn = frames(translate("--source", "sources", *walk), 3)
    images = translate("--source", "sources", "--seeds", "2,5", "--psi", "0.5")
    assert len(drawn) == 8
    for frame, seed in ((0, 2), (4, 5)):
        for row, domain in enumerate(mean_colour.DOMAINS, 1):
            assert alike(drawn[frame][row, 1], pixels(images / f"b-{domain}-seed000{seed}.png"))


def test_a_walk_passes_through_its_references(translate, workspace):
    walk = ["--interpolate", "--reference", "val/dog", "--domain", "dog", "--format", "png"]
    drawn = frames(translate("--source", "sources", *walk, "--steps", "6"), 4)
    images = translate("--source", "sources", "--reference", "val/dog")
    assert len(drawn) == 12
    for frame, name in ((0, "rex"), (6, "sam")):
        assert alike(drawn[frame][1, 2], pixels(images / f"b-dog-{name}.png"))
        assert np.array_equal(drawn[frame][1, 0], square(workspace / f"val/dog/{name}.png"))
    assert len(list(translate("--source", "sources/a.png", *walk).glob("*.png"))) == 62


@pytest.mark.parametrize("format_", ["gif", "webp", "mp4"])
@pytest.mark.parametrize("styles", [["--reference", "val"], ["--seeds", "0-2", "--domain", "dog,cat"]])
def test_every_format_has_every_frame(translate, format_, styles):
    walk = ["--interpolate", "--steps", "3", "--fps", "25", "--format", format_]
    path = translate("--source", "sources", *styles, *walk) / f"interpolation.{format_}"
    expected = 9 if "--seeds" in styles else 3 + 1 + 1
    if format_ == "mp4":
        av = pytest.importorskip("av", reason="MP4 needs the extra 'video'")
        with av.open(str(path)) as container:
            assert len(list(container.decode(video=0))) == expected
        return
    with Image.open(path) as animation:
        assert animation.info["loop"] == 0
        duration = 0
        for index in range(animation.n_frames):
            animation.seek(index)
            animation.load()
            duration += animation.info["duration"]
        assert duration == 40 * expected


REFERENCE = ["--reference", "val/dog"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "mean-colour translates images: give the input with --source IMAGE|FOLDER"),
        (["--domain", "dog"], 2, "--domain: requires --source"),
        (["--reference", "val"], 2, "--reference: requires --source"),
        (
            ["--source", "sources", "--domain", "dgo"],
            2,
            "unknown domain 'dgo'; choose from cat, dog, wild fox. Did you mean",
        ),
        (["--source", "sources", "--domain", "cat,7"], 2, "unknown domain '7'"),
        (["--source", "sources", "--domain", ""], 2, "unknown domain ''"),
        (
            ["--source", "sources", "--reference", "sources"],
            2,
            "name its domain with --domain: cat, dog, wild",
        ),
        (["--source", "sources", *REFERENCE, "--domain", "dog,cat"], 2, "--reference requires a single domain"),
        (["--source", "nowhere"], 2, "--source: there is no file or folder 'nowhere'"),
        (["--source", ""], 2, "--source: there is no file or folder ''"),
        (["--source", "sources/notes.txt"], 1, "sources/notes.txt: not a readable image"),
        (["--source", "empty"], 2, "--source empty: no image in this folder"),
        (["--source", "spoilt"], 1, "--source spoilt: none of its 2 images can be read"),
        (["--source", "sources", "--reference", "empty", "--domain", "dog"], 2, "--reference empty: no image"),
        (["--source", "sources", "--reference", "x.png", "--domain", "dog"], 2, "no file or folder 'x.png'"),
        (["--source", "sources", "--grid", "2x2"], 2, "--grid: not with --source"),
        (["--source", "sources", "--mix"], 2, "--mix: not with --source"),
        (["--source", "sources", "--size", "8"], 2, "--size: not with --source"),
        (["--source", "sources", "--noise", "none"], 2, "--noise: not with --source"),
        (["--source", "sources", *REFERENCE, "--seeds", "1"], 2, "--seeds: not with --reference"),
        (["--source", "sources", *REFERENCE, "--psi", "1"], 2, "--psi / --truncation: not with --reference"),
        (["--source", "sources", *REFERENCE, "--interpolate", "--space", "z"], 2, "--space: not with --reference"),
        (["--source", "sources", "--steps", "3"], 2, "--steps: for --interpolate only"),
        (["--source", "sources", "--format", "gif"], 2, "--format gif: for --interpolate only"),
        (["--source", "sources", "--interpolate", "--fps", "60"], 2, "--fps 60: a GIF has at most 50"),
        (["--source", "sources", "--interpolate", "--seeds", "1"], 2, "at least two seeds"),
        (["--source", "sources", "--reference", "val/dog/rex.png", "--interpolate"], 2, "at least two references"),
        (["--source", "sources", "--seeds", "x"], 2, "--seeds: 'x' is not a number"),
        (["--source", "sources", *REFERENCE, "--truncation", "0.5"], 2, "--psi / --truncation: not with --reference"),
        (["--source", "sources", "--psi", "nan"], 2, "--psi / --truncation: nan is not a number"),
        (["--source", "sources", "--out", "sources/a.png"], 2, "'sources/a.png' is a file"),
        (["--source", "many", "--interpolate"], 2, "22 sources in 3 rows exceed the maximum of 64 images per frame"),
        (["--source", "sources", "--size", "0"], 2, "--size: not with --source"),
        (["--source", "sources", "--psi-layers", "0"], 2, "--psi-layers: not with --source"),
        (["--source", "sources", *REFERENCE, "--psi", "0"], 2, "--psi / --truncation: not with --reference"),
        (["--source", "sources", "--reference", "val", "--domain", "cat"], 2, "--reference val: all images in this"),
        (["--source", "sources", "--seeds", "0-49999"], 2, "150,000 styles exceed the maximum of 100,000"),
        (["--source", "sources", "--interpolate", "--seeds", "0-99", "--steps", "1001"], 2, "100,100 frames exceed"),
    ],
)
def test_invalid_input_is_reported_in_one_line(ganzoo, workspace, arguments, status, message):
    (workspace / "empty").mkdir()
    write_folder(workspace / "spoilt", {"a.png": b"", "b.png": b"no image"})
    write_folder(workspace / "many", {f"{index}.png": encoded(noise()) for index in range(22)})
    result = ganzoo("generate", "model.safetensors", *arguments)
    assert (result.exit_code, len([x for x in result.stderr.splitlines() if x.startswith("Error")])) == (status, 1)
    assert message in result.stderr


def test_a_model_without_domains_is_refused_before_it_is_built(ganzoo, workspace, monkeypatch):
    monkeypatch.setattr(mean_colour.MeanColourModel, "conditional", False)
    monkeypatch.setattr(backend, "start", None)
    result = ganzoo("generate", "model.safetensors", "--source", "sources", "--domain", "dgo")
    assert (result.exit_code, "mean-colour generates images from latents" in result.stderr) == (2, True)


def test_a_model_with_domains_that_does_not_translate_is_refused(ganzoo, workspace, monkeypatch):
    monkeypatch.setattr(mean_colour.MeanColourModel, "translates", False)
    result = ganzoo("generate", "model.safetensors", "--source", "sources")
    assert (result.exit_code, "mean-colour generates images from latents" in result.stderr) == (2, True)
