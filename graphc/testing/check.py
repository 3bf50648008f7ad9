"""One graph, every way to run it, against the reference interpreter.

The tolerance is measured: the reference runs again with every inexact result disturbed in its last bits, and what
comes out may differ from the reference by a small multiple of what the disturbance did.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import graphc as gc

from ..errors import GradientError, GraphcError, OutOfBoundsError, ShapeError, UnsupportedError
from ..ir import dims
from ..ir.evaluate import bind_dims, check_sizes, concrete
from ..ir.graph import Graph
from ..ir.leaves import PARAM, Param
from ..ir.tensor import Tensor
from ..passes.stable import stable
from .random_programs import EAGER, RandomProgram, Traced, eager_tensor
from .ways import MODES, Way, way


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


def compiled_reference(graph: Graph, arrays: Sequence[np.ndarray]) -> Result:
    """The reference of the graph in stable forms: that is what is compiled.

    Raises `Mismatch` where it is far from `reference` of the graph as written, unless that is nan or infinite.
    """
    written = reference(graph, arrays)
    forms, fired = stable(graph)
    if written.error is not None or not fired:
        return written
    found = reference(forms, arrays)
    if found.error is None:
        compare(
            "stable forms", Result(written.values, [*map(_loose, written.values, written.tolerances)]), found.values
        )
    return found


def _loose(value: np.ndarray, tolerance: np.ndarray) -> np.ndarray:
    """What is allowed for rounding that disturbances do not see, 1 + 1e-20 = 1 for one; anything for nan and inf."""
    if value.dtype.kind != "f":
        return tolerance
    rounding = float(np.sqrt(np.finfo(value.dtype).eps)) * (1 + np.abs(value))
    return np.where(np.isfinite(value), tolerance + rounding, np.inf)


def _distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Elementwise |a - b|; 0 for equal nan and inf, inf where only one is nan or inf or integers differ."""
    with np.errstate(all="ignore"):
        same = (a == b) | ((a != a) & (b != b))
        if a.dtype.kind != "f":
            return np.where(same, 0.0, np.inf)
        difference = np.abs(a.astype("float64") - b.astype("float64"))
        return np.where(same, 0.0, np.where(np.isfinite(difference), difference, np.inf))


def compare(label: str, want: Result, found: Sequence[Any]) -> None:
    """Raise `Mismatch` for the first element of `found` that is further off than `want` allows."""
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


def check(
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    updates: Mapping[Param, Tensor] | None = None,
    calls: Sequence[Sequence[Any]] = (),
    modes: Sequence[str] = MODES,
) -> int:
    """Raise `Mismatch` where a way of running the graph differs from the reference, on any of `calls` in order.

    calls   lists of arrays, one per input; params keep their new values from call to call
    modes   some of `MODES`: kernels as plain Python or compiled, steps, exported files

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
    listed = [[np.asarray(a, n.dtype) for a, n in zip(call, inputs, strict=True)] for call in calls]
    known: dict[Any, list[Result]] = {}
    good = 0
    try:
        for mode in modes:
            run = way(graph, mode)
            meaning = reference if mode.endswith("without passes") else compiled_reference
            wanted = known.setdefault(meaning, [])
            _set(start)
            for position, arrays in enumerate(listed):
                if position == len(wanted):
                    wanted.append(meaning(graph, arrays))
                good += _call(f"{mode}, call {position}", graph, run, arrays, wanted[position])
    finally:
        _set(start)
    return good


def _set(values: Mapping[Any, np.ndarray]) -> None:
    for param, value in values.items():
        param.attrs["state"].array[...] = value


def check_program(program: RandomProgram, modes: Sequence[str] = MODES, eager: bool = True) -> int:
    """`check` of a random program, and its statements on eager tensors; a failure ends with a program to run."""
    traced = program.trace()
    names = [leaf.name for leaf in program.leaves if leaf.kind == "input"]
    calls = [[call[n] for n in names] for call in program.calls]
    good = _eager(program, traced, calls) if eager else 0
    try:
        return good + check(traced.inputs, traced.outputs, traced.updates, calls, modes)
    except Exception as error:
        error.add_note(f"reproduce with\n\n{program.text}")
        raise


def check_eager(program: Callable[..., list[Any]], arrays: Sequence[Any]) -> bool:
    """Raise `Mismatch` where ``program(gc, *tensors)``, a list of tensors, differs on eager and on symbolic tensors.

    Returns whether there was something to compare: errors of either kind are not looked at.

    >>> from graphc.testing import check_eager
    >>> check_eager(lambda gc, x: [gc.exp(x)], [[0.5, 1.5]])
    True
    """
    given = [np.asarray(a) for a in arrays]
    inputs = [gc.input(f"x{k}", a.shape, a.dtype) for k, a in enumerate(given)]
    want = reference(Graph(inputs, program(gc, *inputs)), given)
    return _compare_eager("eager", want, lambda: program(EAGER, *map(eager_tensor, given)))


def _eager(program: RandomProgram, traced: Traced, calls: list[list[np.ndarray]]) -> int:
    graph = Graph(traced.inputs, traced.outputs, list(traced.updates.items()))
    everything = Graph(
        traced.inputs, traced.named
    )  # sizes are checked of tensors, too, of which only the shape is used
    good = 0
    for position, arrays in enumerate(calls):
        named = {n.name: a for n, a in zip(traced.inputs, arrays, strict=True) if n.name}
        try:
            check_sizes(everything.checks, bind_dims(graph.inputs, arrays))
        except GraphcError:
            continue
        try:
            want = reference(graph, arrays)
            good += _compare_eager(f"eager, call {position}", want, functools.partial(program.eager, named))
        except Exception as error:
            error.add_note(f"reproduce with\n\n{program.eager_text(position)}")
            raise
    return good


def _compare_eager(label: str, want: Result, run: Callable[[], list[Any]]) -> bool:
    """Eager mode computes every statement, so that it may find a wrong size or index that no output depends on."""
    try:
        found = run()
    except (GradientError, ShapeError, OutOfBoundsError, UnsupportedError):
        return False
    if want.error is not None:
        return False
    compare(label, want, [f.detach().numpy() if hasattr(f, "detach") else f for f in found])
    return True


def _call(label: str, graph: Graph, run: Way, arrays: list[np.ndarray], want: Result) -> bool:
    """One call: outputs, new values of params and errors as the reference has them, arguments untouched."""
    updated = dict(graph.updates)
    before = {p: p.state.array.copy() for p in graph.params}
    kept = [a.copy() for a in arrays]
    try:
        found = run(arrays)
    except GraphcError as error:
        if want.error is None or type(error) is not type(want.error):
            raise Mismatch(f"{label}: {type(error).__name__}: {error}\nreference: {want.error!r}") from error
        compare(f"{label}, params after an error", _exactly(before.values()), [p.state.array for p in before])
        return False
    if isinstance(want.error, OutOfBoundsError) and _some_size_is_0(graph, arrays):
        _set(before)
        return False  # an index that no element needs is not looked at
    if want.error is not None:
        raise Mismatch(f"{label}: no error, reference {type(want.error).__name__}: {want.error}")
    compare(label, want, [*found, *[p.state.array for p in updated]])
    compare(f"{label}, arguments", _exactly(kept), arrays)
    rest = [p for p in before if p not in updated]
    compare(f"{label}, params without update", _exactly(before[p] for p in rest), [p.state.array for p in rest])
    _set(dict(zip(updated, want.values[len(graph.outputs) :], strict=True)))  # or rounding errors would add up
    return True


def _some_size_is_0(graph: Graph, arrays: list[np.ndarray]) -> bool:
    env = bind_dims(graph.inputs, arrays)
    return any(dims.evaluate(n, env) == 0 for node in graph.nodes for a in node.avals for n in a.shape)


def _exactly(values: Any) -> Result:
    arrays = list(values)
    return Result(arrays, [np.zeros(a.shape) for a in arrays])


__all__ = ["MODES", "Mismatch", "Result", "check", "check_eager", "check_program", "compare", "interpret", "reference"]
