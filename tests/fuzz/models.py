"""The bundled models, descriptions of their runs, and checks of their options, all without Jittor."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ganzoo.checkpoints.description import RunDescription
from ganzoo.interfaces.dataset import DataInfo
from ganzoo.interfaces.options import resolve
from ganzoo.interfaces.stages import Schedule
from ganzoo.interfaces.train_options import TrainOptions
from ganzoo.registry import plugins

REGISTRY = plugins.load()
MODELS = {name: REGISTRY.model(name) for name in ("gan", "lsgan", "stylegan", "stargan2")}
DATA = DataInfo("pictures", 1000, 64, 3, ("cat", "dog"))


def description(model: Any, given: Mapping[str, Any] = MappingProxyType({})) -> RunDescription:
    """Return the description of a run of this model."""
    options = model.resolve_options(resolve(model.options, given), DATA)
    data = dataclasses.replace(DATA, size=model.image_size(options, DATA))
    return RunDescription.create(model, options, TrainOptions(**model.defaults), data)


def check_options(model: Any, train: TrainOptions, options: Any, data: DataInfo) -> None:
    """Use options as training does before it opens data and builds networks. May raise GanzooErrors."""
    options = model.resolve_options(options, data)
    sized = dataclasses.replace(data, size=model.image_size(options, data))
    model.check(options, train, sized, False)
    model.loader_config(options)
    Schedule(model.stages(options, train, sized))
