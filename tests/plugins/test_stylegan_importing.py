"""Imported checkpoints of the public PyTorch port give the same images and next update; invalid files are errors."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ganzoo_stylegan import StyleGAN

from ganzoo.checkpoints import checkpoint, unpickling
from ganzoo.errors import CheckpointError, OptionError
from ganzoo.registry import plugins
from ganzoo.training.importing import import_checkpoint
from ganzoo.training.state import TrainState
from tests.support.reference import needs_torch, relative_error, strip_prefix
from tests.support.reference.stylegan_port import DEPTH, LATENT, UPDATES, ReferenceFiles

pytestmark = [pytest.mark.usefixtures("jittor"), needs_torch]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> ReferenceFiles:
    return ReferenceFiles(tmp_path_factory.mktemp("files"), 16)


def import_file(path: Path, folder: Path, **given: Any) -> Any:
    return import_checkpoint(StyleGAN(), path, given, folder / "experiments")


def state_of(run: Any) -> TrainState:
    saved = checkpoint.read(checkpoint.newest(run.path))
    model = StyleGAN()
    state = TrainState(model, saved.options(model), saved.data, run.description().train_options())
    state.load(saved.tensors, saved.metadata)
    return state


@pytest.mark.parametrize("name", ["ema-zip", "ema-legacy", "ema-data-parallel", "step", "step-ids"])
def test_the_images_of_an_imported_generator_match_the_reference(files, tmp_path, name):
    run = import_file(files.path(name), tmp_path).run
    images = files.images(run.path)
    assert np.mean(np.abs(images) < 1) > 0.7  # because clamped pixels would hide differences
    assert relative_error(images, files.expected["images"]) < 1e-4


def test_fused_resampling_is_imported(tmp_path):
    files = ReferenceFiles(tmp_path, 128)
    run = import_file(files.path("ema-zip"), tmp_path).run
    assert relative_error(files.images(run.path), files.expected["images"]) < 1e-4


@pytest.mark.parametrize("name", ["step", "step-ids"])
def test_the_next_update_matches_the_reference(files, tmp_path, name):
    from ganzoo import jt

    state = state_of(import_file(files.path(name), tmp_path).run)
    for network, optimizer in state.optimizers.items():
        optimizer.set_active(state.setup.networks[network].active_weights())
        gradients = strip_prefix(files.given, f"grad/{UPDATES}/{network}/")
        optimizer.step([jt.array(gradients[key]) for key in optimizer.weights])
        before = strip_prefix(checkpoint.read(next(tmp_path.glob("*/*/*.safetensors"))).tensors, f"net/{network}/")
        for key, weight in state.setup.networks[network].state().items():
            expected = files.expected[f"net/{network}/{key}"]
            if key not in optimizer.weights:
                assert np.array_equal(weight.numpy(), expected), key
                continue
            assert optimizer.steps[key] == UPDATES + 1
            change = np.abs(expected - before[key]).max()
            assert np.abs(weight.numpy() - expected).max() < 1e-4 * change + 1e-7 * np.abs(expected).max(), key


def test_options_that_the_file_determines_are_read_from_it(files, tmp_path):
    run = import_file(files.path("step"), tmp_path).run
    options = run.description().options
    expected = {
        "max_size": 16,
        "init_size": 8,
        "latent": LATENT,
        "mapping_layers": DEPTH,
        "channels_base": 256,
        "channels_max": 8,
        "from_rgb_activation": True,
        "architecture": "port",
    }
    assert {name: options[name] for name in expected} == expected
    state = state_of(run)
    assert (state.progress.images, state.progress.step, state.progress.stage) == (0, UPDATES, 1)
    assert state.position.stage.size == 16


def test_a_missing_discriminator_is_initialised(files, tmp_path):
    result = import_file(files.path("ema-zip"), tmp_path)
    assert "discriminator: not in the file; initialised randomly" in result.found
    state = state_of(result.run)
    generator = state.setup.networks["generator"].state()
    for name, var in state.ema.copies["generator"].state().items():
        assert np.array_equal(var.numpy(), generator[name].numpy())
    assert not any(any(optimizer.steps.values()) for optimizer in state.optimizers.values())
    assert state.setup.networks["discriminator"].state()["blocks.1.conv1.weight"].numpy().std() > 0.9


def test_finer_resolutions_are_imported_on_request(files, tmp_path):
    state = state_of(import_file(files.path("step"), tmp_path, max_size=64, phase=1.0).run)
    assert [stage.size for stage in state.schedule.stages] == [8, 16, 32, 64]
    assert (state.position.stage.size, state.position.alpha) == (16, 1.0)
    upcoming = state.upcoming()
    assert (upcoming.stage.size, upcoming.alpha) == (32, 0.0)
    original = unpickling.safe_load(files.path("step"))["discriminator"]["progression.4.conv1.0.conv.weight_orig"]
    assert np.array_equal(state.setup.networks["discriminator"].state()["blocks.4.conv1.weight"].numpy(), original)
    assert state.optimizers["generator"].steps["synthesis.blocks.3.conv1.weight"] == 0


def test_coarser_resolutions_are_imported_only_on_request(files, tmp_path):
    state = state_of(import_file(files.path("step"), tmp_path, max_size=8).run)
    assert (state.position.stage.size, len(state.schedule.stages)) == (8, 1)
    assert "synthesis.to_rgb.2.weight" not in state.setup.networks["generator"].state()
    assert state.optimizers["generator"].steps["synthesis.blocks.1.conv2.weight"] == UPDATES


def jittor_state_dict(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Convert to a state_dict of the Jittor ports, which has a scaled copy of each weight."""
    scaled = {name.replace("weight_orig", "weight"): value * 0.1 for name, value in state.items() if "_orig" in name}
    return {**scaled, **state}


def test_files_of_jittor_are_imported(files, tmp_path):
    from ganzoo import jt

    path = tmp_path / "train_step-3.pkl"
    jt.save({"g_running": jittor_state_dict(unpickling.safe_load(files.path("ema-zip")))}, str(path))
    assert relative_error(files.images(import_file(path, tmp_path).run.path), files.expected["images"]) < 1e-4


def write_changed(files: ReferenceFiles, folder: Path, change: Any, name: str = "step") -> Path:
    """Write a modified file as a plain pickle of arrays, and return its path."""
    content = unpickling.safe_load(files.path(name))
    content = change(content) or content
    path = folder / "changed.model"
    path.write_bytes(pickle.dumps(content))
    return path


def without(*names: str) -> Any:
    return lambda content: {name: value for name, value in content.items() if name not in names}


def test_an_optimizer_of_jittor_is_left_out(files, tmp_path):
    path = write_changed(files, tmp_path, lambda content: {**content, "d_optimizer": {"defaults": {"param_groups": 1}}})
    weights = StyleGAN().import_weights(unpickling.safe_load(path), {})
    assert weights.moments.keys() == {"generator"}


def test_without_an_ema_in_the_file_it_starts_from_the_generator(files, tmp_path):
    state = state_of(import_file(write_changed(files, tmp_path, without("g_running")), tmp_path).run)
    generator = state.setup.networks["generator"].state()
    assert all(
        np.array_equal(var.numpy(), generator[name].numpy())
        for name, var in state.ema.copies["generator"].state().items()
    )


def test_a_discriminator_without_from_rgb_activation_is_recognised(files, tmp_path):
    def change(content: dict[str, Any]) -> None:
        names = {
            name: name.replace(".0.conv", ".conv") if "from_rgb" in name else name for name in content["discriminator"]
        }
        content["discriminator"] = {names[name]: value for name, value in content["discriminator"].items()}

    run = import_file(write_changed(files, tmp_path, change), tmp_path).run
    assert run.description().options["from_rgb_activation"] is False


def drop(part: str, word: str) -> Any:
    def change(content: dict[str, Any]) -> None:
        content[part] = {name: value for name, value in content[part].items() if word not in name}

    return change


def set_first(part: str, word: str, value: Any) -> Any:
    def change(content: dict[str, Any]) -> None:
        name = next(name for name in content[part] if word in name)
        content[part] = {**content[part], name: value}

    return change


def without_offsets(*words: str) -> Any:
    """Set all biases and noise weights of these layers to zero."""

    def change(content: dict[str, Any]) -> None:
        for part in ("generator", "g_running"):
            content[part] = {
                name: 0 * value
                if any(word in name for word in words) and ("bias" in name or "noise" in name)
                else value
                for name, value in content[part].items()
            }

    return change


@pytest.mark.parametrize(
    ("words", "size"),
    [
        (("to_rgb",), 16),  # as if toRGB convolutions had no biases
        (("to_rgb.2", "progression.2"), 8),
        (("to_rgb", "progression"), 1024),  # nothing shows where training stopped
    ],
)
def test_the_trained_resolution_is_inferred_from_zero_initialised_weights(files, tmp_path, words, size):
    path = write_changed(files, tmp_path, without_offsets(*words))
    assert StyleGAN().import_weights(unpickling.safe_load(path), {}).trained_size == size


def test_a_generator_with_zero_to_rgb_biases_is_imported(files, tmp_path):
    path = write_changed(files, tmp_path, without_offsets("to_rgb"))
    images = files.images(import_file(path, tmp_path).run.path)
    offset = (files.expected["images"] - images)[np.abs(images) < 0.5].std()
    assert images.shape == files.expected["images"].shape
    assert 0 < offset < 0.5


WEIGHTS = {
    "g_running": (
        "generator.progression.0.conv2.conv.bias",
        "average of the generator: 'synthesis.blocks.0.conv2.bias'",
    ),
    "discriminator": ("progression.8.conv1.0.conv.bias", "discriminator: 'blocks.0.conv1.bias'"),
}


@pytest.mark.parametrize("part", WEIGHTS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_not_finite_is_named(files, tmp_path, part, value):
    name, named = WEIGHTS[part]

    def change(content: dict[str, Any]) -> None:
        content[part] = {**content[part], name: np.full_like(content[part][name], value)}

    with pytest.raises(CheckpointError, match=f"{named} contains NaN or infinity"):
        import_file(write_changed(files, tmp_path, change), tmp_path)
    assert not (tmp_path / "experiments").exists()


def test_a_moment_that_is_not_finite_is_named(files, tmp_path):
    def change(content: dict[str, Any]) -> None:
        content["g_optimizer"]["state"][0]["exp_avg_sq"] = np.full((1, 8, 4, 4), np.nan, np.float32)

    with pytest.raises(CheckpointError, match=r"Adam's second moments of the generator: '.*' contains NaN or infinity"):
        import_file(write_changed(files, tmp_path, change), tmp_path)


def test_a_file_of_stylegan2_is_recognised(files, tmp_path):
    path = write_changed(files, tmp_path, lambda content: {"g": content["generator"], "g_ema": content["g_running"]})
    with pytest.raises(
        CheckpointError, match=r"it is a StyleGAN2 checkpoint \(stylegan2-pytorch\), whose networks differ"
    ):
        import_file(path, tmp_path)


def fewer_parameters(content: dict[str, Any]) -> None:
    content["g_optimizer"]["param_groups"][1]["params"].pop()


def all_unfused(content: dict[str, Any]) -> None:
    part = content["g_running"]
    content["g_running"] = {
        name.replace("progression.5.conv1.0.", "progression.5.conv1.1.conv."): part[name] for name in part
    }


WRONG = {
    "a list": (lambda content: [1, 2], "holds no weights by name"),
    "numbers": (lambda content: {1: 2}, "holds no weights by name"),
    "no networks": (lambda content: {"g_optimizer": content["g_optimizer"]}, "'g_optimizer'"),
    "only a discriminator": (lambda content: {"discriminator": content["discriminator"]}, "but no generator"),
    "a network is a number": (lambda content: {**content, "discriminator": 3}, "'discriminator' is not a state_dict"),
    "a weight is a string": (set_first("g_running", "to_rgb", "x"), "StyleGAN's generator: it holds 'generator.to_rgb"),
    "an unknown weight": (lambda content: content["discriminator"].update(extra=np.ones(2)), "it holds 'extra'"),
    "a missing weight": (drop("g_running", "to_rgb.1.conv.bias"), "it lacks 'synthesis.to_rgb.1.bias'"),
    "no mapping": (drop("g_running", "style."), "lacks weights"),
    "no first convolution to RGB": (drop("g_running", "to_rgb.0."), "lacks weights: 'synthesis.to_rgb.0.bias'"),
    "no block": (drop("g_running", "conv2.conv.bias"), "lacks weights: 'synthesis.blocks.0.conv2.bias'"),
    "a width of zero": (
        set_first("g_running", "conv2.conv.bias", np.ones((10**9, 0))),
        "has the shape (1000000000, 0)",
    ),
    "a bias that is not a vector": (set_first("g_running", "style.1.linear.bias", np.ones(())), "has the shape ()"),
    "seven image channels": (set_first("g_running", "to_rgb.0.conv.bias", np.ones(7)), "images of 7 channels"),
    "another shape": (set_first("g_running", "noise1", np.ones((1, 3, 1, 1))), "has shape (1, 3, 1, 1)"),
    "too few parameters in Adam": (fewer_parameters, "its optimizer has"),
    "not Adam": (
        lambda content: {**content, "d_optimizer": {"param_groups": 1, "state": {}}},
        "not from torch.optim.Adam",
    ),
    "irregular widths": (
        set_first("g_running", "progression.1.conv2.conv.bias", np.ones(5)),
        "4 px: 8, 8 px: 5, 16 px: 8",
    ),
    "not fused": (all_unfused, "128 px is not fused"),
}


@pytest.mark.parametrize("case", WRONG)
def test_an_invalid_file_is_an_error_and_no_run_is_created(files, tmp_path, case):
    change, message = WRONG[case]
    path = write_changed(files, tmp_path, change)
    with pytest.raises(CheckpointError) as caught:
        import_file(path, tmp_path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert not (tmp_path / "experiments").exists()


def test_a_file_with_implausible_widths_allocates_no_memory(files, tmp_path):
    def widen(content: dict[str, Any]) -> None:
        content["g_running"] = {
            name: np.ones(10**6, "f4") if name.endswith("conv2.conv.bias") else value
            for name, value in content["g_running"].items()
        }

    with pytest.raises(CheckpointError, match="has shape"):  # instead of allocating terabytes for such convolutions
        import_file(write_changed(files, tmp_path, widen), tmp_path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"latent": 512}, "--latent: 512, but it is 8 in the file"),
        ({"architecture": "paper"}, "--architecture: paper, but it is port in the file"),
        ({"max_size": 2048}, "--max-size: the file has no weights for 2048 px"),
        ({"max_size": 24}, "--max-size: 24 is not a power of two"),
        ({"init_size": 32}, "--init-size: 32 px is more than the 16 px"),
    ],
)
def test_an_option_that_contradicts_the_file_is_an_error(files, tmp_path, given, message):
    with pytest.raises(OptionError, match=message):
        import_file(files.path("step"), tmp_path, **given)
    assert not (tmp_path / "experiments").exists()


def test_given_options_that_the_file_does_not_determine_are_kept(files, tmp_path):
    options = import_file(files.path("step"), tmp_path, loss="r1", mixing=True).run.description().options
    assert (options["loss"], options["mixing"]) == ("r1", True)


def test_models_without_import_weights_cannot_import():
    from ganzoo.interfaces.model import Model

    assert StyleGAN().imports_weights()
    others = [model for name, model in plugins.load().models.items() if name in ("gan", "lsgan")]
    assert len(others) == 2
    for model in others:
        assert not model.imports_weights()
        with pytest.raises(OptionError, match="can't import"):
            model.import_weights({}, {})
    assert not dataclasses.is_dataclass(Model)
