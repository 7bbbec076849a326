"""Other programs' checkpoints: read safely, then converted by the plugins."""

from __future__ import annotations

import pickle
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ganzoo.checkpoints.unpickling import safe_load
from ganzoo.interfaces.dataset import DataInfo
from ganzoo.interfaces.options import resolve
from ganzoo.interfaces.train_options import TrainOptions
from ganzoo.training.importing import _check_numbers, _with_domains
from tests.fuzz import writing
from tests.fuzz.edits import ODD_VALUES, Choices, edit_bytes, edit_tree, ganzoo_errors_allowed
from tests.fuzz.models import MODELS, check_options

ARRAY_WRITERS = (writing.tensor, writing.ndarray)
CONTAINERS = (writing.torch_zip, writing.torch_legacy, writing.jittor_file, writing.plain_pickle)
NAME = "000001_nets.ckpt"
GIVEN_OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"max_size": 8},
    {"max_size": 1024},
    {"init_size": 64},
    {"w_hpf": 2.0},
    {"wing": "x"},
)
SHAPES = ((0,), (1,), (3,), (4, 2), (2, 2, 1, 1), (), (0, 10**6), (10**9, 0), (3, 3, 3, 3), (500,))
ODD_PARTS = (*ODD_VALUES, (), (1, (2,)), *(np.ones(shape, np.float32) for shape in SHAPES), np.full(3, np.nan, "f4"))


def _ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def _adam(count: int) -> dict[str, Any]:
    moments = {"step": 3, "exp_avg": _ones(2), "exp_avg_sq": _ones(2)}
    group = {"params": list(range(count)), "lr": 0.001, "betas": (0.0, 0.99), "weight_decay": 0.0}
    return {"state": {key: dict(moments) for key in range(count)}, "param_groups": [group]}


@lru_cache(maxsize=1)
def trees() -> tuple[Any, ...]:
    """Return the contents of checkpoints of StyleGAN (8 px) and StarGAN v2 (64 px), with 2 channels."""
    generator = {f"style.{layer}.linear.{kind}": _ones(2) for layer in (1, 3) for kind in ("weight_orig", "bias")}
    for level in (0, 1):
        block = f"generator.progression.{level}"
        generator.update({f"{block}.conv2.conv.weight_orig": _ones(2, 2, 3, 3), f"{block}.conv2.conv.bias": _ones(2)})
        generator.update({f"{block}.adain1.style.linear.bias": _ones(4), f"{block}.noise1.weight_orig": _ones(2)})
        generator[f"generator.to_rgb.{level}.conv.bias"] = _ones(3)
    discriminator = {"progression.8.conv1.0.conv.weight_orig": _ones(2, 3, 3, 3), "from_rgb.8.conv.bias": _ones(2)}
    networks = {"generator": generator, "discriminator": discriminator, "g_running": generator}
    stylegan = {**networks, "g_optimizer": _adam(len(generator)), "d_optimizer": _adam(2)}
    adain = "generator.progression.1.adain1"
    norms = {
        f"{adain}.norm.weight": _ones(2),
        f"{adain}.norm.bias": _ones(2),
        f"{adain}.style.linear.weight_orig": _ones(4, 2),
    }
    from_jittor = {"generator": {**generator, **norms}, "discriminator": discriminator, "g_optimizer": {"defaults": {}}}
    encoder = {"shared.0.weight": _ones(2, 3, 3, 3), "shared.0.bias": _ones(2)}
    encoder.update({f"shared.{block}.conv{n}.weight": _ones(2, 2, 3, 3) for block in (1, 2, 3, 4) for n in (1, 2)})
    encoder.update({f"unshared.{domain}.{kind}": _ones(4, 2) for domain in (0, 1) for kind in ("weight", "bias")})
    stargan2_generator = {"from_rgb.weight": _ones(2, 3, 3, 3), "decode.0.norm1.fc.weight": _ones(4, 4)}
    stargan2_generator.update({f"encode.{block}.conv1.weight": _ones(2, 2, 3, 3) for block in range(4)})
    mapping = {"shared.0.weight": _ones(5, 3)}
    mapping.update({f"unshared.{domain}.6.{kind}": _ones(4, 5) for domain in (0, 1) for kind in ("weight", "bias")})
    stargan2_discriminator = {"main.0.weight": _ones(2, 3, 3, 3), "main.8.weight": _ones(2, 2, 1, 1)}
    stargan2_discriminator.update({f"main.{block}.conv1.weight": _ones(2, 2, 3, 3) for block in (1, 2, 3, 4)})
    ema = {"generator": stargan2_generator, "mapping_network": mapping, "style_encoder": encoder}
    with_fan = {
        "generator": {**stargan2_generator, "encode.4.conv1.weight": _ones(2, 2, 3, 3)},
        "fan": {"conv1.conv.bias": _ones(4)},
    }
    stargan2 = {
        "nets": {**ema, "discriminator": stargan2_discriminator},
        "nets_ema": ema,
        "optims": {"generator": _adam(len(stargan2_generator))},
    }
    return (
        generator,
        stylegan,
        from_jittor,
        ema,
        stargan2,
        {**ema, **with_fan},
        {**ema, "discriminator": stargan2_discriminator},
    )


@lru_cache(maxsize=1)
def seeds() -> list[bytes]:
    return [*(_packed(tree, 0, 0) for tree in trees()), *(pickle.dumps(trees()[0], protocol) for protocol in (2, 4, 5))]


def _packed(tree: Any, array_writer: int, container: int) -> bytes:
    writer = writing.Pickle(ARRAY_WRITERS[array_writer])
    return CONTAINERS[container](writer.dumps(tree), writer.storages)


def _file_from(choices: Choices) -> bytes:
    kind = choices.below(4)
    if kind == 0:
        return choices.rest()
    if kind == 1:
        return edit_bytes(choices, choices.pick(seeds()))
    array_writer, container, tree = choices.below(2), choices.below(4), choices.pick(trees())
    if kind == 2:
        return _packed(edit_tree(choices, tree, ODD_PARTS), array_writer, container)
    writer = writing.Pickle(ARRAY_WRITERS[array_writer])
    return CONTAINERS[container](edit_bytes(choices, writer.dumps(tree)), writer.storages)


def check(data: bytes) -> None:
    given = GIVEN_OPTIONS[len(data) % len(GIVEN_OPTIONS)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / NAME
        path.write_bytes(_file_from(Choices(data)))
        with ganzoo_errors_allowed():
            content = safe_load(path)
            for name, found in (("stylegan", content), ("stargan2", content), ("stargan2", {"nets": content})):
                with ganzoo_errors_allowed():
                    _convert(MODELS[name], path, found, given)
        assert [*MODELS["stargan2"].checkpoint_files(path).values()] == [path]
        assert [each.name for each in Path(folder).iterdir()] == [NAME]


def _convert(model: Any, path: Path, content: Any, given: dict[str, Any]) -> None:
    """Convert weights as `ganzoo.training.importing` does before it builds networks."""
    converted = _with_domains(model.import_weights(content, given), ())
    _check_numbers(converted)
    options, train = resolve(model.options, converted.options), resolve(TrainOptions, {}, model.defaults)
    data = DataInfo(path.stem, 0, converted.size, converted.channels, converted.domains)
    check_options(model, train, options, data)
    assert converted.channels in (1, 3), f"{converted.channels} channels"
