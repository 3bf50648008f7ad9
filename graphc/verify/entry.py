"""`verify`: a certificate for the gradient of a tensor; `verify_step`: one for all gradients inside a step."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..autodiff.records import Record, Trace, records_of, traces_of
from ..autodiff.vjp import check_floats
from ..errors import GradientError, InputError, count, message, shown, user_line
from ..ir.evaluate import bind_dims
from ..ir.graph import Graph
from ..ir.leaves import INPUT, PARAM, constant_value
from ..ir.leaves import input as symbolic_input
from ..ir.tensor import Tensor
from ..ir.traversal import topological
from ..ir.tree import flatten
from ..ops.creation import ones_like
from ..ops.elementwise import add, multiply, stop_gradient
from ..ops.reduction import sum as sum_
from ..passes.differentiate import vjp
from . import numeric
from .certificate import PASSED, SKIPPED, Certificate, Check
from .graphs import FULL, Inspection, Subject, compiled_wrong
from .points import choose_point
from .shrink import sizes_for


def verify(
    y: Any, wrt: Any, *, values: Mapping[Any, Any] | None = None, seconds: float = 60.0, terms: int = 2000
) -> Certificate:
    """Check the gradient of `y` with respect to `wrt` (a tensor, or a nesting of them), and say how well it agrees.

    On small arrays (named dims and large fixed dims shrink where the graph allows it), `sympy.diff` of the graph
    evaluated on symbols, and differences in 50 digits, against the backward graph; the same after each pass of the
    compiler. At full size, central differences in float64, forward against reverse mode, and compiled code against
    the reference interpreter. A `y` that is not 0-d is multiplied by an arbitrary cotangent, so that the whole Jacobian
    counts, not its sum.

    A rule of `gc.custom_gradient` is checked as any other, unless it is declared a surrogate: then gradients through it
    are compared with neither SymPy nor differences, and the certificate says so under `custom`.

    values   arrays for some of the inputs; random ones otherwise, from an interval on which everything is finite
    seconds  for the checks on expressions; what does not fit is listed as skipped
    terms    the largest expression that is differentiated

    A contradiction on small arrays, where parts of constants and params stand for them, is confirmed on whole ones
    before it is an error, unless an op of the table is to blame. Where the function bends at the point it has no
    derivative, and the comparison is skipped.

    Raises `VerificationError` naming the op, the line and both values where something disagrees, and `InputError` for
    `values` that do not fit.

    >>> import graphc as gc
    >>> x, w = gc.input("x", ("n",)), gc.param(2.0, name="w")
    >>> certificate = gc.verify(gc.mean((w * x - 1.0) ** 2), w)
    >>> certificate.checks[0].how, certificate.skipped
    ('algebra', ())
    """
    if not isinstance(y, Tensor):
        raise _not_a_tensor(y)
    _, leaves = flatten(wrt)
    for leaf in leaves:
        if not isinstance(leaf, Tensor):
            raise _not_a_tensor(leaf)
    check_floats("gradient", [y], leaves)
    leaves = list(dict.fromkeys(leaves))
    known = _given(values)
    if y.shape == ():
        subject = Subject(y, leaves, vjp([y], leaves, [ones_like(y)]), known)
    else:
        ct = symbolic_input("ct", y.shape, y.dtype)
        subject = Subject(sum_(multiply(ct, y)), leaves, vjp([y], leaves, [ct]), known)
    return Inspection(subject, seconds, terms, compiled=True).certificate()


def _not_a_tensor(value: Any) -> GradientError:
    got, expected = shown(value), "tensors: gc.verify(y, wrt)"
    return GradientError(message("cannot verify", got=got, expected=expected, at=user_line(), created=False))


def _given(values: Any) -> dict[Tensor, np.ndarray]:
    """What the user gave as ``values=``, as arrays that fit; `InputError` otherwise."""
    if not isinstance(values, Mapping | None):
        raise _bad_values(shown(values), "{input or param: array}")
    known: dict[Tensor, np.ndarray] = {}
    for leaf, value in (values or {}).items():
        if not isinstance(leaf, Tensor) or leaf.op not in (INPUT, PARAM):
            raise _bad_values(f"a value for {shown(leaf)}", "values for inputs and params: {x: array}")
        array = np.asarray(value)
        if array.dtype.kind not in _FITS[leaf.dtype.kind]:
            raise _bad_values(f"{array.dtype}{list(array.shape)} for {leaf.name}", str(leaf.aval))
        known[leaf] = array
    bind_dims(list(known), list(known.values()))
    return known


_FITS = {"f": "fiub", "i": "iub", "u": "iub", "b": "b"}
"""Kinds of arrays that stand for a leaf of each kind."""


def _bad_values(got: str, expected: str) -> InputError:
    return InputError(message("bad values=", got=got, expected=expected, at=user_line(), created=False))


Run = Callable[[Sequence[np.ndarray]], tuple[Sequence[Any], Sequence[Any]]]


def verify_step(
    graph: Graph,
    run: Run,
    name: str,
    values: Mapping[Tensor, Any] | None = None,
    seconds: float = 60.0,
    terms: int = 2000,
    restored: bool = False,
) -> Certificate:
    """The certificate of a step: each gradient in `graph` (as traced) by itself, then the compiled step as a whole.

    run       one call of the compiled step on arrays: its outputs and the new values of its params, changing nothing
    restored  whether the step was unpickled: then nobody knows which of its tensors are gradients

    Which tensors are gradients of what is known from `records_of`; a step that was unpickled, or whose derivatives
    do not come from reverse mode (gc.jvp, gc.jacobian, gc.vmap), has none to find, and that is listed as skipped.
    """
    known = _given(values)
    subjects = _subjects(graph, known)
    checks: list[Check] = []
    kinks: dict[Any, None] = {}
    sizes: dict[str, int] = {}
    custom: dict[Any, None] = {}
    for number, subject in enumerate(subjects):
        found = Inspection(subject, seconds / len(subjects), terms, compiled=False).certificate()
        checks += [c for c in _labelled(found, number, len(subjects)) if "compiled" not in c.what]
        kinks.update(dict.fromkeys(found.kinks))
        custom.update(dict.fromkeys(found.custom))
        sizes.update(found.sizes)
    checks += _unrecorded(graph, subjects, restored)
    checks.append(_whole(graph, run, known))
    about = "; ".join(s.text for s in subjects) or "no recorded gradients"
    return Certificate(f"step {name}: {about}", tuple(checks), tuple(kinks), sizes, tuple(custom))


def _labelled(certificate: Certificate, number: int, count: int) -> list[Check]:
    if count == 1:
        return list(certificate.checks)
    return [
        Check(f"gradient {number + 1}: {c.what}", c.status, c.how, c.error, c.count, c.seconds)
        for c in certificate.checks
    ]


def _subjects(graph: Graph, values: Mapping[Tensor, Any]) -> list[Subject]:
    """The gradients in a graph with what they are the gradients of; each loss once."""
    found: dict[tuple[int, ...], Record] = {}
    pairs: dict[tuple[int, ...], dict[Tensor, Tensor]] = {}
    inside = set(graph.nodes)
    for node in graph.nodes:
        for record in records_of(node):
            found.setdefault(record.key, record)
            alive = [(w, ref()) for w, ref in zip(record.wrt, record.results, strict=True)]
            pairs.setdefault(record.key, {}).update({w: r for w, r in alive if r is not None and r in inside})
    for node, trace in _traces(graph):
        again, w = trace.record(), trace.wrt()
        if again is not None and w is not None:
            found.setdefault(again.key, again)
            pairs.setdefault(again.key, {})[w] = node
    return [Subject(_loss(r), list(pairs[key]), list(pairs[key].values()), values) for key, r in found.items()]


def _traces(graph: Graph) -> list[tuple[Tensor, Trace]]:
    """Derivatives in a graph of which no record is kept. An older node counts as one only beside what it is by."""
    present, roots = {*graph.nodes, *graph.inputs}, set(graph.roots)
    return [
        (node, trace)
        for node in graph.nodes
        for trace in traces_of(node)
        if not trace.older or node in roots or trace.wrt() in present
    ]


def _loss(record: Record) -> Tensor:
    """The scalar whose gradient a record's results are: the sum of cotangents, held fixed, times outputs."""
    (first, *_), (ct, *_) = record.outputs, record.cotangents
    value = constant_value(ct)
    if len(record.outputs) == 1 and first.shape == () and value is not None and value == 1:
        return first
    total = None
    for output, ct in zip(record.outputs, record.cotangents, strict=True):
        part = sum_(multiply(stop_gradient(ct), output))
        total = part if total is None else add(total, part)
    assert total is not None
    return total


def _unrecorded(graph: Graph, subjects: Sequence[Subject], restored: bool) -> list[Check]:
    """What is, or was made for, a derivative in the graph that is none of the gradients that were checked."""
    checked = {pair for s in subjects for pair in zip(s.wrt, s.results, strict=True)}
    lost = {}
    others = []
    for node, trace in _traces(graph):
        w = trace.wrt()
        if w is None or (trace.record() is None and (w, node) not in checked):
            by = "a tensor that is gone" if w is None else w.name or f"a tensor made at {w.origin.latest or '?'}"
            gone = ", of which nothing is left" if trace.what == "gradient" else ""
            how = f"the {trace.what} by {by} of what was made at {trace.line}{gone}: no recorded gradient"
            lost[how] = Check("other derivatives", SKIPPED, how)
            others.append(node)
    covered = set(topological([*(r for s in subjects for r in s.roots), *others]))
    rest = [n for n in graph.nodes if graph.origin[n].section == "backward" and n not in covered]
    if rest or (restored and not lost and not subjects):
        nodes = f"{count(len(rest), 'node')} {'belongs' if len(rest) == 1 else 'belong'} to"
        known = nodes if rest else "an unpickled step has"
        how = f"{known} no recorded gradient" + (" (gc.vmap, or an unpickled step)" if rest else "")
        lost[how] = Check("other derivatives", SKIPPED, how)
    return list(lost.values())


def _whole(graph: Graph, run: Run, values: Mapping[Tensor, Any]) -> Check:
    """The compiled step against the reference interpreter, outputs and updates."""
    begun = time.monotonic()
    what = "compiled step against reference"
    known = bind_dims(list(values), list(values.values()))
    chosen = sizes_for([*graph.inputs, *graph.roots], FULL, known)
    if chosen is None:
        return Check(what, SKIPPED, "no sizes satisfy the conditions on named dims; give values=")
    point = choose_point(graph.roots, graph.inputs, chosen, values, anyhow=True)
    if point is None:
        return Check(what, SKIPPED, "no point was found at which every index is in range; give values=")
    params = {n: n.attrs["state"].read() for n in graph.nodes if n.op is PARAM}
    given = {**point, **params}
    wanted = numeric.expected(graph, given, chosen)
    outputs, updated = run([point[x] for x in graph.inputs])
    doubt = functools.partial(numeric.doubts, graph, given, chosen, wanted)
    error, mismatch = numeric.worst([*outputs, *updated], wanted, doubt)
    if mismatch is not None:
        updates = [f"the update of {p.name}" for p, _ in graph.updates]
        names = [*(f"output {n}" for n in range(len(outputs))), *updates]
        raise compiled_wrong(names[mismatch.number], mismatch)
    seconds = round(time.monotonic() - begun, 3)
    return Check(what, PASSED, "numba against the reference interpreter", error, sum(map(np.size, wanted)), seconds)
