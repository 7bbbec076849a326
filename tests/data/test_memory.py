from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ganzoo.data import storage
from ganzoo.data.memory import PixelBudget
from ganzoo.data.storage import open_path
from tests.data.pictures import encoded, noise, write_folder


def test_threads_reserve_no_more_than_the_budget() -> None:
    budget, lock, in_use, peak = PixelBudget(100), threading.Lock(), [0], [0]

    def use(pixels: int) -> None:
        with budget.reserve(pixels):
            with lock:
                in_use[0] += pixels
                peak[0] = max(peak[0], in_use[0])
            threading.Event().wait(0.001)
            with lock:
                in_use[0] -= pixels

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, [60, 30, 10, 45] * 20))
    assert 60 <= peak[0] <= 100


def test_an_image_above_the_limit_is_admitted_alone() -> None:
    budget = PixelBudget(100)
    with budget.reserve(1000):
        pass
    with pytest.raises(ZeroDivisionError), budget.reserve(1000):
        raise ZeroDivisionError
    with budget.reserve(100), budget.reserve(0):
        pass


def test_images_are_loaded_one_by_one_if_the_budget_is_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = open_path(write_folder(tmp_path, {f"{seed}.png": encoded(noise(50, 50, seed=seed)) for seed in range(9)}))
    convert, active, peak = storage.to_array, [0], [0]

    def slow_convert(*arguments: object) -> np.ndarray:
        active[0] += 1
        peak[0] = max(peak[0], active[0])
        threading.Event().wait(0.002)
        array: np.ndarray = convert(*arguments)  # type: ignore[arg-type]
        active[0] -= 1
        return array

    monkeypatch.setattr(storage, "pixel_budget", PixelBudget(3000))
    monkeypatch.setattr(storage, "to_array", slow_convert)
    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(data.load, range(9)))) == 9
    assert peak[0] == 1
