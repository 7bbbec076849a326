from __future__ import annotations

import numpy as np
import pytest

from ganzoo.errors import DataError
from ganzoo.interfaces.dataset import DataInfo, Dataset
from ganzoo.training.reporting.sheets import choose_translation_inputs, sheet_shape


class NumberedDataset(Dataset):
    """All pixels of image n are n."""

    def __init__(self, labels: list[int], bad: set[int] | None = None, validation: Dataset | None = None) -> None:
        self._labels, self.bad, self._validation = np.array(labels), bad or set(), validation
        self.info = DataInfo("coloured", len(labels), 20, 1, ("a", "b", "c"))

    def labels(self) -> np.ndarray:
        return self._labels

    def validation(self) -> Dataset | None:
        return self._validation

    def load(self, index: int, size: int | None = None) -> tuple[np.ndarray, int]:
        if index in self.bad:
            raise DataError("damaged")
        return np.full((20, 20, 1), index, np.uint8), int(self._labels[index])


def choose_inputs(dataset: Dataset, size: int = 8):
    return choose_translation_inputs(dataset, DataInfo("x", len(dataset), size, 3, ("a", "b", "c")))


def image_numbers(images: np.ndarray) -> list[int]:
    return [int(image.flat[0]) for image in images]


def test_domains_alternate_and_no_image_repeats():
    labels = [0] * 30 + [1] * 8 + [2] * 5
    shown = choose_inputs(NumberedDataset(labels))
    assert shown.sources.shape == shown.references.shape == (6, 8, 8, 3)
    assert np.bincount(shown.source_domains).tolist() == np.bincount(shown.reference_domains).tolist() == [2, 2, 2]
    both = image_numbers(shown.sources) + image_numbers(shown.references)
    assert len(set(both)) == 12
    assert [labels[number] for number in both] == [*shown.source_domains, *shown.reference_domains]
    again = choose_inputs(NumberedDataset(labels))
    assert np.array_equal(shown.sources, again.sources)


def test_validation_images_are_preferred():
    validation = NumberedDataset([0, 1, 2] * 5, bad={0, 1})
    shown = choose_inputs(NumberedDataset([0] * 200, validation=validation))
    assert set(image_numbers(shown.sources) + image_numbers(shown.references)) <= set(range(2, 15))


@pytest.mark.parametrize("size", [64, 256])
@pytest.mark.parametrize("domains", [2, 3])
def test_a_reference_is_of_another_domain_than_its_source(domains, size):
    shown = choose_inputs(NumberedDataset([number % domains for number in range(40)]), size)
    assert (shown.source_domains != shown.reference_domains).all()


def test_few_validation_images_are_supplemented_by_training_images():
    shown = choose_inputs(NumberedDataset([1] * 40, validation=NumberedDataset([0])))
    assert shown.sources.shape == (6, 8, 8, 3)
    assert list(shown.source_domains) == [0, 1, 1, 1, 1, 1]


def test_few_images_are_split_into_sources_and_references():
    shown = choose_inputs(NumberedDataset([0, 1, 1, 2, 2]))
    assert len(shown.sources) == len(shown.references) == 2


def test_too_few_images_are_an_error():
    with pytest.raises(DataError, match="too few readable images"):
        choose_inputs(NumberedDataset([0, 1], bad={1}))


def test_large_images_make_smaller_sheets():
    assert len(choose_inputs(NumberedDataset([0, 1, 2] * 9), 256).sources) == 4
    assert sheet_shape(256)[0] < sheet_shape(64)[0]
