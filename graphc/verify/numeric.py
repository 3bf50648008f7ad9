"""Derivatives against floats at full size: central differences, forward against reverse, compiled against reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..autodiff.jvp import jvp
from ..codegen.cpu import print_program
from ..ir.evaluate import evaluate
from ..ir.graph import Graph
from ..ir.leaves import INPUT
from ..ir.leaves import input as symbolic_input
from ..ir.tensor import Tensor
from ..ir.traversal import topological
from ..ir.tree import flatten
from ..passes.pipeline import optimise
from ..passes.stable import stable
from ..runtime.calls import Caller
from ..runtime.program import Program
from ..schedule.plan import make_plan
from .custom import held

DIFFERENCES, TRANSPOSE = 1e-5, 1e-10
"""Relative errors allowed for central differences in float64, and between forward and reverse mode in float64."""
_STEP, _SMOOTH = 1e-6, 1e-3
_COMPILED = {np.dtype("float32"): 1e-4, np.dtype("float64"): 1e-9}
_DOUBTED = 8.0
_LEAST = np.finfo(float).tiny  # a difference of integers that floats do not see is one

Env = Mapping[str, int]
Point = Mapping[Tensor, np.ndarray]


class Pair(NamedTuple):
    """Two numbers that must agree, relative to `scale`."""

    found: float
    wanted: float
    scale: float

    @property
    def error(self) -> float:
        return abs(self.found - self.wanted) / self.scale if self.scale else 0.0


def uphill(loss: Tensor, wrt: Sequence[Tensor], results: Sequence[Tensor], point: Point, rng: Any) -> Pair:
    """As `differences`, along the gradient that the backward graph gives: there its terms do not cancel."""
    grads = evaluate(results, point, {})
    largest = max((float(np.max(np.abs(g), initial=0.0)) for g in grads), default=0.0) or 1.0
    return differences(loss, wrt, results, point, rng, [g / largest for g in grads])


def differences(
    loss: Tensor,
    wrt: Sequence[Tensor],
    results: Sequence[Tensor],
    point: Point,
    rng: Any,
    directions: Sequence[np.ndarray] | None = None,
) -> Pair:
    """The derivative along `directions`, random ones if not given, by the backward graph and by differences.

    These are nan where the loss jumps: two steps disagree; and, if the backward graph says something else, where it
    bends: the slopes to the left and to the right come no nearer to each other as the step gets smaller.
    """
    constant = held(loss)
    values = evaluate([*results, *constant, *wrt], point, {})
    grads, rest = values[: len(results)], values[len(results) :]
    fixed = dict(zip(constant, rest, strict=False))
    at = rest[len(constant) :]
    directions = directions or [rng.uniform(-1.0, 1.0, v.shape) for v in at]

    def along(step: float) -> float:
        moved = {w: v + step * d for w, v, d in zip(wrt, at, directions, strict=True)}
        return float(evaluate([loss], {**point, **fixed, **moved}, {})[0])

    terms = [g * d for g, d in zip(grads, directions, strict=True)]
    found, middle = float(sum(np.sum(t) for t in terms)), along(0.0)
    sides = [((along(h) - middle) / h, (middle - along(-h)) / h) for h in (10 * _STEP, _STEP)]
    (coarse, wanted), (wide, narrow) = [(r + l) / 2 for r, l in sides], [abs(r - l) for r, l in sides]
    noise = (1.0 + abs(middle)) * 1e-16 / _STEP / DIFFERENCES
    scale = float(sum(np.sum(np.abs(t)) for t in terms)) + abs(wanted) + noise
    bends = abs(found - wanted) > DIFFERENCES * scale and narrow > max(DIFFERENCES * scale, wide) / 2
    smooth = abs(wanted - coarse) <= _SMOOTH * scale and not bends
    return Pair(found, wanted if smooth else np.nan, scale)


def transpose(loss: Tensor, wrt: Sequence[Tensor], results: Sequence[Tensor], point: Point, rng: Any) -> Pair:
    """The dot-product test: the tangent by the jvp rules against the gradient by the vjp rules, times a direction."""
    directions = {w: symbolic_input("t", w.shape, w.dtype) for w in dict.fromkeys(wrt)}
    (dot,) = jvp([loss], list(directions), list(directions.values()))
    sizes = [v.shape for v in evaluate(list(directions), point, {})]
    arrays = [rng.uniform(-1.0, 1.0, s).astype(w.dtype) for s, w in zip(sizes, directions, strict=True)]
    given = {**point, **dict(zip(directions.values(), arrays, strict=True))}
    value, tangent, *grads = evaluate([loss, dot, *results], given, {})
    along = dict(zip(directions, arrays, strict=True))
    terms = [np.sum(g * along[w]) for w, g in zip(wrt, grads, strict=True)]
    noise = (1.0 + abs(float(value))) * 1e-15 / TRANSPOSE
    scale = float(sum(np.sum(np.abs(g * along[w])) for w, g in zip(wrt, grads, strict=True)))
    return Pair(float(sum(terms)), float(tangent), scale + noise)


Runner = Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]


def runner(outputs: Sequence[Tensor], wrt: Sequence[Tensor] = ()) -> tuple[list[Tensor], Runner]:
    """The inputs below `outputs` and `wrt`, and compiled code that gives `outputs` for arrays of them."""
    inputs = [n for n in topological([*outputs, *wrt]) if n.op is INPUT]
    graph, _ = optimise(Graph(inputs, outputs, name="certified"))
    plan = make_plan(graph)
    tree, _ = flatten([0] * len(outputs))
    caller = Caller(Program(plan, print_program(plan)), tree)
    return inputs, lambda arrays: caller(list(arrays))


def expected(graph: Graph, given: Point, env: Env) -> list[np.ndarray]:
    """What compiled code should give: the reference, of the stable forms where the graph as written is not finite."""
    written = evaluate(graph.roots, given, env)
    if all(bool(np.all(np.isfinite(v))) for v in written):
        return written
    forms = evaluate(stable(graph)[0].roots, given, env)
    return [np.where(np.isfinite(v), v, f).astype(v.dtype) for v, f in zip(written, forms, strict=True)]


class Mismatch(NamedTuple):
    """Where two arrays differ most."""

    number: int
    place: tuple[int, ...]
    found: Any
    wanted: Any


def worst(
    found: Sequence[Any], wanted: Sequence[Any], doubt: Callable[[], Sequence[np.ndarray]] | None = None
) -> tuple[float, Mismatch | None]:
    """The worst relative error of arrays, and where it is more than their dtype allows; nan equals nan.

    doubt  how far each element of `wanted` moves with the rounding of what it is computed from; asked for if an
           element differs, which may be that much times `_DOUBTED`
    """
    error, mismatch = 0.0, None
    doubts: Sequence[np.ndarray] | None = None
    for k, (f, w) in enumerate(zip(found, wanted, strict=True)):
        f, w = np.asarray(f), np.asarray(w)
        if f.size == 0:
            continue
        allowed = _COMPILED.get(w.dtype, 0.0)
        with np.errstate(all="ignore"):
            same = (f == w) | ((f != f) & (w != w))
            finite = np.abs(w[np.isfinite(w)]) if w.dtype.kind == "f" else np.abs(w.astype(float))
            scale = max(1.0, float(finite.max(initial=0.0)))
            gap = np.where(same, 0.0, np.maximum(np.abs(f.astype(float) - w.astype(float)) / scale, _LEAST))
        gap = np.where(np.isnan(gap), np.inf, gap)
        if doubt is not None and gap.max() > allowed:
            doubts = doubt() if doubts is None else doubts
            gap = np.where(gap * scale <= _DOUBTED * doubts[k], 0.0, gap)
        place = np.unravel_index(int(np.argmax(gap)), gap.shape)
        if gap[place] > max(error, allowed) and mismatch is None:
            mismatch = Mismatch(k, tuple(int(i) for i in place), f[place], w[place])
        error = max(error, float(gap[place]))
    return error, mismatch


def doubts(graph: Graph, given: Point, env: Env, wanted: Sequence[np.ndarray]) -> list[np.ndarray]:
    """How far each element of what is `wanted` of compiled code moves when all floats move by their rounding.

    A difference of equal numbers, divided by its own size, may be anything: so the update, by Adam, of a bias in front
    of a batch norm, whose gradient is 0.
    """
    rng = np.random.default_rng(4)
    found = [np.zeros(np.shape(w)) for w in wanted]
    for _ in range(6):
        moved = {
            x: np.asarray(v * (1 + np.finfo(x.dtype).eps * rng.uniform(-1, 1, np.shape(v))), x.dtype)
            if x.dtype.kind == "f"
            else v
            for x, v in given.items()
        }
        for k, (value, w) in enumerate(zip(expected(graph, moved, env), wanted, strict=True)):
            with np.errstate(all="ignore"):
                far = np.abs(np.asarray(value, float) - np.asarray(w, float))
            found[k] = np.maximum(found[k], np.where(np.isfinite(far), far, 0.0))
    return found
