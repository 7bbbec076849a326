"""Tests of the plane of seeds."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganzoo.sampling import latents
from ganzoo.sampling.plane import code_at, place_name, seed_at, seed_near
from ganzoo.sampling.sampler import Sampler

places = st.integers(0, 10**6)
fractions = st.floats(0, 1, exclude_max=True, allow_subnormal=False)
SAMPLER = Sampler(SimpleNamespace(classes=3, attributes=0, latent=40))


def code_of(seed: int) -> np.ndarray:
    """Return the code of a seed in a class that depends on it."""
    return SAMPLER.code(latents.from_seeds([seed], 40), np.eye(3, dtype=np.float32)[[seed % 3]])[0]


@given(places, places)
def test_a_whole_point_has_exactly_the_code_of_its_seed(x: int, y: int) -> None:
    assert (code_at(SAMPLER, (float(x), float(y)), code_of) == code_of(seed_at(x, y))).all()
    assert seed_near((float(x), float(y))) == seed_at(x, y) == x + 100 * y


@given(places, places, fractions, fractions)
def test_a_point_lies_between_its_seeds(x: int, y: int, across: float, down: float) -> None:
    code = code_at(SAMPLER, (x + across, y + down), code_of)
    z, label = SAMPLER.split(code)
    corners = [SAMPLER.split(code_of(seed_at(x + i, y + j)))[0] for i in (0, 1) for j in (0, 1)]
    norms = [np.linalg.norm(corner) for corner in corners]
    assert 0.8 * min(norms) < np.linalg.norm(z) < 1.2 * max(norms)  # a linear mixture would be shorter
    assert label.sum() == pytest.approx(1, abs=1e-5)


def test_neighbouring_points_have_neighbouring_codes() -> None:
    path = [code_at(SAMPLER, (x, 4.6), code_of) for x in np.arange(2, 5, 1 / 64)]
    steps = [float(np.abs(after - before).max()) for before, after in itertools.pairwise(path)]
    assert max(steps) < 0.1


@pytest.mark.parametrize(
    ("place", "name", "seed"),
    [(7, "seed0007", 7), ((3.5, 0.25), "at3.5,0.25", 4), ((1.0, 2.0), "at1,2", 201), ((0.4, 1.6), "at0.4,1.6", 200)],
)
def test_places_have_names_and_the_noise_of_the_nearest_seed(place: object, name: str, seed: int) -> None:
    assert place_name(place) == name  # type: ignore[arg-type]
    assert seed_near(place) == seed  # type: ignore[arg-type]
