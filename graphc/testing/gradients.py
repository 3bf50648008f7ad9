"""Gradients of random programs against finite differences, by the reference interpreter alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..autodiff.vjp import vjp
from ..errors import GraphcError
from ..ir.evaluate import bind_dims
from ..ir.graph import Graph
from ..ir.leaves import INPUT, PARAM
from ..ir.leaves import input as make_input
from ..ir.tensor import Tensor
from .check import Mismatch, interpret
from .random_programs import RandomProgram

STEP = 1e-4


class Slope(NamedTuple):
    """What finite differences say of a derivative along a line: `value` within `error`, or nothing (nan)."""

    value: float
    error: float


def check_gradients(program: RandomProgram, directions: int = 2) -> int:
    """Raise `Mismatch` where a gradient differs from finite differences; returns how many could be compared.

    The float outputs, each times a random cotangent, are summed; the gradient with respect to all float leaves is
    compared along random directions. Where differences do not converge (kinks, jumps) nothing is said.
    """
    if "stop_gradient" in program.text:
        return 0
    traced = program.trace()
    outputs = [o for o in dict.fromkeys(traced.outputs) if o.dtype == np.float64]
    graph = Graph(traced.inputs, outputs)
    leaves = [n for n in graph.nodes if n.op in (INPUT, PARAM) and n.dtype == np.float64]
    if not outputs or not leaves or any(a.dtype == np.float32 for n in graph.nodes for a in n.avals):
        return 0
    cts = [make_input(f"ct{k}", o.shape, o.dtype) for k, o in enumerate(outputs)]
    try:
        bars = vjp(outputs, leaves, cts)
    except GraphcError:
        return 0  # refused
    backward = Graph([*traced.inputs, *cts], bars)
    arrays = [program.calls[0][n.name] for n in traced.inputs if n.name]
    try:
        return sum(_compare(graph, backward, leaves, cts, arrays, seed) for seed in range(directions))
    except Mismatch as error:
        error.add_note(f"reproduce with\n\n{program.text}")
        raise


def _compare(
    graph: Graph, backward: Graph, leaves: list[Tensor], cts: list[Tensor], arrays: Sequence[np.ndarray], seed: int
) -> bool:
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
        return sum(
            float((v * c).sum()) for v, c in zip(interpret(graph, {**start, **moved}, env), weights, strict=True)
        )

    size = sum(float(np.abs(v * c).sum()) for v, c in zip(values, weights, strict=True))
    slope = _slope(along, size)
    if not np.isfinite(slope.error):
        return False
    bars = interpret(backward, {**start, **dict(zip(cts, weights, strict=True))}, env)
    found = sum(float((bar * w).sum()) for bar, w in zip(bars, way, strict=True))
    if not abs(found - slope.value) <= slope.error:
        raise Mismatch(f"gradient along a line: {found!r}, finite differences {slope.value!r} within {slope.error:.2g}")
    return True


def _slope(along, size: float) -> Slope:
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


__all__ = ["check_gradients"]
