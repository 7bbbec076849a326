"""Checkpoints of two Jittor ports of the public PyTorch port of StyleGAN are imported. The tests imitate these files
entry by entry. The imported generators must make the same images as the reference in PyTorch."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ganzoo_stylegan import StyleGAN

from ganzoo.checkpoints import checkpoint, unpickling
from ganzoo.errors import CheckpointError
from ganzoo.training.importing import import_checkpoint
from tests.support.reference import needs_torch, relative_error
from tests.support.reference.stylegan_port import ReferenceFiles

pytestmark = [pytest.mark.usefixtures("jittor"), needs_torch]

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> ReferenceFiles:
    return ReferenceFiles(tmp_path_factory.mktemp("files"), 16)


def jittor_state_dict(state: Arrays, copies_first: bool) -> Arrays:
    """Convert a PyTorch state_dict to what Jittor's `Module.state_dict` returns in the ports. The result lacks
    the blur kernels. For each `weight_orig` it also has a `weight`, a scaled copy that the last forward pass computed.
    The copy comes before the weight and bias of its layer if `copies_first`, as in one port, otherwise after
    `weight_orig`."""
    found: Arrays = {}
    for name, value in state.items():
        layer, _, kind = name.rpartition(".")
        if kind == "weight_flip" or f"{layer}.weight_flip" in state:
            continue
        copy = {f"{layer}.weight": 0.1 * value} if kind == "weight_orig" else {}
        if copies_first and f"{layer}.bias" in found and copy:
            bias = found.pop(f"{layer}.bias")
            found.update({**copy, f"{layer}.bias": bias, name: value})
        else:
            found.update({**copy, name: value} if copies_first else {name: value, **copy})
    return found


def variables(content: Any) -> Any:
    """Convert arrays to Jittor variables."""
    from ganzoo import jt

    if isinstance(content, dict):
        return {name: variables(value) for name, value in content.items()}
    return jt.array(content) if isinstance(content, np.ndarray) else content


def optimizer(state: Arrays) -> dict[str, Any]:
    """Return the state of Jittor's Adam after a step, with the parameter groups of the ports."""
    from ganzoo import jt

    mapping = [jt.array(value) for name, value in state.items() if name.startswith("style.")]
    others = [jt.array(value) for name, value in state.items() if not name.startswith("style.")]
    adam = jt.optim.Adam(others, lr=0.001, betas=(0.0, 0.99))
    if mapping:
        adam.add_param_group({"params": mapping, "lr": 0.00001, "mult": 0.01})
    for group in adam.param_groups:
        group["grads"] = [value + 1 for value in group["values"]]
    adam.n_step = 7
    return adam.state_dict()


def write(path: Path, content: Any, file_format: str) -> None:
    """Write a file as jt.save does. The format 'variables' holds Jittor variables. Older versions wrote a pickle of
    arrays, followed by a checksum ('checksum') or by nothing ('plain')."""
    from ganzoo import jt

    if file_format == "variables":
        jt.save(variables(content), str(path))
        return
    data = pickle.dumps(content, 4)
    path.write_bytes(data if file_format == "plain" else data + hashlib.sha1(data).digest() + b"HCAJSLHD")


FORMATS = ["variables", "checksum", "plain"]


def write_port_files(files: ReferenceFiles, folder: Path, file_format: str = "variables") -> None:
    """Write the files of the port with affine norms: one of the generator, one of the discriminator, and one of a stage
    change, which holds both networks and their optimizers. This port has no EMA."""
    generator = jittor_state_dict(unpickling.safe_load(files.path("affine")), True)
    assert sum(".norm." in name for name in generator) == 36
    discriminator = jittor_state_dict(unpickling.safe_load(files.path("step"))["discriminator"], True)
    write(folder / "300000.model", generator, file_format)
    write(folder / "300000.discrim-model", discriminator, file_format)
    step: dict[str, Any] = {"generator": generator, "discriminator": discriminator}
    optimizers = {"g_optimizer": optimizer(generator), "d_optimizer": optimizer(discriminator)}
    if file_format == "variables":
        write(folder / "train_step-3.model", {**step, **optimizers}, file_format)
    else:
        arrays = {name: as_arrays(state) for name, state in optimizers.items()}
        write(folder / "train_step-3.model", {**step, **arrays}, file_format)


def as_arrays(content: Any) -> Any:
    """Convert Jittor variables to arrays."""
    if isinstance(content, dict):
        return {name: as_arrays(value) for name, value in content.items()}
    if isinstance(content, list):
        return [as_arrays(value) for value in content]
    return content.numpy() if hasattr(content, "numpy") else content


def import_file(path: Path) -> Any:
    return import_checkpoint(StyleGAN(), path, {}, path.parent / "experiments")


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("name", ["300000.model", "300000.discrim-model", "train_step-3.model"])
def test_scales_and_offsets_of_norms_are_folded_into_the_style_layers(files, tmp_path, name, file_format):
    write_port_files(files, tmp_path, file_format)
    result = import_file(tmp_path / name)
    wanted = files.expected["affine/images"]
    assert relative_error(files.images(result.run.path), wanted) < 1e-4
    assert relative_error(wanted, files.expected["generator/images"]) > 0.1  # the scales and offsets matter
    assert "scales and offsets of the instance norms: folded into the style layers" in result.found
    tensors = checkpoint.read(checkpoint.newest(result.run.path)).tensors
    original = unpickling.safe_load(files.path("step"))["discriminator"]["progression.6.conv1.0.conv.weight_orig"]
    assert np.array_equal(tensors["net/discriminator/blocks.2.conv1.weight"], original)


def test_a_generator_is_imported_without_a_discriminator(files, tmp_path):
    write_port_files(files, tmp_path)
    (tmp_path / "300000.discrim-model").unlink()
    result = import_file(tmp_path / "300000.model")
    assert "discriminator: not in the file; initialised randomly" in result.found
    assert relative_error(files.images(result.run.path), files.expected["affine/images"]) < 1e-4


def test_a_discriminator_alone_is_an_error_that_names_the_missing_file(files, tmp_path):
    write_port_files(files, tmp_path)
    (tmp_path / "300000.model").unlink()
    with pytest.raises(CheckpointError, match=r"it holds a discriminator but no generator. Put NUMBER\.model in"):
        import_file(tmp_path / "300000.discrim-model")


def test_optimizers_of_jittor_are_left_out_and_named(files, tmp_path):
    write_port_files(files, tmp_path)
    result = import_file(tmp_path / "train_step-3.model")
    for name in ("g_optimizer", "d_optimizer"):
        assert [
            line for line in result.found if line.startswith(f"{name}: left out (a Jittor optimizer, not a PyTorch one")
        ]
    assert sum("no optimizer state" in line for line in result.found) == 2


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("name", ["040000.model", "train_step-3.model"])
def test_files_of_the_port_without_scales_and_offsets_are_imported(files, tmp_path, name, file_format):
    """This port saves the EMA, but no optimizer."""
    ema = jittor_state_dict(unpickling.safe_load(files.path("ema-zip")), False)
    step = {
        part: jittor_state_dict(unpickling.safe_load(files.path("step"))[part], False)
        for part in ("generator", "discriminator")
    }
    for network in step.values():  # the reference's file has the prefix of DataParallel
        for key in list(network):
            network[key.removeprefix("module.")] = network.pop(key)
    write(tmp_path / "040000.model", ema, file_format)
    write(tmp_path / "train_step-3.model", {**step, "g_running": ema}, file_format)
    result = import_file(tmp_path / name)
    assert relative_error(files.images(result.run.path), files.expected["images"]) < 1e-4
    assert not any("left out" in line for line in result.found)


def broken(files: ReferenceFiles, change: Any) -> dict[str, Any]:
    state = dict(unpickling.safe_load(files.path("affine")))
    change(state)
    return state


NORM = "generator.progression.1.adain2.norm"
BROKEN = {
    "no offset": lambda state: state.pop(f"{NORM}.bias"),
    "no scale": lambda state: state.pop(f"{NORM}.weight"),
    "of another width": lambda state: state.update(
        {f"{NORM}.weight": np.ones(3, "f4"), f"{NORM}.bias": np.ones(3, "f4")}
    ),
    "a string": lambda state: state.update({f"{NORM}.weight": "x"}),
    "no style layer": lambda state: state.pop("generator.progression.1.adain2.style.linear.bias"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_norms_that_do_not_fit_their_style_layer_are_an_error(files, tmp_path, case):
    path = tmp_path / "x.model"
    write(path, broken(files, BROKEN[case]), "plain")
    with pytest.raises(CheckpointError, match=rf"its instance norm '{NORM}' does not fit the style layer after it"):
        import_file(path)


def test_a_weight_that_is_not_a_scaled_copy_is_not_ignored(files, tmp_path):
    path = tmp_path / "x.model"
    write(
        path, broken(files, lambda state: state.update({"generator.progression.1.other.weight": np.ones(3)})), "plain"
    )
    with pytest.raises(CheckpointError, match=r"does not belong to StyleGAN's generator: .*other\.weight"):
        import_file(path)
