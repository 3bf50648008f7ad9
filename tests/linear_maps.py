"""Helpers for ops that move numbers about: values by the reference interpreter, gradients against dense Jacobians."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from graphc.autodiff.vjp import vjp
from graphc.ir import dims
from graphc.ir.evaluate import evaluate
from graphc.ir.leaves import input as gc_input

NAMES = ("n", "m", "k", "l")


def env_of(shape: tuple[int, ...]) -> dict[str, int]:
    """The sizes of the dims that `named` gives an array of `shape`."""
    return dict(zip(NAMES, shape, strict=False))


def symbol_for(array: np.ndarray, named: bool = False, name: str = "x") -> Any:
    """An input for `array`, with int sizes or with a named dim for each axis."""
    return gc_input(name, NAMES[: array.ndim] if named else array.shape, array.dtype)


def value(y: Any, values: Mapping[Any, np.ndarray] | None = None, env: Mapping[str, int] | None = None) -> np.ndarray:
    """What `y` is, its declared shape and dtype checked against what was computed."""
    result = evaluate([y], values, env)[0]
    assert tuple(dims.evaluate(size, env or {}) for size in y.shape) == result.shape or env is None
    assert result.dtype == y.dtype
    return result


def both(f: Callable[..., Any], *arrays: np.ndarray) -> list[np.ndarray]:
    """`f` of the arrays as inputs with int sizes, and with named sizes (of the first one)."""
    results = []
    for named in (False, True):
        xs = [symbol_for(a, named and k == 0, f"x{k}") for k, a in enumerate(arrays)]
        results.append(value(f(*xs), dict(zip(xs, arrays, strict=True)), env_of(arrays[0].shape)))
    return results


def check_gradient(f: Callable[..., Any], *shapes: tuple[int, ...], named: bool = False) -> None:
    """The vjp of `f`, affine in all its arguments, against the Jacobian from basis vectors; then forward from it."""
    rng = np.random.default_rng(0)
    arrays = [rng.uniform(-1, 1, s) for s in shapes]
    env = env_of(shapes[0])
    xs = [symbol_for(a, named and k == 0, f"x{k}") for k, a in enumerate(arrays)]
    y = f(*xs)
    base = value(y, dict(zip(xs, arrays, strict=True)), env)
    c = rng.uniform(-1, 1, base.shape)
    ct = gc_input("ct", y.shape)
    found = evaluate(vjp([y], xs, [ct]), {**dict(zip(xs, arrays, strict=True)), ct: c}, env)
    for k, (bar, array) in enumerate(zip(found, arrays, strict=True)):
        expected = np.zeros(array.shape)
        for place in np.ndindex(array.shape):
            moved = array.copy()
            moved[place] += 1.0
            values = {x: moved if j == k else a for j, (x, a) in enumerate(zip(xs, arrays, strict=True))}
            expected[place] = np.sum(c * (value(y, values, env) - base))
        assert bar.shape == array.shape
        np.testing.assert_allclose(bar, expected, rtol=0, atol=1e-12)
