"""Running expressions in the reference interpreter, with sizes known while building and with named ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from graphc.autodiff.vjp import vjp
from graphc.ir import dims
from graphc.ir.dims import Dim
from graphc.ir.evaluate import evaluate
from graphc.ir.leaves import constant
from graphc.ir.leaves import input as symbolic


def declared(shape: tuple[int, ...], named: bool) -> tuple[Any, ...]:
    """A shape in ints, or with a name for each size other than 1 (equal sizes, equal names)."""
    return tuple(f"n{n}" if named and n != 1 else n for n in shape)


def run(f: Callable[..., Any], *arrays: Any) -> Any:
    """The value of ``f(*arrays)`` through a graph; the same graph with named dims must give the same."""
    operands = [np.asarray(a) for a in arrays]
    known, named = (_run(f, operands, names) for names in (False, True))
    for a, b in zip(known, named, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_allclose(a, b, rtol=1e-5 if a.dtype == np.float32 else 1e-12, atol=1e-14)
    return known[0] if len(known) == 1 else tuple(known)


def _run(f: Callable[..., Any], operands: list[np.ndarray], named: bool) -> list[np.ndarray]:
    inputs = [symbolic(f"x{k}", declared(a.shape, named), a.dtype) for k, a in enumerate(operands)]
    result = f(*inputs)
    outputs = list(result) if isinstance(result, (tuple, list)) else [result]
    env = {f"n{n}": n for a in operands for n in a.shape}
    values = evaluate(outputs, dict(zip(inputs, operands, strict=True)), env)
    for output, value in zip(outputs, values, strict=True):
        sizes = tuple(dims.evaluate(n, env) if isinstance(n, Dim) else n for n in output.shape)
        assert (sizes, output.dtype) == (value.shape, value.dtype), "the inferred type is that of the value"
    return values


def agrees(f: Callable[..., Any], g: Callable[..., Any], *arrays: Any, rtol: float = 1e-12) -> None:
    """`f` through graphc gives what `g` gives in NumPy: shape, dtype and values."""
    with np.errstate(all="ignore"):
        want = np.asarray(g(*[np.asarray(a) for a in arrays]))
    found = run(f, *arrays)
    assert (found.shape, found.dtype) == (want.shape, want.dtype)
    np.testing.assert_allclose(found, want, rtol=rtol, atol=rtol)


def gradient(f: Callable[..., Any], *arrays: Any, ct: Any = None, order: int = 1) -> list[np.ndarray]:
    """The gradients of ``sum(ct * f)`` by float operands; for `order` 2, those of the sum of their squares' halves."""

    def backward(*inputs: Any) -> list[Any]:
        y = f(*inputs)
        wrt = [x for x in inputs if x.dtype.kind == "f"]
        bars = vjp([y], wrt, [constant(np.ones(_shape(y, arrays), y.dtype) if ct is None else ct)])
        for _ in range(order - 1):
            total = None
            for bar in bars:
                part = (bar * bar * 0.5).sum()
                total = part if total is None else total + part
            bars = vjp([total], wrt, [constant(1.0)])  # type: ignore[list-item]
        return bars

    found = run(backward, *arrays)
    return [found] if isinstance(found, np.ndarray) else list(found)


def _shape(y: Any, arrays: tuple[Any, ...]) -> tuple[int, ...]:
    env = {f"n{n}": n for a in arrays for n in np.shape(a)}
    return tuple(dims.evaluate(n, env) for n in y.shape)


def differences(f: Callable[..., Any], *arrays: Any, ct: Any = None, step: float = 1e-6) -> list[np.ndarray]:
    """Central differences of ``sum(ct * f)`` in NumPy, by each float operand."""
    results = []
    for k, a in enumerate(arrays):
        a = np.asarray(a)
        if a.dtype.kind != "f":
            continue
        bar = np.zeros(a.shape)
        for place in np.ndindex(a.shape):
            ends = []
            for sign in (1, -1):
                moved = a.astype(np.float64)
                moved[place] += sign * step
                value = f(*arrays[:k], moved, *arrays[k + 1 :])
                ends.append(np.sum(value if ct is None else ct * value))
            bar[place] = (ends[0] - ends[1]) / (2 * step)
        results.append(bar)
    return results
