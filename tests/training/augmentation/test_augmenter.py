"""Augmentation in training: of every model, exact for any division of a batch, and exact when a run is resumed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

import ganzoo
from ganzoo.data.loader import ImageBatch
from ganzoo.errors import OptionError, PluginError
from ganzoo.interfaces.augmentation import mark_real
from ganzoo.interfaces.dataset import DataInfo
from ganzoo.interfaces.loss import Batch
from ganzoo.interfaces.train_options import TrainOptions
from ganzoo.training.augmentation.augmenter import Augmenter, PhaseAugmentation, check_augmentable
from ganzoo.training.state import TrainState
from ganzoo.training.step import Step

DATA = DataInfo("made-up", 100, 8, 3, flip=True)
ADA = TrainOptions(batch=4, augment="ada")


def stranger(reals=lambda images: images):
    """Return a model that knows nothing of augmentation, with R1 in a phase of its own. `reals` is what it does to the
    real images."""
    jt, nn = ganzoo.jt, ganzoo.jt.nn

    class G(ganzoo.Generator):
        def __init__(self):
            super().__init__()
            self.latent, self.layer = 4, ganzoo.Linear(4, 3 * 64)

        def execute(self, z):
            return ganzoo.tanh(self.layer(z)).reshape((len(z), 3, 8, 8))

    class D(ganzoo.Discriminator):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(ganzoo.Linear(3 * 64, 8), ganzoo.LeakyReLU(), ganzoo.Linear(8, 1))

        def execute(self, images, labels):
            assert isinstance(labels, np.ndarray)
            return self.layers(images.reshape((len(images), -1)))

    class L(ganzoo.Loss):
        phases = tuple(
            ganzoo.Phase(name, (network,), interval)
            for name, network, interval in (("G", "g", 1), ("D", "d", 1), ("R1", "d", 2))
        )

        def __init__(self, g, d):
            self.g, self.d = g, d

        def __call__(self, phase, batch, progress):
            fakes = self.g(batch.latents(4))
            if phase.name == "G":
                return {"fake": ganzoo.binary_cross_entropy(self.d(fakes, batch.labels), True)}
            images = ganzoo.differentiable(reals(batch.images))
            if phase.name == "R1":
                return {"penalty": ganzoo.r1_penalty(self.d(images, batch.labels), images)}
            both = self.d(jt.concat([images, fakes.detach()]), np.tile(batch.labels, 2))
            real = self.d(images, batch.labels)
            return {"both": both.sqr().mean(), "real": ganzoo.binary_cross_entropy(real, True)}

    @dataclass(frozen=True)
    class NoOptions(ganzoo.Options):
        pass

    class Stranger(ganzoo.Model):
        name, summary, options = "stranger", "a stranger's model", NoOptions

        def build(self, options, data, train):
            g, d = G(), D()
            adam = ganzoo.Adam(0.01)
            return ganzoo.Setup({"g": g, "d": d}, {"g": adam, "d": adam}, L(g, d), generator="g", ema={"g": 0.5})

    return Stranger()


def train(state, steps, micro_batch=None, on_logged=lambda *_: None):
    """Train for some steps, on images that depend on the number of the step."""
    if not hasattr(state, "run_step"):
        state.run_step = Step(state, 7, micro_batch, lambda *_: None, on_logged)
    first = state.progress.step
    for number in range(first, first + steps):
        pixels = np.random.default_rng(number).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
        state.run_step(ImageBatch(pixels, np.zeros(4, np.int64)))
        state.count_step()
    return state


def new_state(options=ADA, **named):
    model = stranger(**named)
    return TrainState(model, model.options(), DATA, options)


def raised(state, p=0.5):
    """Start from another p than 0, at which ada changes nothing."""
    state.augmenter.controller.p = p
    return state


def differences(one, other):
    first, second = one.tensors(), other.tensors()
    return {name for name in first if not np.array_equal(first[name], second[name])}


def test_a_run_resumed_within_an_interval_continues_to_the_bit(jittor):
    straight = train(raised(new_state()), 7)
    assert differences(straight, train(new_state(TrainOptions(batch=4)), 7))  # it does augment
    first = train(raised(new_state()), 6)
    tensors, metadata = first.tensors(), first.metadata()
    assert metadata.ada.scores > 0
    assert metadata.ada.images == 8
    assert type(metadata).from_json(metadata.to_json()) == metadata
    resumed = new_state()
    resumed.load(tensors, metadata)
    train(resumed, 1)
    assert not differences(resumed, straight)
    assert resumed.metadata() == straight.metadata()
    assert train(resumed, 3).metadata() == train(straight, 3).metadata()


def test_a_checkpoint_without_augmentation_starts_at_no_augmentation(jittor):
    plain = new_state(TrainOptions(batch=4))
    state = raised(new_state())
    fresh = new_state()
    fresh.load(plain.tensors(), plain.metadata())
    assert fresh.augmenter.p == 0
    assert plain.metadata().ada is None
    plain.load(state.tensors(), state.metadata())  # and the other way


@pytest.mark.parametrize("augment", ["ada", "diffaugment"])
def test_micro_batches_give_the_gradients_of_one_batch(jittor, augment):
    options = TrainOptions(batch=4, augment=augment)
    states = [new_state(options) for _ in range(3)]
    for state, micro_batch in zip(states, (None, 2, 3)):
        train(raised(state) if augment == "ada" else state, 1, micro_batch)
    whole, *parts = (state.tensors() for state in states)
    for part in parts:
        for name in whole:
            if "/first/" in name:  # proportional to the gradient
                np.testing.assert_allclose(part[name], whole[name], rtol=1e-3, atol=1e-6, err_msg=name)
    assert len({state.metadata().ada for state in states}) == 1


def rows_seen(augmenter, images, *, offset=0, local=None, parts=1):
    """Return what a discriminator sees of part of a step's images."""
    local = local or len(images)
    batch = Batch(ganzoo.jt.array(images[offset : offset + local]), None, None, (), None, 1, offset, len(images))
    given = np.concatenate([images[offset : offset + local]] * parts)
    seen = PhaseAugmentation(augmenter, [1, 2], batch).augment(ganzoo.jt.array(given)).numpy()
    return seen.reshape(parts, local, *images.shape[1:])


@pytest.mark.parametrize("augment", ["ada", "diffaugment"])
@pytest.mark.parametrize("parts", [1, 2])
def test_an_image_is_augmented_alike_in_any_division_of_the_batch(jittor, augment, parts):
    options = TrainOptions(augment=augment, augment_p=0.8 if augment == "ada" else None)
    augmenter, images = Augmenter(options, DATA), np.random.default_rng(0).uniform(-1, 1, (6, 3, 8, 8))
    images = images.astype(np.float32)
    whole = rows_seen(augmenter, images, parts=parts)
    divided = [rows_seen(augmenter, images, offset=o, local=2, parts=parts) for o in (0, 2, 4)]
    np.testing.assert_allclose(np.concatenate(divided, 1), whole, atol=1e-6)
    assert parts == 1 or not np.allclose(whole[0], whole[1], atol=0.01)  # each call of an image has its own numbers


def test_nothing_is_augmented_outside_of_training(jittor):
    state = new_state(TrainOptions(batch=4, augment="diffaugment"))
    d, batch = state.setup.networks["d"], Batch(jittor.ones((4, 3, 8, 8)), np.zeros(4), None)
    d.train()
    plain = d(batch.images, batch.labels).numpy()
    with state.augmenter.phase([0], batch):
        augmented = d(batch.images, batch.labels).numpy()
        assert not np.allclose(augmented, plain)
        assert not np.allclose(d(batch.images, batch.labels).numpy(), augmented)  # each call has its own numbers
        d.eval()
        assert np.array_equal(d(batch.images, batch.labels).numpy(), plain)


def test_the_scores_of_reals_are_counted_once_per_call(jittor):
    state = raised(new_state())
    train(state, 1)
    assert state.metadata().ada.scores == 4 + 4  # in D and in R1; not the concatenated ones, which aren't marked
    marked = raised(new_state(reals=lambda images: mark_real(images * 1.0, rows=3)))
    train(marked, 1)
    assert marked.metadata().ada.scores == 3 + 3


def test_scores_that_are_not_finite_and_skipped_updates_do_not_count(jittor):
    state = raised(new_state())
    scores = jittor.array(np.array([[1], [np.nan], [-2], [3]], np.float32))
    one, zero = (jittor.array(np.array([value], np.float32)) for value in (1, 0))
    for finite in (one, zero):
        state.augmenter.observe(scores, 4, 4, boundary=0.0)
        state.augmenter.end_phase(finite)
    found = state.metadata().ada
    assert (found.signs, found.scores) == (1, 3)


@pytest.mark.parametrize(("boundary", "signs"), [(0.0, 4), (0.5, 0), (0.7, -2), (1.0, -3)])
def test_scores_count_by_the_side_of_the_decision_boundary_on_which_they_are(jittor, boundary, signs):
    state = raised(new_state())
    scores = jittor.array(np.array([[0.25], [0.4], [0.6], [1]], np.float32))
    state.augmenter.observe(scores, 4, 4, boundary)
    state.augmenter.end_phase(jittor.ones(1))
    assert (state.metadata().ada.signs, state.metadata().ada.scores) == (signs, 4)


def test_p_and_r_are_logged(jittor):
    logged = []
    train(raised(new_state()), 4, on_logged=lambda phase, values, finite: logged.append((phase.name, values)))
    values = [each for name, each in logged if name == "augmentation"]
    assert [sorted(each) for each in values] == [["p"]] * 3 + [["p", "r_t"]]
    assert -1 <= values[-1]["r_t"].item() <= 1
    assert values[0]["p"].item() == 0.5


def test_reals_that_nobody_recognises_are_an_error(jittor):
    state = new_state(reals=lambda images: images * 1.0)
    with pytest.raises(PluginError, match=r"mark other real images with ganzoo\.mark_real"):
        train(state, 4)
    train(new_state(TrainOptions(batch=4, augment="ada", augment_p=0.5), reals=lambda images: images * 1.0), 4)


def test_images_that_cannot_be_augmented_are_an_error(jittor):
    augmenter = Augmenter(TrainOptions(augment="diffaugment"), DATA)
    with pytest.raises(PluginError, match="1 or 3 channels"):
        augmenter.transform(jittor.ones((2, 4, 8, 8)), np.random.default_rng(0), 2, np.arange(2))


def test_a_model_without_a_discriminator_cannot_be_augmented(jittor):
    networks = new_state().setup.networks
    check_augmentable(ADA, networks)
    with pytest.raises(OptionError, match="--augment ada has no effect"):
        check_augmentable(ADA, {"g": networks["g"]})


@pytest.mark.parametrize(("flip", "given", "mirrors"), [(True, None, True), (False, None, False), (False, True, True)])
def test_images_are_mirrored_only_where_the_data_or_the_user_allow_it(flip, given, mirrors):
    data = DataInfo("made-up", 100, 8, 3, flip=flip)
    assert Augmenter(TrainOptions(augment="ada", flip=given), data).mirror is mirrors
