"""Checkpoints like those of a Jittor port of StarGAN v2 translate like the reference once they are imported."""

from __future__ import annotations

import hashlib
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganzoo.checkpoints import unpickling
from ganzoo.errors import CheckpointError
from tests.support.reference import needs_torch, random_weights
from tests.support.reference.stargan2_port import (
    ReferenceFiles,
    check_translations,
    checkpoint_of,
    contents,
    import_file,
    state_of,
)

pytestmark = [pytest.mark.usefixtures("jittor", "workdir"), needs_torch]

LEFT_OUT = "optimizers: left out (Jittor's, not PyTorch's); Adam's moments are reset"
TRAINED_TOGETHER = ("mapping_network", "generator", "style_encoder")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> ReferenceFiles:
    return ReferenceFiles(tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module")
def faces(jittor, tmp_path_factory) -> ReferenceFiles:
    """Make checkpoint files of a StarGAN v2 with high-pass skips. They contain the landmark network."""
    from ganzoo_stargan2.landmarks import FAN

    shapes = [(name, tuple(var.shape)) for name, var in FAN().state().items()]
    return ReferenceFiles(tmp_path_factory.mktemp("faces"), 0.5, random_weights(shapes, np.random.default_rng(8)))


def variables(content: Any) -> Any:
    """Convert arrays to Jittor variables."""
    from ganzoo import jt

    if isinstance(content, dict):
        return {name: variables(value) for name, value in content.items()}
    return jt.array(content) if isinstance(content, np.ndarray) else content


def arrays(content: Any) -> Any:
    """Convert Jittor variables to arrays."""
    if isinstance(content, dict):
        return {name: arrays(value) for name, value in content.items()}
    if isinstance(content, list):
        return [arrays(value) for value in content]
    return content.numpy() if hasattr(content, "numpy") else content


def optimizer(*networks: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return the state of Jittor's Adam for all weights of these networks."""
    from ganzoo import jt

    weights = [jt.array(value) for network in networks for value in network.values()]
    return jt.optim.Adam(weights, lr=1e-4, betas=[0.0, 0.99], weight_decay=1e-4).state_dict()


def write_port_files(files: ReferenceFiles, file_format: str) -> dict[str, Path]:
    """Write the port's three files. One optimizer trains generator, mapping network and style encoder; each network's
    own optimizer is saved too, but never used."""
    found = contents(files, "nets", "nets_ema")
    for networks in found.values():
        if "fan" in networks:
            networks["fan"] = {**networks["fan"], **coordinates()}
    nets = {name: network for name, network in found["nets"].items() if name != "fan"}
    optims = {
        "unified_generator": optimizer(*(nets[name] for name in TRAINED_TOGETHER)),
        "discriminator": optimizer(nets["discriminator"]),
        **{name: optimizer(network) for name, network in nets.items()},
    }
    paths = {}
    for kind, content in {**found, "optims": optims}.items():
        paths[kind] = Path(f"010000_{kind}.ckpt")
        write(paths[kind], content, file_format)
    return paths


def coordinates() -> dict[str, np.ndarray]:
    """Return the coordinate buffers, which Jittor saves as weights: 6 of the landmark network's 287 entries."""
    return {
        f"{layer}.addcoords.{name}": np.ones(shape, np.float32)
        for layer, side in (("conv1", 256), ("m0.coordconv", 64))
        for name, shape in (("coords", (1, 3, side, side)), ("x_coords", (side, side)), ("y_coords", (side, side)))
    }


def write(path: Path, content: Any, file_format: str) -> None:
    """Write variables as jt.save does ('variables'), or arrays as its older versions did, with a checksum
    ('checksum') or without ('plain')."""
    from ganzoo import jt

    if file_format == "variables":
        jt.save(variables(content), str(path))
        return
    data = pickle.dumps(arrays(content), 4)
    path.write_bytes(data if file_format == "plain" else data + hashlib.sha1(data).digest() + b"HCAJSLHD")


@pytest.mark.parametrize("file_format", ["variables", "checksum", "plain"])
@pytest.mark.parametrize("kind", ["nets", "nets_ema", "optims"])
def test_importing_any_of_the_three_files_also_reads_the_others(files, kind, file_format):
    result = import_file(write_port_files(files, file_format)[kind])
    check_translations(files, result.run)
    assert sum("also read" in line for line in result.found) == 2
    assert LEFT_OUT in result.found
    assert sum("no optimizer state" in line for line in result.found) == 4
    state = state_of(result.run)
    assert not any(any(optimizer.steps.values()) for optimizer in state.optimizers.values())
    original = unpickling.safe_load(files.path("nets"))["discriminator"]
    for name, value in original.items():
        assert np.array_equal(checkpoint_of(result.run).tensors[f"net/discriminator/{name}"], value)


def test_coordinate_buffers_of_the_landmark_network_are_left_out(faces):
    result = import_file(write_port_files(faces, "variables")["nets_ema"])
    check_translations(faces, result.run)
    assert "landmarks: 6,333,603 weights" in result.found
    assert not any("addcoords" in name for name in checkpoint_of(result.run).tensors)


@pytest.mark.parametrize("name", ["010000_optims.ckpt", "given.model"])
def test_the_optimizers_file_alone_is_an_error(files, workdir, name):
    path = write_port_files(files, "variables")["optims"]
    (workdir / "alone").mkdir()
    shutil.copy(path, Path("alone", name))
    with pytest.raises(CheckpointError, match=r"it holds optimizers only; put NUMBER_nets\.ckpt or"):
        import_file(Path("alone", name))


def test_a_weight_that_is_not_finite_is_named(files):
    found = contents(files, "nets_ema")
    network = found["nets_ema"]["style_encoder"]
    network["unshared.1.bias"] = np.full_like(network["unshared.1.bias"], np.nan)
    write(Path("000009_nets_ema.ckpt"), found["nets_ema"], "plain")
    with pytest.raises(
        CheckpointError, match=r"^000009_nets_ema\.ckpt: encoder: 'unshared\.1\.bias' contains NaN or infinity"
    ):
        import_file(Path("000009_nets_ema.ckpt"))
    assert not Path("experiments").exists()
