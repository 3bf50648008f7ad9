"""One graph, every way to run it: the reference interpreter against kernels, plain and compiled, passes on and off.

The tolerance is measured: the reference runs again with every inexact result disturbed in its last bits, and what
comes out may differ from the reference by a small multiple of what the disturbance did.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np

from ..errors import GradientError, GraphcError, OutOfBoundsError, ShapeError
from ..ir import dims
from ..ir.evaluate import bind_dims, check_sizes, concrete
from ..ir.graph import Graph
from ..ir.leaves import PARAM, Param
from ..ir.tensor import Tensor
from ..passes import canonicalise as canonical
from ..passes.contractions import contractions
from ..passes.pipeline import PIPELINE, optimise
from ..passes.rules import rewrite
from ..schedule import fuse, singles, storage
from .plain import Runner
from .random_programs import RandomProgram, Traced

MODES = ("plain", "plain without passes", "plain in small kernels", "compiled")
_REQUIRED = ("argmax along the last axis", "argmin along the last axis", "drop stop_gradient", "drop custom_gradient")


def _lowerable(graph: Graph) -> tuple[Graph, Counter[str]]:
    """What lowering asks for, and no more."""
    return rewrite(graph, [r for r in canonical.RULES if r.name in _REQUIRED])


WITHOUT_PASSES = (("lowerable", _lowerable), ("contractions", contractions))


_SMALL = ((storage, "MAX_CONE", 4), (storage, "CHEAP", 1), (fuse, "MAX_SIZE", 8), (singles, "SMALL_DOT", 0))
"""Limits of the schedule, set low: what large graphs do, done by small ones."""


@dataclass(frozen=True)
class Result:
    """What one call gives: outputs, new values of params, how far each may be off; or an error."""

    values: list[np.ndarray]
    tolerances: list[np.ndarray]
    error: GraphcError | None = None


class Mismatch(AssertionError):  # noqa: N818 - the word for it
    """A way of running a graph that disagrees with the reference."""


def _disturbed(value: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`value` with the last bits of its inexact elements changed; small multiples of 1/256 count as exact."""
    with np.errstate(all="ignore"):
        scaled = value * value.dtype.type(256)
        limit = 2.0**14 if value.dtype.itemsize == 4 else 2.0**40
        inexact = np.isfinite(value) & ~((scaled == np.round(scaled)) & (np.abs(scaled) < limit))
        noise = rng.uniform(-4, 4, value.shape) * float(np.finfo(value.dtype).eps)
        return np.where(inexact, value * (1 + noise), value).astype(value.dtype)


def interpret(
    graph: Graph, values: Mapping[Tensor, np.ndarray], env: Mapping[str, int], rng: np.random.Generator | None = None
) -> list[np.ndarray]:
    """The roots of `graph` by the ops' own meaning; with `rng`, every float result is disturbed."""
    results: dict[Tensor, Any] = {}
    with np.errstate(all="ignore"):
        for node in graph.nodes:
            if node in values:
                results[node] = values[node]
                continue
            attrs = {k: concrete(v, env) for k, v in node.attrs.items()}
            value = node.op.numpy(*[results[i] for i in node.inputs], **attrs)
            if node.op.multi:
                results[node] = value
                continue
            value = np.asarray(value, dtype=node.dtype)
            if rng is not None and value.dtype.kind == "f" and node.inputs:
                value = _disturbed(value, rng)
            results[node] = value
    return [results[root] for root in graph.roots]


def reference(graph: Graph, arrays: Sequence[np.ndarray], replicas: int = 3) -> Result:
    """What the graph gives for `arrays`, and how sure that is."""
    try:
        env = bind_dims(graph.inputs, arrays)
        check_sizes(graph.checks, env)
        values = dict(zip(graph.inputs, arrays, strict=True))
        values |= {n: n.attrs["state"].array.copy() for n in graph.nodes if n.op is PARAM}
        exact = interpret(graph, values, env)
    except GraphcError as error:
        return Result([], [], error)
    tolerances = [np.zeros(v.shape) for v in exact]
    for k in range(replicas):
        for tolerance, value, other in zip(
            tolerances, exact, interpret(graph, values, env, np.random.default_rng(k)), strict=True
        ):
            tolerance[...] = np.maximum(tolerance, _distance(value, other))
    for tolerance, value in zip(tolerances, exact, strict=True):
        if value.dtype.kind == "f":
            size = np.where(np.isfinite(value), np.abs(value), 0)
            tolerance[...] = 16 * tolerance + 64 * np.finfo(value.dtype).eps * size + 1e-300
    return Result(exact, tolerances)


def _distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Elementwise |a - b|; 0 for equal nan and inf, inf where only one is nan or inf or integers differ."""
    with np.errstate(all="ignore"):
        same = (a == b) | ((a != a) & (b != b))
        if a.dtype.kind != "f":
            return np.where(same, 0.0, np.inf)
        difference = np.abs(a.astype("float64") - b.astype("float64"))
        return np.where(same, 0.0, np.where(np.isfinite(difference), difference, np.inf))


def _compare(label: str, want: Result, found: Sequence[Any]) -> None:
    for k, (value, tolerance, got) in enumerate(zip(want.values, want.tolerances, found, strict=True)):
        array = np.asarray(got)
        if array.dtype != value.dtype or array.shape != value.shape:
            raise Mismatch(f"{label}, root {k}: {array.dtype}{array.shape}, reference {value.dtype}{value.shape}")
        distance = _distance(value, array)
        if not (distance <= tolerance).all():
            where = np.unravel_index(int(np.argmax(distance > tolerance)), distance.shape)
            raise Mismatch(
                f"{label}, root {k} at {tuple(map(int, where))}: {array[where]!r}, reference {value[where]!r} "
                f"within {tolerance[where]:.3g}\n{array}\nreference\n{value}"
            )


def run(graph: Graph, mode: str) -> Runner:
    """`graph` prepared to run in one of `MODES`."""
    lowered, _ = optimise(graph, WITHOUT_PASSES if mode == "plain without passes" else PIPELINE)
    with ExitStack() as stack:
        if mode == "plain in small kernels":
            for module, name, limit in _SMALL:
                stack.enter_context(mock.patch.object(module, name, limit))
        return Runner(lowered, plain=mode != "compiled")


def check(
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    updates: Mapping[Param, Tensor] | None = None,
    calls: Sequence[Sequence[Any]] = (),
    modes: Sequence[str] = MODES,
) -> int:
    """Raise `Mismatch` where a way of running the graph differs from the reference, on any of `calls` in order.

    calls   lists of arrays, one per input; params keep their new values from call to call
    modes   some of `MODES`: "plain" runs kernels as plain Python, "compiled" by numba

    Returns the number of calls that did not end in an error (which every mode must raise too, params unchanged).

    >>> import graphc as gc
    >>> from graphc.testing import check
    >>> x = gc.input("x", ("n",))
    >>> check([x], [gc.sum(x * x)], calls=[[[1.0, 2.0]]], modes=["plain"])
    1
    """
    pairs = list((updates or {}).items())
    graph = Graph(inputs, outputs, pairs)
    start = {n: n.attrs["state"].array.copy() for n in graph.params}
    good = 0
    for mode in modes:
        runner = run(graph, mode)
        for param, value in start.items():
            param.attrs["state"].array[...] = value
        for position, call in enumerate(calls):
            arrays = [np.asarray(a, n.dtype) for a, n in zip(call, inputs, strict=True)]
            good += _call(f"{mode}, call {position}", graph, runner, arrays, pairs)
    for param, value in start.items():
        param.attrs["state"].array[...] = value
    return good


def check_program(program: RandomProgram, modes: Sequence[str] = MODES, eager: bool = True) -> int:
    """`check` of a random program, and its statements on eager tensors; a failure ends with a program to run."""
    traced = program.trace()
    names = [leaf.name for leaf in program.leaves if leaf.kind == "input"]
    try:
        if eager:
            for position, call in enumerate(program.calls):
                _eager_call(f"eager, call {position}", program, traced, [call[n] for n in names])
        calls = [[call[n] for n in names] for call in program.calls]
        return check(traced.inputs, traced.outputs, traced.updates, calls, modes)
    except Exception as error:
        error.add_note(f"reproduce with\n\n{program.text}")
        raise


def _eager_call(label: str, program: RandomProgram, traced: Traced, arrays: list[np.ndarray]) -> None:
    """Eager mode computes every statement, so that it may find a wrong size or index that no output depends on."""
    graph = Graph(traced.inputs, traced.outputs, list(traced.updates.items()))
    want = reference(graph, arrays)
    try:
        found = program.eager({n.name: a for n, a in zip(traced.inputs, arrays, strict=True) if n.name})
    except (GradientError, ShapeError, OutOfBoundsError):
        return
    if want.error is None:
        _compare(label, want, found)


def _call(
    label: str, graph: Graph, runner: Runner, arrays: list[np.ndarray], pairs: list[tuple[Param, Tensor]]
) -> bool:
    """One call: outputs, new values of params and errors as the reference has them, arguments untouched."""
    want = reference(graph, arrays)
    before = {p: p.state.array.copy() for p in graph.params}
    kept = [a.copy() for a in arrays]
    try:
        found = runner(arrays)
    except GraphcError as error:
        if want.error is None or type(error) is not type(want.error):
            raise Mismatch(f"{label}: {type(error).__name__}: {error}\nreference: {want.error!r}") from error
        _compare(f"{label}, params after an error", _exactly(before.values()), [p.state.array for p in before])
        return False
    if isinstance(want.error, OutOfBoundsError) and _some_size_is_0(graph, arrays):
        return False  # an index that no element needs is not looked at
    if want.error is not None:
        raise Mismatch(f"{label}: no error, reference {type(want.error).__name__}: {want.error}")
    updated = {p for p, _ in pairs}
    _compare(label, want, [*found, *[p.state.array for p, _ in pairs]])
    _compare(f"{label}, arguments", _exactly(kept), arrays)
    rest = [p for p in before if p not in updated]
    _compare(f"{label}, params without update", _exactly(before[p] for p in rest), [p.state.array for p in rest])
    return True


def _some_size_is_0(graph: Graph, arrays: list[np.ndarray]) -> bool:
    env = bind_dims(graph.inputs, arrays)
    return any(dims.evaluate(n, env) == 0 for node in graph.nodes for a in node.avals for n in a.shape)


def _exactly(values: Any) -> Result:
    arrays = list(values)
    return Result(arrays, [np.zeros(a.shape) for a in arrays])


__all__ = ["MODES", "Mismatch", "Result", "check", "interpret", "reference", "run"]
