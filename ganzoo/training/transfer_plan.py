"""The plan of a run that starts with the weights of another one (`ganzoo train --from`)."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ganzoo.checkpoints import checkpoint
from ganzoo.checkpoints.description import Lineage
from ganzoo.checkpoints.loading import build_setup
from ganzoo.checkpoints.opening import open_checkpoint
from ganzoo.checkpoints.zoo import sha256_of
from ganzoo.errors import OptionError, UnsupportedByModelError, format_count
from ganzoo.interfaces.dataset import COLOURS
from ganzoo.interfaces.options import format_setting, options_by_name
from ganzoo.training.freezing import frozen_weights
from ganzoo.training.layout import CONDITIONS, Layout
from ganzoo.training.matching import NO_LAYER, NO_NETWORK, OTHER_SHAPE, Match, Matcher
from ganzoo.training.transfer import Transfer, network_weights

if TYPE_CHECKING:
    from ganzoo.checkpoints.checkpoint import Checkpoint
    from ganzoo.interfaces.dataset import DataInfo
    from ganzoo.interfaces.model import Model
    from ganzoo.registry.plugins import Registry
    from ganzoo.training.layout import Key
    from ganzoo.training.plan import Plan


def open_source(
    given: str, model: Model, experiments: Path, registry: Registry, say: Callable[[str], None]
) -> Checkpoint:
    """Return the checkpoint that --from names. OptionError if it is of another model; other errors as from
    `open_checkpoint`."""

    def use(saved: Checkpoint, folder: Path) -> Checkpoint:
        if saved.run.model == model.name:
            return saved
        raise UnsupportedByModelError(
            f"--from {given}: its weights are those of {saved.run.model}, and this would train {model.name}. Use "
            f"`ganzoo train {saved.run.model} --from {given}`, or start from a run of {model.name}."
        )

    return open_checkpoint(given, experiments, registry, use, say)


def network_options(saved: Checkpoint, model: Model) -> dict[str, Any]:
    """Return the options that describe the networks of a checkpoint, by name."""
    stored = saved.options(model).to_dict()
    return {name: stored[name] for name, option in options_by_name(model.options).items() if option.network}


def has_pretrained(saved: Checkpoint, model: Model) -> bool:
    """Return whether the file has the weights of a network that training leaves as it is, such as a landmark network.
    Then `Model.load_pretrained` is not needed. Jittor must have been started."""
    setup = build_setup(saved, model)
    fixed = setup.weighted_networks().keys() - setup.optimizers.keys()
    return any(checkpoint.with_prefix(saved.tensors, f"net/{name}/") for name in fixed)


def start_from(plan: Plan, saved: Checkpoint, given: str, pretrained: bool) -> Plan:
    """Return the plan of a new run that starts with the weights of a checkpoint, which the user named as `given`. For
    `pretrained` see `Transfer`. OptionError if none of the weights fit, or if --freeze-d would freeze random ones."""
    weights = network_weights(saved)
    target = Layout(lambda data: plan.model.build(plan.options, data, plan.train), plan.data)
    options, train = saved.options(plan.model), saved.run.train_options(plan.model.defaults)
    source = Layout(lambda data: plan.model.build(options, data, train), saved.data)
    matcher = Matcher(target, source, {key: value.shape for key, value in weights.items()})
    found = {key: matcher.match(key) for key in target.shapes}
    matches = {key: match for key, match in found.items() if isinstance(match, Match)}
    if not matches:
        raise OptionError(f"--from {given}: none of its weights fit the networks of this run.")
    for network, names in frozen_weights(target.setup, plan.train.freeze_d).items():
        if fresh := [name for name in sorted(names) if (network, name) not in matches]:
            raise OptionError(
                f"--freeze-d {plan.train.freeze_d}: {network}.{fresh[0]} begins with random weights, because {given} "
                "has none that fit, so it must be trained."
            )
    adapted = sum(match.adapted for match in matches.values())
    path, sha256 = saved.path.resolve(), sha256_of(saved.path)
    lineage = Lineage(
        given if ":" in given and not Path(given).exists() else str(path),
        saved.metadata.progress.kimg,
        saved.data.name,
        sha256,
        len(matches) - adapted,
        adapted,
        len(found) - len(matches),
    )
    lines = (_summary(lineage), *_networks_like(saved, plan), *_differences(found, target, source, weights))
    transfer = Transfer(path, sha256, matches, lines, pretrained)
    return dataclasses.replace(plan, lineage=lineage, transfer=transfer)


def _summary(lineage: Lineage) -> str:
    return (
        f"starting with the weights of {lineage.name}, after {lineage.kimg:g} kimg on {lineage.data}: "
        f"{format_count(lineage.taken, 'array')} taken, {lineage.adapted:,} adapted, {lineage.fresh:,} begin afresh"
    )


def _networks_like(saved: Checkpoint, plan: Plan) -> Iterator[str]:
    """Yield a line with the options that come from the source, and one if its resolution is not that of the start."""
    defaults = options_by_name(plan.model.options)
    taken = {
        name: value
        for name, value in network_options(saved, plan.model).items()
        if value == getattr(plan.options, name) != defaults[name].default
    }
    if taken:
        yield f"options of the source: {', '.join(format_setting(name, value) for name, value in taken.items())}"
    position, first = saved.metadata.position, plan.schedule.stages[0].size
    if position is not None and len(plan.schedule.stages) > 1 and position.size != first:
        yield f"stages: training begins at {first} px; the source had reached {position.size} px"


def _differences(
    found: dict[Key, Match | str], target: Layout, source: Layout, weights: dict[Key, np.ndarray]
) -> Iterator[str]:
    """Yield a line for each kind of difference between the new networks and the source's."""
    afresh = {key: why for key, why in found.items() if isinstance(why, str)}
    for network in dict.fromkeys(network for (network, _), why in afresh.items() if why == NO_NETWORK):
        yield f"{network}: not in the file; it begins afresh"
    for kind in CONDITIONS:
        yield from _changed_names(kind, target, source)
    if target.data.channels != source.data.channels:
        yield _changed_channels(target.data, source.data)
    counts = Counter(afresh.values())
    first = {why: ".".join(key) for key, why in reversed(afresh.items())}
    if counts[NO_LAYER]:
        sizes = target.data.size, source.data.size
        because = f" (images of {sizes[0]} px instead of {sizes[1]})" if sizes[0] != sizes[1] else ""
        count = format_count(counts[NO_LAYER], "array")
        yield f"layers: the file lacks {count}, such as {first[NO_LAYER]}, which begin afresh{because}"
    if counts[OTHER_SHAPE]:
        count = format_count(counts[OTHER_SHAPE], "array")
        yield f"shapes: {count} had another shape, such as {first[OTHER_SHAPE]}, and begin afresh"
    used = {(key[0], match.name) for key, match in found.items() if isinstance(match, Match)}
    left = [key for key in source.shapes if key in weights and key not in used and key not in target.shapes]
    if left:
        yield f"left out: {format_count(len(left), 'array')} of the file, such as {'.'.join(left[0])}"


def _changed_names(kind: str, target: Layout, source: Layout) -> Iterator[str]:
    now, before = (
        getattr(each.data, kind)
        if any(each_kind == kind for each_kind, _ in each.conditions.values()) or (kind == "domains" and each.by_domain)
        else ()
        for each in (target, source)
    )
    if now == before:
        return
    if not before:
        yield f"{kind}: the source had none, so those of this run have no effect yet"
        return
    kept, new = [name for name in now if name in before], [name for name in now if name not in before]
    gone = [name for name in before if name not in now]
    parts = [
        f"{', '.join(names)} {what}"
        for names, what in ((kept, "as before"), (new, "afresh"), (gone, "left out"))
        if names
    ]
    yield f"{kind}: {'; '.join(parts)}"


def _changed_channels(now: DataInfo, before: DataInfo) -> str:
    if now.channels == 1:
        how = "the weights of the colours are averaged"
    elif before.channels == 1:
        how = "each colour gets the weights of grey"
    else:
        how = "the colours keep their weights"
    alpha = "; alpha begins opaque" if now.channels == 4 else "; alpha is left out" if before.channels == 4 else ""
    return f"image channels: {COLOURS[before.channels]} becomes {COLOURS[now.channels]}: {how}{alpha}"
