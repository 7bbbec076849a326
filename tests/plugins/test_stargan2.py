"""StarGAN v2: parameter counts, options and updates, with tests for known bugs of its ports."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from ganzoo_stargan2 import StarGAN2, StarGAN2Options

from ganzoo import DataInfo, OptionError, TrainOptions
from ganzoo.data.loader import ImageBatch
from ganzoo.interfaces.progress import Progress
from ganzoo.training.state import TrainState
from ganzoo.training.step import Step

pytestmark = pytest.mark.usefixtures("jittor")

MODEL = StarGAN2()
DATA = DataInfo("made-up", 100, 64, 3, ("cat", "dog", "wild"))
NARROW = {"channels_base": 512, "channels_max": 8, "hidden": 8, "style": 8, "latent": 4}


def options(**values: Any) -> StarGAN2Options:
    return MODEL.resolve_options(StarGAN2Options(**values), DATA)


def batch(count: int, seed: int = 0) -> ImageBatch:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (3, count, 64, 64, 3), dtype=np.uint8)
    return ImageBatch(images[0], np.arange(count) % 3, images[1:], np.arange(1, count + 1) % 3)


def state(train: TrainOptions | None = None, **values: Any) -> TrainState:
    return TrainState(MODEL, options(**{**NARROW, **values}), DATA, train or TrainOptions(seed=0))


def weights(trained: TrainState) -> dict[str, dict[str, np.ndarray]]:
    return {
        name: {key: var.numpy() for key, var in network.state().items()}
        for name, network in trained.setup.networks.items()
    }


@pytest.mark.parametrize(
    ("size", "domains", "w_hpf", "counts"),
    [
        (256, 2, 1.0, (43_467_395, 2_438_272, 20_916_928, 20_852_290)),
        (256, 3, 0.0, (33_892_995, 3_259_072, 20_949_760, 20_852_803)),
        (128, 2, 1.0, (43_206_403, 2_438_272, 20_799_744, 20_735_106)),
        (128, 3, 0.0, (33_632_003, 3_259_072, 20_832_576, 20_735_619)),
        (64, 3, 0.0, (32_634_883, 3_259_072, 20_360_640, 20_263_683)),
        (512, 2, 1.0, (43_538_499, 2_438_272, 20_945_824, 20_881_186)),
        (512, 3, 0.0, (33_964_099, 3_259_072, 20_978_656, 20_881_699)),
    ],
)
def test_the_networks_have_the_published_parameter_counts(size, domains, w_hpf, counts):
    data = DataInfo("made-up", 1, size, 3, tuple("abc"[:domains]))
    networks = MODEL.build(options(w_hpf=w_hpf), data, TrainOptions()).networks
    names = ("generator", "mapping", "encoder", "discriminator")
    assert tuple(networks[name].parameter_count() for name in names) == counts
    assert ("landmarks" in networks) == (w_hpf > 0)


def test_default_settings_depend_on_the_data_set():
    def resolved(name: str, **values: Any) -> tuple[Any, Any]:
        found = MODEL.resolve_options(StarGAN2Options(**values), dataclasses.replace(DATA, name=name))
        return found.w_hpf, found.lambda_ds

    assert resolved("afhq") == (0, 2)
    assert resolved("celeba-hq") == (1, 1)
    assert resolved("other") == (0, 1)
    assert resolved("celeba-hq", w_hpf=0.0, lambda_ds=3.0) == (0, 3)


def test_the_size_is_resolved_once_from_the_first_data_set():
    found = MODEL.resolve_options(StarGAN2Options(), dataclasses.replace(DATA, size=100))
    assert found.size == 128
    assert MODEL.resolve_options(found, dataclasses.replace(DATA, size=512)) == found


def test_avatars_are_trained_on_at_half_their_size_unless_told_otherwise():
    data = dataclasses.replace(DATA, name="avatars", size=128)
    assert MODEL.resolve_options(StarGAN2Options(), data).size == 64
    assert MODEL.resolve_options(StarGAN2Options(size=128), data).size == 128


def test_channels_max_limits_the_channels_at_full_size():
    generator = MODEL.build(options(channels_max=8, size=64), DATA, TrainOptions()).networks["generator"]
    assert max(max(var.shape) for name, var in generator.state().items() if "conv" in name) == 8


def test_domains_named_like_splits_are_reported():
    data = dataclasses.replace(DATA, domains=("raw", "train", "val"))
    (warning,) = MODEL.check(options(), TrainOptions(), data, new=True)
    assert "the domains are raw, train, val" in warning


def test_every_network_has_the_optimizer_of_the_reference():
    adams = MODEL.build(options(), DATA, TrainOptions()).optimizers
    assert {name: adam.learning_rate for name, adam in adams.items()} == {
        "generator": 1e-4,
        "mapping": 1e-6,
        "encoder": 1e-4,
        "discriminator": 1e-4,
    }
    assert {(adam.beta1, adam.beta2, adam.eps, adam.weight_decay) for adam in adams.values()} == {(0, 0.99, 1e-8, 1e-4)}


def test_each_update_changes_its_networks_and_no_others():
    trained = state()
    before, changed = weights(trained), {}

    def record(phase: Any, terms: Any, finite: Any) -> None:
        nonlocal before
        after = weights(trained)
        changed[phase.name] = {
            name
            for name in after
            if any(not np.array_equal(after[name][key], before[name][key]) for key in after[name])
        }
        before = after

    Step(trained, 0, None, record)(batch(2))
    assert list(changed.items()) == [
        ("D-latent", {"discriminator"}),
        ("D-reference", {"discriminator"}),
        ("G-latent", {"generator", "mapping", "encoder"}),
        ("G-reference", {"generator"}),
    ]


def test_the_mapping_network_changes_a_hundred_times_more_slowly():
    trained = state(weight_decay=0.0)
    before = weights(trained)
    Step(trained, 0, None, lambda *_: None)(batch(2))
    after = weights(trained)
    # Adam's first update changes a weight by the learning rate, whatever the gradient.
    changes = {name: max(np.abs(after[name][key] - before[name][key]).max() for key in after[name]) for name in after}
    assert changes["mapping"] == pytest.approx(1e-6, rel=0.1)
    assert changes["encoder"] == pytest.approx(1e-4, rel=0.1)


def test_the_ema_starts_from_the_networks():
    fresh = state()
    for name in ("generator", "mapping", "encoder"):
        average = fresh.ema.copies[name].state()
        for key, var in fresh.setup.networks[name].state().items():
            assert np.array_equal(average[key].numpy(), var.numpy()), (name, key)
    assert "discriminator" not in fresh.ema.copies


class DomainRecorder:
    """Replaces the discriminator or the encoder, and records the domain given with each image."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.seen = inner, []

    def __call__(self, images: Any, domains: np.ndarray) -> Any:
        self.seen.append([int(each) for each in domains])
        return self.inner(images, domains)


def test_sources_are_scored_in_their_own_domain_and_fakes_in_the_target_domain():
    trained = state()
    loss = trained.setup.loss
    loss.discriminator, loss.encoder = DomainRecorder(loss.discriminator), DomainRecorder(loss.encoder)
    drawn = batch(4)
    own, target = [0, 1, 2, 0], [1, 2, 0, 1]
    Step(trained, 0, None, lambda *_: None)(drawn)
    assert loss.discriminator.seen == [own, target] * 2 + [target] * 2
    # D-reference encodes a reference. G-latent encodes the source and the fake. G-reference encodes two references, the
    # source and the fake.
    assert sorted(loss.encoder.seen) == sorted([target, own, target, target, target, own, target])


def gradients(trained: TrainState, term: str) -> dict[str, np.ndarray]:
    """Return one term's gradients in the generator's first update, for the weights of generator and mapping network."""
    from ganzoo import backend
    from ganzoo.training.step import to_device

    prepared = to_device(batch(2), np.random.default_rng(0))
    d_latent, _, g_latent, _ = trained.setup.loss.phases
    trained.setup.loss(d_latent, prepared, Progress())
    terms = trained.setup.loss(g_latent, prepared, Progress())
    names = [(name, key) for name in ("generator", "mapping") for key in trained.setup.networks[name].trainable()]
    found = backend.gradients(terms[term], [trained.setup.networks[name].trainable()[key] for name, key in names])
    return {f"{name}.{key}": gradient.numpy() for (name, key), gradient in zip(names, found)}


def test_the_second_image_of_the_diversity_loss_gets_no_gradient(monkeypatch):
    """The gradients are the same if the second image is replaced by its pixels as constants."""
    trained = state()
    original = gradients(trained, "ds")
    decode_features, calls = trained.setup.loss.generator.decode_features, []

    def constant_second(features: Any, style: Any, masks: Any = None) -> Any:
        import jittor as jt

        calls.append(None)
        drawn = decode_features(features, style, masks)
        return jt.array(drawn.numpy()).stop_grad() if len(calls) == 2 else drawn

    monkeypatch.setattr(trained.setup.loss.generator, "decode_features", constant_second)
    constant = gradients(trained, "ds")
    assert any(np.abs(value).max() > 0 for value in original.values())
    for name, value in original.items():
        np.testing.assert_allclose(value, constant[name], rtol=1e-4, atol=1e-6, err_msg=name)


def test_the_diversity_weight_falls_to_zero_over_ds_iter_steps():
    loss = MODEL.build(options(**NARROW, lambda_ds=2.0, ds_iter=100), DATA, TrainOptions()).loss
    weights = [loss.diversity_weight(Progress(step=step)) for step in (0, 25, 50, 100, 1000)]
    assert weights == pytest.approx([2, 1.5, 1, 0, 0])


def test_gradients_of_small_batches_are_accumulated_over_eight_images():
    def trained(size: int) -> tuple[TrainState, list[str]]:
        train = TrainOptions(seed=0, batch=size)
        warnings = MODEL.check(options(**NARROW), train, DATA, new=True)
        made = state(train)
        (stage,) = made.schedule.stages
        assert stage.batch == 8
        Step(made, 0, None, lambda *_: None)(batch(8))
        return made, list(warnings)

    (small, warnings), (whole, no_warnings) = trained(2), trained(8)
    assert "accumulated over 8 images" in warnings[0]
    assert not no_warnings
    # Only latents and rounding errors make the updates differ, because images don't depend on each other.
    one, other = weights(small)["discriminator"], weights(whole)["discriminator"]
    assert small.optimizers["discriminator"].steps == whole.optimizers["discriminator"].steps
    assert all(np.abs(one[key] - other[key]).max() <= 4.1e-4 for key in one)


def test_additional_numbers_are_logged():
    trained, seen = state(), {}
    Step(trained, 0, None, lambda *_: None, lambda phase, values, _: seen.update({phase.name: values}))(batch(2))
    assert seen["G-latent"].keys() >= {"fake_min", "fake_max", "lambda_ds", "diversity", "total"}
    assert float(seen["G-latent"]["fake_min"].item()) < float(seen["G-latent"]["fake_max"].item())
    assert {name for name in seen["G-latent"] if name.startswith("gradient_norm/")} == {
        "gradient_norm/generator",
        "gradient_norm/mapping",
        "gradient_norm/encoder",
    }
    assert float(seen["D-latent"]["gradient_norm/discriminator"].item()) > 0


@pytest.mark.parametrize(
    ("data", "values", "message"),
    [
        (dataclasses.replace(DATA, domains=("cat",)), {}, "only the domain 'cat'"),
        (dataclasses.replace(DATA, domains=()), {}, "no domains"),
        (dataclasses.replace(DATA, size=96), {}, "--size: 96 is not a power of two"),
        (DATA, {"channels_base": 64, "size": 128}, "--channels-base"),
        (dataclasses.replace(DATA, channels=1), {"w_hpf": 1.0}, "RGB images only"),
        (DATA, {"w_hpf": 1.0, "wing": "none/wing.ckpt"}, "--w-hpf 1 needs landmark weights.*none/wing.ckpt.*--w-hpf 0"),
    ],
)
def test_impossible_settings_are_an_error(data, values, message):
    if "size" in values:
        data = dataclasses.replace(data, size=values["size"])
    with pytest.raises(OptionError, match=message):
        MODEL.check(options(**values), TrainOptions(data="somewhere"), data, new=True)


def test_a_resumed_run_needs_no_landmark_file():
    assert not MODEL.check(options(w_hpf=1.0, wing="none/wing.ckpt"), TrainOptions(), DATA, new=False)
