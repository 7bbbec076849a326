"""Arrays are adapted to other image channels and other classes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganzoo.training.layout import Axis
from ganzoo.training.matching import Channels, Items, Match, channel_weights

CHANNELS = (1, 3, 4)


def images(channels: int, pixels: int = 5) -> np.ndarray:
    """Return the pixels (C, N) of an image that all numbers of channels can show: grey and opaque."""
    grey = np.random.default_rng(0).uniform(-1, 1, (1, pixels))
    return {1: grey, 3: np.repeat(grey, 3, 0), 4: np.vstack([np.repeat(grey, 3, 0), np.ones((1, pixels))])}[channels]


@pytest.mark.parametrize(("new", "former"), [(new, old) for new in CHANNELS for old in CHANNELS if new != old])
def test_a_layer_of_inputs_computes_the_same_for_grey_images(new, former):
    layer = np.random.default_rng(1).standard_normal((6, former))
    if former == 4:
        layer[:, 3] = 0  # what alpha contributes is left out
    adapted = Channels(Axis(1, 0, 1), channel_weights(new, former, output=False)).apply(layer)
    np.testing.assert_allclose(adapted @ images(new), layer @ images(former), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("new", [3, 4])
def test_a_layer_of_outputs_repeats_grey(new):
    layer = np.random.default_rng(1).standard_normal((1, 6))
    adapted = Channels(Axis(0, 0, 1), channel_weights(new, 1, output=True)).apply(layer)
    np.testing.assert_array_equal(adapted, [*np.repeat(layer, 3, 0), *np.zeros((new - 3, 6))])


@pytest.mark.parametrize("former", [3, 4])
def test_a_layer_of_outputs_averages_colours(former):
    layer = np.random.default_rng(1).standard_normal((former, 6))
    adapted = Channels(Axis(0, 0, 1), channel_weights(1, former, output=True)).apply(layer)
    np.testing.assert_allclose(adapted, layer[:3].mean(0, keepdims=True), rtol=1e-6)


def test_channels_that_are_flattened_with_pixels_keep_the_order_of_both():
    layer = np.arange(12.0).reshape(4, 3)  # the outputs are a grey image of four pixels
    adapted = Channels(Axis(0, 0, 4), channel_weights(3, 1, output=True)).apply(layer)
    np.testing.assert_array_equal(adapted.reshape(3, 4, 3), [layer] * 3)


def test_the_bias_of_a_new_alpha_channel_is_opaque():
    offsets = np.array([0, 0, 0, 1], np.float32)
    adapted = Channels(Axis(0, 0, 2), channel_weights(4, 3, output=True), offsets).apply(np.arange(6.0))
    np.testing.assert_array_equal(adapted, [0, 1, 2, 3, 4, 5, 1, 1])


@given(
    former=st.lists(st.sampled_from("abcdef"), min_size=1, unique=True),
    now=st.lists(st.sampled_from("abcdef"), min_size=1, unique=True),
    first=st.integers(0, 3),
    each=st.integers(1, 3),
    index=st.integers(0, 1),
)
def test_items_of_the_same_name_keep_their_weights_and_others_are_fresh(former, now, first, each, index):
    axis = Axis(index, first, each)

    def array(names, seed):
        shape = [4, 4]
        shape[index] = axis.length(len(names))
        return np.random.default_rng(seed).standard_normal(shape)

    value, fresh = array(former, 1), array(now, 2)
    positions = tuple(former.index(name) if name in former else None for name in now)
    made = np.moveaxis(Items(axis, positions, zeros=False).apply(value, fresh), index, 0)
    value, fresh = (np.moveaxis(each_array, index, 0) for each_array in (value, fresh))
    np.testing.assert_array_equal(made[:first], value[:first])
    for number, name in enumerate(now):
        source, place = (value, former.index(name)) if name in former else (fresh, number)
        np.testing.assert_array_equal(
            made[first + number * each :][:each], source[first + place * each :][:each], strict=True
        )


def test_the_first_items_of_a_layer_have_no_effect_at_first():
    value, fresh = np.ones((2, 3), np.float32), np.full((2, 5), 7, np.float32)
    made = Items(Axis(1, 3, 1), (None, None), zeros=True).apply(value, fresh)
    np.testing.assert_array_equal(made, [[1, 1, 1, 0, 0]] * 2)
    np.testing.assert_array_equal(fresh, 7)


def test_an_array_keeps_its_type_and_a_match_without_changes_its_bits():
    value = np.random.default_rng(0).standard_normal((3, 2)).astype(np.float32)
    assert np.array_equal(Match("a").apply(value, np.zeros((3, 2), np.float32)), value)
    assert not Match("a", scale=2.0).adapted
    assert Match("a", scale=0.5).apply(value, value).dtype == np.float32
    counter = np.array([[2**30 + 1]], np.int32)
    assert Match("a").apply(counter, counter)[0, 0] == 2**30 + 1
