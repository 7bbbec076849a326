"""Alignment of faces to the mean landmarks, compared with known or independently computed transforms."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ganzoo.errors import CheckpointError, DataError, OptionError
from tests.support.reference import random_weights

pytestmark = pytest.mark.usefixtures("jittor")


def waves(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the colours, 0 to 255, of a smooth infinite picture at the points (x, y)."""
    phases = [0.031 * x + 0.017 * y, 0.023 * y - 0.02 * x + 1, 0.011 * x + 0.037 * y + 2]
    return np.stack([127.5 + 120 * np.sin(phase) for phase in phases], -1)


def picture(width: int, height: int, colours: Callable[..., np.ndarray] = waves) -> np.ndarray:
    """Return the top left part of the infinite picture, uint8 (height, width, 3)."""
    y, x = np.mgrid[:height, :width] + 0.5
    return colours(x, y).round().astype(np.uint8)


def fitted(points: np.ndarray, target_points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the matrix and offset of the similarity transform from points to targets, by a general solver."""
    (x, y), zero, one = points.T, np.zeros(len(points)), np.ones(len(points))
    system = np.concatenate([np.stack([x, -y, one, zero], 1), np.stack([y, x, zero, one], 1)])
    c, s, right, down = np.linalg.lstsq(system, target_points.T.reshape(-1), rcond=None)[0]
    return np.array([[c, -s], [s, c]]), np.array([right, down])


def source_positions(points: np.ndarray, target_points: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """For each pixel of the aligned size x size image, return its position in the original image."""
    matrix, offset = fitted(points, target_points)
    y, x = np.mgrid[:size, :size] + 0.5
    back = (np.stack([x, y], -1) - offset) @ np.linalg.inv(matrix).T
    return back[..., 0], back[..., 1]


def face(rng: np.random.Generator) -> np.ndarray:
    """Return 98 random points in the middle of an image of 256 px."""
    return rng.uniform([60, 80], [196, 230], (98, 2))


def transformed(points: np.ndarray, degrees: float, scale: float, x: float, y: float) -> np.ndarray:
    angle = np.radians(degrees)
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return points @ matrix.T + [x, y]


numbers = partial(st.floats, allow_subnormal=False)  # once Jittor is loaded, the CPU flushes subnormal numbers to zero


@given(numbers(-180, 180), numbers(0.05, 20), numbers(-500, 500), numbers(-500, 500))
def test_a_known_rotation_scale_and_translation_are_found(degrees: float, scale: float, x: float, y: float) -> None:
    from ganzoo_stargan2.alignment import similarity

    points = face(np.random.default_rng(1))
    factor, offset = similarity(points, transformed(points, degrees, scale, x, y))
    assert abs(factor) == pytest.approx(scale)
    assert factor == pytest.approx(scale * np.exp(1j * np.radians(degrees)))
    assert offset == pytest.approx(complex(x, y), abs=1e-6)


@given(st.integers(0, 2**32), st.integers(2, 98))
def test_landmarks_without_an_exact_fit_are_fitted_by_least_squares(seed: int, count: int) -> None:
    from ganzoo_stargan2.alignment import similarity

    rng = np.random.default_rng(seed)
    points, target_points = rng.uniform(0, 300, (count, 2)), rng.uniform(0, 256, (count, 2))
    factor, translation = similarity(points, target_points)
    matrix, offset = fitted(points, target_points)
    assert [factor.real, factor.imag] == pytest.approx(matrix[:, 0], abs=1e-9)
    assert [translation.real, translation.imag] == pytest.approx(offset, abs=1e-6)


def test_coinciding_landmarks_are_not_a_face() -> None:
    from ganzoo_stargan2.alignment import similarity

    with pytest.raises(ValueError, match="no face found"):
        similarity(np.full((98, 2), 3.1), face(np.random.default_rng(1)))


def test_landmarks_that_would_shrink_the_image_to_a_pixel_are_not_a_face() -> None:
    from ganzoo_stargan2.alignment import align

    points = face(np.random.default_rng(1))
    with pytest.raises(ValueError, match="no face found"):
        align(picture(100, 100), points, transformed(points, 0, 1e-3, 0, 0), 256)


@pytest.mark.parametrize(
    ("degrees", "scale", "size"), [(0, 1, 256), (35, 0.8, 256), (-120, 1.9, 256), (10, 1.1, 64), (80, 0.5, 128)]
)
def test_each_aligned_pixel_comes_from_the_transformed_position(degrees: float, scale: float, size: int) -> None:
    from ganzoo_stargan2.alignment import align

    rng = np.random.default_rng(2)
    target_points = face(rng) * (size / 256)
    points = transformed(target_points, degrees, scale * 256 / size, 300, 280) + rng.normal(0, 3, (98, 2))
    x, y = source_positions(points, target_points, size)
    image = picture(900, 800, lambda x, y: waves(x - 100, y))
    inside = (x > 2) & (x < 898) & (y > 2) & (y < 798)
    assert inside.mean() > 0.3
    found = align(image, points, target_points, size)
    assert (found.shape, found.dtype) == ((size, size, 3), np.uint8)
    assert abs(found - waves(x - 100, y))[inside].max() < 2.5


def test_an_image_is_reflected_beyond_its_edges() -> None:
    from ganzoo_stargan2.alignment import align

    target_points = face(np.random.default_rng(3))
    points = transformed(
        target_points, 20, 0.5, -30, 40
    )  # the aligned square reaches beyond the left and the lower edge
    x, y = source_positions(points, target_points, 256)
    assert x.min() < -20
    assert y.max() > 120
    wide, high = 200 - abs(200 - abs(x)), 110 - abs(110 - abs(y))
    found = align(picture(200, 110), points, target_points, 256)
    near = (np.minimum(abs(wide), abs(wide - 200)) < 1.5) | (np.minimum(abs(high), abs(high - 110)) < 1.5)
    assert abs(found - waves(wide, high))[~near].max() < 2.5


def test_fine_patterns_are_averaged_when_downscaling() -> None:
    from ganzoo_stargan2.alignment import align

    target_points = face(np.random.default_rng(4))
    board = np.indices((1600, 1600)).sum(0) % 2 * 255
    image = board[..., None].repeat(3, 2).astype(np.uint8)
    found = align(image, transformed(target_points, 7, 5.3, 100, 100), target_points, 256)
    assert abs(found - 127.5).max() < 12


def naive_peak(heatmap: np.ndarray) -> tuple[float, float]:
    """Return the landmark of a heatmap of 64 px, in px of an image of 256 px."""
    best = max((heatmap[y, x], -y, -x) for y in range(64) for x in range(64))
    x, y = -best[2], -best[1]
    right = down = 0.0
    if 0 < x < 63 and 0 < y < 63:
        right = 0.25 * np.sign(heatmap[y, x + 1] - heatmap[y, x - 1])
        down = 0.25 * np.sign(heatmap[y + 1, x] - heatmap[y - 1, x])
    return 4 * (x + 0.5 + right), 4 * (y + 0.5 + down)


def test_peaks_are_found_where_they_were_put() -> None:
    from ganzoo_stargan2.alignment import peaks

    maps = np.zeros((1, 4, 64, 64), np.float32)
    maps[0, 0, 10, 20], maps[0, 0, 10, 21], maps[0, 0, 9, 20] = 1, 0.5, 0.4  # larger values right and above
    maps[0, 1, 0, 30], maps[0, 1, 0, 31] = 1, 0.5  # at the edge
    maps[0, 2, 40, 50] = 1  # equal neighbours on both sides
    maps[0, 3, 62, 1], maps[0, 3, 63, 1], maps[0, 3, 62, 0] = 1, 0.5, 0.9
    expected = [[4 * 20.75, 4 * 10.25], [4 * 30.5, 4 * 0.5], [4 * 50.5, 4 * 40.5], [4 * 1.25, 4 * 62.75]]
    assert peaks(maps)[0] * 256 == pytest.approx(np.array(expected))


def test_peaks_of_noise_match_a_plain_search() -> None:
    from ganzoo_stargan2.alignment import peaks

    maps = np.random.default_rng(5).random((2, 20, 64, 64), np.float32)
    maps[0, 0, 63, 63] = 2
    expected = [[naive_peak(heatmap) for heatmap in image] for image in maps]
    assert peaks(maps) * 256 == pytest.approx(np.array(expected))


@pytest.fixture(scope="module")
def wing(jittor: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of made-up weights for the landmark network."""
    from ganzoo_stargan2.landmarks import FAN

    shapes = [(name, tuple(var.shape)) for name, var in FAN().state().items()]
    path = tmp_path_factory.mktemp("weights") / "wing.ckpt"
    path.write_bytes(pickle.dumps({"state_dict": random_weights(shapes, np.random.default_rng(6))}))
    return path


@pytest.fixture
def data_align(workdir: Path, wing: Path) -> Callable[..., Result]:
    """Return a function that runs `ganzoo data align` on the folder `faces`, with random mean landmarks."""
    from ganzoo_stargan2.align_command import align

    np.savez(workdir / "mean.npz", mean=face(np.random.default_rng(7)))
    (workdir / "faces" / "below").mkdir(parents=True)

    def run(*arguments: str, **options: str) -> Result:
        given = {"out": "aligned", "wing": str(wing), "landmarks": "mean.npz", **options}
        flags = [part for name, value in given.items() for part in (f"--{name}", value)]
        result = CliRunner().invoke(align, ["faces", *flags, *arguments])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def test_faces_are_aligned_by_the_real_network(data_align, wing, workdir) -> None:
    """The mean landmarks are one image's landmarks after a known transform, which alignment must apply."""
    from ganzoo_stargan2.landmarks import FAN, read_wing

    from ganzoo import jt

    Image.fromarray(picture(400, 300)).save(workdir / "faces" / "below" / "first.png")
    Image.fromarray(picture(90, 130)).convert("L").save(workdir / "faces" / "second.jpg")
    network = FAN()
    network.load_state(read_wing(wing))
    small = Image.fromarray(picture(400, 300)).resize((256, 256), Image.Resampling.BILINEAR)
    x = (np.asarray(small, np.float64).transpose(2, 0, 1)[None] / 255 - 0.5) / 0.5
    heatmaps = network(jt.array(x.astype(np.float32))).numpy()[0, :98]
    points = np.array([naive_peak(heatmap) for heatmap in heatmaps]) * [400 / 256, 300 / 256]
    target_points = transformed(points, 25, 0.9, 20, -70)
    np.savez(workdir / "mean.npz", mean=target_points.reshape(196))

    result = data_align(size="128")
    assert "aligned: 2 faces aligned at 128 px" in result.output
    with Image.open(workdir / "aligned" / "second.png") as second:
        assert (second.size, second.mode) == ((128, 128), "RGB")
    with Image.open(workdir / "aligned" / "below" / "first.png") as first:
        found = np.asarray(first)
    x, y = source_positions(points, target_points / 2, 128)
    inside = (x > 2) & (x < 398) & (y > 2) & (y < 298)
    assert inside.mean() > 0.3
    assert abs(found - waves(x, y))[inside].max() < 2.5


def test_unreadable_images_are_listed_and_an_interrupted_call_continues(data_align, workdir) -> None:
    faces = workdir / "faces"
    for name in ("a.png", "a.jpg", "b.webp", "below/a.png", ".hidden.png"):
        Image.fromarray(picture(40, 30)).save(faces / name)
    (faces / "bad.png").write_bytes((faces / "a.png").read_bytes()[:200])
    (faces / "text.jpg").write_text("no image")
    (faces / "notes.txt").write_text("no image either")
    result = data_align(size="16")
    assert "    faces/bad.png: not a readable image" in result.output
    assert "    faces/text.jpg: not a readable image" in result.output
    assert "2 images can't be aligned and were left out.\naligned: 4 faces aligned at 16 px\n" in result.output
    out = workdir / "aligned"
    made = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert made == ["a.jpg.png", "a.png.png", "b.png", "below/a.png"]

    (out / "b.png").write_bytes(b"mine")
    (out / "a.png.png").unlink()
    result = data_align(size="16")
    assert "3 images already existed." in result.output
    assert "aligned: 1 faces aligned" in result.output
    assert (out / "b.png").read_bytes() == b"mine"


@pytest.fixture
def fake_network(monkeypatch) -> None:
    """Replace the landmark network by one that finds a face in the middle of each image."""
    from ganzoo_stargan2 import alignment

    def found(network: Any, images: list[np.ndarray]) -> np.ndarray:
        return np.stack([face(np.random.default_rng(7)) / 256 * image.shape[0] for image in images])

    monkeypatch.setattr(alignment, "find_landmarks", found)


def test_no_two_faces_are_written_to_one_file(data_align, workdir, fake_network) -> None:
    faces, out = workdir / "faces", workdir / "aligned"
    names = ["1.png", "1.jpg", "1.jpg.png", "1.jpg.png.png", "2.bmp", "3.png/1.png", "3.bmp", "below/2.png"]
    (faces / "3.png").mkdir()
    for name in names:
        Image.fromarray(picture(40, 30)).save(faces / name)
    assert f"aligned: {len(names)} faces aligned" in data_align(size="16").output
    made = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert len(made) == len(names)
    assert {"2.png", "3.png/1.png", "below/2.png"} < made
    assert f"{len(names)} images already existed" in data_align(size="16").output


def test_linked_folders_are_followed(data_align, workdir, fake_network) -> None:
    (workdir / "elsewhere").mkdir()
    Image.fromarray(picture(40, 30)).save(workdir / "elsewhere" / "a.png")
    (workdir / "faces" / "linked").symlink_to(workdir / "elsewhere")
    (workdir / "faces" / "below" / "again").symlink_to(workdir / "faces")
    (workdir / "faces" / "gone.png").symlink_to(workdir / "nowhere.png")
    result = data_align(size="16")
    assert "aligned: 1 faces aligned" in result.output
    assert "    faces/gone.png: can't be read (No such file" in result.output
    assert (workdir / "aligned" / "linked" / "a.png").is_file()


@pytest.mark.parametrize("bad", [20, 21])
def test_of_many_bad_images_20_are_shown_and_all_are_listed_in_a_file(data_align, workdir, fake_network, bad) -> None:
    for index in range(bad):
        (workdir / "faces" / f"{index:02}.png").write_text("no image")
    Image.fromarray(picture(40, 30)).save(workdir / "faces" / "good.png")
    lines = data_align(size="16").output.splitlines()
    assert lines[0] == "finding landmarks (the first time, compiling kernels takes some minutes)"
    assert [line.split(":")[0] for line in lines[1:21]] == [f"    faces/{index:02}.png" for index in range(20)]
    assert lines[21].startswith(f"{bad} images can't be aligned and were left out.")
    file = workdir / "aligned" / "unreadable.txt"
    assert file.exists() is (bad > 20)
    if file.exists():
        assert len(file.read_text().splitlines()) == bad
        assert lines[21].endswith("All are listed in aligned/unreadable.txt.")


@pytest.mark.parametrize("out", ["faces", "./faces/../faces", "faces/below/aligned"])
def test_the_input_images_are_not_overwritten(data_align, workdir, out) -> None:
    Image.fromarray(picture(40, 30)).save(workdir / "faces" / "a.png")
    with pytest.raises(OptionError, match=r"--out faces.*: must not be faces or a folder inside it"):
        data_align(out=out)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"wing": "no.ckpt"}, "--wing: there is no file no.ckpt with the weights .* Get wing.ckpt from https://"),
        ({"landmarks": "no.npz"}, "--landmarks: there is no file no.npz with .* Get celeba_lm_mean.npz from https://"),
    ],
)
def test_a_missing_file_is_reported_with_its_source(data_align, workdir, options, message) -> None:
    with pytest.raises(OptionError, match=message):
        data_align(**options)


@pytest.mark.parametrize(
    "content", [{"mean": np.zeros((68, 2))}, {"average": np.zeros((98, 2))}, {"mean": np.full((98, 2), np.nan)}, None]
)
def test_a_file_without_mean_landmarks_is_reported(data_align, workdir, content) -> None:
    Image.fromarray(picture(40, 30)).save(workdir / "faces" / "a.png")
    if content is None:
        (workdir / "mean.npz").write_bytes(b"PK\x03\x04 nothing")
    else:
        np.savez(workdir / "mean.npz", **content)
    with pytest.raises(DataError, match=r"mean.npz: not mean landmarks: .* 98 points under the key 'mean'"):
        data_align()


def test_weights_of_another_network_are_reported(data_align, workdir) -> None:
    Image.fromarray(picture(40, 30)).save(workdir / "faces" / "a.png")
    (workdir / "other.ckpt").write_bytes(pickle.dumps({"state_dict": {}}))
    with pytest.raises(CheckpointError, match=r"other\.ckpt: its landmark network lacks"):
        data_align(wing="other.ckpt")


def test_a_folder_without_readable_images_is_reported(data_align, workdir) -> None:
    with pytest.raises(DataError, match="faces: no image in this folder"):
        data_align()
    (workdir / "faces" / "bad.png").write_bytes(b"no")
    with pytest.raises(DataError, match="faces: none of its 1 images can be aligned"):
        data_align()
    (workdir / "faces" / "bad.png").unlink()
    (workdir / "faces" / "below").rmdir()
    (workdir / "faces").rmdir()
    with pytest.raises(DataError, match="faces: there is no such folder"):
        data_align()
