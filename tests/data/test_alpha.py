"""Images with transparency, over white or as RGBA."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import PIL
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from ganzoo.backend.pixels import to_floats
from ganzoo.data.alpha import over_white
from ganzoo.data.catalog import open_data
from ganzoo.data.checking import check_dataset
from ganzoo.data.images import crop_and_resize, decode, load_resized, to_array
from ganzoo.data.loader import Loader
from ganzoo.data.preparing import prepare
from ganzoo.data.storage import open_path
from ganzoo.errors import DataError, OptionError
from ganzoo.interfaces.dataset import Dataset
from ganzoo.registry import plugins
from tests.data.pictures import NumberedDataset, encoded, noise, write_folder
from tests.data.profiles import swapped

RED, BLACK = (255, 0, 0), (0, 0, 0)
BOXES = [None, (0.1, 0.2, 0.9, 1.0)]


def sprite(seed: int = 0, hidden: tuple[int, int, int] = BLACK, side: int = 24) -> Image.Image:
    """Return RGBA noise in a soft disc; fully transparent pixels have the colour `hidden`."""
    rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
    alpha = np.clip(255 * (0.4 * side - np.hypot(rows, columns)) / 3, 0, 255).astype(np.uint8)
    pixels = np.dstack([np.asarray(noise(side, side, seed=seed)), alpha])
    pixels[alpha == 0, :3] = hidden
    return Image.fromarray(pixels)


def folder(path: Path, count: int = 6, **settings: tuple[int, int, int]) -> Path:
    return write_folder(path, {f"{index}.png": encoded(sprite(index, **settings)) for index in range(count)})


def exactly_resized(image: Image.Image, size: int, box: tuple[float, float, float, float] | None) -> np.ndarray:
    """Resize premultiplied floats, of the square image, and return them in [0, 1]."""
    pixels = np.asarray(image, np.float32) / 255
    pixels[..., :3] *= pixels[..., 3:]
    area = tuple(fraction * image.width for fraction in box or (0, 0, 1, 1))
    planes = [Image.fromarray(pixels[..., plane].copy()) for plane in range(4)]
    resized = [plane.resize((size, size), Image.Resampling.LANCZOS, box=area) for plane in planes]  # type: ignore[arg-type]
    found = np.clip(np.stack([np.asarray(plane) for plane in resized], -1), 0, 1)
    found[..., :3] = np.minimum(found[..., :3], found[..., 3:])
    return found


@pytest.mark.parametrize("kind", ["png", "webp", "tiff"])
def test_rgba_images_are_loaded_as_they_are_stored(kind: str) -> None:
    image = sprite()
    data = encoded(image, kind, **({"lossless": True, "exact": True} if kind == "webp" else {}))
    np.testing.assert_array_equal(to_array(decode(data, "x"), 4), np.asarray(image))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "I;16"])
def test_opaque_images_of_any_mode_get_an_alpha_of_255(mode: str) -> None:
    image = Image.fromarray(np.arange(48, dtype=np.uint16).reshape(8, 6) * 999) if mode == "I;16" else noise(mode=mode)
    array = to_array(image, 4)
    np.testing.assert_array_equal(array[..., :3], to_array(image, 3))
    assert (array[..., 3] == 255).all()


def test_transparent_colours_of_a_palette_of_rgb_and_of_grey_become_alpha() -> None:
    palette = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    palette.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    gif = to_array(decode(encoded(palette, "gif", transparency=1), "x.gif"), 4)
    assert gif[0, ::2].tolist() == [[10, 20, 30, 255], [70, 80, 90, 255]]
    assert gif[0, :, 3].tolist() == [255, 0, 255]
    png = to_array(decode(encoded(palette, transparency=bytes([255, 128, 0])), "x.png"), 4)
    assert png[0, :, 3].tolist() == [255, 128, 0]
    assert png[0, 1].tolist() == [40, 50, 60, 128]
    rgb = Image.fromarray(np.array([[[1, 2, 3], [1, 2, 4]]], np.uint8))
    assert to_array(decode(encoded(rgb, transparency=(1, 2, 3)), "x.png"), 4)[0, :, 3].tolist() == [0, 255]
    grey = Image.fromarray(np.array([[7, 8]], np.uint8))
    assert to_array(decode(encoded(grey, transparency=7), "x.png"), 4)[0].tolist() == [[7, 7, 7, 0], [8, 8, 8, 255]]
    kind = np.int32 if int(PIL.__version__.partition(".")[0]) < 11 else np.uint16  # what Pillow writes with 16 bits
    deep = Image.fromarray(np.array([[700, 2570]], kind))
    assert to_array(decode(encoded(deep, transparency=700), "x.png"), 4)[0, 1].tolist() == [10, 10, 10, 255]
    assert to_array(decode(encoded(deep, transparency=700), "x.png"), 4)[0, 0, 3] == 0


def test_an_icc_profile_is_applied_to_the_colours_and_not_to_alpha() -> None:
    image = sprite()
    array = to_array(decode(encoded(image, icc_profile=swapped()), "x.png"), 4)
    np.testing.assert_array_equal(array[..., 3], np.asarray(image)[..., 3])
    opaque = to_array(decode(encoded(image.convert("RGB"), icc_profile=swapped()), "x.png"), 3)
    np.testing.assert_array_equal(array[..., :3], opaque)
    resized = to_array(decode(encoded(image, icc_profile=swapped()), "x.png"), 4, 12)
    np.testing.assert_array_equal(resized, crop_and_resize(array, 12))


def test_grey_with_alpha_becomes_rgba() -> None:
    array = to_array(decode(encoded(Image.fromarray(np.array([[[9, 255], [80, 60]]], np.uint8), "LA")), "x.png"), 4)
    assert array[0].tolist() == [[9, 9, 9, 255], [80, 80, 80, 60]]


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("size", [8, 40])
def test_images_are_resized_with_premultiplied_colours(
    size: int, box: tuple[float, float, float, float] | None
) -> None:
    image = sprite().filter(ImageFilter.BoxBlur(1))
    found = crop_and_resize(np.asarray(image), size, 4, box) / 255
    found[..., :3] *= found[..., 3:]
    assert np.abs(found - exactly_resized(image, size, box)).max() < 3 / 255


@pytest.mark.parametrize("size", [None, 8, 24, 40])
def test_colours_that_transparency_hides_do_not_leak(tmp_path: Path, size: int | None) -> None:
    black, red = (open_path(folder(tmp_path / str(hidden), hidden=hidden)).with_alpha() for hidden in (BLACK, RED))
    for index in range(len(black)):
        one, other = (to_floats(each.load(index, size)[0][None]) for each in (black, red))
        np.testing.assert_array_equal(one, other)
        for box in BOXES:
            one, other = (to_floats(load_resized(each, index, size or 16, 4, box)[0][None]) for each in (black, red))
            np.testing.assert_array_equal(one, other)


def test_a_data_set_draws_transparency_over_white_unless_alpha_is_asked_for(tmp_path: Path) -> None:
    data = open_path(folder(tmp_path / "set"))
    assert (data.info.channels, data.has_alpha) == (3, True)
    kept = data.with_alpha()
    assert kept.info.channels == 4
    np.testing.assert_array_equal(kept.load(2)[0], np.asarray(sprite(2)))
    np.testing.assert_array_equal(data.load(2)[0], over_white(kept.load(2)[0]))
    np.testing.assert_array_equal(load_resized(kept, 2, 16, 3)[0], data.load(2, 16)[0])
    assert load_resized(kept, 2, 16, 1)[0].shape == (16, 16, 1)
    assert data.fingerprint() != kept.fingerprint()


def test_a_data_set_without_transparency_refuses_alpha_by_name(tmp_path: Path) -> None:
    opaque = open_path(
        write_folder(tmp_path / "photos", {"a.png": encoded(noise()), "b.jpg": encoded(noise(), "jpeg")})
    )
    for data in (opaque, NumberedDataset(3)):
        with pytest.raises(OptionError, match=rf"--alpha: the images of {data.info.name} have no transparency"):
            data.with_alpha()
    with pytest.raises(OptionError, match="--alpha: the images of photos"):
        open_data(str(tmp_path / "photos"), plugins.load(), alpha=True)


def test_one_transparent_image_makes_a_set_one_with_alpha(tmp_path: Path) -> None:
    files = {f"{index}.png": encoded(noise(mode="L")) for index in range(20)} | {"7.png": encoded(sprite())}
    data = open_data(str(write_folder(tmp_path / "set", files)), plugins.load(), alpha=True)
    images = [data.load(index)[0] for index in range(len(data))]
    assert {image.shape[2] for image in images} == {4}
    assert sum((image[..., 3] < 255).any() for image in images) == 1


def test_validation_images_keep_their_transparency_too(tmp_path: Path) -> None:
    folder(tmp_path / "set" / "train")
    folder(tmp_path / "set" / "val", 2)
    validation = open_path(tmp_path / "set").with_alpha().validation()
    assert validation is not None
    assert validation.info.channels == 4
    np.testing.assert_array_equal(validation.load(1)[0], np.asarray(sprite(1)))


def test_check_counts_the_images_with_transparency(tmp_path: Path) -> None:
    opaque = {"x.png": encoded(noise(24, 24).convert("RGBA"))}
    data = open_path(write_folder(folder(tmp_path / "set"), opaque))
    lines = list(check_dataset(data).lines())
    assert "7 readable images of 7, RGB" in lines[0]
    assert "    6 images with transparency, which is drawn over white; --alpha keeps it" in lines
    lines = list(check_dataset(data.with_alpha()).lines())
    assert "RGBA" in lines[0]
    assert "    6 images with transparency" in lines
    assert not any(
        "transparency" in line for line in check_dataset(open_path(write_folder(tmp_path / "opaque", opaque))).lines()
    )


def test_prepared_images_equal_those_of_the_folder(tmp_path: Path) -> None:
    source = open_path(folder(tmp_path / "set")).with_alpha()
    messages: list[str] = []
    prepare(source, tmp_path / "out.lmdb", (8, 16, 32), say=messages.append, workers=1)
    stored = open_path(tmp_path / "out.lmdb")
    assert stored.info.channels == 4  # without asking
    assert (stored.storage.metadata["channels"], stored.storage.metadata["lossless"]) == (4, True)
    assert stored.with_alpha().info.channels == 4
    for size in (8, 16, 32):
        for index in range(len(source)):
            expected = source.load(index, size)[0]
            np.testing.assert_array_equal(stored.at_size(size).load(index)[0], expected)
    prepare(stored, tmp_path / "again.lmdb", (8,), workers=1)  # an RGBA set is stored as one
    np.testing.assert_array_equal(open_path(tmp_path / "again.lmdb").load(1)[0], source.load(1, 8)[0])


def test_sets_prepared_without_alpha_have_the_metadata_that_they_always_had(tmp_path: Path) -> None:
    prepare(open_path(folder(tmp_path / "set")), tmp_path / "out.lmdb", (8,), workers=1)
    stored = open_path(tmp_path / "out.lmdb")
    assert "channels" not in stored.storage.metadata
    assert (stored.info.channels, stored.has_alpha) == (3, False)


def arrays(path: Path, images: np.ndarray, validation: np.ndarray) -> Dataset:
    np.savez(path, x_train=images, x_test=validation)
    return open_path(path)


@pytest.mark.parametrize("first", [False, True])
def test_arrays_of_four_channels_have_alpha(tmp_path: Path, first: bool) -> None:
    stacked = np.stack([np.asarray(sprite(index)) for index in range(5)])
    stored = stacked.transpose(0, 3, 1, 2) if first else stacked
    data = arrays(tmp_path / "a.npz", stored, stacked[:2, ..., :3])
    assert (data.info.channels, data.has_alpha) == (3, True)
    np.testing.assert_array_equal(data.load(3)[0], over_white(stacked[3]))
    folder_data = open_path(folder(tmp_path / "set"))
    np.testing.assert_array_equal(data.load(3, 16)[0], folder_data.load(3, 16)[0])
    kept = data.with_alpha()
    np.testing.assert_array_equal(kept.load(3)[0], stacked[3])
    np.testing.assert_array_equal(kept.load(3, 16)[0], folder_data.with_alpha().load(3, 16)[0])
    for each in (kept, pickle.loads(pickle.dumps(kept))):
        validation = each.validation()
        assert validation is not None
        assert each.info.channels == validation.info.channels == 4
        np.testing.assert_array_equal(validation.load(1)[0][..., :3], stacked[1, ..., :3])
        assert (validation.load(1)[0][..., 3] == 255).all()
        np.testing.assert_array_equal(each.load(4)[0], stacked[4])
    np.save(tmp_path / "b.npy", stored)
    np.testing.assert_array_equal(open_path(tmp_path / "b.npy").with_alpha().load(0)[0], stacked[0])


def test_opaque_arrays_refuse_alpha(tmp_path: Path) -> None:
    np.save(tmp_path / "b.npy", np.zeros((2, 8, 8, 3), np.uint8))
    with pytest.raises(OptionError, match="--alpha: the images of b have no transparency"):
        open_path(tmp_path / "b.npy").with_alpha()


def test_a_loader_gives_rgba_of_the_trained_size(tmp_path: Path) -> None:
    data = open_path(folder(tmp_path / "set")).with_alpha()
    batch = next(Loader(data, 4, size=16, channels=4, seed=0, flip=True).batches()).images
    assert batch.shape == (4, 16, 16, 4)
    assert (batch[..., 3] == 0).any()
    assert (batch[..., 3] == 255).any()


@given(st.integers(0, 255), st.integers(0, 255))
def test_over_white_is_the_mean_weighted_by_alpha(level: int, alpha: int) -> None:
    pixel = over_white(np.array([level, level, level, alpha], np.uint8).reshape(1, 1, 1, 4))
    assert pixel.shape == (1, 1, 1, 3)
    assert abs(int(pixel[0, 0, 0, 0]) - (level * alpha + 255 * (255 - alpha)) / 255) <= 0.51


def test_damaged_images_are_still_an_error(tmp_path: Path) -> None:
    files = {"a.png": encoded(sprite()), "b.png": encoded(sprite())[:200]}
    data = open_path(write_folder(tmp_path / "set", files)).with_alpha()
    with pytest.raises(DataError, match=r"b\.png"):
        data.load(1)
