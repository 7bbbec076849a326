from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganzoo.data.catalog import DescribedDataset
from ganzoo.data.fitted import with_fit
from ganzoo.data.images import crop_and_resize, fit_array, load_resized
from ganzoo.data.lmdb_writer import png, write_lmdb
from ganzoo.data.order import Box
from ganzoo.data.storage import open_path
from ganzoo.errors import OptionError
from ganzoo.interfaces.dataset import FITS, DataInfo, Dataset
from tests.data.pictures import encoded, noise, write_folder

OTHERS = ("pad", "stretch")
BOXES = [None, (0.1, 0.2, 0.8, 0.9)]


class Plugin(Dataset):
    """A data set of images 30 x 20 px that knows nothing of fits."""

    def __init__(self, name: str = "plugin", size: int = 20) -> None:
        self.info = DataInfo(name, 2, size, 3, ("a", "b"), attributes=("x",))
        self.notes = ("read me",)

    def load(self, index: int, size: int | None = None) -> tuple[np.ndarray, int]:
        side = self.info.size
        image = np.random.default_rng(index).integers(0, 256, (side, side * 3 // 2, 3), np.uint8)
        return crop_and_resize(image, size), index

    def attributes(self) -> np.ndarray:
        return np.ones((2, 1), np.float32)

    def names(self) -> list[str]:
        return ["1", "1"]

    def validation(self) -> Dataset | None:
        return None if self.info.name == "val" else Plugin("val")

    def at_size(self, size: int) -> Dataset:
        return self if size >= self.info.size else Plugin("smaller", 10)


@pytest.fixture(params=["folder", "npy", "plugin"])
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> Dataset:
    if request.param == "plugin":
        return Plugin()
    if request.param == "npy":
        np.save(tmp_path / "images.npy", np.random.default_rng(0).integers(0, 256, (2, 20, 30, 3), np.uint8))
        return open_path(tmp_path / "images.npy")
    return open_path(write_folder(tmp_path, {f"{seed}.png": encoded(noise(30, 20, seed=seed)) for seed in (0, 1)}))


@pytest.mark.parametrize("fit", OTHERS)
@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_made_square_as_chosen(dataset, fit, box, channels):
    fitted = with_fit(dataset, fit)
    assert fitted.info == replace(dataset.info, fit=fit)
    assert len(fitted) == 2
    for copied in (fitted, pickle.loads(pickle.dumps(fitted))):
        original, label = dataset.load(1)
        image, fitted_label = load_resized(copied, 1, 16, channels, box)
        np.testing.assert_array_equal(image, fit_array(original, 16, channels, box, fit))
        assert fitted_label == label
        np.testing.assert_array_equal(copied.load(1)[0], original)
        np.testing.assert_array_equal(copied.load(1, 16)[0], fit_array(original, 16, fit=fit))


def test_everything_but_the_shape_is_that_of_the_data_set():
    original, fitted = Plugin(), with_fit(Plugin(), "pad")
    assert (fitted.labels().tolist(), fitted.names(), fitted.attributes().tolist()) == ([0, 1], ["1", "1"], [[1], [1]])
    assert (fitted.describe(1), fitted.notes) == (original.describe(1), ("read me",))
    assert fitted.shorter_sides(9) == [20]
    assert fitted.at_size(64) is fitted


def test_stored_sizes_and_validation_images_are_fitted_too(tmp_path):
    files = {f"{split}/{name}.png": encoded(noise(30, 20)) for split in ("train", "val") for name in "ab"}
    sizes = {f"{size}/{name}.png": encoded(noise(2 * size, size)) for size in (8, 16) for name in "ab"}
    split, pyramid = (open_path(write_folder(tmp_path / name, each)) for name, each in (("a", files), ("b", sizes)))
    for other in (with_fit(Plugin(), "pad").validation(), with_fit(split, "pad").validation()):
        assert other is not None
        assert (other.info.name[-3:], other.info.fit) == ("val", "pad")
    for at, side in ((with_fit(Plugin(), "stretch").at_size(10), 10), (with_fit(pyramid, "stretch").at_size(8), 8)):
        assert (at.info.fit, at.info.size) == ("stretch", side)
        np.testing.assert_array_equal(at.load(0, side)[0], fit_array(at.load(0)[0], side, fit="stretch"))


def test_cropping_is_the_data_set_itself(dataset):
    assert with_fit(dataset, "crop") is dataset
    padded = with_fit(dataset, "pad")
    assert with_fit(padded, "pad").info == padded.info
    back = with_fit(padded, "crop")
    assert back.info == dataset.info
    np.testing.assert_array_equal(back.load(0, 8)[0], dataset.load(0, 8)[0])


def test_each_fit_has_a_fingerprint(dataset):
    assert len({with_fit(dataset, fit).fingerprint() for fit in FITS}) == 3


def test_the_text_that_fingerprints_hash_is_unchanged_for_cropped_images():
    info = DataInfo("x", 1, 8, 3, ("a",), True)
    assert repr(info) == ("DataInfo(name='x', count=1, size=8, channels=3, domains=('a',), flip=True, attributes=())")
    assert repr(replace(info, fit="pad")) == repr(info)[:-1] + ", fit='pad')"


def test_a_description_stays_one():
    described = with_fit(DescribedDataset(DataInfo("x", 4, 8, 3)), "pad")
    assert isinstance(described, DescribedDataset)
    assert described.info.fit == "pad"


def test_an_unknown_fit_is_refused():
    with pytest.raises(OptionError, match=r"^--fit squeeze: expected one of crop, pad, stretch\.$"):
        with_fit(Plugin(), "squeeze")


def test_squares_of_another_fit_are_refused(tmp_path):
    images = [png(np.zeros((8, 8, 3), np.uint8))] * 2
    for name, metadata in (("old", {"sizes": [8]}), ("new", {"sizes": [8], "fit": "pad"}), ("foreign", {})):
        write_lmdb(tmp_path / f"{name}.lmdb", images, 8, metadata)
    old, new, foreign = (open_path(tmp_path / f"{name}.lmdb") for name in ("old", "new", "foreign"))
    assert [data.info.fit for data in (old, new, foreign)] == ["crop", "pad", "crop"]
    assert with_fit(old, "crop") is old
    assert with_fit(new, "pad") is new
    assert with_fit(foreign, "stretch").info.fit == "stretch"
    with pytest.raises(
        OptionError, match=r"^--fit pad: old was prepared with --fit crop, so its images are squares already"
    ):
        with_fit(old, "pad")
    with pytest.raises(OptionError, match=r"^--against new: new was prepared with --fit pad, .* prepare --fit crop`"):
        with_fit(new, "crop", "--against new")


def test_padding_is_transparent_if_transparency_is_kept(tmp_path: Path) -> None:
    pixels = np.full((4, 8, 4), 255, np.uint8)
    pixels[:, :4] = 10, 20, 30, 128
    Image.fromarray(pixels).save(tmp_path / "1.png")
    kept = with_fit(open_path(tmp_path).with_alpha(), "pad").load(0, 8)[0]
    assert (kept[[0, 1, 6, 7]] == 0).all()
    assert (kept[2:6] == pixels).all()
    drawn = with_fit(open_path(tmp_path), "pad").load(0, 8)[0]
    assert (drawn[[0, 1, 6, 7]] == 255).all()


def test_transparency_of_any_data_set_can_be_kept(tmp_path: Path) -> None:
    np.save(tmp_path / "set.npy", np.full((2, 4, 8, 4), (9, 9, 9, 0), np.uint8))
    data = with_fit(open_path(tmp_path / "set.npy"), "stretch")
    assert data.has_alpha
    assert data.with_alpha().info.channels == 4
    assert data.with_alpha().load(1, 4)[0][..., 3].max() == 0


@pytest.mark.parametrize("box", [None, (0.0, 0.0, 1.0, 1.0)])
def test_padding_of_grey_images_among_rgba_is_transparent_too(tmp_path: Path, box: Box | None) -> None:
    Image.fromarray(np.full((4, 8), 90, np.uint8)).save(tmp_path / "1.png")
    Image.fromarray(np.full((4, 8, 4), 90, np.uint8)).save(tmp_path / "2.png")
    data = with_fit(open_path(tmp_path).with_alpha(), "pad")
    image = load_resized(data, 0, 8, 4, box)[0]
    assert (image[[0, 1, 6, 7]] == 0).all()
    assert (image[2:6] == (90, 90, 90, 255)).all()
