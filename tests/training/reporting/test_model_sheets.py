"""Sheets that a model draws itself."""

from __future__ import annotations

import numpy as np
import pytest

from ganzoo import backend
from ganzoo.data.loader import ImageBatch
from ganzoo.errors import DataError, PluginError
from ganzoo.interfaces.dataset import DataInfo, Dataset, LoaderConfig
from ganzoo.interfaces.options import Options
from ganzoo.interfaces.train_options import TrainOptions
from ganzoo.training.reporting.model_sheets import fixed_images, model_sheets
from ganzoo.training.state import TrainState
from ganzoo.training.step import Step
from tests.support.two_domains import TwoDomains


class Numbered(Dataset):
    """All pixels of image n are n; the domains alternate. Images 0 and 1 are a pair, and so on."""

    def __init__(self, count: int, bad: set[int] | None = None, validation: Dataset | None = None) -> None:
        self.bad, self._validation = bad or set(), validation
        self.info = DataInfo("numbered", count, 64, 1, ("a", "b"))

    def load(self, index: int, size: int | None = None) -> tuple[np.ndarray, int]:
        if index in self.bad:
            raise DataError("damaged")
        return np.full((size or 64, size or 64, 1), index, np.uint8), index % 2

    def labels(self) -> np.ndarray:
        return np.arange(len(self)) % 2

    def names(self) -> list[str]:
        return [str(index // 2) for index in range(len(self))]

    def validation(self) -> Dataset | None:
        return self._validation


def numbers(dataset: Dataset, paired: bool = False, size: int = 8) -> list[list[int]]:
    data = DataInfo("x", len(dataset), size, 1, dataset.info.domains)
    return [images[:, 0, 0, 0].tolist() for images in fixed_images(dataset, data, paired)]


def test_fixed_images_are_the_same_each_time_and_of_their_domain():
    found = numbers(Numbered(40))
    assert found == numbers(Numbered(40))
    assert [len(set(each)) for each in found] == [6, 6]
    assert [{number % 2 for number in each} for each in found] == [{0}, {1}]
    assert [len(each) for each in numbers(Numbered(40), size=256)] == [4, 4]


def test_validation_images_come_first_and_training_images_fill_the_rest():
    first, second = numbers(Numbered(40, bad=set(range(20)), validation=Numbered(5)))
    assert sorted(first[:3]) == [0, 2, 4]
    assert sorted(second[:2]) == [1, 3]
    assert min(first[3:] + second[2:]) >= 20


def test_fixed_pairs_belong_together_and_are_complete():
    first, second = numbers(Numbered(20, bad={3, 6}), paired=True)
    assert [number + 1 for number in first] == second
    assert len(first) == 6
    assert not {2, 6} & {*first}
    first, second = numbers(Numbered(20, validation=Numbered(4)), paired=True)
    assert [number + 1 for number in first] == second
    assert {*first[:2]} == {0, 2}  # the pairs of the validation images come first


def test_a_set_without_domains_is_one_group():
    dataset = Numbered(9)
    dataset.info = DataInfo("numbered", 9, 64, 1)
    (found,) = numbers(dataset)
    assert len(set(found)) == 6


def test_a_domain_without_readable_images_is_an_error():
    with pytest.raises(DataError, match="numbered: too few readable images"):
        numbers(Numbered(4, bad={0, 2}))


@pytest.fixture
def state(jittor) -> TrainState:
    return TrainState(TwoDomains(), Options(), DataInfo("numbered", 40, 64, 1, ("a", "b")), TrainOptions(batch=2))


def centre(sheet: np.ndarray, row: int, column: int) -> int:
    return int(sheet[66 * row + 34, 66 * column + 34, 0])


def test_a_model_gets_its_networks_and_fixed_images(state):
    pixels = np.full((2, 2, 64, 64, 1), 255, np.uint8)
    step = Step(state, 0, None, lambda *_: None)
    for _ in range(3):
        step(ImageBatch(pixels[0], np.zeros(2), domains=pixels))
        state.count_step()
    before = state.tensors()
    sheets = dict(model_sheets(state, Numbered(40)))
    assert list(sheets) == ["first", "second"]
    assert sheets["first"].shape == (3 * 66 + 2, 6 * 66 + 2, 1)
    found = numbers(Numbered(40))
    for row in range(2):
        assert [centre(sheets["first"], row, column) for column in range(6)] == found[row]
    for name, sheet, row in (("ema/generator", "first", 2), ("net/other", "second", 0)):
        noise = [np.random.default_rng(seed).standard_normal(1, dtype="float32").item() for seed in range(6)]
        shift = np.array(noise) * (sheet == "first")
        expected = (np.tanh(before[f"{name}/colour"].item() + shift) + 1) * 127.5
        assert [centre(sheets[sheet], row, column) for column in range(6)] == pytest.approx(expected, abs=0.51)
    assert before["net/other/colour"].item() > 0
    after = state.tensors()
    assert all(np.array_equal(value, after[name]) for name, value in before.items())
    assert all(network.is_train for network in state.setup.networks.values())


def test_rows_may_have_different_lengths(state, monkeypatch):
    def sheets(model, inputs):
        yield "rows", inputs.sheet(inputs.pixels[0][:1], inputs.pixels[1][:2])

    monkeypatch.setattr(TwoDomains, "sheets", sheets)
    ((_, sheet),) = model_sheets(state, Numbered(40))
    assert sheet.shape == (2 * 66 + 2, 2 * 66 + 2, 1)
    assert centre(sheet, 0, 1) == 255


PICTURE = np.zeros((4, 4, 3), np.uint8)


@pytest.mark.parametrize(
    ("sheet", "message"),
    [
        (("../up", PICTURE), "'../up' can't be the name of a sheet"),
        (("", PICTURE), "'' can't be the name"),
        (("x" * 65, PICTURE), "can't be the name"),
        ((3, PICTURE), "3 can't be the name"),
        (("a", PICTURE[:, :, 0]), "the sheet 'a' must be an array uint8 (H, W, C) with C = 1 or 3, not uint8 (4, 4)"),
        (("a", PICTURE / 1.0), "not float64 (4, 4, 3)"),
        (("a", "b"), "not str"),
        (PICTURE, "`sheets` must yield pairs of a name and a picture, not uint8 (4, 4, 3)."),
        ("pairs", "`sheets` must yield pairs of a name and a picture, not 'pairs'."),
    ],
)
def test_an_invalid_sheet_is_an_error(state, monkeypatch, sheet, message):
    monkeypatch.setattr(TwoDomains, "sheets", lambda model, inputs: [sheet])
    with pytest.raises(PluginError) as error:
        model_sheets(state, Numbered(40))
    assert message in str(error.value)


def test_two_sheets_of_one_name_are_an_error(state, monkeypatch):
    monkeypatch.setattr(TwoDomains, "sheets", lambda model, inputs: [("a", PICTURE), ("a", PICTURE)])
    with pytest.raises(PluginError, match="two sheets have the name 'a'"):
        model_sheets(state, Numbered(40))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (lambda inputs: [], "images of one shape (H, W, C), not none"),
        (lambda inputs: [inputs.pixels[0], inputs.pixels[0][:, :4]], "not (64, 64, 1), (4, 64, 1)"),
        (lambda inputs: [inputs.pixels[0][0]], "not ndarray of shape (64, 64, 1)"),
        (lambda inputs: [None], "not None"),
    ],
)
def test_rows_that_are_no_images_are_an_error(state, monkeypatch, rows, message):
    monkeypatch.setattr(TwoDomains, "sheets", lambda model, inputs: [("a", inputs.sheet(*rows(inputs)))])
    with pytest.raises(PluginError) as error:
        model_sheets(state, Numbered(40))
    assert message in str(error.value)


def test_pairs_are_fixed_images_of_a_paired_model(state, monkeypatch):
    monkeypatch.setattr(TwoDomains, "config", LoaderConfig(paired=True))
    seen = []
    monkeypatch.setattr(TwoDomains, "sheets", lambda model, inputs: seen.append(inputs) or [])
    model_sheets(state, Numbered(40))
    assert np.array_equal(seen[0].pixels[0] + 1, seen[0].pixels[1])
    assert seen[0].progress == state.progress
    backend.run_pending()
