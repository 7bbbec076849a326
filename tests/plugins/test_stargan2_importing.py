"""Imported checkpoints of the StarGAN v2 reference translate and train like it; invalid files are refused."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganzoo.checkpoints import unpickling
from ganzoo.errors import CheckpointError, OptionError
from tests.support.reference import needs_torch
from tests.support.reference.stargan2_port import (
    ITERATIONS,
    KINDS,
    NAMES,
    ReferenceFiles,
    check_next_update,
    check_translations,
    checkpoint_of,
    contents,
    import_file,
    state_of,
    write_files,
)

pytestmark = [pytest.mark.usefixtures("jittor", "workdir"), needs_torch]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> ReferenceFiles:
    return ReferenceFiles(tmp_path_factory.mktemp("files"))


@pytest.mark.parametrize("kind", KINDS)
def test_importing_any_of_the_three_files_also_reads_the_others(files, kind):
    result = import_file(files.path(kind))
    assert result.run.path.name == f"00000-stargan2-{files.path(kind).stem}"
    assert [line for line in result.found if "also read" in line] == [
        f"{files.path(other).name}: also read" for other in KINDS if other != kind
    ]
    check_translations(files, result.run)
    assert {name: max(optimizer.steps.values()) for name, optimizer in state_of(result.run).optimizers.items()} == {
        "generator": 2 * ITERATIONS,
        "mapping": ITERATIONS,
        "encoder": ITERATIONS,
        "discriminator": 2 * ITERATIONS,
    }


@pytest.mark.parametrize("name", ["000009_nets_ema.ckpt", "published.model"])
def test_ema_weights_alone_are_enough_to_translate_and_the_rest_is_initialised(files, name):
    shutil.copy(files.path("nets_ema"), name)
    result = import_file(Path(name))
    assert "discriminator: not in the file; initialised randomly" in result.found
    assert result.found[1] == "domains: 0, 1, 2"
    check_translations(files, result.run)
    state = state_of(result.run)
    assert state.progress.step == 0
    for network, copy in state.ema.copies.items():
        for key, var in copy.state().items():
            assert np.array_equal(var.numpy(), state.setup.networks[network].state()[key].numpy()), key


@pytest.mark.parametrize("name", ["000009_nets.ckpt", "mine"])
def test_without_an_ema_in_the_files_it_starts_from_the_networks(files, name):
    shutil.copy(files.path("nets"), name)
    result = import_file(Path(name))
    assert all("their average" not in line for line in result.found)
    tensors, originals = checkpoint_of(result.run).tensors, unpickling.safe_load(Path(name))
    for ours, theirs in NAMES.items():
        for key, value in originals[theirs].items():
            assert np.array_equal(tensors[f"net/{ours}/{key}"], value)
            assert ours == "discriminator" or np.array_equal(tensors[f"ema/{ours}/{key}"], value)


def test_weights_saved_by_data_parallel_are_imported(files):
    found = contents(files, *KINDS)
    for kind in ("nets", "nets_ema"):
        for theirs, state in found[kind].items():
            found[kind][theirs] = {f"module.{name}": value for name, value in state.items()}
    state = state_of(import_file(write_files(found)).run)
    assert state.optimizers["encoder"].steps["shared.0.weight"] == ITERATIONS


def test_files_of_another_iteration_are_not_read(files):
    write_files(contents(files, "nets"), "000008_{}.ckpt")
    result = import_file(write_files(contents(files, "nets_ema")))
    assert not any("also read" in line for line in result.found)


def test_the_next_update_matches_the_reference(files):
    check_next_update(files, import_file(files.path("nets")).run)


def test_the_weight_of_the_diversity_loss_continues_from_its_last_value(files):
    state: Any = state_of(import_file(files.path("nets"), lambda_ds=2.0, ds_iter=8).run)
    assert (state.progress.step, state.progress.images) == (ITERATIONS, 0)
    assert state.setup.loss.diversity_weight(state.progress) == 2.0 * (1 - ITERATIONS / 8)


def test_options_that_the_files_determine_are_read_from_them(files):
    options = import_file(files.path("nets")).run.description().options
    expected = {
        "size": 64,
        "w_hpf": 0.0,
        "latent": 4,
        "style": 8,
        "hidden": 8,
        "channels_base": 512,
        "channels_max": 8,
        "learning_rate": 1e-4,
        "mapping_rate": 1e-6,
        "weight_decay": 1e-4,
        "lambda_ds": None,  # resolved from the data when training continues
    }
    assert {name: options[name] for name in expected} == expected


def test_the_learning_rates_of_the_file_are_used_unless_others_are_given(files):
    found = contents(files, *KINDS)
    for name, rate in (("generator", 3e-4), ("mapping_network", 2e-6)):
        found["optims"][name]["param_groups"][0].update(lr=rate, betas=(0.5, 0.9), weight_decay=0)
    options = import_file(write_files(found), beta2=0.95).run.description().options
    kept = {name: options[name] for name in ("learning_rate", "mapping_rate", "beta1", "beta2", "weight_decay")}
    assert kept == {"learning_rate": 3e-4, "mapping_rate": 2e-6, "beta1": 0.5, "beta2": 0.95, "weight_decay": 0}


DOMAIN_NAMES = ("cat", "dog", "wild")


def test_domains_get_the_given_names(files):
    result = import_file(files.path("nets_ema"), DOMAIN_NAMES)
    assert checkpoint_of(result.run).data.domains == DOMAIN_NAMES
    assert "domains: cat, dog, wild" in result.found


@pytest.mark.parametrize(
    ("domains", "message"),
    [
        (("cat", "dog"), "--domains cat,dog: 2 names given, but the file has 3."),
        (("cat", "dog", "fox", "wild"), "--domains cat,dog,fox,wild: 4 names given, but the file has 3."),
        (("cat", "dog", "cat"), "--domains cat,dog,cat: 'cat' is given twice."),
        (("cat", "", "wild"), "--domains cat,,wild: name 2 is empty."),
        (("",), "--domains : name 1 is empty."),
    ],
)
def test_domain_names_that_do_not_fit_the_file_are_an_error(files, domains, message):
    with pytest.raises(OptionError) as caught:
        import_file(files.path("nets_ema"), domains)
    assert str(caught.value) == message
    assert not Path("experiments").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"size": 128}, "--size: 128, but it is 64 in the file"),
        ({"w_hpf": 1.0}, "--w-hpf: 1.0, but it is 0.0 in the file"),
        ({"latent": 16}, "--latent: 16, but it is 4 in the file"),
        ({"style": 64}, "--style: 64, but it is 8 in the file"),
        ({"hidden": 512}, "--hidden: 512, but it is 8 in the file"),
        ({"channels_base": 16384}, "--channels-base: 16384, but it is 512 in the file"),
        ({"channels_max": 512}, "--channels-max: 512, but it is 8 in the file"),
    ],
)
def test_an_option_that_contradicts_the_file_is_an_error(files, given, message):
    with pytest.raises(OptionError, match=message):
        import_file(files.path("nets_ema"), **given)
    assert not Path("experiments").exists()


def remove_network(theirs: str) -> Any:
    """Remove a network."""
    return lambda found: [found[kind].pop(theirs) for kind in KINDS]


def remove_weights(theirs: str, *names: str) -> Any:
    """Remove the weights whose names begin with one of `names`, and their optimizer states."""

    def change(found: dict[str, Any]) -> None:
        found.pop("optims", None)
        for kind in ("nets", "nets_ema"):
            if theirs in found[kind]:
                state = found[kind][theirs]
                found[kind][theirs] = {name: value for name, value in state.items() if not name.startswith(names)}

    return change


def replace_weights(kind: str, theirs: str, **weights: Any) -> Any:
    """Replace weights ('__' stands for a dot), and remove the optimizers."""

    def change(found: dict[str, Any]) -> None:
        found.pop("optims", None)
        changed = {name.replace("__", "."): value for name, value in weights.items()}
        found[kind][theirs] = {**found[kind][theirs], **changed}

    return change


def fewer_domains_in_discriminator(found: dict[str, Any]) -> None:
    state = found["nets"]["discriminator"]
    found["nets"]["discriminator"] = {
        **state, "main.8.weight": state["main.8.weight"][:2], "main.8.bias": state["main.8.bias"][:2]
    }  # fmt: skip


def fewer_parameters_in_optimizer(found: dict[str, Any]) -> None:
    found["optims"]["style_encoder"]["param_groups"][0]["params"].pop()


def moments_of_another_shape(found: dict[str, Any]) -> None:
    found["optims"]["style_encoder"]["state"][0]["exp_avg"] = np.ones(3, np.float32)


def infinite_steps(found: dict[str, Any]) -> None:
    found["optims"]["generator"]["state"][0]["step"] = np.float32(np.inf)


def negative_steps(found: dict[str, Any]) -> None:
    found["optims"]["generator"]["state"][0]["step"] = -1


def networks_for_32_px(found: dict[str, Any]) -> None:
    """Shorten style encoder and discriminator to 32 px."""
    remove_weights("style_encoder", "shared.4.")(found)
    remove_weights("discriminator", "main.4.")(found)
    state = found["nets"]["discriminator"]
    found["nets"]["discriminator"] = {name.replace("main.8.", "main.7."): value for name, value in state.items()}


def networks_for_1001_domains(found: dict[str, Any]) -> None:
    """Add output branches for 1,001 domains, without making the file much larger."""
    found.pop("optims")
    for kind in ("nets", "nets_ema"):
        for network, last in (("mapping_network", ".6.bias"), ("style_encoder", ".bias")):
            found[kind][network].update({f"unshared.{domain}{last}": np.ones(4, "f4") for domain in range(1001)})
    found["nets"]["discriminator"]["main.8.weight"] = np.ones((1001, 2, 1, 1), "f4")


WRONG = {
    "a thousand domains": (networks_for_1001_domains, "it is for 1,001 domains; the maximum is 1,000"),
    "no mapping network": (
        remove_network("mapping_network"),
        "it holds no 'mapping_network', unlike StarGAN v2's checkpoints",
    ),
    "no generator": (remove_network("generator"), "it holds no 'generator'"),
    "no style encoder": (remove_network("style_encoder"), "it holds no 'style_encoder'"),
    "a network is a number": (lambda found: found["nets"].update(generator=3), "its 'generator' is not a state_dict"),
    "a weight is a string": (
        replace_weights("nets", "generator", x="y"),
        "'generator' is not a state_dict: it holds 'x'",
    ),
    "a file is a list": (lambda found: found.update(optims=[1]), "it holds no networks by name"),
    "an unknown weight": (
        replace_weights("nets", "discriminator", x=np.ones(2)),
        "discriminator: the checkpoint belongs to another",
    ),
    "an unknown EMA weight": (
        replace_weights("nets_ema", "generator", x=np.ones(2)),
        "average of the generator: the checkpoint belongs to another",
    ),
    "a missing weight": (remove_weights("generator", "decode.0.conv1.bias"), "it lacks 'decode.0.conv1.bias'"),
    "a missing shape": (
        remove_weights("mapping_network", "unshared.0.6"),
        "its mapping_network is not StarGAN v2's: it",
    ),
    "another shape": (
        replace_weights("nets", "style_encoder", unshared__1__bias=np.ones(5)),
        "'unshared.1.bias' has shape (5,)",
    ),
    "no shape": (
        replace_weights("nets", "generator", from_rgb__weight=np.ones(())),
        "'from_rgb.weight' has the shape ()",
    ),
    "domains of the discriminator": (
        fewer_domains_in_discriminator,
        "domains is 3 in mapping_network, but 2 in discriminator",
    ),
    "domains of the encoder": (
        remove_weights("style_encoder", "unshared.2."),
        "domains is 3 in mapping_network, but 2 in style_",
    ),
    "domains of the EMA": (
        lambda found: found.update(
            nets_ema={
                **found["nets_ema"],
                "mapping_network": {
                    name: value
                    for name, value in found["nets_ema"]["mapping_network"].items()
                    if "unshared.2" not in name
                },
            }
        ),
        "domains is 3 in mapping_network, but 2 in mapping_network (EMA)",
    ),
    "sizes": (remove_weights("style_encoder", "shared.4."), "size is 32 in style_encoder, but 64 in discriminator"),
    "blocks": (remove_weights("generator", "encode.3.", "encode.2."), "no generator of 64 px has 2 blocks"),
    "widths": (
        replace_weights("nets", "generator", from_rgb__weight=np.ones((4, 3, 3, 3), np.float32)),
        "width is 4 in generator, but 8 in style_encoder",
    ),
    "small images": (
        networks_for_32_px,
        "it is for images of 32 px and 3 channels; stargan2 makes images of 64 to 512 px",
    ),
    "too few parameters in Adam": (fewer_parameters_in_optimizer, "style_encoder: its optimizer has"),
    "other moments": (moments_of_another_shape, "optimizer state does not fit the network"),
    "not Adam": (
        lambda found: found["optims"].update(generator={"state": {}}),
        "generator: its optimizer state is not from torch.optim.Adam",
    ),
    "infinite updates": (infinite_steps, "generator: its optimizer state is not from torch.optim.Adam"),
    "negative updates": (negative_steps, "generator: its optimizer state is not from torch.optim.Adam"),
}


@pytest.mark.parametrize("case", WRONG)
def test_invalid_files_are_an_error_and_no_run_is_created(files, case):
    change, message = WRONG[case]
    found = contents(files, *KINDS)
    change(found)
    path = write_files(found)
    with pytest.raises(CheckpointError) as caught:
        import_file(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not Path("experiments").exists()


class Malicious:
    def __reduce__(self) -> Any:
        return os.system, ("touch was-run",)


SINGLE = {
    "a list": ([1, 2], "it holds no networks by name"),
    "numbers": ({1: 2}, "it holds no 'generator', unlike StarGAN v2's checkpoints"),
    "nothing": ({}, "it holds no 'generator'"),
    "StyleGAN's": (
        {name: {"progression.0.conv1.bias": np.ones(2)} for name in ("generator", "discriminator", "g_running")},
        "it holds no 'mapping_network', unlike StarGAN v2's checkpoints",
    ),
    "landmarks": ({"state_dict": {"conv1.weight": np.ones(2)}}, "it holds no 'generator'"),
    "malicious": ({"generator": Malicious()}, "system"),
}


@pytest.mark.parametrize("case", SINGLE)
@pytest.mark.parametrize("name", ["000009_nets_ema.ckpt", "given.model"])
def test_a_file_with_other_content_is_an_error_and_no_run_is_created(workdir, case, name):
    content, message = SINGLE[case]
    path = write_files({"given": content}, name)
    with pytest.raises(CheckpointError) as caught:
        import_file(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert [each.name for each in workdir.iterdir()] == [name]


@pytest.mark.parametrize("name", ["000009_optims.ckpt", "given.model"])
def test_optimizers_alone_are_an_error(files, name):
    path = Path(shutil.copy(files.path("optims"), name))
    with pytest.raises(CheckpointError, match=f"^{name}: it holds optimizers only; put NUMBER_nets.ckpt or"):
        import_file(path)


def test_a_malicious_file_in_the_same_folder_is_rejected_by_name(files, workdir):
    shutil.copy(files.path("nets"), "000009_nets.ckpt")
    write_files({"optims": {"generator": Malicious()}})
    with pytest.raises(CheckpointError, match=r"^000009_optims.ckpt: .*system"):
        import_file(Path("000009_nets.ckpt"))
    assert sorted(each.name for each in workdir.iterdir()) == ["000009_nets.ckpt", "000009_optims.ckpt"]
