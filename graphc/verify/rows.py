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
from .numbers import exact
from .symbolic import evaluate_elements

NO_DERIVATIVE = "no derivative"
_MAX_SYMBOLS = 20
"""Samples of more float elements are left out, unless a row has no smaller one."""


class RowVerdict(NamedTuple):
    """What is known of the rules of one row: `how` is proven, agrees (at 50 digits) or no derivative."""

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
    proven, count = sum(v.proven for v in verdicts), sum(v.compared for v in verdicts)
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
        given, point = (dict(zip(inputs, a, strict=True)) for a in (made.arrays, made.point))
        for kind in ("vjp", "jvp"):
            yield _checked(_Call(op, sample, made, inputs, out, given, point), kind, deadline)


def _pairs(made: _Operands, sample: Sample) -> Any:
    return enumerate(zip(made.arrays, sample.operands, strict=True))


class _Call(NamedTuple):
    """One call of a row on symbols: operands as inputs of a graph, the result, and what is given to evaluate it."""

    op: Op
    sample: Sample
    made: _Operands
    inputs: list[Tensor]
    out: Tensor
    given: dict[Tensor, Any]
    point: dict[Tensor, Any]

    def values(self, tensor: Any, extra: dict[Tensor, Any], shape: Any) -> np.ndarray:
        """The elements of a tensor that the rules made of the operands and of `extra`."""
        if tensor is ZERO or tensor is None:
            return np.full(shape, exact(np.int64(0)), object)
        point = {**self.point, **{x: np.ones(a.shape) for x, a in extra.items()}}
        return evaluate_elements([tensor], {**self.given, **extra}, Symbols(), point=point)[tensor]


def _checked(call: _Call, kind: str, deadline: float) -> Verdict:
    """The verdict on one set of rules; raises where they are wrong."""
    import sympy as sp

    domain = Symbols(freeze=True)
    forward = evaluate_elements([call.out], call.given, domain, point=call.point)[call.out]
    found, wanted, extra = (_reverse if kind == "vjp" else _forward)(call, forward)
    if not found:
        return Verdict(PROVEN)
    wanted = [domain.thaw(w) for w in wanted]
    symbols = [*call.made.symbols, *extra]
    by_position = "by position" in call.op.traits
    points = _points(call.made, len(extra), is_map(call.op), by_position)
    verdict = compare([sp.sympify(f) for f in found], wanted, symbols, points, deadline=deadline)
    if verdict.status == DIFFERS and verdict.where is not None:
        raise _wrong(call, kind, found, wanted, verdict)
    return verdict


_Sides = tuple[list[Any], list[Any], list[Any]]
"""What the rules give, what SymPy gives, and the symbols of the cotangent or tangents."""


def _reverse(call: _Call, forward: np.ndarray) -> _Sides:
    """Cotangents by the rules, and by differentiating the sum of ct * forward."""
    import sympy as sp

    ct = symbolic_input("ct", call.out.shape, call.out.dtype)
    cts = _fresh("ct", call.out.shape)
    flags = [i.dtype.kind == "f" for i in call.inputs]
    bars = vjp_rules(call.op, ct, call.out, call.inputs, dict(call.sample.attrs), flags)
    total = sp.Add(*[c * f for c, f in zip(cts.ravel(), forward.ravel(), strict=True)])
    found: list[Any] = []
    wanted: list[Any] = []
    for bar, array, flag in zip(bars, call.made.arrays, flags, strict=True):
        if flag:
            found += list(call.values(bar, {ct: cts}, array.shape).ravel())
            wanted += [derivative(total, x) for x in array.ravel()]
    return found, wanted, list(cts.ravel())


def _forward(call: _Call, forward: np.ndarray) -> _Sides:
    """The tangent by the rules, and the sum of derivative * tangent."""
    import sympy as sp

    if isinstance(call.op.jvp, Refused):
        return [], [], []
    floats = {k: x for k, x in enumerate(call.inputs) if x.dtype.kind == "f"}
    dots = {k: symbolic_input("t", x.shape, x.dtype) for k, x in floats.items()}
    tangents = {k: _fresh(f"t{k}_", x.shape) for k, x in floats.items()}
    listed = [dots.get(k, ZERO) for k in range(len(call.inputs))]
    result = jvp_rules(call.op, listed, call.out, call.inputs, dict(call.sample.attrs))
    found = call.values(result, {dots[k]: tangents[k] for k in floats}, call.out.shape)
    pairs = [p for k in floats for p in zip(call.made.arrays[k].ravel(), tangents[k].ravel(), strict=True)]
    wanted = [sp.Add(*[derivative(f, x) * t for x, t in pairs]) for f in forward.ravel()]
    return list(found.ravel()), wanted, [t for _, t in pairs]


def _fresh(name: str, shape: Any) -> np.ndarray:
    import sympy as sp

    result = np.empty(shape, object)
    for n, place in enumerate(np.ndindex(result.shape)):
        result[place] = sp.Symbol(f"{name}{n}", real=True)
    return result


def _points(made: _Operands, extra: int, elementwise: bool, by_position: bool) -> list[list[float]]:
    """Random points of the domain; for elementwise rows special ones too.

    by_position  the rules look positions up, which hold around the operands' own point only: all points are that one
    """
    rng = random.Random(0)
    cts = [[rng.uniform(0.5, 1.5) for _ in range(extra)] for _ in range(5)]
    if by_position:
        floats = [p for p, a in zip(made.point, made.arrays, strict=True) if a.dtype == object]
        own = [float(v) for p in floats for v in p.ravel()]
        return [own + ct for ct in cts]
    points = [[rng.uniform(a, b) for a, b in made.ranges] + cts[k] for k in range(4)]
    for special in (0.0, 1.0, -1.0):
        if elementwise and all(a <= special <= b for a, b in made.ranges):
            points.append([special] * len(made.ranges) + cts[4])
    return points


def _wrong(call: _Call, kind: str, found: Any, wanted: Any, verdict: Verdict) -> VerificationError:
    assert verdict.where is not None
    k, left, right = verdict.where
    shapes = ", ".join(f"{a.dtype}{list(a.shape)}" for a in call.sample.operands)
    return VerificationError(
        message(
            f"the {kind} of {call.op.name} is wrong",
            got=f"{left} of operands {shapes} (entry {k}): {str(found[k])[:200]}",
            expected=f"{right}: {str(wanted[k])[:200]}",
            hint="the expected value is sympy.diff of the row's sympy meaning",
        )
    )
