"""Validation of what a model gives to training: the Setup that `build` returns, and the terms that its loss returns."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ganzoo.backend import jittor
from ganzoo.errors import DataError, PluginError, format_count
from ganzoo.interfaces.dataset import DataInfo
from ganzoo.interfaces.loss import Phase
from ganzoo.interfaces.model import Setup
from ganzoo.interfaces.networks import Generator, Network
from ganzoo.interfaces.optimizers import Optimizer
from ganzoo.interfaces.replay_buffer import ReplayBuffer
from ganzoo.interfaces.translator import DirectTranslator

RESERVED = ("net", "ema")  # what checkpoints call the networks and their EMA


def check_setup(setup: Setup, domains: Sequence[str] | None = None) -> None:
    """Raise PluginError unless the networks, optimizers, phases and EMA decays are consistent, and the translator's
    directions are between the `domains` of the data (None: not checked)."""
    _require(isinstance(setup, Setup), f"`build` returned {setup!r}, not a ganzoo.Setup.")
    networks = setup.networks
    for name, network in networks.items():
        _require(isinstance(network, Network), f"network {name!r} is not a subclass of ganzoo.Network.")
        _check_containers(name, network)
        _check_execute(name, network)
    sampled: Any = setup.translator
    if sampled is None:
        sampled = networks.get(setup.generator)
        _require(
            sampled is not None,
            f"there is no network {setup.generator!r} to sample; name one as `generator` of the Setup, which has "
            f"{', '.join(map(repr, networks))}.",
        )
        _require(
            isinstance(sampled, Generator),
            f"the network to sample, {setup.generator!r}, is not a ganzoo.Generator, and there is no `translator`.",
        )
    else:
        _check_networks_of(sampled, networks)
    if isinstance(sampled, DirectTranslator):
        _check_directions(sampled, domains)
    else:
        latent = getattr(sampled, "latent", None)
        _require(
            isinstance(latent, int) and latent > 0, f"the generator's `latent` is {latent!r}, not a positive integer."
        )
    if isinstance(sampled, Generator):
        _require(
            not (sampled.classes and sampled.attributes),
            f"the generator has {sampled.classes} classes and {sampled.attributes} attributes, but can't have both.",
        )
        _check_arguments(sampled)
    for name, optimizer in setup.optimizers.items():
        _require(name in networks, f"there is an optimizer for {name!r}, but no such network.")
        _require(
            isinstance(optimizer, Optimizer),
            f"the optimizer of {name!r} is {optimizer!r}, not a ganzoo.Optimizer, e.g. ganzoo.Adam.",
        )
        stored = getattr(optimizer, "name", None)
        _require(
            isinstance(stored, str) and stored.isidentifier() and stored not in RESERVED,
            f"the optimizer of {name!r} has the name {stored!r}, which checkpoints can't store.",
        )
    for name, decay in setup.ema.items():
        _require(name in networks, f"there is an EMA of {name!r}, but no such network.")
        _require(not isinstance(networks[name], ReplayBuffer), f"there is an EMA of {name!r}, a replay buffer.")
        _require(0 <= decay < 1, f"the EMA decay of {name!r} is {decay}, but must be in [0, 1).")
    _check_phases(setup)


def attribute_count(setup: Setup) -> int:
    """Return the number of attributes of the network to sample, 0 if it has none."""
    return int(getattr(setup.networks.get(setup.generator), "attributes", 0))


def check_attributes(setup: Setup, data: DataInfo) -> None:
    """Raise DataError unless the data has as many attributes as the network to sample takes, if it takes any."""
    count, names = attribute_count(setup), data.attributes
    if count and count != len(names):
        found = f"{format_count(len(names), 'attribute')} ({', '.join(names)})" if names else "no attributes"
        raise DataError(f"{data.name}: its images have {found}, but the generator takes {count}.")


def check_conditional(setup: Setup, conditional: bool) -> None:
    """Raise PluginError if networks that are built for domains belong to a model that is not `conditional`, whose
    options and data are treated differently."""
    classes = getattr(setup.networks.get(setup.generator), "classes", 0)
    _require(
        conditional or (setup.translator is None and not classes),
        "a model with a translator or with classes needs `conditional = True`, or an option `conditional`.",
    )


def _check_directions(translator: DirectTranslator, domains: Sequence[str] | None) -> None:
    directions = getattr(translator, "directions", ())
    _require(bool(directions), "the translator has no `directions`, pairs (source, target) of domains.")
    for each in directions:
        valid = isinstance(each, tuple) and len(each) == 2 and all(isinstance(n, int) and n >= 0 for n in each)
        _require(valid, f"the direction {each!r} of the translator is not a pair of domains, such as (0, 1).")
        _require(
            domains is None or max(each) < len(domains),
            f"the direction {each!r} of the translator needs domain {max(each)}, but the data has "
            f"{format_count(len(domains or ()), 'domain')}, numbered from 0.",
        )


def _check_networks_of(translator: Any, networks: Mapping[str, Network]) -> None:
    for attribute, value in vars(translator).items():
        found = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else [value]
        for each in found:
            _require(
                not isinstance(each, Network) or any(each is network for network in networks.values()),
                f"the translator has a network, in {attribute!r}, that is not among those of the Setup, so it would "
                "not be trained.",
            )


def _check_containers(name: str, network: Network) -> None:
    """Raise PluginError if layers or weights are in a plain list or dict, where Jittor doesn't find them: it would
    neither train them nor switch them to inference mode."""
    jt = jittor()
    modules = network.modules()
    known = {id(module) for module in modules} | {var.id for var in network.state().values()}
    for attribute, value in ((key, each) for module in modules for key, each in vars(module).items()):
        if attribute.startswith("_") or not isinstance(value, (list, tuple, dict)):
            continue
        for item in value.values() if isinstance(value, dict) else value:
            unregistered = isinstance(item, jt.nn.Module) and id(item) not in known
            unregistered = unregistered or (
                isinstance(item, jt.Var) and not item.is_stop_grad() and item.id not in known
            )
            _require(
                not unregistered,
                f"network {name!r} has layers or weights in the plain {type(value).__name__} {attribute!r}; "
                "put layers into jt.nn.ModuleList or jt.nn.Sequential, and weights into jt.nn.ParameterList.",
            )


def _check_execute(name: str, network: Network) -> None:
    """Raise PluginError if a module has PyTorch's `forward` in place of `execute`, or a network has neither."""
    for module in network.modules():
        defining = next(each for each in type(module).__mro__ if {"execute", "forward"} & vars(each).keys())
        _require(
            "execute" in vars(defining),
            f"network {name!r}: {type(module).__name__} defines `forward`; Jittor calls `execute`, so rename it.",
        )
    _require(
        not getattr(type(network).execute, "__isabstractmethod__", False),
        f"network {name!r}: {type(network).__name__} does not define `execute`.",
    )


def _check_arguments(generator: Generator) -> None:
    """Raise PluginError unless `execute` takes the arguments with which the generator is sampled."""
    signature = inspect.signature(generator.execute)
    arguments = ", ".join(signature.parameters)
    kind = "classes" if generator.classes else "attributes" if generator.attributes else ""
    second = {"classes": "labels", "attributes": "attributes"}.get(kind)
    try:
        signature.bind(*filter(None, ("z", second)))
    except TypeError:
        hint = (
            f"it has {getattr(generator, kind)} {kind}, so it is called with z and {second}."
            if kind
            else "it is called with z alone, unless it sets `classes` or `attributes` to their number."
        )
        raise PluginError(f"the generator defines execute({arguments}), but {hint}") from None


def _check_phases(setup: Setup) -> None:
    phases = setup.loss.phases
    names = [phase.name for phase in phases]
    _require(bool(phases), "the loss has no phases.")
    _require(len(set(names)) == len(names), f"two phases have the same name: {', '.join(names)}.")
    for phase in phases:
        _require(
            isinstance(phase.interval, int) and phase.interval >= 1,
            f"the interval of phase {phase.name!r} is {phase.interval!r}, not a positive integer.",
        )
        _require(
            isinstance(phase.networks, tuple),
            f"phase {phase.name!r}: its networks are {phase.networks!r}, not a tuple, such as ('generator',).",
        )
        for network in phase.networks:
            _require(network in setup.optimizers, f"phase {phase.name!r} updates {network!r}, which has no optimizer.")
    for name in setup.optimizers:
        _require(any(name in phase.networks for phase in phases), f"no phase updates the network {name!r}.")


def check_terms(phase: Phase, terms: Any) -> None:
    """Raise PluginError unless `terms` is a dict of scalar Vars by name, as a loss must return."""
    # No message is formatted before it is needed: a Var's text has its numbers, so each step would wait for them.
    if not (isinstance(terms, dict) and terms):
        raise PluginError(f"phase {phase.name!r} must give a dict of at least one term, not {terms!r}.")
    for name, term in terms.items():
        what = f"term {name!r} of phase {phase.name!r}"
        if not isinstance(term, jittor().Var):
            raise PluginError(f"{what} is {term!r}, not a Var, so it has no gradient.")
        if math.prod(term.shape) != 1:
            raise PluginError(f"{what} has shape {tuple(term.shape)}; take the mean over the batch.")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise PluginError(message)
