"""FreezeD: the first blocks of a discriminator keep the weights that they start with (Mo et al. 2020,
arXiv:2002.10964). Running statistics in these blocks are still updated."""

from __future__ import annotations

from ganzoo.errors import OptionError, PluginError, format_count
from ganzoo.interfaces.model import Setup


def frozen_weights(setup: Setup, blocks: int) -> dict[str, set[str]]:
    """Return the weights of the first `blocks` blocks of each discriminator, by network. OptionError if a discriminator
    has fewer, or if there is none that declares its blocks; PluginError if a declaration is wrong."""
    if not blocks:
        return {}
    from ganzoo.interfaces.networks import Discriminator

    found: dict[str, set[str]] = {}
    for name, network in setup.networks.items():
        if not isinstance(network, Discriminator) or name not in setup.optimizers:
            continue
        declared = network.freezable_blocks()
        if declared and len(declared) < blocks:
            count = format_count(len(declared), "block")
            raise OptionError(f"--freeze-d {blocks}: the {name} has only {count} that can be frozen.")
        found[name] = set()
        for block in declared[:blocks]:
            weights = {weight for weight in network.trainable() if weight.startswith(tuple(block))}
            if not weights:
                raise PluginError(
                    f"freezable_blocks of the {name} has {block!r}, but no weight's name starts with that."
                )
            found[name] |= weights
    if not any(found.values()):
        raise OptionError(
            f"--freeze-d {blocks}: this model does not say which blocks of its discriminator can be frozen."
        )
    return found
