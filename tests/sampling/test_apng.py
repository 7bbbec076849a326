from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ganzoo.sampling.image_files import save_animation


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pillow_reads_every_frame_of_an_apng_exactly(tmp_path, channels):
    frames = np.random.default_rng(0).integers(0, 256, (4, 70, 90, channels), np.uint8)
    path = tmp_path / "x.apng"
    save_animation(path, iter(frames), fps=25)
    with Image.open(path) as animation:
        assert (animation.format, animation.n_frames, animation.info["loop"]) == ("PNG", 4, 0)
        for index, frame in enumerate(frames):
            animation.seek(index)
            assert animation.info["duration"] == 40
            found = np.asarray(animation.convert({1: "L", 3: "RGB", 4: "RGBA"}[channels]))
            assert np.array_equal(found.reshape(frame.shape), frame)


def test_a_large_frame_of_several_chunks_is_read_back(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (3, 400, 400, 4), np.uint8)  # Pillow writes chunks of 64 KB
    save_animation(tmp_path / "x.apng", frames)
    with Image.open(tmp_path / "x.apng") as animation:
        animation.seek(2)
        assert np.array_equal(np.asarray(animation), frames[2])


def test_one_frame_is_an_apng_too(tmp_path):
    frame = np.full((5, 6, 4), 77, np.uint8)
    save_animation(tmp_path / "x.apng", [frame])
    with Image.open(tmp_path / "x.apng") as animation:
        assert np.array_equal(np.asarray(animation), frame)
