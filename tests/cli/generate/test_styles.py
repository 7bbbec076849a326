"""`ganzoo generate` with a style-based generator: each kind of output, and each error."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganzoo.checkpoints import loading
from ganzoo.interfaces.noise import constant_noise
from ganzoo.sampling import latents, sampler
from tests.support.stylegan_checkpoint import write_checkpoint

CELL = slice(2, 66)  # pixels of the first cell of a sheet; cells have 64 px, with 2 px between them


@pytest.fixture(scope="module")
def saved(jittor, tmp_path_factory):
    path = tmp_path_factory.mktemp("stylegan") / "tiny.safetensors"
    return path, write_checkpoint(path)


@pytest.fixture
def generate(ganzoo, saved):
    """Return a function that runs `ganzoo generate` on the checkpoint, and returns the new folder with its output."""
    folders = (Path(f"out{index}") for index in range(9))

    def run(*arguments: str) -> Path:
        out = next(folders)
        result = ganzoo("generate", str(saved[0]), *arguments, "--out", str(out))
        assert result.exit_code == 0, result.output
        return out

    return run


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def cell(sheet: np.ndarray, row: int, column: int) -> np.ndarray:
    """Return the 32 px image in a cell of a sheet, which shows it at twice the size."""
    return sheet[2 + 66 * row : 66 + 66 * row : 2, 2 + 66 * column : 66 + 66 * column : 2]


def alike(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether images are equal up to rounding errors, which differ between batch sizes."""
    return one.shape == other.shape and bool(np.abs(one - other).max() <= 1)


def images(folder: Path, pattern: str = "seed*.png") -> list[np.ndarray]:
    return [pixels(path) for path in sorted(folder.glob(pattern))]


def test_psi_and_psi_layers_control_truncation(generate):
    average, same, none = (images(generate("--seeds", "0-2", "--psi", psi)) for psi in ("0", "0.0", "1"))
    assert np.array_equal(average[0], average[2])
    assert np.array_equal(average, same)
    usual = images(generate("--seeds", "0-2"))
    assert not alike(none[0], usual[0])
    assert np.array_equal(images(generate("--seeds", "0-2", "--psi", "0.7", "--psi-layers", "all")), usual)
    assert np.array_equal(images(generate("--seeds", "0-2", "--psi-layers", "0")), none)
    coarse = images(generate("--seeds", "0-2", "--psi", "-1", "--psi-layers", "4"))
    assert not alike(coarse[0], none[0])


def test_random_noise_depends_only_on_the_seed(generate):
    one = images(generate("--seeds", "3,4", "--noise", "random"))
    other = images(generate("--seeds", "4-8", "--noise", "random"))
    assert alike(one[1], other[0])
    assert not alike(one[1], images(generate("--seeds", "4"))[0])


@pytest.mark.parametrize("size", ["4", "16"])
def test_images_of_an_earlier_resolution_can_be_generated(generate, saved, size):
    generated = images(generate("--seeds", "0-1", "--size", size, "--psi", "1"))
    generator = loading.load_generator(*saved[1], size=int(size))
    expected = sampler.generate(generator, latents.from_seeds([0, 1], generator.latent)).astype(int)
    assert alike(np.stack(generated), expected)


@pytest.mark.parametrize("space", ["z", "w"])
@pytest.mark.parametrize("path", ["linear", "spherical"])
def test_a_walk_passes_through_its_seeds_in_a_loop(generate, space, path):
    walk = ["--interpolate", "--space", space, "--path", path, "--format", "png"]
    frames = images(generate(*walk, "--seeds", "0-3", "--grid", "1x2", "--steps", "6"), "interpolation*.png")
    seeds = images(generate("--seeds", "0-3"))
    assert len(frames) == 12
    for column, (first, second) in enumerate([(0, 1), (2, 3)]):
        walked = [cell(frame, 0, column) for frame in frames]
        assert alike(walked[0], seeds[first])
        assert alike(walked[6], seeds[second])
        assert not alike(walked[3], walked[0])
        # The walk from the second seed back to the first takes the same path.
        assert all(alike(one, other) for one, other in zip(walked[1:], walked[:0:-1]))


def test_a_walk_is_linear_in_w_by_default(generate):
    walk = ["--interpolate", "--seeds", "0,1", "--steps", "3", "--format", "png"]
    usual = images(generate(*walk), "*.png")
    assert np.array_equal(images(generate(*walk, "--space", "w", "--path", "linear"), "*.png"), usual)
    assert not alike(images(generate(*walk, "--space", "z"), "*.png")[1], usual[1])


def test_a_video_flickers_with_random_noise_only(generate):
    still = ["--interpolate", "--seeds", "0,1", "--steps", "2", "--psi", "0", "--format", "png"]
    constant = images(generate(*still), "*.png")
    assert all(np.array_equal(frame, constant[0]) for frame in constant)
    random, again = (images(generate(*still, "--noise", "random"), "*.png") for _ in range(2))
    assert np.array_equal(random, again)
    assert not any(alike(one, other) for one, other in itertools.pairwise(random))


@pytest.mark.parametrize("format_", ["gif", "webp", "mp4"])
def test_every_format_has_every_frame_at_its_speed(generate, format_):
    walk = ["--interpolate", "--seeds", "0-3", "--grid", "1x2", "--steps", "5", "--fps", "25", "--format", format_]
    path = generate(*walk) / f"interpolation.{format_}"
    if format_ == "mp4":
        av = pytest.importorskip("av", reason="MP4 needs the extra 'video'")
        with av.open(str(path)) as container:
            assert container.streams.video[0].average_rate == 25
            assert len(list(container.decode(video=0))) == 10
        return
    with Image.open(path) as animation:
        assert (animation.n_frames, animation.info["loop"]) == (10, 0)
        for index in range(10):
            animation.seek(index)
            animation.load()
            assert animation.info["duration"] == 40


def test_a_mixing_sheet_shows_sources_destinations_and_mixtures(generate):
    out = generate("--mix", "--sources", "0-2", "--destinations", "3,4", "--mix-layers", "0-7")
    sheet = pixels(out / "mixing-0-7.png")
    seeds = images(generate("--seeds", "0-4"))
    assert (cell(sheet, 0, 0) == 255).all()
    for column, source in enumerate(seeds[:3], 1):
        assert alike(cell(sheet, 0, column), source)
        assert alike(cell(sheet, 1, column), source)  # every layer is the source's
    for row, destination in enumerate(seeds[3:], 1):
        assert alike(cell(sheet, row, 0), destination)


@pytest.mark.parametrize(("named", "layers"), [("coarse", range(4)), ("middle", range(4, 8)), ("6", range(6, 7))])
def test_a_cell_is_the_destination_with_layers_of_the_source(generate, saved, jittor, named, layers):
    sheet = pixels(generate("--mix", "--sources", "0", "--destinations", "1", "--mix-layers", named, "--psi", "1")
                   / f"mixing-{named}.png")  # fmt: skip
    generator = loading.load_generator(*saved[1])
    with jittor.no_grad():
        source, destination = (generator.map(jittor.array(latents.from_seeds([seed], 16))) for seed in (0, 1))
        styles = [source if layer in layers else destination for layer in range(8)]
        noise = [jittor.array(maps) for maps in constant_noise(generator.noise_sizes(), 1)]
        expected = sampler.to_uint8(generator.synthesise(styles, noise).numpy())[0]
    assert alike(cell(sheet, 1, 1), expected.astype(int))


def test_ranges_of_named_layers_are_limited_to_the_layers_of_the_image(generate):
    coarse = generate("--mix", "--size", "4", "--sources", "0", "--destinations", "1")
    assert alike(*(pixels(coarse / "mixing-coarse.png")[rows, 68:132] for rows in (CELL, slice(68, 132))))
    assert (generate("--mix", "--size", "16", "--mix-layers", "middle") / "mixing-middle.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "64"], "--size 64: this run was trained at 4, 8, 16, 32 px"),
        (["--size", "12"], "--size 12"),
        (["--size", "0"], "--size 0: this run was trained at 4, 8, 16, 32 px"),
        (["--psi", "nan"], "--psi / --truncation: nan is not a number from -100 to 100"),
        (["--psi", "x"], "--psi"),
        (["--psi-layers", "some"], "--psi-layers: 'some' is not 'all' or a number"),
        (["--noise", "much"], "--noise"),
        (["--mix", "--mix-layers", "fine"], "--mix-layers fine: starts at layer 8, but images of this size have"),
        (["--mix", "--mix-layers", "6-8"], "--mix-layers 6-8: images of this size have the style layers 0-7"),
        (["--mix", "--mix-layers", "3-1"], "'3-1' is not coarse, middle, fine or a range"),
        (["--mix", "--mix-layers", "-1"], "'-1' is not coarse"),
        (["--mix", "--sources", "a"], "--sources: 'a' is not a number or a range"),
        (["--mix", "--sources", "0-99", "--destinations", "0-99"], "101 rows of 101 images exceed the maximum of 1024"),
        (["--mix", "--interpolate"], "--mix and --interpolate: choose one"),
        (["--mix", "--seeds", "1"], "--seeds: not for --mix"),
        (["--mix", "--format", "gif"], "--format gif: for --interpolate only"),
        (["--mix", "--noise", "random"], "--noise random: not for --mix"),
        (["--sources", "1"], "--sources: for --mix only"),
        (["--interpolate", "--mix-layers", "fine"], "--mix-layers: for --mix only"),
        (["--space", "w"], "--space: for --interpolate only"),
        (["--steps", "3"], "--steps: for --interpolate only"),
        (["--interpolate", "--format", "png", "--fps", "5"], "--fps 5: not for --format png"),
        (["--interpolate", "--fps", "60"], "--fps 60: a GIF has at most 50; use --format webp or mp4"),
    ],
)
def test_invalid_options_are_reported_in_one_line(ganzoo, saved, arguments, message):
    result = ganzoo("generate", str(saved[0]), *arguments)
    assert (result.exit_code, len([x for x in result.stderr.splitlines() if x.startswith("Error")])) == (2, 1)
    assert message in result.stderr
