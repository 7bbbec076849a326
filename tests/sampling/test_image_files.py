from __future__ import annotations

import sys
import weakref

import numpy as np
import pytest
from PIL import Image

from ganzoo.errors import GanzooError, OptionError
from ganzoo.sampling import image_files


def numbered_images(count: int, size: int = 5, channels: int = 3) -> np.ndarray:
    return np.stack([np.full((size, size, channels), 10 * index + 5, np.uint8) for index in range(count)])


def test_a_saved_picture_has_the_same_pixels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    image_files.save(tmp_path / "x.png", pixels)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "x.png")), pixels)
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]


def test_a_path_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(GanzooError, match=r"can't be written"):
        image_files.save(tmp_path / "missing" / "x.png", numbered_images(1)[0])


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_a_long_animation_is_never_entirely_in_memory(tmp_path, suffix):
    references: list[weakref.ref] = []

    def frames():
        for frame in numbered_images(20):
            references.append(weakref.ref(frame := frame.copy()))
            assert sum(reference() is not None for reference in references) <= 2
            yield frame

    image_files.save_animation(tmp_path / f"x.{suffix}", frames())
    assert len(references) == 20


def test_an_animation_is_written_atomically(tmp_path):
    def frames():
        yield numbered_images(1)[0]
        raise KeyboardInterrupt

    for suffix in ("gif", "webp"):
        (tmp_path / f"x.{suffix}").write_text("before")
        with pytest.raises(KeyboardInterrupt):
            image_files.save_animation(tmp_path / f"x.{suffix}", frames())
        assert (tmp_path / f"x.{suffix}").read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_gif_of_few_colours_is_exact(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (40, 3), dtype=np.uint8)
    frame = colours[np.arange(64 * 64) % 40].reshape(64, 64, 3)
    image_files.save_animation(tmp_path / "x.gif", [frame, frame.copy()])
    with Image.open(tmp_path / "x.gif") as animation:
        assert animation.n_frames == 2
        assert np.array_equal(np.asarray(animation.convert("RGB")), frame)


def test_webp_is_lossless_unless_that_is_much_larger(tmp_path):
    flat = np.zeros((64, 64, 3), np.uint8)
    flat[:32, 16:] = (255, 30, 99)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    errors = {}
    for name, frame in (("flat", flat), ("noise", noise)):
        path = tmp_path / f"{name}.webp"
        image_files.save_animation(path, [frame, frame])
        with Image.open(path) as animation:
            errors[name] = np.abs(np.asarray(animation.convert("RGB")).astype(int) - frame).max()
    assert errors["flat"] == 0 < errors["noise"]


def test_mp4_without_the_extra_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(OptionError, match=r'pip install "ganzoo\[video\]"'):
        image_files.save_animation(tmp_path / "x.mp4", numbered_images(2))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_an_animation_has_every_frame_and_loops(tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    image_files.save_animation(path, iter(numbered_images(6, 20)))
    with Image.open(path) as animation:
        assert animation.n_frames == 6
        assert animation.info["loop"] == 0
        for index in range(6):
            animation.seek(index)
            assert np.abs(np.asarray(animation.convert("RGB")).astype(int) - (10 * index + 5)).max() <= 3


@pytest.mark.parametrize("channels", [1, 3])
def test_mp4_has_every_frame_even_if_its_size_is_odd(tmp_path, channels):
    av = pytest.importorskip("av", reason="MP4 needs the extra 'video'")
    path = tmp_path / "x.mp4"
    image_files.save_animation(path, iter(numbered_images(6, 33, channels)))
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 6
    for index, frame in enumerate(frames):
        assert abs(float(frame[:32, :32].mean()) - (10 * index + 5)) < 6
