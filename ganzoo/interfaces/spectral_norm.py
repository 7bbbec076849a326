"""Spectral normalisation of a layer's weights (Miyato et al. 2018, arXiv:1802.05957)."""

from __future__ import annotations

from typing import Any

from ganzoo.backend import jittor
from ganzoo.backend.operations import full_precision, linear, matmul, transpose
from ganzoo.errors import PluginError
from ganzoo.interfaces.layers import ClassProjection

jt: Any = jittor()

INITIAL_ITERATIONS = 15  # of the power method, for new weights
EPS = 1e-12  # smallest norm to divide a vector by


def spectral_norm(layer: Any) -> Any:
    """Return a layer that computes `layer` with its weight divided by its largest singular value (Miyato et al. 2018,
    algorithm 1).

    `layer` is a `Conv`, `ConvTranspose`, `Linear`, `UpsampledConv` or `ClassProjection`; PluginError for any other. The
    singular value is that of the weight as a matrix with a row for each output channel. It is estimated by the power
    method, of which each forward pass in training mode runs one iteration. The singular vectors `u` and `v` are
    buffers.
    """
    if isinstance(layer, ClassProjection):
        layer.embedding = spectral_norm(layer.embedding)
        return layer
    if not isinstance(layer, (jt.nn.Conv, jt.nn.ConvTranspose, jt.nn.Linear)):
        raise PluginError(
            "spectral_norm expects a Conv, ConvTranspose, Linear, UpsampledConv or ClassProjection, got "
            f"{type(layer).__name__}."
        )
    return SpectralNorm(layer)


class SpectralNorm(jt.nn.Module):  # type: ignore[misc]
    """The module that `spectral_norm` returns. The order of its updates is that of PyTorch: u first, then v."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer, self.is_train = layer, True
        rows, columns = self._matrix(layer.weight).shape
        self.u, self.v = jt.zeros(rows).stop_grad(), jt.zeros(columns).stop_grad()
        self.reset()

    def reset(self) -> None:
        """Estimate the singular vectors of new weights, from a random start."""
        self.v.update(_normalised(jt.randn(self.v.shape)).stop_grad())
        matrix = self._matrix(self.layer.weight.detach())
        for _ in range(INITIAL_ITERATIONS):
            self._iterate(matrix)

    def execute(self, x: Any) -> Any:
        weight = self.layer.weight
        matrix = self._matrix(weight)
        with full_precision():
            if self.is_train:
                self._iterate(matrix.detach())
            sigma = linear(_row(linear(_row(self.v.detach()), matrix)), _row(self.u.detach()))
        self.layer.weight = weight / sigma.reshape((1,) * weight.ndim)
        try:
            return self.layer(x)
        finally:
            self.layer.weight = weight

    def _iterate(self, matrix: Any) -> None:
        """Run one iteration of the power method."""
        with full_precision():
            self.u.update(_normalised(linear(_row(self.v), matrix).reshape((-1,))))
            self.v.update(_normalised(matmul(_row(self.u), matrix).reshape((-1,))))

    def _matrix(self, weight: Any) -> Any:
        """Return the weight with one row for each output channel."""
        if isinstance(self.layer, jt.nn.ConvTranspose):  # its weight is (inputs, outputs, h, w)
            weight = transpose(weight, (1, 0, 2, 3))
        return weight.reshape((weight.shape[0], -1))


def _row(vector: Any) -> Any:
    return vector.reshape((1, -1))


def _normalised(vector: Any) -> Any:
    """Divide by the Euclidean norm."""
    row = _row(vector)
    return vector / jt.maximum(jt.sqrt(linear(row, row).reshape((1,))), EPS)
