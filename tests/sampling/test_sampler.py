from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganzoo.checkpoints import loading
from ganzoo.errors import CheckpointError
from ganzoo.sampling import latents, sampler
from tests.support.descriptions import parse_descriptions


def test_the_latent_of_a_seed_does_not_depend_on_the_other_seeds():
    together = latents.from_seeds(range(20), 7)
    assert together.dtype == np.float32
    assert np.array_equal(latents.from_seeds([13], 7)[0], together[13])
    assert len(np.unique(together)) == together.size


def test_latents_are_standard_normal():
    drawn = latents.from_seeds(range(500), 100)
    assert abs(drawn.mean()) < 0.02
    assert abs(drawn.std() - 1) < 0.02


def test_pixels_cover_the_full_range_and_are_clipped():
    floats = np.array([-3.0, -1.0, 0.0, 1.0, 3.0], np.float32).reshape(1, 1, 1, 5)
    assert sampler.to_uint8(floats).reshape(-1).tolist() == [0, 0, 128, 255, 255]


def test_nan_and_infinity_become_pixels_without_a_warning(recwarn):
    floats = np.array([np.nan, np.inf, -np.inf], np.float32).reshape(1, 1, 1, 3)
    assert sampler.to_uint8(floats).reshape(-1).tolist() == [0, 255, 0]
    assert not recwarn.list


@given(st.integers(0, 1000), st.floats(0, 1, allow_subnormal=False))
@settings(max_examples=50)
def test_slerp_stays_on_the_arc(seed, t):
    start, end = latents.from_seeds([seed, seed + 1], 16).astype(np.float64)
    start, end = start / np.linalg.norm(start), end / np.linalg.norm(end)
    point = latents.slerp(start, end, t)
    angle = np.arccos(start @ end)
    assert np.isclose(np.linalg.norm(point), 1)
    assert np.isclose(np.arccos(np.clip(start @ point, -1, 1)), t * angle, atol=1e-5)


def test_slerp_between_equal_or_zero_latents_is_straight():
    ones = np.ones(4)
    assert np.allclose(latents.slerp(ones, ones, 0.3), ones)
    assert np.allclose(latents.slerp(np.zeros(4), ones, 0.25), 0.25 * ones)


@given(st.integers(0, 1000), st.floats(0, 1, allow_subnormal=False))
@settings(max_examples=50)
def test_lerp_and_slerp_treat_each_latent_of_a_batch_alike(seed, t):
    start, end = latents.from_seeds([seed, seed + 1], 6).reshape(2, 2, 3).astype(np.float64)
    for path in latents.PATHS.values():
        together = path(start, end, t)
        assert np.allclose(together, [path(start[0], end[0], t), path(start[1], end[1], t)])
        assert np.allclose(together, path(end, start, 1 - t))
    assert np.allclose(latents.lerp(start, end, t) - start, t * (end - start))


@pytest.mark.parametrize("path", latents.PATHS.values())
@pytest.mark.parametrize("centre", [0.0, np.linspace(-3, 3, 8)])
def test_a_loop_passes_every_key_exactly_and_closes(path, centre):
    keys = latents.from_seeds(range(6), 8).reshape(3, 2, 8)
    walk = np.stack(list(latents.loop(keys, 5, path, centre)))
    assert (walk.shape, walk.dtype) == ((15, 2, 8), np.float32)
    assert np.array_equal(walk[::5], keys)
    steps = np.linalg.norm(np.diff(np.concatenate([walk, walk[:1]]), axis=0), axis=2)
    assert steps.max() < 0.5 * np.linalg.norm(keys - np.roll(keys, 1, 0), axis=2).max()


def test_a_spherical_walk_preserves_the_distance_from_the_centre():
    centre = np.full(4, 10.0)
    directions = latents.from_seeds(range(3), 4).astype(np.float64)
    keys = centre + 2 * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    for point in latents.loop(keys, 7, latents.slerp, centre):
        assert np.isclose(np.linalg.norm(point - centre), 2)


@pytest.mark.parametrize(
    "invalid",
    [{"options": {"latent": 10**30}}, {"moment": {"index": 0, "size": 2, "alpha": 1.0}}],
    ids=["huge", "size"],
)
def test_a_checkpoint_of_networks_that_cannot_be_built_is_refused(jittor, tmp_path, invalid):
    from ganzoo.checkpoints import checkpoint
    from ganzoo.interfaces.dataset import DataInfo
    from ganzoo.interfaces.train_options import TrainOptions
    from ganzoo.registry import plugins

    data = {"name": "x", "count": 1, "size": 8, "channels": 3}
    options = {"max_size": 8, "channels_max": 2, "latent": 2, "mapping_layers": 1}
    registry = plugins.load()
    model = registry.model("stylegan")
    network = model.build(model.options(**options), DataInfo(**data), TrainOptions()).networks["generator"]
    tensors = {f"net/generator/{name}": np.zeros(tuple(var.shape), "f4") for name, var in network.state().items()}
    path = tmp_path / "x.safetensors"
    description = {"model": "stylegan", "data": data, "progress": {}, **invalid}
    description["options"] = {**options, **invalid.get("options", {})}
    checkpoint.write(path, tensors, *parse_descriptions(description))
    with pytest.raises(CheckpointError, match=r"x\.safetensors: (it describes|its description)"):
        loading.load_generator(checkpoint.read(path), registry)


class LabelledGenerator:
    """A stand-in for a class-conditional generator: each pixel shows the latent's mean plus the class's number."""

    latent, classes, attributes = 4, 3, 0

    def __call__(self, z, labels):
        from ganzoo import jt

        shades = z.mean(1) / 100 + (labels * jt.array(np.float32([[0.0, 0.5, 1.0]]))).sum(1)
        return shades.reshape((-1, 1, 1, 1)).broadcast((len(z), 1, 2, 2)) - 0.5


def test_labels_reach_a_class_conditional_generator(jittor):
    labels = np.eye(3, dtype=np.float32)
    images = sampler.generate(LabelledGenerator(), np.zeros((3, 4), np.float32), labels)
    assert images[:, 0, 0, 0].tolist() == [64, 128, 191]


def test_latents_without_labels_are_refused_by_a_class_conditional_generator(jittor):
    with pytest.raises(ValueError, match="needs labels"):
        sampler.generate(LabelledGenerator(), np.zeros((3, 4), np.float32))


@pytest.mark.parametrize("path", latents.PATHS)
def test_a_walk_interpolates_labels_linearly_and_latents_on_the_path(jittor, path):
    each = sampler.Sampler(LabelledGenerator())
    z, labels = latents.from_seeds([1, 2], 4), np.eye(3, dtype=np.float32)[:2]
    points = np.stack(list(each.walk(each.code(z, labels), 4, path)))
    expected = np.stack(list(latents.loop(z, 4, latents.PATHS[path])))
    assert np.array_equal(points[:, :4], expected)
    assert np.allclose(points[:4, 4:], [[1 - t, t, 0] for t in (0, 0.25, 0.5, 0.75)])


def test_seeds_choose_attributes_independently_of_each_other():
    rows = np.arange(60, dtype=np.float32).reshape(20, 3)
    chosen = latents.attributes_from_seeds(range(200), rows)
    assert np.array_equal(latents.attributes_from_seeds([150, 7], rows), chosen[[150, 7]])
    assert {*chosen[:, 0]} == {*rows[:, 0]}, "each row is chosen sometimes"
    assert all(row.tolist() in rows.tolist() for row in chosen)


def test_a_generator_with_attributes_gets_them_after_its_latents(jittor):
    class Shade:
        latent, classes, attributes = 4, 0, 2

        def __call__(self, z, attributes):
            return (z.mean(1) / 100 + attributes[:, 1]).reshape((-1, 1, 1, 1)).broadcast((len(z), 1, 2, 2))

    each, z = sampler.Sampler(Shade()), np.zeros((2, 4), np.float32)
    attributes = np.float32([[9, 0.5], [9, -0.5]])
    assert sampler.generate(Shade(), z, attributes)[:, 0, 0, 0].tolist() == [191, 64]
    points = np.stack(list(each.walk(each.code(z, attributes), 2, "linear")))
    assert points[:, 5].tolist() == [0.5, 0, -0.5, 0]
    with pytest.raises(ValueError, match="needs attributes"):
        each.code(z)
