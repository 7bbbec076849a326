"""The contract tests. `check_model` checks everything that ganzoo expects of a model, with tiny synthetic data;
`check_dataset` checks a data set.

    from ganzoo.testing import check_model
    from my_package import MyGAN

    def test_contract():
        check_model(MyGAN(), {"size": 16})

It needs no test framework: a violation raises AssertionError with a sentence that says what is wrong.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from ganzoo import backend
from ganzoo.errors import GanzooError, PluginError
from ganzoo.interfaces.dataset import DataInfo
from ganzoo.interfaces.model import Model
from ganzoo.interfaces.options import Options, resolve
from ganzoo.interfaces.train_options import TrainOptions
from ganzoo.registry.validation import checked_name
from ganzoo.testing.dataset import check_dataset as check_dataset
from ganzoo.testing.lazy_import import check_lazy_import
from ganzoo.testing.requirement import BATCH, IMAGES, require
from ganzoo.testing.sampling import check_checkpoint, check_generator, check_sheets, check_translator
from ganzoo.testing.training import SyntheticDataset, check_augmentation, check_resuming, check_setup, check_training


def check_model(
    model: Model,
    options: Mapping[str, Any] | None = None,
    *,
    size: int = 16,
    channels: tuple[int, ...] = (1, 3),
    domains: tuple[str, ...] = ("a", "b"),
    attributes: tuple[str, ...] = (),
) -> None:
    """Check everything that ganzoo expects of `model`. AssertionError if a check fails.

    `options` are the model's own, by name: choose the smallest networks and images, so that the test takes seconds. The
    synthetic images have `size` px (unless the model asks for another size), each number of channels in `channels` in
    turn, labels from `domains`, and random `attributes` of these names.
    """
    check_declaration(model)
    chosen = check_options(model, options or {})
    check_lazy_import(model)
    if not backend.started():
        backend.start()
    for count in channels:
        images = -(-IMAGES // max(len(domains), 1)) * max(len(domains), 1)  # equally many of each domain
        data = DataInfo("synthetic", images, size, count, domains, attributes=attributes)
        data = dataclasses.replace(data, size=model.image_size(chosen, data))
        chosen = check_resolve_options(model, chosen, data)
        train = resolve(TrainOptions, {"batch": BATCH}, model.defaults)
        setup = model.build(chosen, data, train)
        check_setup(setup, data, model.is_conditional(chosen))
        dataset = SyntheticDataset(data)
        state = check_training(model, chosen, data, dataset)
        check_sheets(state, dataset)
        if state.setup.translator is None:
            check_generator(state, data)
        else:
            check_translator(state, data)
        check_checkpoint(model, chosen, data, state)
    check_resuming(state, data, dataset)
    check_augmentation(model, chosen, data, SyntheticDataset(data))


def check_declaration(model: Model) -> None:
    """Check that the command line can show and parse the model's name, summary, options class and defaults."""
    try:
        checked_name("models", model)
    except PluginError as error:
        raise AssertionError(f"{error}.") from error


def check_options(model: Model, values: Mapping[str, Any]) -> Options:
    """Return the resolved options, after checking that they survive a round trip through JSON, from which a run is
    resumed."""
    try:
        chosen = resolve(model.options, values)
        instances: list[Options] = [chosen, resolve(model.options, {}), resolve(TrainOptions, {}, model.defaults)]
        for each in instances:
            again = resolve(type(each), json.loads(json.dumps(each.to_dict())))
            require(again == each, f"{type(each).__name__} is not the same after a round trip through JSON: {each}")
    except (GanzooError, TypeError, ValueError) as error:
        raise AssertionError(f"the options of {model.name!r} are invalid: {error}") from error
    return chosen


def check_resolve_options(model: Model, options: Any, data: DataInfo) -> Options:
    """Return the options with data-dependent defaults filled in, after checking that they are filled in only once:
    later calls must not change a run's options."""
    chosen: Options = model.resolve_options(options, data)
    again = model.resolve_options(chosen, dataclasses.replace(data, name="other"))
    require(again == chosen, f"`resolve_options` changes options that it has resolved: {chosen} to {again}.")
    return chosen
