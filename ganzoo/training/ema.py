"""Exponential moving averages (EMA) of networks, and the networks to sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ganzoo.backend import updates
from ganzoo.interfaces.networks import Network

if TYPE_CHECKING:
    from ganzoo.interfaces.translator import DirectTranslator, Translator


class EMA:
    """Copies of networks: the EMA of each network in `decays`, and plain copies of the others, refreshed on demand.

    After each step, the average e of a weight w becomes e + (1 - decay) * (w - e). `decay`, if set, overrides all
    `decays`. Weights that the network does not use yet are left unchanged; buffers (running statistics) are copied, not
    averaged. The copies stay in inference mode.
    """

    decay: float | None = None

    def __init__(
        self,
        networks: Mapping[str, Network],
        copies: Mapping[str, Network],
        decays: Mapping[str, float],
        translator: Translator | DirectTranslator | None = None,
    ) -> None:
        """`translator` is built on the copies."""
        self.networks, self.copies, self.decays, self._translator = networks, copies, decays, translator
        for name, copy in copies.items():
            copy.eval()
            for var in copy.state().values():
                var.stop_grad()
            self._copy(name)

    def _copy(self, name: str) -> None:
        source = self.networks[name].state()
        for key, var in self.copies[name].state().items():
            # Without `detach`, the copy would share the trained Var and keep every later graph of that Var in memory.
            var.update(source[key].detach())

    def update(self) -> None:
        """Update the averages with the current weights. The caller must run pending operations soon afterwards;
        otherwise all previous weights stay in memory."""
        for name, declared in self.decays.items():
            decay = declared if self.decay is None else self.decay
            source = self.networks[name].state()
            trained = self.networks[name].trainable().keys()
            unused = trained - self.networks[name].active_weights().keys()
            copy = {key: var for key, var in self.copies[name].state().items() if key not in unused}
            averaged = [key for key in copy if key in trained]
            new = updates.ema_update([copy[k] for k in averaged], [source[k].detach() for k in averaged], 1 - decay)
            for key, value in zip(averaged, new):
                copy[key].update(value)
            for key in copy.keys() - trained:
                copy[key].update(source[key].detach())

    def network(self, name: str) -> Any:
        """Return the network to sample, in inference mode: the EMA, or a fresh copy of the current weights."""
        if name not in self.decays:
            self._copy(name)
        return self.copies[name]

    def translator(self) -> Translator | DirectTranslator | None:
        """Refresh the plain copies and return the translator on all copies; None if the model has no translator."""
        for name in self.copies.keys() - self.decays.keys():
            self._copy(name)
        return self._translator
