"""Checkpoints of StarGAN v2 with high-pass skips: the skips' strength, and the landmark network that they need."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganzoo.errors import CheckpointError, OptionError
from tests.support.reference import needs_torch, random_weights, strip_prefix
from tests.support.reference.stargan2_port import (
    ReferenceFiles,
    check_next_update,
    check_translations,
    checkpoint_of,
    contents,
    import_file,
    write_files,
)

pytestmark = [pytest.mark.usefixtures("jittor", "workdir"), needs_torch]

STRENGTH = 0.5


@pytest.fixture(scope="module")
def fan(jittor) -> dict[str, np.ndarray]:
    """Weights of the landmark network."""
    from ganzoo_stargan2.landmarks import FAN

    shapes = [(name, tuple(var.shape)) for name, var in FAN().state().items()]
    return random_weights(shapes, np.random.default_rng(8))


@pytest.fixture(scope="module")
def faces(fan, tmp_path_factory) -> ReferenceFiles:
    """Make checkpoint files of a StarGAN v2 with high-pass skips. They contain the landmark network."""
    return ReferenceFiles(tmp_path_factory.mktemp("faces"), STRENGTH, fan)


def test_high_pass_skips_are_imported_with_the_landmark_network(faces, fan):
    result = import_file(faces.path("nets_ema"))
    saved = checkpoint_of(result.run)
    assert saved.run.options["w_hpf"] == STRENGTH
    assert strip_prefix(saved.tensors, "net/landmarks/").keys() == fan.keys()
    for name, value in fan.items():
        assert np.array_equal(saved.tensors[f"net/landmarks/{name}"], value)
    assert "landmarks: 6,333,603 weights" in result.found
    check_translations(faces, result.run)
    check_next_update(faces, result.run)


def without(contents: dict[str, Any], *names: str) -> dict[str, Any]:
    return {kind: {key: value for key, value in each.items() if key not in names} for kind, each in contents.items()}


@pytest.mark.parametrize("in_data_dir", [False, True], ids=["named", "in the data directory"])
def test_landmarks_are_read_from_another_file(faces, fan, in_data_dir):
    path = Path("data/wing.ckpt" if in_data_dir else "mine.ckpt")
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(pickle.dumps({"state_dict": fan}))
    found = without(contents(faces, "nets_ema"), "fan")
    run = import_file(write_files(found), **({} if in_data_dir else {"wing": str(path)})).run
    assert np.array_equal(checkpoint_of(run).tensors["net/landmarks/l0.bias"], fan["l0.bias"])


def test_a_named_landmark_file_takes_precedence_over_the_checkpoint(faces, fan):
    Path("mine.ckpt").write_bytes(pickle.dumps({**fan, "l0.bias": fan["l0.bias"] + 1}))
    run = import_file(faces.path("nets_ema"), wing="mine.ckpt").run
    assert np.array_equal(checkpoint_of(run).tensors["net/landmarks/l0.bias"], fan["l0.bias"] + 1)


def test_without_a_filter_in_the_file_the_given_strength_is_used(faces):
    found = contents(faces, "nets_ema")
    del found["nets_ema"]["generator"]["hpf.filter"]
    path = write_files(found)
    assert import_file(path, w_hpf=STRENGTH).run.description().options["w_hpf"] == STRENGTH
    assert import_file(path).run.description().options["w_hpf"] == 1.0


@pytest.mark.parametrize(
    ("wing", "kind", "message"),
    [
        (None, CheckpointError, "^000009_nets_ema.ckpt: it has high-pass skips, but no landmark weights. Get wing"),
        ("none.ckpt", OptionError, "^--wing: none.ckpt: there is no such file.$"),
        (
            "000009_nets_ema.ckpt",
            OptionError,
            "^--wing: 000009_nets_ema.ckpt: its landmark network lacks 'conv1.conv.weight'.$",
        ),
    ],
)
def test_high_pass_skips_without_landmarks_are_an_error(faces, wing, kind, message):
    path = write_files(without(contents(faces, "nets_ema"), "fan"))
    with pytest.raises(kind, match=message) as caught:
        import_file(path, **({"wing": wing} if wing else {}))
    assert "\n" not in str(caught.value)
    assert not Path("experiments").exists()


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_a_strength_that_contradicts_the_file_is_an_error(faces, strength):
    with pytest.raises(OptionError, match=f"--w-hpf: {strength}, but it is 0.5 in the file"):
        import_file(faces.path("nets_ema"), w_hpf=strength)


@pytest.mark.parametrize("kernel", [np.zeros((3, 3)), np.ones((3, 3)), np.ones(2), -np.ones((3, 3))])
def test_a_filter_that_is_not_the_high_pass_filter_is_an_error(faces, kernel):
    found = contents(faces, "nets_ema")
    found["nets_ema"]["generator"]["hpf.filter"] = kernel
    with pytest.raises(CheckpointError, match=r"its generator's 'hpf\.filter' is not the filter of StarGAN v2"):
        import_file(write_files(found))
