"""What the axes of a model's weights stand for: image channels, domains, attributes.

A model does not declare this. An axis whose length changes when the networks are built for another number of domains,
say, is an axis of domains. Building networks again is cheap: Jittor doesn't compute weights that nobody uses.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ganzoo.interfaces.dataset import DataInfo

if TYPE_CHECKING:
    from ganzoo.interfaces.model import Setup

Key = tuple[str, str]  # the name of a network, and the dotted name of one of its arrays
Shape = tuple[int, ...]

CONDITIONS = ("domains", "attributes")  # fields of DataInfo, tuples of names, on which the length of an axis can depend


@dataclass(frozen=True)
class Axis:
    """An axis of an array: `offset` positions for something else, then `per_item` for each item, such as a domain.

    In a layer whose inputs are latents and labels, the labels are thus expected last.
    """

    index: int
    offset: int
    per_item: int

    @classmethod
    def between(cls, shape: Shape, other: Shape | None, items: int, other_items: int) -> Axis | None:
        """Return the axis whose length depends on the number of items, from the shapes of an array in networks for
        `items` and `other_items`; None if there is none, or more than one."""
        changed = [index for index, (a, b) in enumerate(zip(shape, other or ())) if a != b]
        if other is None or len(shape) != len(other) or len(changed) != 1:
            return None
        (index,) = changed
        per_item, rest = divmod(other[index] - shape[index], other_items - items)
        offset = shape[index] - per_item * items
        return None if rest or per_item < 1 or offset < 0 else cls(index, offset, per_item)

    def length(self, items: int) -> int:
        """Return the length of the axis for a number of items."""
        return self.offset + self.per_item * items


class Layout:
    """The arrays of a model's networks for some data: their shapes, and what their axes and names stand for.

    `conditions` maps an array to 'domains' or 'attributes', and its axis of these. `by_domain` maps each array that
    exists once per domain to the domain's index, and the array's name with '{}' in place of the index. A replay buffer
    has no weights, so its arrays are left out.
    """

    def __init__(self, build: Callable[[DataInfo], Setup], data: DataInfo) -> None:
        self._build, self.data = build, data
        self.setup = build(data)
        self.networks = self.setup.weighted_networks()
        self.shapes = _shapes(self.networks)
        self.scales = {
            (network, name): scale
            for network, each in self.networks.items()
            for name, scale in each.weight_scales().items()
        }
        self.conditions: dict[Key, tuple[str, Axis]] = {}
        self.by_domain: dict[Key, tuple[int, str]] = {}
        for kind in CONDITIONS:
            self._find_conditions(kind)

    @property
    def conditional(self) -> bool:
        """Whether the networks are built for the domains or attributes of the data."""
        return bool(self.by_domain) or any(getattr(self.data, kind) for kind, _ in self.conditions.values())

    def channel_axes(self, channels: int) -> dict[Key, Axis]:
        """Return the axes that have another length for images of `channels` channels."""
        others = self._shapes_for(dataclasses.replace(self.data, channels=channels))
        found = {
            key: Axis.between(shape, others.get(key), self.data.channels, channels)
            for key, shape in self.shapes.items()
        }
        return {key: axis for key, axis in found.items() if axis is not None and not axis.offset}

    def is_output(self, key: Key, axis: int) -> bool:
        """Return whether an axis of an array is that of a layer's outputs: the first, but the second in the weight of a
        transposed convolution."""
        from ganzoo.backend import jittor

        network, name = key
        layer = dict(self.networks[network].named_modules()).get(name.rpartition(".")[0])
        transposed = isinstance(layer, jittor().nn.ConvTranspose) and len(self.shapes[key]) > 1
        return axis == (1 if transposed else 0)

    def _find_conditions(self, kind: str) -> None:
        names = getattr(self.data, kind)
        count = len(names)
        unused = next(name for name in map(str, range(count + 1)) if name not in names)
        more: dict[str, Any] = {kind: (*names, unused)}
        others = self._shapes_for(dataclasses.replace(self.data, **more))
        for key, shape in self.shapes.items():
            axis = Axis.between(shape, others.get(key), count, count + 1)
            if axis is not None:
                self.conditions[key] = kind, axis
        for network, name in others.keys() - self.shapes.keys():
            self._find_siblings(network, name, count)

    def _find_siblings(self, network: str, name: str, count: int) -> None:
        """Find the arrays of all domains, given the name of the one that domain number `count` would have."""
        parts = name.split(".")
        for position, part in enumerate(parts):
            pattern = ".".join([*parts[:position], "{}", *parts[position + 1 :]])
            siblings = [(network, pattern.format(index)) for index in range(count)]
            if part == str(count) and siblings and all(key in self.shapes for key in siblings):
                self.by_domain.update({key: (index, pattern) for index, key in enumerate(siblings)})
                return

    def _shapes_for(self, data: DataInfo) -> dict[Key, Shape]:
        """Return the shapes for other data; none if the model can't be built for them."""
        try:
            return _shapes(self._build(data).weighted_networks())
        except Exception:  # a model of two domains need not support three
            return {}


def _shapes(networks: Mapping[str, Any]) -> dict[Key, Shape]:
    return {
        (network, name): tuple(var.shape) for network, each in networks.items() for name, var in each.state().items()
    }
