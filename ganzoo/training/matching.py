"""How the arrays of new networks are made of those of trained ones, which may be for other data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ganzoo.training.layout import Axis

if TYPE_CHECKING:
    from ganzoo.training.layout import Key, Layout, Shape

# Why an array begins afresh.
NO_NETWORK, NO_LAYER, NEW_ITEM, OTHER_SHAPE = "network", "layer", "item", "shape"


@dataclass(frozen=True)
class Channels:
    """Image channels along an axis, made of other channels: each a weighted sum, plus an offset."""

    axis: Axis
    weights: np.ndarray  # (new, former)
    offsets: np.ndarray | None = None

    def apply(self, value: np.ndarray) -> np.ndarray:
        """Return the array for the new channels."""
        new, former = self.weights.shape
        moved = np.moveaxis(value, self.axis.index, 0)
        made = np.tensordot(self.weights, moved.reshape(former, self.axis.per_item, *moved.shape[1:]), 1)
        if self.offsets is not None:
            made = made + self.offsets.reshape(-1, *[1] * (made.ndim - 1))
        return np.moveaxis(made.reshape(new * self.axis.per_item, *moved.shape[1:]), 0, self.axis.index)


@dataclass(frozen=True)
class Items:
    """Items (domains or attributes) along an axis, taken from the `former` positions; None for a new item. A new item
    keeps its random weights, unless the former networks had no items at all (`zeros`): then it has no effect at
    first."""

    axis: Axis
    former: tuple[int | None, ...]
    zeros: bool

    def apply(self, value: np.ndarray, fresh: np.ndarray) -> np.ndarray:
        """Return the array for the new items. `fresh` is the initial array of the new network."""
        first, each = self.axis.offset, self.axis.per_item
        source, made = (np.moveaxis(array, self.axis.index, 0) for array in (value, np.array(fresh)))
        made[:first] = source[:first]
        for index, former in enumerate(self.former):
            place = slice(first + index * each, first + (index + 1) * each)
            if former is not None:
                made[place] = source[first + former * each : first + (former + 1) * each]
            elif self.zeros:
                made[place] = 0
        return np.moveaxis(made, 0, self.axis.index)


@dataclass(frozen=True)
class Match:
    """How an array is made: from the source's array `name` of the same network, times `scale`."""

    name: str
    scale: float = 1.0
    channels: Channels | None = None
    items: Items | None = None

    @property
    def adapted(self) -> bool:
        """Whether the array is not the source's as it is."""
        return self.channels is not None or self.items is not None

    def apply(self, value: np.ndarray, fresh: np.ndarray) -> np.ndarray:
        """Return the new array. `fresh` is the initial one of the new network."""
        made = value if self.scale == 1 else value * np.float32(self.scale)
        if self.channels is not None:
            made = self.channels.apply(made)
        if self.items is not None:
            made = self.items.apply(made, fresh)
        return np.ascontiguousarray(made, dtype=fresh.dtype)


class Matcher:
    """Finds a Match for the arrays of the `target` networks among `stored` ones, whose networks are the `source`."""

    def __init__(self, target: Layout, source: Layout, stored: Mapping[Key, Shape]) -> None:
        self.target, self.source, self.stored = target, source, stored
        self.stored_networks = {network for network, _ in stored}
        same = target.data.channels == source.data.channels
        self._channel_axes = {} if same else target.channel_axes(source.data.channels)

    def match(self, key: Key) -> Match | str:
        """Return how an array is made, or why it begins afresh."""
        network, name = key
        if network not in self.stored_networks:
            return NO_NETWORK
        if key in self.target.by_domain:
            index, pattern = self.target.by_domain[key]
            domain, former = self.target.data.domains[index], self.source.data.domains
            if domain not in former:
                return NEW_ITEM
            name = pattern.format(former.index(domain))
        if (network, name) not in self.stored:
            return NO_LAYER
        shape = list(self.stored[network, name])
        channels = self._channels(key, shape)
        items = self._items(key, (network, name), shape)
        if items is not None and not items.axis.offset and all(former is None for former in items.former):
            return NEW_ITEM
        if tuple(shape) != self.target.shapes[key]:
            return OTHER_SHAPE
        scale = self.source.scales.get((network, name), 1.0) / self.target.scales.get(key, 1.0)
        return Match(name, scale, channels, items)

    def _channels(self, key: Key, shape: list[int]) -> Channels | None:
        """Return how image channels change, and change the shape accordingly."""
        axis = self._channel_axes.get(key)
        new, former = self.target.data.channels, self.source.data.channels
        if axis is None or len(shape) <= axis.index or shape[axis.index] != axis.length(former):
            return None
        shape[axis.index] = axis.length(new)
        output = self.target.is_output(key, axis.index)
        # A new alpha channel is opaque: its bias is 1, and nothing else contributes.
        opaque = output and new == 4 and former != 4 and len(shape) == 1 and key[1].endswith("bias")
        offsets = np.array([0, 0, 0, 1], np.float32) if opaque else None
        return Channels(axis, channel_weights(new, former, output), offsets)

    def _items(self, key: Key, former_key: Key, shape: list[int]) -> Items | None:
        """Return how domains or attributes change, and change the shape accordingly."""
        now, before = self.target.conditions.get(key), self.source.conditions.get(former_key)
        target, described = self.target.shapes[key], now or before
        if described is None:
            return self._added_inputs(key, shape)
        kind, axis = described
        names = getattr(self.target.data, kind) if now else ()
        former = getattr(self.source.data, kind) if before else ()
        if len(shape) <= axis.index or (shape[axis.index], target[axis.index]) != (
            axis.length(len(former)),
            axis.length(len(names)),
        ):
            shape[:] = []  # the other positions differ, so equal lengths would be a coincidence
            return None
        shape[axis.index] = target[axis.index]
        if names == former:
            return None
        positions = tuple(former.index(name) if name in former else None for name in names)
        return Items(axis, positions, zeros=not former)

    def _added_inputs(self, key: Key, shape: list[int]) -> Items | None:
        """Return how a layer changes whose inputs are more or fewer because only one of the networks is conditional, as
        those of StyleGAN's first mapping layer."""
        target = self.target.shapes[key]
        changed = [index for index, (a, b) in enumerate(zip(shape, target)) if a != b]
        if (
            self.target.conditional == self.source.conditional
            or len(shape) != len(target)
            or len(changed) != 1
            or self.target.is_output(key, changed[0])
        ):
            return None
        (index,) = changed
        first = min(shape[index], target[index])
        shape[index] = target[index]
        return Items(Axis(index, first, 1), (None,) * (target[index] - first), zeros=True)


def channel_weights(new: int, former: int, output: bool) -> np.ndarray:
    """Return the weights (new, former) of a layer's image channels, each a sum of former ones, so that it computes the
    same: grey becomes three equal colours, and the colours become their mean. A new alpha channel has no effect, and a
    former one is left out."""
    colours, former_colours = (3 if count == 4 else count for count in (new, former))
    weights = np.zeros((new, former), np.float32)
    if colours == former_colours:
        weights[:colours, :colours] = np.eye(colours)
    else:  # inputs are summed, and outputs are not
        weights[:colours, :former_colours] = 1 / (former_colours if output else colours)
    return weights
