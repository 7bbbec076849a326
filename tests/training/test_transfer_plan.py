"""A new state starts with the weights of a checkpoint, adapted so that the networks compute the same."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ganzoo_gan import GAN, GANOptions
from ganzoo_lsgan import LSGAN, LSGANOptions
from ganzoo_stargan2 import StarGAN2, StarGAN2Options
from ganzoo_stylegan import StyleGAN, StyleGANOptions

import ganzoo
from ganzoo.checkpoints import checkpoint
from ganzoo.checkpoints.checkpoint import Checkpoint
from ganzoo.checkpoints.description import RunDescription
from ganzoo.errors import CheckpointError, OptionError
from ganzoo.interfaces.dataset import DataInfo
from ganzoo.interfaces.stages import Schedule
from ganzoo.interfaces.train_options import TrainOptions
from ganzoo.training.plan import Plan
from ganzoo.training.state import TrainState
from ganzoo.training.transfer_plan import start_from
from tests.support.building_blocks import BuildingBlocks

pytestmark = pytest.mark.usefixtures("jittor")

ANIMALS = DataInfo("animals", 10, 8, 3, ("cat", "dog", "fox"))
STYLEGAN = StyleGANOptions(
    max_size=8, init_size=4, latent=6, mapping_layers=2, channels_base=64, channels_max=6, ema=0.5
)


def save(model: Any, options: Any, data: DataInfo = ANIMALS, seed: int = 1) -> Checkpoint:
    """Write the checkpoint of a new run to the working folder, with an EMA that differs from the weights."""
    train = TrainOptions(seed=seed)
    state = TrainState(model, options, data, train)
    tensors = state.tensors()
    tensors.update({name: value + 0.125 for name, value in tensors.items() if name.startswith("ema/")})
    path = Path("source.safetensors")
    checkpoint.write(path, tensors, RunDescription.create(model, options, train, data), state.metadata())
    return checkpoint.read(path)


def start(saved: Checkpoint, model: Any, options: Any, data: DataInfo = ANIMALS, freeze_d: int = 0) -> Any:
    """Return a plan and the state of a new run with the weights of a checkpoint."""
    train = TrainOptions(seed=2, freeze_d=freeze_d)
    dataset: Any = None
    plan = Plan(model, train, options, dataset, data, Schedule(model.stages(options, train, data)))
    plan = start_from(plan, saved, "source.safetensors", pretrained=True)
    state = TrainState(model, options, data, train, plan.schedule)
    assert plan.transfer is not None
    plan.transfer.load(state)
    return plan, state


def networks(saved: Checkpoint, model: Any) -> Any:
    """Return the networks of a checkpoint, as they are sampled."""
    train = TrainOptions()
    built = model.build(saved.options(model), saved.data, train).networks
    for name, network in built.items():
        kind = "ema" if name in saved.metadata.ema else "net"
        network.load_state(checkpoint.with_prefix(saved.tensors, f"{kind}/{name}/"))
    return evaluated(built, saved.data.size)


def evaluated(built: Any, size: int = 8) -> Any:
    """Return networks in inference mode, for images of `size` px."""
    for network in built.values():
        network.grow(size, 1.0)
        network.eval()
    return built


def weights(network: Any) -> dict[str, np.ndarray]:
    return {name: var.numpy() for name, var in network.state().items()}


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def latents(count: int, length: int) -> Any:
    return ganzoo.jt.array(np.random.default_rng(0).standard_normal((count, length)).astype(np.float32))


def one_hot(*classes: int, of: int) -> Any:
    return ganzoo.jt.array(np.eye(of, dtype=np.float32)[list(classes)])


def test_the_ema_is_taken_for_the_trained_weights_too(workdir):
    saved = save(GAN(), GANOptions(size=8, latent=4, ema=0.5))
    plan, state = start(saved, GAN(), GANOptions(size=8, latent=4, ema=0.9))
    expected = checkpoint.with_prefix(saved.tensors, "ema/generator/")
    assert same(weights(state.setup.networks["generator"]), expected)
    assert same(weights(state.ema.copies["generator"]), expected)
    assert same(
        weights(state.setup.networks["discriminator"]), checkpoint.with_prefix(saved.tensors, "net/discriminator/")
    )
    assert (plan.lineage.adapted, plan.lineage.fresh) == (0, 0)
    assert plan.lineage.taken == len(state.setup.networks["generator"].state()) + len(
        state.setup.networks["discriminator"].state()
    )
    assert plan.lineage.sha256 == hashlib.sha256(saved.path.read_bytes()).hexdigest()
    assert plan.lineage.data == "animals"
    assert state.progress.images == 0
    assert not any(state.optimizers["generator"].steps.values())


def test_a_run_without_an_ema_gets_that_of_the_source(workdir):
    saved = save(GAN(), GANOptions(size=8, latent=4, ema=0.5))
    _, state = start(saved, GAN(), GANOptions(size=8, latent=4))
    assert same(weights(state.setup.networks["generator"]), checkpoint.with_prefix(saved.tensors, "ema/generator/"))


MODELS = {
    "gan": (GAN(), GANOptions(size=8, latent=4), 8),
    "lsgan": (LSGAN(), LSGANOptions(size=16, latent=4), 16),
    "lsgan-tutorial": (LSGAN(), LSGANOptions(variant="tutorial", size=16, latent=4), 16),
    "stylegan": (StyleGAN(), STYLEGAN, 8),
    "stylegan-paper": (StyleGAN(), dataclasses.replace(STYLEGAN, architecture="paper"), 8),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_grey_images_computes_the_same_in_rgb(workdir, name):
    model, options, size = MODELS[name]
    grey, rgb = (DataInfo("pictures", 10, size, channels) for channels in (1, 3))
    saved = save(model, options, grey)
    plan, state = start(saved, model, options, rgb)
    assert "image channels: grey becomes RGB: each colour gets the weights of grey" in plan.transfer.lines
    assert plan.lineage.fresh == 0
    assert plan.lineage.adapted >= 3
    before, now = networks(saved, model), evaluated(state.setup.networks, size)
    z = latents(3, 6 if "style" in name else 4)
    fakes = before["generator"](z).numpy()
    np.testing.assert_allclose(now["generator"](z).numpy(), np.repeat(fakes, 3, 1), rtol=1e-4, atol=1e-5)
    images = np.random.default_rng(3).uniform(-1, 1, (4, 1, size, size)).astype(np.float32)
    scores = before["discriminator"](ganzoo.jt.array(images)).numpy()
    found = now["discriminator"](ganzoo.jt.array(np.repeat(images, 3, 1))).numpy()
    np.testing.assert_allclose(found, scores, rtol=1e-4, atol=1e-5)


def test_an_rgb_model_computes_the_mean_in_grey_and_is_opaque_in_rgba(workdir):
    saved = save(StyleGAN(), STYLEGAN)
    z = latents(2, 6)
    fakes = _synthesised(networks(saved, StyleGAN())["generator"], z)
    plan, state = start(saved, StyleGAN(), STYLEGAN, dataclasses.replace(ANIMALS, channels=1))
    assert "image channels: RGB becomes grey: the weights of the colours are averaged" in plan.transfer.lines
    grey = _synthesised(state.ema.copies["generator"], z)
    np.testing.assert_allclose(grey, fakes.mean(1, keepdims=True), rtol=1e-4, atol=1e-5)
    plan, state = start(saved, StyleGAN(), STYLEGAN, dataclasses.replace(ANIMALS, channels=4))
    assert (
        "image channels: RGB becomes RGBA: the colours keep their weights; alpha begins opaque" in plan.transfer.lines
    )
    rgba = _synthesised(state.ema.copies["generator"], z)
    np.testing.assert_allclose(rgba[:, :3], fakes, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(rgba[:, 3], 1, rtol=1e-6)


def _synthesised(generator: Any, z: Any) -> np.ndarray:
    """Return images at full resolution, not limited to [-1, 1]."""
    from ganzoo.interfaces.noise import constant_noise

    generator.grow(8, 1.0)
    noise = [ganzoo.jt.array(values) for values in constant_noise(generator.noise_sizes(), len(z))]
    return generator.synthesise([generator.map(z)] * generator.style_layers(), noise).numpy()


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (GAN(), GANOptions(size=8, latent=4, conditional=True)),
        (StyleGAN(), dataclasses.replace(STYLEGAN, conditional=True)),
    ],
    ids=["gan", "stylegan"],
)
def test_classes_of_the_same_name_keep_their_rows(workdir, model, options):
    saved = save(model, options)
    other = dataclasses.replace(ANIMALS, domains=("fox", "owl", "cat", "wolf"))
    plan, state = start(saved, model, options, other)
    assert "domains: fox, cat as before; owl, wolf afresh; dog left out" in plan.transfer.lines
    before, now = networks(saved, model), evaluated(state.setup.networks)
    z = latents(2, options.latent)
    fakes = before["generator"](z, one_hot(2, 0, of=3)).numpy()
    np.testing.assert_allclose(now["generator"](z, one_hot(0, 2, of=4)).numpy(), fakes, rtol=1e-4, atol=1e-5)
    images = ganzoo.jt.array(np.random.default_rng(3).uniform(-1, 1, (2, 3, 8, 8)).astype(np.float32))
    scores = before["discriminator"](images, one_hot(2, 0, of=3)).numpy()
    np.testing.assert_allclose(now["discriminator"](images, one_hot(0, 2, of=4)).numpy(), scores, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "options"), [(GAN(), GANOptions(size=8, latent=4)), (StyleGAN(), STYLEGAN)], ids=["gan", "stylegan"]
)
def test_a_model_that_gets_classes_generates_the_same_at_first(workdir, model, options):
    saved = save(model, options)
    plan, state = start(saved, model, dataclasses.replace(options, conditional=True))
    assert "domains: the source had none, so those of this run have no effect yet" in plan.transfer.lines
    z = latents(3, options.latent)
    generator = evaluated(state.setup.networks)["generator"]
    fakes = networks(saved, model)["generator"](z).numpy()
    np.testing.assert_allclose(generator(z, one_hot(0, 1, 2, of=3)).numpy(), fakes, rtol=1e-4, atol=1e-5)
    _, back = start(save(model, dataclasses.replace(options, conditional=True)), model, options)
    assert back.setup.networks["generator"].state().keys() == networks(saved, model)["generator"].state().keys()


def test_the_branches_of_a_translator_follow_the_names_of_the_domains(workdir):
    options = StarGAN2Options(
        size=64, channels_max=4, channels_base=64, hidden=4, style=3, latent=2, w_hpf=0.0, lambda_ds=1.0
    )
    data = dataclasses.replace(ANIMALS, size=64)
    saved = save(StarGAN2(), options, data)
    other = dataclasses.replace(data, domains=("owl", "cat"))
    plan, state = start(saved, StarGAN2(), options, other)
    assert "domains: cat as before; owl afresh; dog, fox left out" in plan.transfer.lines
    now, former = state.tensors(), saved.tensors
    for network in ("mapping", "encoder"):
        key = "unshared.{}.2.weight" if network == "mapping" else "unshared.{}.weight"
        cat = former[f"ema/{network}/{key.format(0)}"]
        assert np.array_equal(now[f"net/{network}/{key.format(1)}"], cat)
        assert np.array_equal(now[f"ema/{network}/{key.format(1)}"], cat)
        assert not np.array_equal(now[f"net/{network}/{key.format(0)}"], cat)
    name = "net/discriminator/main.8.weight"
    assert np.array_equal(now[name][1], former[name][0])
    assert not np.array_equal(now[name][0], former[name][0])


def test_layers_of_further_resolutions_begin_afresh_and_others_are_left_out(workdir):
    saved = save(StyleGAN(), STYLEGAN)
    larger = dataclasses.replace(STYLEGAN, max_size=16)
    plan, state = start(saved, StyleGAN(), larger, dataclasses.replace(ANIMALS, size=16))
    (line,) = [line for line in plan.transfer.lines if line.startswith("layers: ")]
    assert line.endswith("which begin afresh (images of 16 px instead of 8)")
    tensors = state.tensors()
    fresh = [name for name in tensors if name.startswith("net/") and name not in saved.tensors]
    assert plan.lineage.fresh == len(fresh)
    assert {name.split("/")[2].split(".2.")[0] for name in fresh} == {
        "synthesis.blocks", "synthesis.to_rgb", "from_rgb", "blocks",
    }  # fmt: skip
    assert np.array_equal(
        tensors["net/generator/synthesis.blocks.1.conv2.weight"],
        saved.tensors["ema/generator/synthesis.blocks.1.conv2.weight"],
    )
    smaller = dataclasses.replace(STYLEGAN, max_size=4)
    plan, _ = start(saved, StyleGAN(), smaller, dataclasses.replace(ANIMALS, size=4))
    assert plan.lineage.fresh == 0
    assert any(line.startswith("left out: ") for line in plan.transfer.lines)


def test_layers_of_another_width_begin_afresh(workdir):
    saved = save(GAN(), GANOptions(size=8, latent=4))
    plan, _ = start(saved, GAN(), GANOptions(size=8, latent=5))
    assert "shapes: 1 array had another shape, such as generator.layers.0.weight, and begin afresh" in " ".join(
        plan.transfer.lines
    )
    assert plan.lineage.fresh == 1


def test_latents_are_not_mistaken_for_classes_where_the_sum_is_the_same(workdir):
    saved = save(GAN(), GANOptions(size=8, latent=5, conditional=True))  # 5 + 3 inputs
    data = dataclasses.replace(ANIMALS, domains=("cat", "dog"))
    plan, _ = start(saved, GAN(), GANOptions(size=8, latent=6, conditional=True), data)  # 6 + 2 inputs
    assert ("generator", "layers.0.weight") not in plan.transfer.matches


def test_weights_of_half_precision_and_a_missing_network_are_fine(workdir):
    saved = save(GAN(), GANOptions(size=8, latent=4, ema=0.5))
    slim = {
        name: value.astype(np.float16) for name, value in saved.tensors.items() if name.startswith("ema/generator/")
    }
    checkpoint.write(saved.path, slim, saved.run, saved.metadata)
    plan, state = start(checkpoint.read(saved.path), GAN(), GANOptions(size=8, latent=4))
    assert "discriminator: not in the file; it begins afresh" in plan.transfer.lines
    found = weights(state.setup.networks["generator"])
    assert same(found, {name[14:]: value.astype(np.float32) for name, value in slim.items()})


def test_freezing_layers_that_begin_afresh_is_refused(workdir):
    saved = save(StyleGAN(), STYLEGAN)
    larger, data = dataclasses.replace(STYLEGAN, max_size=16), dataclasses.replace(ANIMALS, size=16)
    with pytest.raises(OptionError, match=r"--freeze-d 1: discriminator\.blocks\.2\..* begins with random weights"):
        start(saved, StyleGAN(), larger, data, freeze_d=1)


def test_a_source_without_any_fitting_weight_is_refused(workdir):
    saved = save(GAN(), GANOptions(size=8, latent=4))
    renamed = {name.replace("layers", "others"): value for name, value in saved.tensors.items()}
    checkpoint.write(saved.path, renamed, saved.run, saved.metadata)
    with pytest.raises(OptionError, match=r"--from source\.safetensors: none of its weights fit"):
        start(checkpoint.read(saved.path), GAN(), GANOptions(size=8, latent=4))


def test_weights_that_are_not_finite_are_refused(workdir):
    saved = save(GAN(), GANOptions(size=8, latent=4))
    saved.tensors["net/discriminator/layers.0.bias"][0] = np.nan
    with pytest.raises(CheckpointError, match=r"the weight net/discriminator/layers\.0\.bias is NaN"):
        start(saved, GAN(), GANOptions(size=8, latent=4))


def test_a_file_that_changes_before_it_is_loaded_is_an_error(workdir):
    saved = save(GAN(), GANOptions(size=8, latent=4))
    plan, state = start(saved, GAN(), GANOptions(size=8, latent=4))
    saved.path.write_bytes(saved.path.read_bytes() + b" ")
    with pytest.raises(CheckpointError, match="it has changed since this command began"):
        plan.transfer.load(state)


def test_a_history_of_images_begins_empty(workdir):
    saved = save(BuildingBlocks(), ganzoo.Options())
    for name in ("images", "seen"):
        saved.tensors[f"net/pool/{name}"] += 1
    checkpoint.write(saved.path, saved.tensors, saved.run, saved.metadata)
    plan, state = start(checkpoint.read(saved.path), BuildingBlocks(), ganzoo.Options())
    assert not any(value.any() for value in weights(state.setup.networks["pool"]).values())
    assert plan.lineage.fresh == 0
