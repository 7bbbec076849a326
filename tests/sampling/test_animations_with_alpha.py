"""Animations and sheets of RGBA images."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ganzoo.data.alpha import over_white
from ganzoo.sampling import image_files, sheets


def rgba_frames(count: int = 3, side: int = 32) -> np.ndarray:
    """Return frames of a coloured disc, softly edged and moving, over transparent black."""
    rows, columns = np.mgrid[:side, :side]
    found = np.zeros((count, side, side, 4), np.uint8)
    for index, frame in enumerate(found):
        distance = np.hypot(rows - side / 2, columns - side / 3 - 4 * index)
        frame[..., 3] = np.clip(255 * (side / 4 - distance) / 4, 0, 255)
        frame[..., :3] = np.where(frame[..., 3:] > 0, [230, 40 + 20 * index, 90], 0)
    return found


def read(path) -> list[np.ndarray]:
    """Return the frames of an animation as RGBA."""
    with Image.open(path) as animation:
        found = []
        for index in range(animation.n_frames):
            animation.seek(index)
            found.append(np.asarray(animation.convert("RGBA")))
        return found


@pytest.mark.parametrize("suffix", ["webp", "apng"])
def test_webp_and_apng_keep_transparency(tmp_path, suffix):
    frames = rgba_frames()
    image_files.save_animation(tmp_path / f"x.{suffix}", frames)
    found = read(tmp_path / f"x.{suffix}")
    assert len(found) == len(frames)
    for one, other in zip(found, frames):
        assert np.array_equal(one[..., 3], other[..., 3])
        assert np.array_equal(over_white(one), over_white(other))


def test_lossy_webp_keeps_transparency(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 4), np.uint8)
    frames[..., 3] = 255
    frames[:, :, :16, 3] = np.arange(0, 256, 16)
    image_files.save_animation(tmp_path / "x.webp", frames)
    found = read(tmp_path / "x.webp")
    assert [np.array_equal(one[..., 3], other[..., 3]) for one, other in zip(found, frames)] == [True] * 3
    visible = frames[0, ..., 3] == 255
    assert 0 < np.abs(found[0].astype(int) - frames[0])[visible].mean() < 40


def test_pixels_of_a_gif_are_transparent_below_half_alpha(tmp_path):
    frames = rgba_frames()
    image_files.save_animation(tmp_path / "x.gif", frames)
    found = read(tmp_path / "x.gif")
    assert len(found) == len(frames)
    for one, other in zip(found, frames):
        opaque = other[..., 3] >= 128
        assert np.array_equal(one[..., 3], np.where(opaque, 255, 0))
        assert np.array_equal(one[opaque][:, :3], other[opaque][:, :3])


def test_a_gif_may_be_entirely_transparent_or_opaque(tmp_path):
    frames = np.zeros((2, 9, 9, 4), np.uint8)
    frames[1] = (9, 200, 30, 255)
    image_files.save_animation(tmp_path / "x.gif", frames)
    clear, opaque = read(tmp_path / "x.gif")
    assert not clear[..., 3].any()
    assert (opaque == frames[1]).all()


def test_mp4_is_over_white(tmp_path):
    pytest.importorskip("av", reason="MP4 needs the extra 'video'")
    frames = np.repeat(rgba_frames(1, side=64), 3, 0)
    image_files.save_animation(tmp_path / "x.mp4", frames)
    import av

    with av.open(str(tmp_path / "x.mp4")) as container:
        frame = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert np.abs(frame.astype(int) - over_white(frames[0])).mean() < 3


def test_a_saved_picture_keeps_alpha(tmp_path):
    frame = rgba_frames(1)[0]
    image_files.save(tmp_path / "x.png", frame)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "x.png")), frame)


def test_sheets_are_over_white_and_frames_keep_alpha():
    images = rgba_frames(3, side=64)
    sheet = sheets.grid(images, 2, 2)
    assert sheet.shape[2] == 3
    assert np.array_equal(sheet, sheets.grid(over_white(images), 2, 2))
    frame = sheets.grid(images, 2, 2, keep_alpha=True)
    assert frame.shape[2] == 4
    assert np.array_equal(over_white(frame), sheet)
    assert (frame[-20, -20] == 0).all()  # a cell without an image
