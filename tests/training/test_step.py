from __future__ import annotations

import math
from collections import Counter
from contextlib import nullcontext

import numpy as np
import pytest
from ganzoo_gan import GAN, GANOptions
from hypothesis import given
from hypothesis import strategies as st

from ganzoo import backend
from ganzoo.data.loader import ImageBatch, Loader
from ganzoo.errors import OptionError, PluginError, RunError
from ganzoo.interfaces.dataset import DataInfo, LoaderConfig
from ganzoo.interfaces.loss import Phase
from ganzoo.interfaces.options import Options
from ganzoo.interfaces.stages import Stage
from ganzoo.interfaces.train_options import TrainOptions
from ganzoo.testing import check_model
from ganzoo.training.state import TrainState
from ganzoo.training.step import Step, check_micro_batches, micro_batch_sizes, split_batch, to_device
from tests.support.agreement import RUNS
from tests.support.shades import Shades, ShadesGAN
from tests.support.two_domains import TwoDomains

DATA = DataInfo("made-up", 100, 8, 1)


def images(count: int, seed: int = 0) -> ImageBatch:
    generator = np.random.default_rng(seed)
    return ImageBatch(generator.integers(0, 256, (count, 8, 8, 1), dtype=np.uint8), np.zeros(count, np.int64))


@pytest.fixture
def state(jittor) -> TrainState:
    return TrainState(GAN(), GANOptions(size=8), DATA, TrainOptions(seed=0))


def run(state: TrainState, step: Step, batches) -> None:
    for batch in batches:
        step(batch)
        state.progress = state.progress.after(len(batch.labels))


def test_a_batch_is_split_without_loss_or_overlap():
    whole = images(10)
    micro_batches = split_batch(whole, 4)
    assert [len(each.labels) for each in micro_batches] == [4, 3, 3]
    assert np.array_equal(np.concatenate([each.images for each in micro_batches]), whole.images)
    assert len(split_batch(whole, None)) == 1


@given(st.integers(1, 600), st.integers(1, 600))
def test_micro_batches_are_as_few_and_as_even_as_possible(images, limit):
    found = micro_batch_sizes(images, limit)
    assert sum(found) == images
    assert len(found) == math.ceil(images / limit)
    assert max(found) <= limit
    assert max(found) - min(found) <= 1
    if images % limit == 0:  # the parts are equal, as in a run without --micro-batch
        assert found == [limit] * (images // limit)


@pytest.mark.parametrize(
    ("batch", "micro_batch", "refused"),
    [(1, None, True), (8, 1, True), (3, 2, True), (64, 63, False), (2, None, False), (8, 2, False), (8, 3, False)],
)
def test_batch_statistics_are_never_computed_over_one_image(state, batch, micro_batch, refused):
    networks = state.setup.networks
    with pytest.raises(OptionError, match="batch normalisation in the generator") if refused else nullcontext():
        check_micro_batches(networks, [Stage(8, 16), Stage(8, batch)], micro_batch)
    check_micro_batches({"discriminator": networks["discriminator"]}, [Stage(8, batch)], micro_batch)  # no batch norm


def test_networks_with_fixed_statistics_accept_a_single_image(state):
    """A landmark network, which is never trained, is an example."""
    network = state.setup.networks["generator"]
    network.eval()
    check_micro_batches({"generator": network}, [Stage(8, 1)], None)


def test_images_of_all_ranks_count_together(state, monkeypatch):
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    check_micro_batches(state.setup.networks, [Stage(8, 2)], None)


def test_two_states_with_one_seed_train_identically(state):
    twin = TrainState(GAN(), GANOptions(size=8), DATA, TrainOptions(seed=0))
    for each in (state, twin):
        run(each, Step(each, 0, None, lambda *_: None), [images(4, seed) for seed in range(3)])
    first, second = state.tensors(), twin.tensors()
    assert all(np.array_equal(first[name], second[name]) for name in first)
    other = TrainState(GAN(), GANOptions(size=8), DATA, TrainOptions(seed=1))
    assert not np.array_equal(other.tensors()["net/generator/layers.0.weight"], first["net/generator/layers.0.weight"])


def test_images_are_scaled_on_a_gpu_as_they_are_on_the_cpu(jittor, monkeypatch):
    batch = ImageBatch(np.arange(256, dtype=np.uint8).reshape(2, 8, 16, 1).repeat(3, 3), np.zeros(2, np.int64))
    cuda, cpu = [], []
    for device, found in (("cpu", cpu), ("cuda", cuda)):
        monkeypatch.setattr(backend, "device", lambda device=device: device)
        found.append(to_device(batch, np.random.default_rng(0)).images.numpy())
    assert cpu[0].shape == cuda[0].shape == (2, 3, 8, 16)
    np.testing.assert_allclose(cuda[0], cpu[0], rtol=0, atol=2.4e-7)  # the last bit
    assert (cpu[0].min(), cpu[0].max()) == (-1.0, 1.0)


def test_a_lazy_phase_runs_every_nth_step(state):
    phases = (Phase("generator", ("generator",)), Phase("discriminator", ("discriminator",), interval=3))
    state.setup.loss.phases = phases
    seen: list[str] = []
    run(state, Step(state, 0, None, lambda phase, *_: seen.append(phase.name)), [images(4)] * 7)
    assert seen.count("generator") == 7
    assert seen.count("discriminator") == 3
    assert state.optimizers["discriminator"].steps["layers.0.weight"] == 3
    assert state.optimizers["generator"].steps["layers.0.weight"] == 7


def test_a_weight_that_no_phase_reaches_is_an_error(jittor):
    class Forgetful(GAN):
        def build(self, options, data, train):
            setup = super().build(options, data, train)
            setup.networks["generator"].lonely = jittor.ones(3)
            return setup

    state = TrainState(Forgetful(), GANOptions(size=8), DATA, TrainOptions(seed=0))
    with pytest.raises(RunError, match=r"no phase gives a gradient to generator\.lonely:"):
        run(state, Step(state, 0, None, lambda *_: None), [images(4)] * 2)


def test_one_phase_can_update_several_networks_at_their_own_rates(jittor):
    from ganzoo import Adam
    from ganzoo.interfaces.loss import binary_cross_entropy
    from ganzoo.training.optim import NetworkOptimizer

    state = TrainState(GAN(), GANOptions(size=8), DATA, TrainOptions(seed=0))
    state.optimizers["discriminator"] = NetworkOptimizer(state.setup.networks["discriminator"], Adam(1e-3))
    state.optimizers["generator"] = NetworkOptimizer(state.setup.networks["generator"], Adam(1e-5))
    networks = state.setup.networks

    class Both:
        phases = (Phase("both", ("discriminator", "generator")),)

        def __call__(self, phase, batch, progress):
            fakes = networks["generator"](batch.latents(100))
            return {"a": binary_cross_entropy(networks["discriminator"](fakes), real=True)}

    object.__setattr__(state.setup, "loss", Both())
    before = state.tensors()
    run(state, Step(state, 0, None, lambda *_: None), [images(4)])
    after = state.tensors()
    # Adam's first step moves a weight by the learning rate, unless the gradient is tiny.
    for name, rate in (("discriminator/layers.4.weight", 1e-3), ("generator/layers.11.bias", 1e-5)):
        moved = np.abs(after[f"net/{name}"] - before[f"net/{name}"])
        assert np.isclose(np.median(moved), rate, rtol=0.05), name


def test_the_logged_norm_is_that_of_the_gradients(state, monkeypatch):
    """Adam's update is replaced, so that the test sees the gradients."""
    seen, gradients = {}, {}
    optimizer = state.optimizers["generator"]
    monkeypatch.setattr(optimizer, "step", lambda found, finite: gradients.update(dict(zip(optimizer.weights, found))))
    Step(state, 0, None, lambda *_: None, lambda phase, values, finite: seen.update({phase.name: values}))(images(4))
    exact = np.sqrt(sum((value.numpy().astype(np.float64) ** 2).sum() for value in gradients.values()))
    assert float(seen["generator"]["gradient_norm/generator"].item()) == pytest.approx(exact, rel=1e-5)
    assert exact > 0


def test_both_callbacks_receive_whether_the_networks_were_updated(state):
    calls = []
    step = Step(state, 0, None, lambda *call: calls.append(call), lambda *call: calls.append(call))
    step(images(4))
    assert [phase.name for phase, _, _ in calls] == ["generator"] * 2 + ["discriminator"] * 2
    assert [list(values) for _, values, _ in calls][:2] == [["adversarial"], ["gradient_norm/generator"]]
    assert all(finite.shape == [1] and finite.dtype == "float32" and finite.item() == 1 for _, _, finite in calls)


@pytest.mark.parametrize(("name", "limit"), [("gan", 8), ("lsgan", 8), ("stylegan", 12), ("stargan2", 36)])
def test_a_step_sends_few_arrays_to_the_device_and_reads_none(jittor, ganzoo, domains, monkeypatch, name, limit):
    """Each array has to be copied to the GPU, so constants are created once. Each number that is read, as for the text
    of an error message, would make the host wait."""
    calls: list[str] = []
    counts: list[Counter[str]] = []
    call = Step.__call__

    def count(owner, name):
        original = getattr(owner, name)

        def counted(*arguments, **named):
            calls.append(name)
            return original(*arguments, **named)

        monkeypatch.setattr(owner, name, counted)

    def step(self, batch):
        calls.clear()
        call(self, batch)
        counts.append(Counter(calls))

    count(jittor, "array")
    reads = ("numpy", "item", "tolist", "fetch_sync")
    for read in reads:
        count(jittor.Var, read)
    monkeypatch.setattr(Step, "__call__", step)
    model, *options = RUNS[name].split()
    result = ganzoo("train", model, "--data", "pictures", *options, "--kimg", "0.016")
    assert result.exit_code == 0, result.output
    assert 0 < counts[1]["array"] <= limit
    assert {read: counts[1][read] for read in reads} == dict.fromkeys(reads, 0)


def test_images_of_each_domain_reach_the_loss_whatever_the_micro_batches(jittor):
    """The gradient of the mean of (tanh(c + z) - x)^2 is computed in NumPy from all images of both domains."""
    data = DataInfo("made-up", 12, 8, 1, ("a", "b"))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 6, 8, 8, 1), np.uint8)
    batch = ImageBatch(pixels[0], np.zeros(6, np.int64), domains=pixels)
    z = np.random.default_rng([0, 2, 0]).standard_normal((6, 1), dtype="float32").astype(np.float64)
    fakes = np.tanh(z)[:, :, None, None]
    reals = pixels[..., 0].astype(np.float64) / 127.5 - 1
    expected = [abs((2 * (fakes - real) * (1 - fakes**2)).mean()) for real in reals[:, :, None]]
    for micro_batch in (None, 4, 1):
        state = TrainState(TwoDomains(), Options(), data, TrainOptions(seed=0, batch=6))
        norms: dict[str, float] = {}
        step = Step(state, 0, micro_batch, lambda *_: None, lambda phase, logged, _, norms=norms: norms.update(logged))
        step(batch)
        found = [float(norms[f"gradient_norm/{name}"].numpy().item()) for name in ("generator", "other")]
        assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("config", [{"per_domain": True}, {"paired": True}])
def test_a_model_that_draws_from_each_domain_does_what_ganzoo_expects(jittor, monkeypatch, config):
    monkeypatch.setattr(TwoDomains, "config", LoaderConfig(**config))
    check_model(TwoDomains(), size=8, channels=(1,))


def test_images_of_the_first_domain_are_the_batch_of_a_model_that_draws_from_each(jittor):
    pixels = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 2, 2, 1)
    batch = to_device(ImageBatch(pixels[0], np.zeros(3), domains=pixels), np.random.default_rng(0))
    assert batch.images is batch.domains[0]
    assert len(batch) == 3
    np.testing.assert_allclose(batch.domains[1].numpy(), pixels[1].transpose(0, 3, 1, 2) / 127.5 - 1, rtol=1e-6)


def test_a_buffer_that_is_assigned_instead_of_updated_is_refused(state, monkeypatch):
    discriminator = state.setup.networks["discriminator"]
    discriminator.count = backend.jittor().zeros((1, 1)).stop_grad()
    execute = type(discriminator).execute

    def counting(self, x):
        self.count = self.count + 1
        return execute(self, x)

    monkeypatch.setattr(type(discriminator), "execute", counting)
    with pytest.raises(PluginError, match=r"assigned a new array to discriminator\.count\. Change a buffer with"):
        run(state, Step(state, 0, None, lambda *_: None), [images(4)])


def test_attributes_reach_the_networks_whatever_the_micro_batches(jittor):
    """The gradient of the critic's first loss is computed in NumPy from all images and their attributes."""
    dataset = Shades()
    batch = next(Loader(dataset, 6, size=8, channels=1, seed=0).batches())
    z = np.random.default_rng([0, 2, 0]).standard_normal((6, 2), dtype="float32").astype(np.float64)
    reals = batch.images[:, 0, 0].astype(np.float64) / 127.5 - 1
    attributes = batch.attributes.astype(np.float64)
    for micro_batch in (None, 4, 3):
        state = TrainState(ShadesGAN(), Options(), dataset.info, TrainOptions(seed=0, batch=6))
        weights = {name: network.layer.weight.numpy()[0] for name, network in state.setup.networks.items()}
        bias = {name: network.layer.bias.numpy() for name, network in state.setup.networks.items()}
        fakes = np.tanh(np.concatenate([z, attributes], 1) @ weights["generator"] + bias["generator"])[:, None]
        gradient = np.zeros(4)
        for colours, target in ((reals, 1), (fakes, 0)):
            inputs = np.concatenate([colours, attributes, np.ones((6, 1))], 1)
            errors = inputs[:, :-1] @ weights["critic"] + bias["critic"] - target
            gradient += (2 * errors[:, None] * inputs).mean(0)
        norms: dict[str, float] = {}
        step = Step(state, 0, micro_batch, lambda *_: None, lambda phase, logged, _, norms=norms: norms.update(logged))
        step(batch)
        found = float(norms["gradient_norm/critic"].numpy().item())
        assert found == pytest.approx(np.linalg.norm(gradient), rel=1e-4)


def test_attributes_of_each_domain_reach_the_batch():
    pixels, rows = np.zeros((2, 3, 2, 2, 1), np.uint8), np.arange(6, dtype=np.float32).reshape(2, 3, 1)
    images = ImageBatch(pixels[0], np.zeros(3), domains=pixels, attributes=rows[0], domain_attributes=rows)
    batch = to_device(images, np.random.default_rng(0))
    assert np.array_equal(batch.attributes.numpy(), rows[0])
    assert all(np.array_equal(found.numpy(), expected) for found, expected in zip(batch.domain_attributes, rows))
