"""Each row of the op table: its `vjp` and `jvp` against `sympy.diff` of what the row means.

Elementwise rows are differentiated as expressions of one symbol per operand; the others by writing small arrays of
symbols through the op, each entry differentiated.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..autodiff.jvp import jvp_rules
from ..autodiff.vjp import vjp_rules
from ..errors import message
from ..ir.apply import apply
from ..ir.leaves import input as symbolic_input
from ..ir.lowering import Refused
from ..ir.op import Arr, Op, Sample
from ..ir.tensor import Tensor
from ..ops.cotangent import ZERO
from .calculus import AGREES, DIFFERS, PROVEN, UNDECIDED, Verdict, compare, derivative
from .certificate import VerificationError
from .domains import Symbols, is_map
from .symbolic import evaluate_elements

NO_DERIVATIVE = "no derivative"
_MAX_SYMBOLS = 20
"""Samples of more float elements are left out, unless a row has no smaller one."""


class RowVerdict(NamedTuple):
    """What is known of the rules of one row: `how` is proven, agrees (at 50 digits) or no derivative, with the reason."""

    op: str
    how: str
    detail: str
    error: float = 0.0
    compared: int = 0


def certify_row(op: Op, seconds: float = 5.0) -> RowVerdict:
    """Check the derivative rules of `op` on its samples; `VerificationError` names the op and both values.

    seconds  for algebra: what is not proven by then counts as agreeing at 50 digits
    """
    reason = _why_not(op)
    if reason:
        return RowVerdict(op.name, NO_DERIVATIVE, reason)
    deadline = time.monotonic() + seconds
    verdicts = [v for sample in _small(op) for v in _sample(op, sample, deadline)]
    if not verdicts or any(v.status == UNDECIDED for v in verdicts):
        return RowVerdict(op.name, UNDECIDED, "no sample has a point where the derivative is a real number")
    proven, count = sum(v.proven for v in verdicts), sum(v.count for v in verdicts)
    error = max(v.error for v in verdicts)
    if proven == count:
        return RowVerdict(op.name, PROVEN, f"{count} by algebra", error, count)
    return RowVerdict(op.name, AGREES, f"{proven} of {count} by algebra, the rest at 50 digits", error, count)


def _why_not(op: Op) -> str:
    if "leaf" in op.traits:
        return "a leaf"
    for rules in (op.vjp, op.sympy):
        if isinstance(rules, Refused):
            return rules.reason
    if isinstance(op.vjp, tuple) and all(r is None for r in op.vjp):
        return "no float operands" if op.vjp else "no operands"
    if not op.samples:
        return "structure: it names an output of another node"
    return "" if any(_usable(op, s) for s in op.samples) else "its result has no derivative (integers or bools)"


def _small(op: Op) -> list[Sample]:
    """The samples to check: those of few elements, or else the smallest."""
    usable = sorted((s for s in op.samples if _usable(op, s)), key=_elements)
    return [s for s in usable if is_map(op) or _elements(s) <= _MAX_SYMBOLS] or usable[:1]


def _elements(sample: Sample) -> int:
    return sum(int(np.prod(a.shape)) for a in sample.operands if a.dtype == "float64")


def _usable(op: Op, sample: Sample) -> bool:
    """Whether a sample can be differentiated: float64 operands and result, of moderate size."""
    if not any(a.dtype == "float64" for a in sample.operands) or any(a.dtype == "float32" for a in sample.operands):
        return False
    stepped = isinstance(op.vjp, tuple) and all(getattr(r, "__name__", "") == "zero_almost_everywhere" for r in op.vjp)
    if not sample.differentiable and not (stepped or op.name == "stop_gradient"):
        return False
    inputs = [symbolic_input(f"x{k}", a.shape, a.dtype) for k, a in enumerate(sample.operands)]
    return bool(apply(op, *inputs, **sample.attrs).dtype.kind == "f")


class _Operands(NamedTuple):
    """Operands of a call: elements, numbers at a point, and every symbol with the interval it may come from."""

    arrays: list[np.ndarray]
    point: list[np.ndarray]
    symbols: list[Any]
    ranges: list[tuple[float, float]]


def _make(op: Op, sample: Sample, fixed: Sequence[Any]) -> _Operands:
    """Symbols for float operands (of shape () for elementwise rows), numbers for the others."""
    import sympy as sp

    rng = np.random.default_rng(0)
    made = _Operands([], [], [], [])
    rest = iter(fixed)
    for k, spec in enumerate(sample.operands):
        shape = () if is_map(op) else spec.shape
        if spec.dtype != "float64":
            number = np.asarray(next(rest))
            made.arrays.append(number)
            made.point.append(number)
            continue
        low, high = _interval(spec)
        array = np.empty(shape, object)
        for n, place in enumerate(np.ndindex(shape)):
            assume = {"positive": True} if low > 0 else {"real": True}
            array[place] = sp.Symbol(f"x{k}_{n}" if shape else f"x{k}", **assume)
            made.symbols.append(array[place])
            made.ranges.append((low, high))
        made.arrays.append(array)
        made.point.append(rng.uniform(low, high, shape))
    return made


def _interval(spec: Arr) -> tuple[float, float]:
    if spec.values is None:
        return spec.low, spec.high
    finite = np.asarray(spec.values, dtype=float)
    finite = finite[np.isfinite(finite)]
    return (float(finite.min()), float(finite.max()) + 1.0) if finite.size else (-2.0, 2.0)


def _fixed_operands(op: Op, sample: Sample) -> Iterator[tuple[Any, ...]]:
    """The bool and integer operands: both truth values for elementwise rows, else the sample's own."""
    rng = np.random.default_rng(1)
    choices: list[list[Any]] = []
    for spec in sample.operands:
        if spec.dtype == "float64":
            continue
        if is_map(op):
            choices.append([True, False] if spec.dtype == "bool" else [np.asarray(3, spec.dtype)])
        elif spec.values is not None:
            choices.append([np.asarray(spec.values, spec.dtype)])
        else:
            choices.append([rng.integers(int(spec.low), int(spec.high), spec.shape, endpoint=True).astype(spec.dtype)])
    return itertools.product(*choices)


def _sample(op: Op, sample: Sample, deadline: float) -> Iterator[Verdict]:
    for fixed in _fixed_operands(op, sample):
        made = _make(op, sample, fixed)
        inputs = [symbolic_input(f"x{k}", a.shape, spec.dtype) for k, (a, spec) in _pairs(made, sample)]
        out = apply(op, *inputs, **sample.attrs)
        for kind in ("vjp", "jvp"):
            yield _checked(op, sample, made, inputs, out, kind, deadline)


def _pairs(made: _Operands, sample: Sample) -> Any:
    return enumerate(zip(made.arrays, sample.operands, strict=True))


def _checked(op: Op, sample: Sample, made: _Operands, inputs: list[Tensor], out: Tensor, kind: str, deadline: float):
    """The verdict on one set of rules; raises where they are wrong."""
    import sympy as sp

    domain = Symbols(freeze=True)
    given = dict(zip(inputs, made.arrays, strict=True))
    at = dict(zip(inputs, made.point, strict=True))
    forward = evaluate_elements([out], given, domain, point=at)[out]
    fresh = Symbols()
    if kind == "vjp":
        found, wanted, extra = _reverse(op, sample, made, inputs, out, forward, fresh, at, given)
    else:
        found, wanted, extra = _forward(op, sample, made, inputs, out, forward, fresh, at, given)
    if not found:
        return Verdict(PROVEN)
    wanted = [domain.thaw(w) for w in wanted]
    symbols = [*made.symbols, *extra]
    points = _points(made, len(extra), is_map(op))
    verdict = compare([sp.sympify(f) for f in found], wanted, symbols, points, deadline=deadline)
    if verdict.status == DIFFERS and verdict.where is not None:
        raise _wrong(op, sample, kind, found, wanted, verdict)
    return verdict


def _reverse(
    op: Op, sample: Sample, made: _Operands, inputs: Any, out: Any, forward: Any, domain: Any, at: Any, given: Any
):
    """Cotangents by the rules, and by differentiating the sum of ct * forward."""
    import sympy as sp

    ct = symbolic_input("ct", out.shape, out.dtype)
    cts = _fresh("ct", out.shape)
    wanted_flags = [i.dtype.kind == "f" for i in inputs]
    bars = vjp_rules(op, ct, out, inputs, dict(sample.attrs), wanted_flags)
    total = sp.Add(*[c * f for c, f in zip(cts.ravel(), forward.ravel(), strict=True)])
    found: list[Any] = []
    wanted: list[Any] = []
    at = {**at, ct: np.ones(out.shape)}
    for bar, array, flag in zip(bars, made.arrays, wanted_flags, strict=True):
        if not flag:
            continue
        values = _values(bar, {**given, ct: cts}, domain, at, array.shape)
        found += list(values.ravel())
        wanted += [derivative(total, x) for x in array.ravel()]
    return found, wanted, list(cts.ravel())


def _forward(
    op: Op, sample: Sample, made: _Operands, inputs: Any, out: Any, forward: Any, domain: Any, at: Any, given: Any
):
    """The tangent by the rules, and the sum of derivative * tangent."""
    import sympy as sp

    if isinstance(op.jvp, Refused):
        return [], [], []
    tangents = [symbolic_input("t", i.shape, i.dtype) if i.dtype.kind == "f" else ZERO for i in inputs]
    arrays = {t: _fresh(f"t{k}_", t.shape) for k, t in enumerate(tangents) if t is not ZERO}
    result = jvp_rules(op, tangents, out, inputs, dict(sample.attrs))
    at = {**at, **{t: np.ones(t.shape) for t in arrays}}
    found = list(_values(result, {**given, **arrays}, domain, at, out.shape).ravel())
    pairs = [
        (x, t)
        for tangent, array in zip(tangents, made.arrays, strict=True)
        if tangent is not ZERO
        for x, t in zip(array.ravel(), arrays[tangent].ravel(), strict=True)
    ]
    wanted = [sp.Add(*[derivative(f, x) * t for x, t in pairs]) for f in forward.ravel()]
    return found, wanted, [t for _, t in pairs]


def _values(tensor: Any, given: Any, domain: Symbols, at: Any, shape: tuple[int, ...]) -> np.ndarray:
    if tensor is ZERO or tensor is None:
        return np.full(shape, domain.number(0), object)
    return evaluate_elements([tensor], given, domain, point=at)[tensor]


def _fresh(name: str, shape: Any) -> np.ndarray:
    import sympy as sp

    result = np.empty(shape, object)
    for n, place in enumerate(np.ndindex(result.shape)):
        result[place] = sp.Symbol(f"{name}{n}", real=True)
    return result


def _points(made: _Operands, extra: int, elementwise: bool) -> list[list[float]]:
    """Random points of the domain; for elementwise rows special ones too."""
    rng = random.Random(0)
    cts = [[rng.uniform(0.5, 1.5) for _ in range(extra)] for _ in range(5)]
    points = [[rng.uniform(a, b) for a, b in made.ranges] + cts[k] for k in range(4)]
    for special in (0.0, 1.0, -1.0):
        if elementwise and all(a <= special <= b for a, b in made.ranges):
            points.append([special] * len(made.ranges) + cts[4])
    return points


def _wrong(op: Op, sample: Sample, kind: str, found: Any, wanted: Any, verdict: Verdict) -> VerificationError:
    assert verdict.where is not None
    k, left, right = verdict.where
    shapes = ", ".join(f"{a.dtype}{list(a.shape)}" for a in sample.operands)
    return VerificationError(
        message(
            f"the {kind} of {op.name} is wrong",
            got=f"{left} of operands {shapes} (entry {k}): {str(found[k])[:200]}",
            expected=f"{right}: {str(wanted[k])[:200]}",
            hint="the expected value is sympy.diff of the row's sympy meaning",
        )
    )
