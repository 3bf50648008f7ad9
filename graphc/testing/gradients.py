"""Derivatives of random programs: `vjp` and `jvp` against finite differences of the reference, and against each other.

Rows are used by the reference interpreter alone, so that a mistake is one of a rule, of the transformation, or of a
row's `numpy`, which the rule then contradicts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..autodiff.batching import batch
from ..autodiff.jvp import jvp
from ..autodiff.vjp import vjp
from ..errors import GraphcError
from ..ir.evaluate import bind_dims
from ..ir.graph import Graph
from ..ir.leaves import INPUT, PARAM
from ..ir.leaves import input as make_input
from ..ir.tensor import Tensor
from .check import Mismatch, Result, compare, interpret, reference
from .random_programs import RandomProgram

STEP = 1e-4
_AGREE = 1e-7
"""How far forward and reverse mode may be apart, relative to the sum of what they add up."""


class Slope(NamedTuple):
    """What finite differences say of a derivative along a line: `value` within `error`, or nothing (nan)."""

    value: float
    error: float


def check_gradients(program: RandomProgram, directions: int = 2) -> int:
    """`check_derivatives` of a random program; a failure ends with a program to run."""
    if "stop_gradient" in program.text:
        return 0
    traced = program.trace()
    arrays = [program.calls[0][n.name] for n in traced.inputs if n.name]
    try:
        return check_derivatives(traced.inputs, traced.outputs, arrays, directions)
    except Exception as error:
        error.add_note(f"reproduce with\n\n{program.gradient_text}")
        raise


def check_derivatives(
    inputs: Sequence[Tensor], outputs: Sequence[Tensor], arrays: Sequence[Any], directions: int = 2
) -> int:
    """Raise `Mismatch` where a derivative differs from finite differences; returns how many could be compared.

    The float64 outputs, each times a random cotangent, are summed; the derivative with respect to all float64 inputs
    and params is taken along random directions, by `vjp`, by `jvp` and by differences. Where those do not converge
    (kinks, jumps) nothing is said. Graphs with float32 in them are left out: differences have too few digits there.

    >>> import graphc as gc
    >>> from graphc.testing import check_derivatives
    >>> x = gc.input("x", (2,))
    >>> check_derivatives([x], [gc.sin(x)], [[0.5, 1.5]])
    2
    """
    outputs = [o for o in dict.fromkeys(outputs) if o.dtype == np.float64]
    graph = Graph(inputs, outputs)
    leaves = [n for n in graph.nodes if n.op in (INPUT, PARAM) and n.dtype == np.float64]
    if not outputs or not leaves or any(a.dtype == np.float32 for n in graph.nodes for a in n.avals):
        return 0
    cts = [make_input(f"ct{k}", o.shape, o.dtype) for k, o in enumerate(outputs)]
    dots = [make_input(f"dot{k}", n.shape, n.dtype) for k, n in enumerate(leaves)]
    try:
        bars = vjp(outputs, leaves, cts)
    except GraphcError:
        return 0  # refused
    sides = Sides(graph, leaves, cts, Graph([*inputs, *cts], bars), dots, _forward(graph, leaves, dots))
    given = [np.asarray(a, n.dtype) for a, n in zip(arrays, inputs, strict=True)]
    return sum(_agree(sides, given, seed) for seed in range(directions))


class Sides(NamedTuple):
    """A graph, its backward graph (given `cts`), and its forward derivative (given `dots`; None where refused)."""

    graph: Graph
    leaves: list[Tensor]
    cts: list[Tensor]
    backward: Graph
    dots: list[Tensor]
    forward: Graph | None


def _forward(graph: Graph, leaves: list[Tensor], dots: list[Tensor]) -> Graph | None:
    try:
        return Graph([*graph.inputs, *dots], jvp(graph.outputs, leaves, dots))
    except GraphcError:
        return None


def _agree(sides: Sides, arrays: Sequence[np.ndarray], seed: int) -> bool:
    """Compare along one direction; whether differences had something to say."""
    graph, leaves = sides.graph, sides.leaves
    rng = np.random.default_rng(seed)
    env = bind_dims(graph.inputs, arrays)
    start = dict(zip(graph.inputs, arrays, strict=True))
    start |= {n: n.attrs["state"].array for n in graph.nodes if n.op is PARAM}
    try:
        values = interpret(graph, start, env)
    except GraphcError:
        return False
    weights = [rng.uniform(-1, 1, v.shape) for v in values]
    way = [rng.uniform(-1, 1, start[leaf].shape) for leaf in leaves]

    def along(step: float) -> float:
        moved = {leaf: start[leaf] + step * w for leaf, w in zip(leaves, way, strict=True)}
        return _dot(interpret(graph, {**start, **moved}, env), weights).value

    reverse = _dot(interpret(sides.backward, {**start, **dict(zip(sides.cts, weights, strict=True))}, env), way)
    found = {"vjp": reverse}
    if sides.forward is not None:
        tangents = interpret(sides.forward, {**start, **dict(zip(sides.dots, way, strict=True))}, env)
        found["jvp"] = _dot(tangents, weights)
    slope = _slope(along, _dot(values, weights).size)
    for name, one in found.items() if np.isfinite(slope.error) else ():
        if not abs(one.value - slope.value) <= slope.error:
            text = f"{one.value!r}, finite differences {slope.value!r} within {slope.error:.2g}"
            raise Mismatch(f"{name} along a line: {text}")
    _same(reverse, found.get("jvp", reverse))
    return bool(np.isfinite(slope.error))


class _Dot(NamedTuple):
    """A sum of products, and the sum of their absolute values."""

    value: float
    size: float


def _dot(xs: Sequence[np.ndarray], ys: Sequence[np.ndarray]) -> _Dot:
    with np.errstate(all="ignore"):
        parts = [x * y for x, y in zip(xs, ys, strict=True)]
        return _Dot(float(sum(p.sum() for p in parts)), float(sum(np.abs(p).sum() for p in parts)))


def _same(reverse: _Dot, forward: _Dot) -> None:
    """Reverse and forward mode are transposes of each other, at kinks too."""
    size = reverse.size + forward.size
    if np.isfinite(size) and abs(reverse.value - forward.value) > _AGREE * (size + 1):
        raise Mismatch(f"vjp along a line: {reverse.value!r}, jvp {forward.value!r}")


def _slope(along: Callable[[float], float], size: float) -> Slope:
    """The derivative at 0 by central differences at two steps; nan where one-sided ones show a kink."""
    nothing = Slope(np.nan, np.nan)
    with np.errstate(all="ignore"):
        middle = along(0.0)
        central, bends = [], []
        for step in (STEP, STEP / 2):
            ahead, behind = along(step), along(-step)
            central.append((ahead - behind) / (2 * step))
            bends.append(abs(ahead + behind - 2 * middle) / step)
    if not np.isfinite([*central, *bends, size]).all():
        return nothing
    noise = 1e3 * np.finfo(float).eps * (size + 1) / STEP
    value, spread = (4 * central[1] - central[0]) / 3, abs(central[1] - central[0])
    if bends[1] > 0.7 * bends[0] + noise or spread > 1e-3 * (abs(value) + 1):
        return nothing
    return Slope(value, 2 * spread + noise + 1e-6 * abs(value))


# many samples at once


def check_batch_program(program: RandomProgram) -> int:
    """`check_batch` of a random program's first two calls; a failure ends with a program to run."""
    traced = program.trace()
    names = [n.name for n in traced.inputs if n.name]
    try:
        calls = [[call[n] for n in names] for call in program.calls[:2]]
        return check_batch(traced.inputs, traced.outputs, calls)
    except Exception as error:
        error.add_note(f"reproduce with\n\n{program.batch_text}")
        raise


def check_batch(inputs: Sequence[Tensor], outputs: Sequence[Tensor], calls: Sequence[Sequence[Any]]) -> int:
    """Raise `Mismatch` where `vmap` over all inputs differs from the calls one by one, which have the same sizes.

    Returns how many calls were compared: none where one of them is an error, or where an op refuses.

    >>> import graphc as gc
    >>> from graphc.testing import check_batch
    >>> x = gc.input("x", (2,))
    >>> check_batch([x], [gc.sum(x)], [[[1.0, 2.0]], [[3.0, 4.0]]])
    2
    """
    graph = Graph(inputs, outputs)
    listed = [[np.asarray(a, n.dtype) for a, n in zip(call, inputs, strict=True)] for call in calls]
    single = [reference(graph, arrays) for arrays in listed]
    if not inputs or any(one.error is not None for one in single):
        return 0
    over: Mapping[Tensor, Tensor] = {n: make_input(f"{n.name}s", (len(calls), *n.shape), n.dtype) for n in inputs}
    try:
        many = batch(graph.outputs, over)
    except GraphcError:
        return 0
    stacked = [np.stack(samples) for samples in zip(*listed, strict=True)]
    env = bind_dims(list(over.values()), stacked)
    given = dict(zip(over.values(), stacked, strict=True))
    whole = Graph(list(over.values()), many)
    given |= {n: n.attrs["state"].array for n in whole.nodes if n.op is PARAM}
    values = [np.stack(parts) for parts in zip(*[one.values for one in single], strict=True)]
    tolerances = [np.stack(parts) for parts in zip(*[one.tolerances for one in single], strict=True)]
    compare("batched", Result(values, tolerances), interpret(whole, given, env))
    return len(calls)


__all__ = ["check_batch", "check_batch_program", "check_derivatives", "check_gradients"]
