"""StyleGAN's parts, stages and steps. Its numbers are compared with the reference in test_stylegan_numbers.py."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ganzoo_stylegan import StyleGAN, StyleGANOptions

import ganzoo
from ganzoo.data.loader import ImageBatch
from ganzoo.errors import OptionError
from ganzoo.interfaces.augmentation import augmenting
from ganzoo.interfaces.options import resolve
from ganzoo.interfaces.train_options import TrainOptions
from ganzoo.training.state import TrainState
from ganzoo.training.step import Step

pytestmark = pytest.mark.usefixtures("jittor")

BATCH = 4
NARROW: dict[str, Any] = {"latent": 8, "mapping_layers": 2, "channels_base": 128, "channels_max": 8, "init_size": 4}
SHORT: dict[str, Any] = {"phase": 0.008, "first_stage": 0.008}


def data(size: int, channels: int = 3) -> ganzoo.DataInfo:
    return ganzoo.DataInfo("made-up", 100, size, channels)


def build(size: int, **options: Any) -> Any:
    return StyleGAN().build(StyleGANOptions(**{**NARROW, **options}), data(size), TrainOptions())


def stages(size: int, batch: int = 32, **options: Any) -> list[ganzoo.Stage]:
    train = resolve(TrainOptions, {"batch": batch}, StyleGAN.defaults)
    return list(StyleGAN().stages(StyleGANOptions(**options), train, data(size)))


def images(size: int, seed: int = 0) -> ImageBatch:
    pixels = np.random.default_rng(seed).integers(0, 256, (BATCH, size, size, 3), dtype=np.uint8)
    return ImageBatch(pixels, np.zeros(BATCH, np.int64))


class Training:
    """A short training with the smallest networks, step by step."""

    def __init__(self, size: int = 8, **options: Any) -> None:
        chosen = StyleGANOptions(**{**NARROW, **SHORT, **options})
        self.state = TrainState(StyleGAN(), chosen, data(size), TrainOptions(seed=0, batch=BATCH))
        self.phases: list[str] = []
        self.terms: dict[str, float] = {}
        self.step = Step(self.state, 0, None, self._record)

    def _record(self, phase: Any, terms: dict[str, Any], finite: Any) -> None:
        self.phases.append(phase.name)
        self.terms.update({name: float(term.item()) for name, term in terms.items()})

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.step(images(self.state.upcoming().stage.size, self.state.progress.step))
            self.state.progress = self.state.progress.after(BATCH)


@pytest.mark.parametrize(
    ("architecture", "size", "generator", "discriminator"),
    [
        ("port", 8, 11_295_238, 11_283_457),
        ("port", 64, 25_137_423, 24_267_777),
        ("port", 128, 25_843_346, 25_153_537),
        ("port", 256, 26_085_717, 25_375_233),
        ("port", 1024, 26_219_115, 25_444_737),
        ("paper", 128, 25_843_858, 22_941_313),
        ("paper", 1024, 26_219_627, 23_087_249),
    ],
)
def test_the_networks_have_the_published_parameter_counts(architecture, size, generator, discriminator):
    setup = StyleGAN().build(StyleGANOptions(architecture=architecture), data(size), TrainOptions())
    counts = [setup.networks[name].parameter_count() for name in ("generator", "discriminator")]
    assert counts == [generator, discriminator]


def test_weights_are_initialised_as_published():
    ganzoo.seed(3)
    for architecture in ("port", "paper"):
        weights = {
            **build(16, latent=64, channels_max=64, channels_base=1024, architecture=architecture)
            .networks["generator"]
            .state()
        }
        for name in ("mapping.layers.1.weight", "synthesis.blocks.1.conv1.weight", "synthesis.to_rgb.2.weight"):
            drawn = weights[name].numpy()
            assert np.std(drawn) == pytest.approx(1.0, abs=0.1)
        assert not weights["synthesis.blocks.1.layer1.noise"].numpy().any()
        assert not weights["synthesis.blocks.1.conv1.bias"].numpy().any()
        scales, offsets = np.split(weights["synthesis.blocks.0.layer1.adain.style.bias"].numpy(), 2)
        assert (scales == 1).all()
        assert not offsets.any()
        const = weights["synthesis.blocks.0.const"].numpy()
        assert (const == 1).all() if architecture == "paper" else np.std(const) == pytest.approx(1.0, abs=0.1)


def test_the_mapping_network_has_a_hundredth_of_the_learning_rate():
    optimizers = build(8).optimizers
    assert optimizers["generator"] == ganzoo.Adam(0.001, 0.0, 0.99, 1e-8, multipliers={"mapping.layers.": 0.01})
    assert optimizers["discriminator"] == ganzoo.Adam(0.001, 0.0, 0.99, 1e-8)


@pytest.mark.parametrize("group", [None, 4, 3])
def test_minibatch_stddev_matches_numpy(group):
    from ganzoo_stylegan.layers import minibatch_stddev

    x = np.random.default_rng(1).standard_normal((8, 3, 2, 2), np.float32)
    actual = minibatch_stddev(ganzoo.jt.array(x), group).numpy()
    assert np.array_equal(actual[:, :3], x)
    count = {None: 1, 4: 2, 3: 8}[group]  # 3 does not divide 8, so each image is a group of its own
    for first in range(count):
        expected = np.sqrt(x[first::count].astype(np.float64).var(0) + 1e-8).mean()
        np.testing.assert_allclose(actual[first::count, 3], expected, rtol=1e-5)


@pytest.mark.parametrize(("side", "expected"), [(4, 4), (5, 4), (90, 64), (100, 128), (128, 128), (3000, 1024)])
def test_the_default_size_is_the_power_of_two_nearest_to_the_images(side, expected):
    assert StyleGAN().image_size(StyleGANOptions(), data(side)) == expected
    assert StyleGAN().image_size(StyleGANOptions(max_size=16), data(side)) == 16


@pytest.mark.parametrize(
    ("size", "options", "named"),
    [
        (24, {}, "--max-size: 24"),
        (32, {"init_size": 12}, "--init-size: 12"),
        (16, {"init_size": 32}, "--init-size: 32"),
    ],
)
def test_an_impossible_size_is_an_error(size, options, named):
    with pytest.raises(OptionError, match=named):
        stages(size, **options)


def test_stages_double_the_size_and_fade_in_all_but_the_first():
    found = stages(64, batch=20)
    assert [stage.size for stage in found] == [8, 16, 32, 64]
    assert [stage.images for stage in found] == [1_200_000, 1_200_000, 1_200_000, None]
    assert [stage.fade for stage in found] == [0, 600_000, 600_000, 600_000]
    assert {(stage.batch, stage.learning_rate, stage.ema_decay, stage.reset) for stage in found} == {
        (20, 0.001, None, False)
    }


def test_sched_sets_batch_and_rate_by_resolution():
    found = stages(1024, batch=6, init_size=4, sched=True, learning_rate=0.0005)
    assert [stage.batch for stage in found] == [512, 256, 128, 64, 32, 32, 32, 6, 6]
    assert [stage.learning_rate for stage in found] == [0.0005] * 5 + [0.0015, 0.002, 0.003, 0.003]


def test_the_paper_preset_has_the_papers_schedule():
    options = resolve(StyleGANOptions, StyleGAN.presets["paper"])
    found = StyleGAN().stages(options, resolve(TrainOptions, {}, StyleGAN.defaults), data(128))
    assert [(stage.size, stage.batch, stage.images, stage.fade) for stage in found] == [
        (8, 128, 600_000, 0),
        (16, 128, 1_200_000, 600_000),
        (32, 64, 1_200_000, 600_000),
        (64, 32, 1_200_000, 600_000),
        (128, 16, None, 600_000),
    ]
    assert all(stage.reset for stage in found)
    # After 10,000 images, half of the former EMA remains.
    assert [stage.ema_decay ** (10_000 / stage.batch) for stage in found] == pytest.approx([0.5] * 5)


def crossovers(architecture: str, size: int, max_size: int = 32, prob: float = 0.9) -> list[int]:
    setup = build(max_size, mixing=True, mixing_prob=prob, architecture=architecture)
    setup.networks["generator"].grow(size, 1.0)
    rng = np.random.default_rng(2)
    return [setup.loss.crossover(rng) for _ in range(2000)]


@pytest.mark.parametrize(("architecture", "points"), [("port", [2, 4, 6]), ("paper", [1, 2, 3, 4, 5, 6, 7])])
def test_every_crossover_point_is_equally_frequent(architecture, points):
    found = crossovers(architecture, 32)
    assert found.count(8) == pytest.approx(200, abs=45)  # not mixed: one latent for all 8 layers
    for point in points:
        assert found.count(point) == pytest.approx(1800 / len(points), rel=0.25)
    assert set(found) == {*points, 8}


def test_styles_are_not_mixed_at_4_px_or_with_probability_0():
    assert set(crossovers("port", 4)) == {2}
    assert set(crossovers("port", 32, prob=0.0)) == {8}


def test_layers_from_the_crossover_on_use_a_second_latent():
    setup = build(16, mixing=True, mixing_prob=1.0)
    generator = setup.networks["generator"]
    for seed in range(4):
        batch = ganzoo.Batch(ganzoo.jt.zeros((BATCH, 3, 16, 16)), np.zeros(BATCH), np.random.default_rng(seed))
        styles = [style.numpy() for style in setup.loss.styles(batch)]
        rng = np.random.default_rng(seed)
        first, second = (rng.standard_normal((BATCH, 8), np.float32) for _ in range(2))
        crossover = setup.loss.crossover(rng)
        for layer, style in enumerate(styles):
            z = first if layer < crossover else second
            np.testing.assert_allclose(style, generator.map(ganzoo.jt.array(z)).numpy(), atol=1e-5)


def test_the_running_average_of_w_is_updated_in_training_only():
    generator = build(4, w_average=0.9).networks["generator"]
    generator.train()
    expected = np.zeros(8)
    for seed in range(3):
        z = ganzoo.jt.array(np.random.default_rng(seed).standard_normal((BATCH, 8), np.float32))
        w = generator.map(z).numpy()
        expected += (1 - 0.9) * (w.mean(0) - expected)
    np.testing.assert_allclose(generator.w_average.numpy(), expected, atol=1e-6)
    generator.eval()
    generator.map(z)
    np.testing.assert_allclose(generator.w_average.numpy(), expected, atol=1e-6)
    assert "w_average" not in generator.trainable()
    assert "w_average" not in build(4).networks["generator"].state()


@pytest.mark.parametrize(("size", "alpha", "rgb_levels"), [(4, 0.5, {"0"}), (8, 0.5, {"0", "1"}), (8, 1.0, {"1"})])
def test_only_weights_up_to_the_current_resolution_are_used(size, alpha, rgb_levels):
    for name, network in build(16).networks.items():
        network.grow(size, alpha)
        used = network.active_weights()
        rgb = "synthesis.to_rgb." if name == "generator" else "from_rgb."
        prefix = "synthesis.blocks." if name == "generator" else "blocks."
        assert {key[len(rgb)] for key in used if key.startswith(rgb)} == rgb_levels
        levels = {key[len(prefix)] for key in used if key.startswith(prefix)}
        assert levels == ({"0"} if size == 4 else {"0", "1"})
        others = {key for key in network.trainable() if not key.startswith((rgb, prefix))}
        assert others <= used.keys()


def test_a_resolution_that_the_networks_lack_is_an_error():
    with pytest.raises(ValueError, match="32 px is not one of"):
        build(16).networks["generator"].grow(32, 1.0)


def test_weights_of_other_resolutions_do_not_change():
    training = Training()
    before = training.state.tensors()
    training.run(3)  # 12 images at 4 px
    after = training.state.tensors()
    for network in ("generator", "discriminator"):
        steps = training.state.optimizers[network].steps
        for name, count in steps.items():
            unused = ("blocks.1." in name) or ("_rgb.1." in name)
            assert count == (0 if unused else 3), name
            for kind in ("net", "ema"):
                key = f"{kind}/{network}/{name}"
                if key in before:
                    assert np.array_equal(before[key], after[key]) == unused, key
    training.run(1)  # the first step at 8 px, with alpha 0
    assert training.state.position.stage.size == 8
    assert training.state.position.fading
    assert training.state.optimizers["generator"].steps["synthesis.to_rgb.0.weight"] == 4
    assert training.state.optimizers["generator"].steps["synthesis.to_rgb.1.weight"] == 1
    training.run(3)  # the fade ends
    assert training.state.optimizers["generator"].steps["synthesis.to_rgb.0.weight"] == 5
    assert training.state.optimizers["generator"].steps["synthesis.to_rgb.1.weight"] == 4


@pytest.mark.parametrize("reset", [True, False])
def test_adam_is_reset_at_each_resolution_and_after_its_fade_in(reset):
    training = Training(reset_optimizers=reset)
    counts = []
    for _ in range(7):  # three steps at 4 px, two during the fade, two at 8 px after it
        training.run(1)
        counts.append(training.state.optimizers["discriminator"].steps["linear.bias"])
    assert counts == ([1, 2, 3, 1, 2, 1, 2] if reset else [1, 2, 3, 4, 5, 6, 7])
    second = training.state.optimizers["discriminator"].state()["second/from_rgb.0.weight"].numpy()
    assert second.any() != reset  # with a reset, an unused weight has no moments


def test_real_images_are_blended_while_a_resolution_fades_in():
    setup = build(8, blend_reals=True)
    given = np.random.default_rng(0).uniform(-1, 1, (BATCH, 3, 8, 8)).astype(np.float32)
    coarse = given.reshape(BATCH, 3, 4, 2, 4, 2).mean((3, 5)).repeat(2, 2).repeat(2, 3)
    for alpha in (0.0, 0.25, 1.0):
        setup.networks["generator"].grow(8, alpha)
        actual = setup.loss.reals(ganzoo.jt.array(given)).numpy()
        np.testing.assert_allclose(actual, alpha * given + (1 - alpha) * coarse, atol=1e-6)
    plain = build(8)
    plain.networks["generator"].grow(8, 0.25)
    assert np.array_equal(plain.loss.reals(ganzoo.jt.array(given)).numpy(), given)


def test_blended_reals_steer_adaptive_augmentation(jittor):
    setup = build(8, blend_reals=True)
    setup.networks["generator"].grow(8, 0.5)
    step = SimpleNamespace(reals={})
    with augmenting(step):
        reals = setup.loss.reals(jittor.ones((2, 3, 8, 8)))
    assert step.reals[reals.id] == (reals, 2)


def test_lazy_r1_runs_every_nth_step_with_n_times_the_weight():
    lazy, eager = (Training(4, loss="r1", r1_interval=interval) for interval in (3, 1))
    for training in (lazy, eager):
        training.run(1)
    assert lazy.phases == ["discriminator", "r1", "generator"]
    assert eager.phases == ["discriminator", "generator"]
    lazy.run(4)
    assert lazy.phases[3:] == ["discriminator", "generator"] * 2 + ["discriminator", "r1", "generator"] + [
        "discriminator",
        "generator",
    ]
    setups = build(4, loss="r1", r1_interval=3), build(4, loss="r1")
    weights = {name: var.numpy() for name, var in setups[0].networks["discriminator"].state().items()}
    setups[1].networks["discriminator"].load_state(weights)
    reals = np.random.default_rng(0).uniform(-1, 1, (BATCH, 3, 4, 4)).astype(np.float32)
    terms = []
    for setup, name in zip(setups, ("r1", "discriminator")):
        batch = ganzoo.Batch(ganzoo.jt.array(reals), np.zeros(BATCH), np.random.default_rng(0))
        phase = next(phase for phase in setup.loss.phases if phase.name == name)
        terms.append(setup.loss(phase, batch, ganzoo.Progress())["penalty"].item())
    assert terms[0] == pytest.approx(3 * terms[1], rel=1e-5)


def test_the_lazy_correction_makes_smaller_steps_with_longer_memory():
    """Karras et al. 2020, appendix B, with c = 3/4. The bias gets no gradient from R1, so Adam moves it by the learning
    rate."""
    corrected = build(4, loss="r1", r1_interval=3, lazy_correction=True).optimizers
    assert corrected["generator"] == build(4).optimizers["generator"]
    assert corrected["discriminator"].beta2 == pytest.approx(0.99**0.75, rel=1e-12)
    for correction, rate in ((False, 1e-3), (True, 0.75e-3)):
        training = Training(4, loss="r1", r1_interval=3, lazy_correction=correction)
        bias = training.state.setup.networks["discriminator"].state()["linear.bias"]
        before = bias.numpy()
        training.run(1)
        assert np.abs(bias.numpy() - before).item() == pytest.approx(rate, rel=1e-3)


def test_a_lazy_correction_without_lazy_r1_is_refused():
    for interval in (1, 2):
        options = StyleGANOptions(loss="r1", r1_interval=interval, lazy_correction=True)
        with pytest.raises(OptionError, match="has no effect with --r1-interval 1") if interval == 1 else nullcontext():
            StyleGAN().check(options, TrainOptions(), data(8), True)


@pytest.mark.parametrize("architecture", ["port", "paper"])
def test_training_grows_from_4_px_to_the_last_resolution(architecture):
    training = Training(architecture=architecture, mixing=True, loss="r1", w_average=0.9)
    training.run(3)
    assert training.state.position.stage.size == 4
    training.run(5)
    assert (training.state.position.stage.size, training.state.position.alpha) == (8, 1.0)
    sample = training.state.ema.network("generator")(ganzoo.jt.zeros((2, 8)))
    assert sample.shape == [2, 3, 8, 8]
    assert np.isfinite(sample.numpy()).all()
    assert all(np.isfinite(value) for value in training.terms.values())
