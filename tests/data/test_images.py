from __future__ import annotations

import io
import struct
import warnings
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from ganzoo.data.images import channels_of, crop_and_resize, decode, is_image, load_resized, to_array
from ganzoo.data.lmdb_writer import png
from ganzoo.data.storage import open_path
from ganzoo.errors import DataError
from tests.data.pictures import encoded, noise, write_folder
from tests.data.profiles import srgb, swapped

MAGIC = [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff\xe0", b"BM", b"II*\0"]  # first bytes of the formats

sides = st.integers(1, 20)
pictures = st.tuples(sides, sides, st.sampled_from([1, 3])).flatmap(lambda shape: arrays(np.uint8, shape))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cat.png", True),
        ("cats/cat.JPEG", True),
        ("./cats/cat.webp", True),
        ("cats/readme.txt", False),
        ("png", False),
        (".cat.png", False),
        (".cache/cat.png", False),
        ("__MACOSX/cats/._cat.png", False),
    ],
)
def test_images_are_recognised_by_name(name: str, expected: bool) -> None:
    assert is_image(name) is expected


@given(pictures)
def test_an_image_written_as_png_is_read_unchanged(array: np.ndarray) -> None:
    image = decode(png(array), "x.png")
    assert channels_of(image) == array.shape[2]
    np.testing.assert_array_equal(to_array(image, array.shape[2]), array)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I", "I;16", "F"])
def test_grey_modes_have_one_channel(mode: str) -> None:
    assert channels_of(Image.new(mode, (2, 2))) == 1


@pytest.mark.parametrize("mode", ["P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_other_modes_have_three_channels(mode: str) -> None:
    image = Image.new(mode, (3, 2))
    assert channels_of(image) == 3
    assert to_array(image, 3).shape == (2, 3, 3)


@pytest.mark.parametrize("channels", [1, 3])
def test_transparency_is_composited_over_white(channels: int) -> None:
    image = Image.new("RGBA", (3, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 0, 255))
    image.putpixel((2, 0), (0, 0, 0, 51))
    array = to_array(decode(encoded(image), "x.png"), channels)
    assert array.tolist() == [[[255] * channels, [0] * channels, [204] * channels]]


def test_transparency_of_grey_is_composited_over_white() -> None:
    image = Image.new("LA", (2, 1), (40, 255))
    image.putpixel((1, 0), (40, 0))
    assert to_array(decode(encoded(image), "x.png"), 1)[0, :, 0].tolist() == [40, 255]


def test_a_transparent_palette_entry_becomes_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([200, 0, 0, 0, 0, 200])
    image.putpixel((1, 0), 1)
    array = to_array(decode(encoded(image, "gif", transparency=1), "x.gif"), 3)
    assert array.tolist() == [[[200, 0, 0], [255, 255, 255]]]


def test_a_transparent_rgb_colour_becomes_white() -> None:
    image = Image.new("RGB", (2, 1), (9, 9, 9))
    image.putpixel((0, 0), (1, 2, 3))
    array = to_array(decode(encoded(image, transparency=(1, 2, 3)), "x.png"), 3)
    assert array.tolist() == [[[255] * 3, [9] * 3]]


@given(arrays(np.uint16, (3, 3)))
def test_16_bits_are_scaled_to_8(wide: np.ndarray) -> None:
    image = decode(encoded(Image.fromarray(wide)), "x.png")
    scaled = to_array(image, 1)[:, :, 0]
    if image.mode.startswith("I;16") or wide.max() > 255:
        np.testing.assert_array_equal(scaled, np.rint(wide / 257))
    else:
        np.testing.assert_array_equal(scaled, wide)


def test_16_bit_tiff_of_either_byte_order_is_grey() -> None:
    for order in ("I;16", "I;16B"):
        image = Image.frombytes(order, (1, 1), b"\xff\xff")
        assert channels_of(image) == 1
        assert to_array(image, 3).tolist() == [[[255, 255, 255]]]


def test_cmyk_becomes_rgb() -> None:
    ink = Image.new("CMYK", (2, 2), (0, 255, 255, 0))
    array = to_array(decode(encoded(ink, "tiff"), "x.tiff"), 3)
    assert array[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "bmp", "gif", "tiff"])
def test_every_format_is_read(kind: str) -> None:
    assert to_array(decode(encoded(noise(), kind), "x"), 3).shape == (8, 6, 3)


# For each EXIF orientation, how the pixels of an upright picture are stored.
STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright),
    7: lambda upright: np.rot90(upright, 2).swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["png", "webp", "tiff"])
def test_a_photo_is_turned_upright(orientation: int, kind: str) -> None:
    upright = np.asarray(noise(6, 9))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "webp" else {}
    data = encoded(Image.fromarray(np.ascontiguousarray(STORED[orientation](upright))), kind, exif=exif, **options)
    np.testing.assert_array_equal(to_array(decode(data, "x"), 3), upright)


@pytest.mark.parametrize("error", [SyntaxError, KeyError, struct.error, OSError])
def test_damaged_exif_data_are_ignored(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def fail(image: Image.Image) -> None:
        raise error  # Pillow's exceptions differ between releases

    monkeypatch.setattr(Image.Image, "getexif", fail)
    np.testing.assert_array_equal(to_array(decode(encoded(noise()), "x.png"), 3), np.asarray(noise()))


def test_an_animation_gives_its_first_frame() -> None:
    frames = [Image.new("L", (4, 4), value) for value in (10, 90, 200)]
    data = encoded(frames[0], "gif", save_all=True, append_images=frames[1:])
    assert (to_array(decode(data, "x.gif"), 1) == 10).all()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"just some text", "not in a supported format"),
        (b"\x89PNG\r\n\x1a\n", ""),
        (encoded(noise(60, 80), "jpeg")[:900], "truncated"),
        (encoded(noise(60, 80))[:900], "truncated"),
    ],
)
def test_damage_is_an_error_that_names_the_file(data: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=f"^cats/cat.png: not a readable image .*{reason}.*$") as caught:
        decode(data, "cats/cat.png")
    assert "\n" not in str(caught.value)
    assert " at 0x" not in str(caught.value)  # Pillow's message has the address of the buffer


@given(st.binary(max_size=200), st.sampled_from(MAGIC))
def test_any_bytes_give_an_image_or_a_data_error(data: bytes, magic: bytes) -> None:
    with warnings.catch_warnings(), patch.object(Image, "MAX_IMAGE_PIXELS", 10_000):
        warnings.simplefilter("ignore")
        try:
            image = decode(magic + data, "x")
        except DataError:
            return
    assert image.size[0] > 0


@pytest.mark.parametrize("height", [15, 30])  # Pillow warns about the first and raises for the second
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_decompression_bomb_is_refused(monkeypatch: pytest.MonkeyPatch, height: int) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(DataError, match=r"bomb\.png: .*pixels"):
        decode(encoded(Image.new("1", (100, height))), "bomb.png")


def tiff(**changed: tuple[int, int]) -> bytes:
    """Return a grey TIFF of 1 x 2 px with changed counts and values of some tags."""
    tags = {"width": (256, 4, 1, 1), "height": (257, 4, 1, 2), "bits": (258, 3, 1, 8), "method": (259, 3, 1, 1)}
    tags = {**tags, "kind": (262, 3, 1, 1), "strips": (273, 4, 1, 8), "rows": (278, 4, 1, 1), "bytes": (279, 4, 1, 1)}
    tags = {**tags, "tile_width": (322, 4, 1, 16), "tile_length": (323, 4, 1, 16)}
    entries = [(tag, kind, *changed.get(name, value)) for name, (tag, kind, *value) in tags.items()]
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + bytes(4)


def test_the_number_of_strips_in_a_tiff_is_limited() -> None:
    with pytest.raises(DataError, match=r"x\.tif: not a readable image \(a TIFF of 3,000,000 strips or tiles\)"):
        decode(tiff(strips=(3_000_000, 200)) + bytes(4 * 3_000_000), "x.tif")


def test_the_tile_size_of_a_tiff_is_limited() -> None:
    with pytest.raises(DataError, match=r"x\.tif: not a readable image \(20000 x 20000 px; the limit is"):
        decode(tiff(tile_width=(1, 20_000), tile_length=(1, 20_000)), "x.tif")


@given(st.binary(max_size=60), st.sampled_from([b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"MM+\0", b"II"]))
def test_any_directory_of_a_tiff_gives_an_image_or_a_data_error(data: bytes, magic: bytes) -> None:
    for start in (b"", struct.pack("<I", 8), bytes([8, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0])):
        with warnings.catch_warnings(), suppress(DataError):
            warnings.simplefilter("ignore")
            assert decode(magic + start + data, "x").size[0] > 0


@pytest.mark.parametrize(
    "data", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", b"P6 1 1 255\nabc"]
)
def test_other_formats_that_pillow_supports_are_refused(data: bytes) -> None:
    with pytest.raises(DataError, match=r"x: not a readable image .*not in a supported format: PNG, JPEG"):
        decode(data, "x")


MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I", "I;16", "F"]


def image_of_mode(mode: str) -> Image.Image:
    """Return an image of 7 x 23 px."""
    if mode == "I":
        return Image.fromarray(np.arange(7 * 23, dtype=np.int32).reshape(23, 7) * 400)
    return noise(7, 23).convert("I").convert(mode) if mode == "I;16" else noise(7, 23, mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("channels", [1, 3])
def test_conversion_in_strips_gives_the_same_pixels(monkeypatch: pytest.MonkeyPatch, mode: str, channels: int) -> None:
    image = image_of_mode(mode)
    expected = to_array(image, channels)
    monkeypatch.setattr("ganzoo.data.images.STRIP_PIXELS", 30)
    np.testing.assert_array_equal(to_array(image, channels), expected)


@pytest.mark.parametrize("info", [{}, {"transparency": 9}, {"icc_profile": srgb()}, {"icc_profile": swapped()}])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_resized_while_it_is_converted_has_the_same_pixels(
    monkeypatch: pytest.MonkeyPatch, mode: str, channels: int, info: dict[str, object]
) -> None:
    image = image_of_mode(mode)
    image.info.update(info if mode != "RGB" or "transparency" not in info else {"transparency": (9, 9, 9)})
    monkeypatch.setattr("ganzoo.data.images.STRIP_PIXELS", 30)
    for size in (5, 7, 12):
        expected = crop_and_resize(to_array(image, channels), size)
        np.testing.assert_array_equal(to_array(image, channels, size), expected)


@pytest.mark.parametrize("box", [None, (0.1, 0.2, 0.8, 0.9)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_an_image_of_a_data_set_is_resized_like_the_whole_image(
    tmp_path: Path, mode: str, channels: int, box: tuple[float, float, float, float] | None
) -> None:
    data = open_path(write_folder(tmp_path, {"a.png": encoded(noise(31, 40, mode))}))
    expected = crop_and_resize(data.load(0)[0], 16, channels, box)
    np.testing.assert_array_equal(load_resized(data, 0, 16, channels, box)[0], expected)


def test_a_data_set_resizes_an_image_itself(tmp_path: Path) -> None:
    data = open_path(write_folder(tmp_path, {"a.jpg": encoded(noise(300, 200), "jpeg")}))
    np.testing.assert_array_equal(data.load(0, 16)[0], crop_and_resize(data.load(0)[0], 16))


@given(pictures, st.integers(1, 24), st.sampled_from([1, 3]))
def test_crop_and_resize_gives_the_wanted_shape(array: np.ndarray, size: int, channels: int) -> None:
    fitted = crop_and_resize(array, size, channels)
    assert fitted.shape == (size, size, channels)
    assert fitted.dtype == np.uint8


@given(st.integers(1, 12), st.integers(0, 9), st.sampled_from([1, 3]), st.booleans())
def test_crop_and_resize_crops_the_centre_without_scaling_an_image_of_the_right_size(
    side: int, more: int, channels: int, wide: bool
) -> None:
    shape = (side, side + more) if wide else (side + more, side)
    array = np.random.default_rng(more).integers(0, 256, (*shape, channels), np.uint8)
    top, left = (shape[0] - side) // 2, (shape[1] - side) // 2
    np.testing.assert_array_equal(crop_and_resize(array, side, channels), array[top : top + side, left : left + side])


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 16), st.integers(0, 255))
def test_crop_and_resize_keeps_a_uniform_colour(height: int, width: int, size: int, value: int) -> None:
    assert (crop_and_resize(np.full((height, width, 1), value, np.uint8), size, 3) == value).all()


def test_crop_and_resize_scales_the_shorter_side() -> None:
    array = np.zeros((40, 80, 3), np.uint8)
    array[:, 20:60] = 255  # the centre square
    array[:, :10] = array[:, 70:] = 99
    assert crop_and_resize(array, 20, 3)[:, 2:-2].min() > 250  # not 255, as Lanczos rings at the edges


def test_crop_and_resize_accepts_a_strip_of_any_length() -> None:
    strip = np.zeros((1, 60_000, 1), np.uint8)
    assert crop_and_resize(strip, 256, 3).shape == (256, 256, 3)


def test_png_writes_a_png_file() -> None:
    assert Image.open(io.BytesIO(png(np.zeros((2, 2, 3), np.uint8)))).format == "PNG"
