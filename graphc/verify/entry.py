"""`verify`: a certificate for the gradient of a tensor; `verify_step`: one for all gradients inside a step."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..autodiff.records import Record, records_of
from ..autodiff.vjp import check_floats
from ..errors import GradientError, count, message, user_line
from ..ir.evaluate import bind_dims
from ..ir.graph import Graph
from ..ir.leaves import PARAM, constant_value
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

    Raises `VerificationError` naming the op, the line and both values where something disagrees.

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
    known = {x: np.asarray(v) for x, v in (values or {}).items()}
    if y.shape == ():
        subject = Subject(y, leaves, vjp([y], leaves, [ones_like(y)]), known)
    else:
        ct = symbolic_input("ct", y.shape, y.dtype)
        subject = Subject(sum_(multiply(ct, y)), leaves, vjp([y], leaves, [ct]), known)
    return Inspection(subject, seconds, terms, compiled=True).certificate()


def _not_a_tensor(value: Any) -> GradientError:
    got, expected = repr(value)[:80], "tensors: gc.verify(y, wrt)"
    return GradientError(message("cannot verify", got=got, expected=expected, at=user_line(), created=False))


Run = Callable[[Sequence[np.ndarray]], tuple[Sequence[Any], Sequence[Any]]]


def verify_step(
    graph: Graph,
    run: Run,
    name: str,
    values: Mapping[Tensor, Any] | None = None,
    seconds: float = 60.0,
    terms: int = 2000,
) -> Certificate:
    """The certificate of a step: each gradient in `graph` (as traced) by itself, then the compiled step as a whole.

    run  one call of the compiled step on arrays: its outputs and the new values of its params, changing nothing

    Which tensors are gradients of what is known from `records_of`; a step that was unpickled, or whose derivatives
    do not come from reverse mode (gc.jvp, gc.jacobian, gc.vmap), has none to find, and that is listed as skipped.
    """
    known = {x: np.asarray(v) for x, v in (values or {}).items()}
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
    checks += _unrecorded(graph, subjects)
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
    for node in graph.nodes:
        for record in records_of(node):
            found.setdefault(record.key, record)
    inside = set(graph.nodes)
    subjects = []
    for record in found.values():
        alive = [(w, ref()) for w, ref in zip(record.wrt, record.results, strict=True)]
        pairs = [(w, r) for w, r in alive if r is not None and r in inside]
        loss = _loss(record)
        subjects.append(Subject(loss, [w for w, _ in pairs], [r for _, r in pairs], values))
    return subjects


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


def _unrecorded(graph: Graph, subjects: Sequence[Subject]) -> list[Check]:
    """What derivative rules made in the graph that belongs to no recorded gradient."""
    covered = set(topological([r for s in subjects for r in s.roots]))
    rest = [n for n in graph.nodes if graph.origin[n].section == "backward" and n not in covered]
    if not rest:
        return []
    nodes = f"{count(len(rest), 'node')} {'belongs' if len(rest) == 1 else 'belong'}"
    how = f"{nodes} to no recorded gradient (gc.jvp, jacobian, vmap, or an unpickled step)"
    return [Check("other derivatives", SKIPPED, how)]


def _whole(graph: Graph, run: Run, values: Mapping[Tensor, Any]) -> Check:
    """The compiled step against the reference interpreter, outputs and updates."""
    begun = time.monotonic()
    what = "compiled step against reference"
    given = bind_dims(list(values), list(values.values()))
    chosen = sizes_for([*graph.inputs, *graph.roots], FULL, given)
    if chosen is None:
        return Check(what, SKIPPED, "no sizes satisfy the conditions on named dims; give values=")
    point = choose_point(graph.roots, graph.inputs, chosen, values)
    if point is None:
        point = choose_point([], graph.inputs, chosen, values)
    assert point is not None
    params = {n: n.attrs["state"].read() for n in graph.nodes if n.op is PARAM}
    wanted = numeric.expected(graph, {**point, **params}, chosen)
    outputs, updated = run([point[x] for x in graph.inputs])
    error, mismatch = numeric.worst([*outputs, *updated], wanted)
    if mismatch is not None:
        updates = [f"the update of {p.name}" for p, _ in graph.updates]
        names = [*(f"output {n}" for n in range(len(outputs))), *updates]
        raise compiled_wrong(names[mismatch.number], mismatch)
    seconds = round(time.monotonic() - begun, 3)
    return Check(what, PASSED, "numba against the reference interpreter", error, sum(map(np.size, wanted)), seconds)
