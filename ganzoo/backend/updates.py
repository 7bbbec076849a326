"""Updates of weights: the norm of the gradients, clipping, optimizers, and EMA. All functions need a started Jittor.

On the CPU, norm, Adam and EMA use our own operations, each for many weights at once; on a GPU they are composed of
Jittor's. The other functions are always composed. They see every array as a row (1, N) and get numbers as Vars, so
that one kernel serves all weights, whatever their shapes, learning rates and settings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ganzoo import backend
from ganzoo.backend import operations
from ganzoo.backend.arrays import scalar

_CHUNK_SIZE = 2**20  # elements; the old and new values of a chunk are in memory at the same time


def norm(arrays: Sequence[Any]) -> Any:
    """Return the Euclidean norm of all elements of several float32 Vars, as a Var (1,). It is not finite if an element
    or its square is not finite."""
    if operations.available():
        return operations.norm(arrays)
    return backend.jittor().sqrt(sum(map(_square, arrays)))


def _square(array: Any) -> Any:
    """Return the sum of the squares of all elements, as a Var (1,)."""
    if not operations.on_gpu():
        return array.sqr().sum()
    row = array.reshape((1, -1))  # a matrix product, because in Jittor's sums on a GPU threads wait for one another
    with operations.full_precision():
        return operations.linear(row, row).reshape((1,))


def adam(
    state: Sequence[tuple[Any, Any, Any]],
    gradients: Sequence[Any],
    scalars: np.ndarray,
    finite: Any,
    settings: operations.AdamSettings,
) -> Iterator[tuple[Any, Any, Any]]:
    """Yield each weight and its two moments after an update. If `finite` is 0, they are unchanged, whatever the
    gradients are.

    `scalars` (N, 2) holds the learning rate and eps of each weight, with bias correction; `finite` is a Var (1,).
    """
    if operations.available():
        for part in _chunks([weight for weight, _, _ in state]):
            yield from operations.adam(state[part], gradients[part], scalars[part], finite, settings)
    else:
        scalar_vars = {value: _scalar(value) for value in np.unique(scalars)}  # most weights share the same values
        for (rate, eps), (weight, first, second), gradient in zip(scalars, state, gradients):
            yield _plain_adam(weight, first, second, gradient, scalar_vars[rate], scalar_vars[eps], finite, settings)


def decay(weights: Sequence[Any], amounts: Sequence[float], finite: Any) -> Iterator[Any]:
    """Yield each weight times 1 - amount, or unchanged if `finite` is 0."""
    for weight, amount in zip(weights, amounts):
        yield (_row(weight) * (1.0 - _row(finite) * _number(amount))).reshape(weight.shape)


def rmsprop(
    state: Sequence[tuple[Any, ...]],
    gradients: Sequence[Any],
    rates: Sequence[float],
    finite: Any,
    alpha: float,
    eps: float,
    weight_decay: float,
) -> Iterator[tuple[Any, ...]]:
    """Yield each weight and its mean square after an update by RMSprop, or unchanged if `finite` is 0."""

    def rule(gradient: Any, rate: Any, weight: Any, mean_square: Any) -> tuple[Any, ...]:
        if weight_decay:
            gradient = gradient + _number(weight_decay) * weight
        mean_square = _number(alpha) * mean_square + _number(1 - alpha) * gradient.sqr()
        return weight - rate * gradient / (backend.jittor().sqrt(mean_square) + _number(eps)), mean_square

    return _composed(rule, state, gradients, rates, finite)


def sgd(
    state: Sequence[tuple[Any, ...]],
    gradients: Sequence[Any],
    rates: Sequence[float],
    finite: Any,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
) -> Iterator[tuple[Any, ...]]:
    """Yield each weight and its velocity after an update by SGD, or unchanged if `finite` is 0."""

    def rule(gradient: Any, rate: Any, weight: Any, velocity: Any) -> tuple[Any, ...]:
        if weight_decay:
            gradient = gradient + _number(weight_decay) * weight
        velocity = _number(momentum) * velocity + gradient if momentum else gradient
        step = gradient + _number(momentum) * velocity if nesterov else velocity
        return weight - rate * step, velocity

    return _composed(rule, state, gradients, rates, finite)


def _composed(
    rule: Callable[..., tuple[Any, ...]],
    state: Sequence[tuple[Any, ...]],
    gradients: Sequence[Any],
    rates: Sequence[float],
    finite: Any,
) -> Iterator[tuple[Any, ...]]:
    """Yield the arrays that `rule` computes of each gradient, learning rate, and weight with its slots, or the old ones
    if `finite` is 0."""
    for arrays, gradient, rate in zip(state, gradients, rates):
        old = [_row(array) for array in arrays]
        new = rule(_row(gradient), _number(rate), *old)
        yield tuple(_select(finite, *pair).reshape(array.shape) for array, *pair in zip(arrays, new, old))


def clip_norm(gradients: Sequence[Any], limit: float) -> list[Any]:
    """Scale the gradients down to a common Euclidean norm of `limit` if theirs is larger, like
    torch.nn.utils.clip_grad_norm_."""
    threshold = _number(limit)
    factor = threshold / backend.jittor().maximum(_row(norm(gradients)) + 1e-6, threshold)
    return [(_row(gradient) * factor).reshape(gradient.shape) for gradient in gradients]


def clip(arrays: Sequence[Any], limit: float, finite: Any = None) -> Iterator[Any]:
    """Yield each array, limited to [-limit, limit], or unchanged if `finite` is 0."""
    jt, low, high = backend.jittor(), _number(-limit), _number(limit)
    for array in arrays:
        row = _row(array)
        clipped = jt.minimum(jt.maximum(row, low), high)
        yield (clipped if finite is None else _select(finite, clipped, row)).reshape(array.shape)


def _number(value: float) -> Any:
    return scalar(value, ndim=2)


def _row(array: Any) -> Any:
    return array.reshape((1, -1))


def _select(finite: Any, new: Any, old: Any) -> Any:
    """Return `new`, or `old` if `finite` is 0. This selects rather than multiplies by 0 or 1, because NaN * 0 is
    NaN."""
    return backend.jittor().ternary(_row(finite), new, old)


def ema_update(old: Sequence[Any], new: Sequence[Any], weight: float) -> Iterator[Any]:
    """Yield old + weight * (new - old) for each pair of float32 Vars."""
    if operations.available():
        for part in _chunks(old):
            yield from operations.ema_update(old[part], new[part], weight)
    else:
        yield from (average + weight * (value - average) for average, value in zip(old, new))


def _chunks(arrays: Sequence[Any]) -> Iterator[slice]:
    """Yield slices of consecutive arrays that are together small enough to be updated at once."""
    start = total = 0
    for index, array in enumerate(arrays):
        if index > start and total + array.numel() > _CHUNK_SIZE:
            yield slice(start, index)
            start, total = index, 0
        total += array.numel()
    if len(arrays):
        yield slice(start, len(arrays))


def _scalar(value: float) -> Any:
    return backend.jittor().array(np.array([value], np.float32)).stop_grad()


def _plain_adam(
    weight: Any,
    first: Any,
    second: Any,
    gradient: Any,
    rate: Any,
    eps: Any,
    finite: Any,
    settings: operations.AdamSettings,
) -> tuple[Any, Any, Any]:
    jt = backend.jittor()
    if settings.weight_decay:
        gradient = gradient + settings.weight_decay * weight
    new_first = settings.beta1 * first + (1 - settings.beta1) * gradient
    new_second = settings.beta2 * second + (1 - settings.beta2) * gradient.sqr()
    new_weight = weight - rate * new_first / (jt.sqrt(new_second) + eps)
    # Select rather than multiply by 0 or 1, because NaN * 0 is NaN.
    return (
        jt.ternary(finite, new_weight, weight),
        jt.ternary(finite, new_first, first),
        jt.ternary(finite, new_second, second),
    )
