from __future__ import annotations

import weakref
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganzoo.sampling import latents, translation
from ganzoo.sampling.translation import TranslationSampler, schedule
from tests.support import mean_colour

RNG = np.random.default_rng(0)
NOISE = RNG.integers(30, 130, (12, 8, 8, 3), np.uint8) + RNG.integers(0, 100, (12, 1, 1, 3), np.uint8)
CAT, DOG, FOX = range(3)


class LazyImages(Sequence):
    """Images that are created on access. `peak` is the largest number in memory at once."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels, self.peak = pixels, 0
        self.weak_references: list[weakref.ref] = []

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> np.ndarray:
        image = self.pixels[index].copy()
        self.weak_references.append(weakref.ref(image))
        self.peak = max(self.peak, sum(each() is not None for each in self.weak_references))
        return image


@pytest.fixture
def sampler(jittor) -> TranslationSampler:
    return TranslationSampler(mean_colour.make()[1])


def floats(pixels: np.ndarray) -> np.ndarray:
    return pixels / 127.5 - 1


def mean(pixels: np.ndarray) -> np.ndarray:
    return floats(pixels).mean((-3, -2))


def with_mean_colour(pixels: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Return images (N, H, W, C), shifted to these mean colours (N, C) without Jittor."""
    moved = floats(pixels) + (colours - mean(pixels))[:, None, None]
    return np.clip(np.rint((moved + 1) * 127.5), 0, 255).astype(np.uint8)


def alike(one: np.ndarray, other: np.ndarray) -> bool:
    """Return whether images are equal up to rounding."""
    return one.shape == other.shape and bool(np.abs(one.astype(int) - other.astype(int)).max() <= 1)


def cells(sheet: np.ndarray, columns: int) -> np.ndarray:
    """Return the images (rows, columns, 8, 8, 3) of a sheet, without the labels on the left."""
    grid = sheet[:, sheet.shape[1] - 66 * columns :]
    rows = (len(grid) - 2) // 66
    return np.stack(
        [[grid[2 + 66 * r : 66 + 66 * r : 8, 66 * c : 64 + 66 * c : 8] for c in range(columns)] for r in range(rows)]
    )


def test_psi_0_gives_the_mean_style_of_the_domain_and_psi_1_the_style_of_the_seed(sampler):
    untruncated = sampler.styles_of_seeds(range(20), DOG)
    assert np.array_equal(sampler.styles_of_seeds(range(20), DOG, 1.0), untruncated)
    expected = mean_colour.COLOURS[DOG] + latents.from_seeds(range(20), 5)[:, :3] / 3
    assert np.allclose(untruncated[:, 1:], expected, atol=1e-6)
    mean_style = sampler.styles_of_seeds(range(20), DOG, 0.0)
    assert np.array_equal(mean_style, mean_style[:1].repeat(20, 0))
    assert np.allclose(mean_style[0, 1:], mean_colour.COLOURS[DOG], atol=0.02)
    # With psi 0, the style is the mean over 10,000 latents, not the exact mean.
    assert not np.array_equal(mean_style[0, 1:], mean_colour.COLOURS[DOG])
    closer = sampler.styles_of_seeds(range(20), DOG, 0.7)
    assert np.allclose(closer - mean_style, 0.7 * (untruncated - mean_style), atol=1e-6)


def test_every_domain_has_its_own_mean_style(sampler):
    for domain in (CAT, DOG, FOX):
        assert np.allclose(sampler.mean(domain), [domain, *mean_colour.COLOURS[domain]], atol=0.02)
    assert np.array_equal(sampler.mean(DOG), TranslationSampler(sampler.translator).mean(DOG))


def test_the_style_of_a_seed_does_not_depend_on_the_other_seeds(sampler, monkeypatch):
    together = sampler.styles_of_seeds(range(9), FOX, 0.5)
    monkeypatch.setattr(translation, "MAX_LATENTS", 4)
    assert np.array_equal(TranslationSampler(sampler.translator).styles_of_seeds(range(9), FOX, 0.5), together)
    assert np.array_equal(sampler.styles_of_seeds([7], FOX, 0.5)[0], together[7])


def test_a_reference_is_encoded_for_its_domain(sampler):
    styles = sampler.styles_of_images(NOISE[:3], np.array([FOX, CAT, FOX]))
    assert styles[:, 0].tolist() == [FOX, CAT, FOX]
    assert np.allclose(styles[:, 1:], mean(NOISE[:3]), atol=1e-6)
    assert sampler.styles_of_images(NOISE[:3], DOG)[:, 0].tolist() == [DOG] * 3


@given(st.integers(1, 12), st.integers(1, 5))
@settings(max_examples=20)
def test_an_output_depends_only_on_its_own_image_and_style(count, at_once):
    sampler = TranslationSampler(mean_colour.make()[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(translation, "MAX_CHUNK", at_once)
        styles = sampler.styles_of_images(NOISE[::-1][:count], CAT)
        translated = np.stack(list(sampler.stream(zip(NOISE[:count], styles))))
    assert translated.dtype == np.uint8
    assert alike(translated, with_mean_colour(NOISE[:count], mean(NOISE[::-1][:count])))


def test_large_images_are_translated_a_few_at_a_time(sampler, monkeypatch):
    seen = []
    translate = sampler.translator.translate
    monkeypatch.setattr(sampler.translator, "translate", lambda x, s: seen.append(len(x)) or translate(x, s))
    monkeypatch.setattr(translation, "MAX_PIXELS", 2 * 8 * 8)
    list(sampler.stream(zip(NOISE[:5], sampler.styles_of_images(NOISE[:5], CAT))))
    assert seen == [2, 2, 1]


def test_a_cycle_translates_back_before_clipping(sampler):
    own = sampler.styles_of_images(NOISE, CAT)
    white = np.tile(np.array([[DOG, 1.0, 1.0, 1.0]], np.float32), (12, 1))
    translated, restored = sampler.cycle(NOISE, white, own)
    assert (translated == 255).any()
    assert np.array_equal(restored, NOISE)


def test_a_cycle_sheet_has_four_rows(sampler):
    sheet = translation.cycle_sheet(sampler, NOISE[:3], np.array([CAT, DOG, CAT]), NOISE[5:8], DOG)
    found = cells(sheet, 3)
    assert len(found) == 4
    assert np.array_equal(found[0], NOISE[:3])
    assert np.array_equal(found[1], NOISE[5:8])
    assert alike(found[2], with_mean_colour(NOISE[:3], mean(NOISE[5:8])))
    assert np.array_equal(found[3], NOISE[:3])
    assert sheet.shape[1] > 3 * 66 + 2 + 20  # labels to the left


def test_a_sheet_of_latents_has_a_block_of_the_same_seeds_for_each_domain(sampler):
    found = cells(translation.latent_sheet(sampler, NOISE[:2], mean_colour.DOMAINS, 0.5, seeds=range(4)), 2)
    assert len(found) == 1 + 3 * 4
    assert np.array_equal(found[0], NOISE[:2])
    for domain in range(3):
        for seed in range(4):
            style = sampler.styles_of_seeds([seed], domain, 0.5)[:, 1:].repeat(2, 0)
            assert alike(found[1 + 4 * domain + seed], with_mean_colour(NOISE[:2], style))


def test_a_sheet_of_latents_shows_at_most_five_domains(jittor):
    colours = np.random.default_rng(0).uniform(-0.5, 0.5, (7, 3)).astype(np.float32)
    sampler = TranslationSampler(mean_colour.make(colours)[1])
    assert len(cells(translation.latent_sheet(sampler, NOISE[:1], "abcdefg", 1.0, range(2)), 1)) == 1 + 5 * 2


def test_a_sheet_of_references_has_a_row_for_each_reference(sampler):
    sheet = translation.reference_sheet(sampler, NOISE[:2], NOISE[4:7], np.array([CAT, DOG, FOX]), mean_colour.DOMAINS)
    found = cells(sheet, 3)
    assert (found[0, 0] == 255).all()
    assert np.array_equal(found[0, 1:], NOISE[:2])
    for row in range(3):
        assert np.array_equal(found[1 + row, 0], NOISE[4 + row])
        assert alike(found[1 + row, 1:], with_mean_colour(NOISE[:2], mean(NOISE[4 + row : 5 + row]).repeat(2, 0)))
    unlabelled = translation.reference_sheet(sampler, NOISE[:2], NOISE[4:7], CAT)
    assert unlabelled.shape[1] == 3 * 66 + 2


def test_a_sheet_of_grey_images_has_one_channel(jittor):
    sampler = TranslationSampler(mean_colour.make(mean_colour.COLOURS[:, :1], 1)[1])
    sheet = translation.latent_sheet(sampler, NOISE[:2, :, :, :1], ("a", "b"), 1.0, seeds=[1])
    assert sheet.shape == (3 * 66 + 2, sheet.shape[1], 1)


@pytest.mark.parametrize("space", ["z", "w"])
@pytest.mark.parametrize("path", ["linear", "spherical"])
def test_a_walk_through_latents_passes_every_seed_in_every_domain_and_closes(sampler, space, path):
    walk = translation.latent_walk(
        sampler, NOISE[:2], {DOG: "dog", CAT: "cat"}, [5, 3, 8], psi=0.6, steps=4, space=space, path=path
    )
    frames = [cells(frame, 2) for frame in walk]
    assert len(frames) == 12
    for index, seed in enumerate([5, 3, 8]):
        for row, domain in ((1, DOG), (2, CAT)):
            style = sampler.styles_of_seeds([seed], domain, 0.6)[:, 1:].repeat(2, 0)
            assert alike(frames[4 * index][row], with_mean_colour(NOISE[:2], style))
        assert np.array_equal(frames[4 * index][0], NOISE[:2])
        assert not alike(frames[4 * index + 2][1], frames[4 * index][1])


def test_walks_in_z_and_in_styles_differ(jittor):
    class Squares(type(mean_colour.make()[1])):
        def style_of_latents(self, z, domains):
            style = super().style_of_latents(z, domains)
            return style * style

    sampler = TranslationSampler(Squares())
    walks = [
        list(translation.latent_walk(sampler, NOISE[:1], {0: ""}, [0, 1], steps=4, space=space, path="linear"))
        for space in "zw"
    ]
    assert alike(walks[0][0], walks[1][0])
    assert not alike(walks[0][2], walks[1][2])


def test_a_walk_through_references_pauses_at_each_and_closes(sampler):
    references = NOISE[4:6]
    frames = [cells(frame, 3) for frame in translation.reference_walk(sampler, NOISE[:2], references, DOG, steps=31)]
    assert len(frames) == 62
    colours = mean(references)
    direction = colours[1] - colours[0]
    fractions = []
    for frame in frames:
        assert (frame[0, 0] == 255).all()
        assert np.array_equal(frame[0, 1:], NOISE[:2])
        fractions.append((mean(frame[1, 1]) - colours[0]) @ direction / (direction @ direction))
    assert alike(frames[0][1, 1:], with_mean_colour(NOISE[:2], colours[[0, 0]]))
    assert np.array_equal(frames[0][1, 0], references[0])
    for frame in frames[21:32]:  # pausing
        assert alike(frame[1, 1:], with_mean_colour(NOISE[:2], colours[[1, 1]]))
        assert np.array_equal(frame[1, 0], references[1])
    halfway = frames[10][1, 0]
    assert np.array_equal(halfway[:4], references[0][4:])
    assert np.array_equal(halfway[4:], references[1][:4])
    planned = [fraction if start == 0 else 1.0 for start, _, fraction in schedule([DOG, DOG], 31)[:31]]
    assert np.allclose(fractions[:31], planned, atol=0.02)
    assert np.allclose(fractions[31:], 1 - np.array(fractions[:31]), atol=0.02)


def test_references_of_different_domains_are_never_mixed(sampler):
    numbers = np.array([CAT, CAT, FOX])
    styles = sampler.styles_of_images(NOISE[:3], numbers)
    seen = []
    stream = sampler.stream
    sampler.stream = lambda pairs: stream((image, seen.append(style) or style) for image, style in pairs)
    frames = list(translation.reference_walk(sampler, NOISE[3:4], NOISE[:3], numbers, mean_colour.DOMAINS, steps=9))
    assert len(frames) == len(schedule(numbers.tolist(), 9)) == 9 + 3 + 3
    assert {float(style[0]) for style in seen} == {CAT, FOX}
    assert np.array_equal(np.stack(seen)[[0, -1]], styles[[0, 2]])
    assert len(seen) == 1 + 5 + 1 + 1  # repeated pictures are translated once
    assert len({frame.shape for frame in frames}) == 1  # although domain names differ in length


def test_references_are_loaded_a_few_at_a_time(sampler, monkeypatch):
    monkeypatch.setattr(translation, "MAX_CHUNK", 2)
    references, numbers = LazyImages(NOISE), [CAT] * 7 + [DOG] * 5
    assert np.array_equal(sampler.styles_of_images(references, CAT), sampler.styles_of_images(NOISE, CAT))
    walks = [list(translation.reference_walk(sampler, NOISE[:1], x, numbers, steps=4)) for x in (references, NOISE)]
    assert np.array_equal(*walks)
    assert 0 < references.peak <= 4


@given(st.lists(st.integers(0, 2), min_size=2, max_size=6), st.integers(1, 40))
def test_a_schedule_is_slow_at_both_ends_and_never_mixes_domains(domains, steps):
    positions = schedule(domains, steps)
    assert positions[0] == (0, 0, 0.0)
    assert all(0 <= fraction < 1 and (start != end or fraction == 0) for start, end, fraction in positions)
    assert all(domains[start] == domains[end] for start, end, _ in positions)
    assert {start for start, _, _ in positions} == set(range(len(domains)))
    # From a reference to the next of the same domain, there are `steps` pictures.
    if len(set(domains)) == 1:
        assert len(positions) == steps * len(domains)
        fractions = [fraction for start, end, fraction in positions if (start, end) == (0, 1)]
        assert fractions == sorted(fractions)
        assert np.allclose(np.array(fractions) + fractions[::-1], 1)
