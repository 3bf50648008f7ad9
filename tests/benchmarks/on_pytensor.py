"""A loss on PyTensor with its numba backend: values and gradients, or gradient descent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from .workload import Data, Run


def functions() -> SimpleNamespace:
    """The functions that formulas use, in PyTensor's spelling."""
    import pytensor.tensor as pt
    from pytensor.tensor.special import log_softmax, softmax

    def cross_entropy(scores: Any, labels: Any) -> Any:
        return -pt.mean(log_softmax(scores, axis=1)[pt.arange(labels.shape[0]), labels])

    def layer_norm(x: Any, gain: Any, shift: Any, eps: float) -> Any:
        centred = x - pt.mean(x, axis=-1, keepdims=True)
        return centred / pt.sqrt(pt.mean(centred**2, axis=-1, keepdims=True) + eps) * gain + shift

    def attention(q: Any, k: Any, v: Any) -> Any:
        return softmax(q @ pt.swapaxes(k, 2, 3) * q.type.shape[-1] ** -0.5, axis=-1) @ v

    own = {
        "relu": lambda x: pt.maximum(x, 0),
        "gelu": lambda x: x * 0.5 * (1 + pt.erf(x * 2**-0.5)),
        "cross_entropy": cross_entropy,
        "layer_norm": layer_norm,
        "attention": attention,
    }
    return SimpleNamespace(**{**vars(pt), **own})


def inputs(data: Data, names: Sequence[str]) -> list[Any]:
    """Symbolic inputs, shapes known."""
    import pytensor.tensor as pt

    return [pt.tensor(name, dtype=data[name].dtype.name, shape=data[name].shape) for name in names]


def function(symbols: Sequence[Any], results: Sequence[Any], updates: Any = None) -> Any:
    """A compiled function that copies neither its arguments nor its results, and trusts their types."""
    import pytensor

    lent = [pytensor.In(s, borrow=True) for s in symbols]
    kept = [pytensor.Out(r, borrow=True) for r in results]
    compiled = pytensor.function(lent, kept, updates=updates, mode="NUMBA")
    compiled.trust_input = True
    return compiled


def gradients(loss: Callable[..., Any], data: Data, wrt: Sequence[str], given: Sequence[str]) -> Run:
    """``loss(functions, *wrt, *given)`` and its gradients by `wrt`."""
    import pytensor

    symbols = inputs(data, [*wrt, *given])
    value = loss(functions(), *symbols)
    step = function(symbols, [value, *pytensor.grad(value, symbols[: len(wrt)])])
    return Run(step, [data[name] for name in (*wrt, *given)])


def descent(
    loss: Callable[..., Any], data: Data, params: Sequence[str], given: Sequence[str], rate: float, momentum: float
) -> Run:
    """One step of gradient descent on ``loss(functions, *params, *given)``, params being shared variables."""
    import pytensor

    def shared(value: Any, name: str) -> Any:
        return pytensor.shared(value, name, shape=value.shape)

    values = [shared(data[name], name) for name in params]
    symbols = inputs(data, given)
    value = loss(functions(), *values, *symbols)
    updates = []
    for v, gradient in zip(values, pytensor.grad(value, values), strict=True):
        if momentum:
            speed = shared(v.get_value() * 0, f"speed of {v.name}")
            gradient = momentum * speed + gradient
            updates.append((speed, gradient))
        updates.append((v, v - rate * gradient))
    step = function(symbols, [value], updates)
    return Run(step, [data[name] for name in given], lambda result: [*result, *(v.get_value() for v in values)])
