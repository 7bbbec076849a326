from __future__ import annotations

from ganzoo.interfaces.dataset import DataInfo
from ganzoo.sampling.translation_sheet import max_rows


def test_a_sheet_of_large_images_has_few_rows():
    rows = {size: max_rows(DataInfo("", 1, size, 3)) for size in (256, 1024, 2**15)}
    assert rows == {256: 511, 1024: 41, 2**15: 1}
