"""Every row of the op table against its own reference meaning: a new op is tested here without a new test.

For each sample of each row: `infer` against the result of `numpy`; `vjp` against central differences; the vjp of the
vjp against central differences of the vjp; `jvp` against central differences and against `vjp` (the dot-product test);
the SymPy meaning of elementwise rows against numbers; the same in float32; and `batch` against samples one by one.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from graphc.autodiff.batching import batch
from graphc.autodiff.jvp import jvp, jvp_rules
from graphc.autodiff.vjp import grad, vjp, vjp_rules
from graphc.ir.apply import apply
from graphc.ir.evaluate import evaluate
from graphc.ir.leaves import input as gc_input
from graphc.ir.lowering import Map, Reduce, Refused
from graphc.ir.op import Arr, Aval, Op, Require, Sample
from graphc.ir.tensor import Tensor
from graphc.ops.cotangent import ZERO
from graphc.ops.elementwise import add, multiply
from graphc.ops.reduction import sum as gc_sum
from graphc.ops.table import OPS

_STEP = 1e-6
_ROWS = [op for op in OPS.values() if "leaf" not in op.traits]


class Case(NamedTuple):
    """A sample of a row."""

    op: Op
    sample: Sample
    number: int

    @property
    def id(self) -> str:
        return f"{self.op.name}-{self.number}"


def _cases(keep: Callable[[Case], bool] = lambda case: True) -> list[Any]:
    cases = [Case(op, s, k) for op in _ROWS for k, s in enumerate(op.samples)]
    return [pytest.param(c, id=c.id) for c in cases if keep(c)]


def _has_doubles(case: Case) -> bool:
    return any(a.dtype == "float64" for a in case.sample.operands)


def _gives_floats(case: Case) -> bool:
    avals = [Aval(a.shape, np.dtype(a.dtype)) for a in case.sample.operands]
    return bool(case.op.infer(Require(case.op.name), *avals, **case.sample.attrs).dtype.kind == "f")


def _is_smooth(case: Case) -> bool:
    refused = isinstance(case.op.vjp, Refused)
    return case.sample.differentiable and not refused and _has_doubles(case) and _gives_floats(case)


def _has_rules(case: Case) -> bool:
    return not isinstance(case.op.vjp, Refused) and _gives_floats(case)


def _has_meaning(case: Case) -> bool:
    """An elementwise row, or a reduction shown on a vector, with a SymPy meaning."""
    if not _is_smooth(case) or isinstance(case.op.sympy, Refused):
        return False
    vector = len(case.sample.operands[0].shape) == 1 if case.sample.operands else False
    return isinstance(case.op.lower, Map) or (isinstance(case.op.lower, Reduce) and vector)


def make(spec: Arr, rng: np.random.Generator) -> np.ndarray:
    """An operand as its `Arr` describes it."""
    dtype = np.dtype(spec.dtype)
    if spec.values is not None:
        return np.asarray(spec.values, dtype=dtype)
    if dtype.kind == "b":
        return rng.random(spec.shape) < 0.5
    if dtype.kind in "iu":
        low = max(int(spec.low), np.iinfo(dtype).min)
        return rng.integers(low, int(spec.high), spec.shape, endpoint=True).astype(dtype)
    return rng.uniform(spec.low, spec.high, spec.shape).astype(dtype)


def random_for(case: Case) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(case.id.encode()))


def operands_of(case: Case) -> list[np.ndarray]:
    rng = random_for(case)
    return [make(spec, rng) for spec in case.sample.operands]


def symbols_for(arrays: list[np.ndarray]) -> list[Tensor]:
    return [gc_input(f"x{k}", a.shape, a.dtype) for k, a in enumerate(arrays)]


def reference(case: Case, arrays: list[np.ndarray]) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.asarray(case.op.numpy(*arrays, **case.sample.attrs))


def is_float(x: Any) -> bool:
    return x.dtype.kind == "f"


def central(f: Any, x: np.ndarray, step: float = _STEP) -> np.ndarray:
    """The derivative of array-valued `f` by each element of `x`: shape ``x.shape + f(x).shape``."""
    flat = x.reshape(-1)
    rows = []
    for k in range(flat.size):
        moved = []
        for sign in (1, -1):
            y = flat.copy()
            y[k] += sign * step
            moved.append(np.asarray(f(y.reshape(x.shape)), dtype=np.float64))
        rows.append((moved[0] - moved[1]) / (2 * step))
    return np.array(rows).reshape(x.shape + np.shape(rows[0])) if rows else np.zeros(x.shape)


def step_of(case: Case) -> float:
    """A larger step where the result is rounded to float32."""
    return _STEP if case.op.tolerance < 1e-7 else 1e-2


def close(found: Any, wanted: Any, case: Case, scale: float = 1.0) -> None:
    tolerance = scale * (1e-7 if case.op.tolerance < 1e-7 else 1e-3)
    np.testing.assert_allclose(found, wanted, rtol=10 * tolerance, atol=tolerance * (1 + np.abs(wanted).max(initial=0)))


# the fields


@pytest.mark.parametrize("op", OPS.values(), ids=OPS)
def test_every_field_is_there_or_refused(op: Op) -> None:
    assert callable(op.infer) and callable(op.numpy)
    assert type(op.lower).__module__ == "graphc.ir.lowering"
    assert callable(op.sympy) or isinstance(op.sympy, Refused)
    assert op.samples or isinstance(op.lower, Refused) or "leaf" in op.traits
    for rules in (op.vjp, op.jvp):
        if isinstance(rules, tuple):
            assert all(len(rules) == len(s.operands) for s in op.samples), "one rule per operand"
            assert all(r is None or callable(r) or isinstance(r, Refused) for r in rules)
        else:
            assert callable(rules) or isinstance(rules, Refused)


@pytest.mark.parametrize("case", _cases())
def test_infer_agrees_with_numpy(case: Case) -> None:
    arrays = operands_of(case)
    out = apply(case.op, *symbols_for(arrays), **case.sample.attrs)
    want = reference(case, arrays)
    assert (out.shape, out.dtype) == (want.shape, want.dtype)


@pytest.mark.parametrize("case", _cases(_has_doubles))
def test_float32(case: Case) -> None:
    """The row works in float32 where it works in float64: dtype, value, and dtype of the cotangents."""
    doubles = operands_of(case)
    with np.errstate(over="ignore"):
        arrays = [a.astype(np.float32) if a.dtype == np.float64 else a for a in doubles]
    inputs = symbols_for(arrays)
    out = apply(case.op, *inputs, **case.sample.attrs)
    found = reference(case, arrays)
    assert (out.shape, out.dtype) == (found.shape, found.dtype)
    if case.sample.differentiable and is_float(out):
        want = reference(case, [a.astype(np.float64) if is_float(a) else a for a in arrays])
        np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-5)
        wrt = [x for x in inputs if is_float(x)]
        ct = gc_input("ct", out.shape, out.dtype)
        assert [bar.dtype for bar in vjp([out], wrt, [ct])] == [x.dtype for x in wrt]


# derivatives


class Reverse(NamedTuple):
    """A row's vjp as a graph: inputs (with the cotangent last), float operands, and their cotangents."""

    inputs: list[Tensor]
    arrays: list[np.ndarray]
    wrt: list[int]
    bars: list[Tensor]


def reverse_of(case: Case) -> Reverse:
    arrays = operands_of(case)
    inputs = symbols_for(arrays)
    out = apply(case.op, *inputs, **case.sample.attrs)
    ct = gc_input("ct", out.shape, out.dtype)
    wrt = [k for k, a in enumerate(arrays) if is_float(a)]
    bars = vjp([out], [inputs[k] for k in wrt], [ct])
    weights = random_for(case).uniform(0.5, 1.5, out.shape).astype(out.dtype)
    return Reverse([*inputs, ct], [*arrays, weights], wrt, bars)


@pytest.mark.parametrize("case", _cases(_is_smooth))
def test_vjp_against_differences(case: Case) -> None:
    found = reverse_of(case)
    *arrays, weights = found.arrays
    values = evaluate(found.bars, dict(zip(found.inputs, found.arrays, strict=True)))
    for k, value in zip(found.wrt, values, strict=True):
        assert (value.shape, value.dtype) == (arrays[k].shape, arrays[k].dtype)

        def scalar(x: np.ndarray, k: int = k) -> Any:
            return np.sum(weights * reference(case, [*arrays[:k], x, *arrays[k + 1 :]]))

        close(value, central(scalar, arrays[k].astype(np.float64), step_of(case)), case)


@pytest.mark.parametrize("case", _cases(_is_smooth))
def test_second_derivative(case: Case) -> None:
    """The vjp of a random projection of the vjp, against differences of that projection."""
    found = reverse_of(case)
    rng = random_for(case)
    projected = None
    for bar in found.bars:
        part = gc_sum(multiply(bar, rng.uniform(-1.0, 1.0, bar.shape).astype(bar.dtype)))
        projected = part if projected is None else add(projected, part)
    assert projected is not None
    wrt = [*found.wrt, len(found.inputs) - 1]
    seconds = grad(projected, [found.inputs[k] for k in wrt])
    values = evaluate(seconds, dict(zip(found.inputs, found.arrays, strict=True)))
    for k, value in zip(wrt, values, strict=True):

        def scalar(x: np.ndarray, k: int = k) -> Any:
            given = [*found.arrays[:k], x.astype(found.arrays[k].dtype), *found.arrays[k + 1 :]]
            return evaluate([projected], dict(zip(found.inputs, given, strict=True)))[0]

        close(value, central(scalar, found.arrays[k].astype(np.float64), step_of(case)), case, 10)


@pytest.mark.parametrize("case", _cases(_is_smooth))
def test_jvp_against_differences_and_vjp(case: Case) -> None:
    found = reverse_of(case)
    *arrays, weights = found.arrays
    inputs = found.inputs[:-1]
    rng = random_for(case)
    directions = [rng.uniform(-1.0, 1.0, a.shape).astype(a.dtype) if is_float(a) else None for a in arrays]
    symbols = [ZERO if d is None else gc_input("t", d.shape, d.dtype) for d in directions]
    out = apply(case.op, *inputs, **case.sample.attrs)
    tangent = jvp_rules(case.op, symbols, out, inputs, case.sample.attrs)
    given = dict(zip(found.inputs, found.arrays, strict=True))
    given.update({s: d for s, d in zip(symbols, directions, strict=True) if s is not ZERO})
    value = np.zeros(out.shape) if tangent is ZERO else evaluate([tangent], given)[0]
    if tangent is not ZERO:
        assert (value.shape, value.dtype) == (out.shape, out.dtype)
    step = step_of(case)
    ahead, behind = (
        reference(case, [a if d is None else a + sign * step * d for a, d in zip(arrays, directions, strict=True)])
        for sign in (1, -1)
    )
    close(value, (ahead.astype(np.float64) - behind) / (2 * step), case)
    bars = evaluate(found.bars, given)
    across = sum(np.sum(bar * directions[k]) for k, bar in zip(found.wrt, bars, strict=True))
    np.testing.assert_allclose(np.sum(weights * value), across, rtol=1e-6 if step == 1e-2 else 1e-9, atol=1e-9)


@pytest.mark.parametrize("case", _cases(_has_rules))
def test_rules_give_cotangents_for_float_operands_only(case: Case) -> None:
    """Asked for nothing, a row's rules give nothing; integer operands never get a cotangent."""
    inputs = symbols_for(operands_of(case))
    out = apply(case.op, *inputs, **case.sample.attrs)
    ct = gc_input("ct", out.shape, out.dtype)
    bars = vjp_rules(case.op, ct, out, inputs, case.sample.attrs, [is_float(x) for x in inputs])
    for bar, x in zip(bars, inputs, strict=True):
        assert bar is None or bar is ZERO or (is_float(x) and bar.shape == x.shape)


@pytest.mark.parametrize("poisoned", [False, True], ids=["as it is", "poisoned"])
@pytest.mark.parametrize("case", _cases(_has_rules))
def test_a_zero_cotangent_gives_zeros(case: Case, poisoned: bool) -> None:
    """It annihilates what it meets: derivatives at special points, operands that are nan or infinite in places.

    So does a zero tangent.
    """
    arrays = operands_of(case)
    if poisoned:
        arrays = [poison(a, random_for(case)) if is_float(a) else a for a in arrays]
    inputs = symbols_for(arrays)
    out = apply(case.op, *inputs, **case.sample.attrs)
    ct = gc_input("ct", out.shape, out.dtype)
    wrt = [x for x in inputs if is_float(x)]
    dots = [gc_input("t", x.shape, x.dtype) for x in wrt]
    given = dict(zip(inputs, arrays, strict=True)) | {z: np.zeros(z.shape, z.dtype) for z in (ct, *dots)}
    for value in evaluate([*vjp([out], wrt, [ct]), *jvp([out], wrt, dots)], given):
        np.testing.assert_array_equal(value, np.zeros_like(value))


def poison(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The array with zeros, infinities and nan in four places of ten."""
    special = rng.choice([np.nan, np.inf, -np.inf, 0.0], array.shape)
    return np.where(rng.random(array.shape) < 0.4, special, array).astype(array.dtype)


@pytest.mark.parametrize("case", _cases(lambda case: _is_smooth(case) and len(case.sample.operands) > 1))
def test_derivatives_by_some_of_the_operands(case: Case) -> None:
    """By one operand alone: the cotangent is what it was with all, and the tangents add up to that of all."""
    arrays = operands_of(case)
    inputs = symbols_for(arrays)
    out = apply(case.op, *inputs, **case.sample.attrs)
    floats = [k for k, x in enumerate(inputs) if is_float(x)]
    ct, rng = gc_input("ct", out.shape, out.dtype), random_for(case)
    dots = {k: gc_input("t", inputs[k].shape, inputs[k].dtype) for k in floats}
    given = dict(zip([*inputs, ct, *dots.values()], [*arrays, rng.uniform(-1, 1, out.shape)], strict=False))
    given.update({t: rng.uniform(-1, 1, t.shape) for t in dots.values()})

    def tangent(of: list[int]) -> Any:
        listed = [dots[k] if k in of else ZERO for k in range(len(inputs))]
        found = jvp_rules(case.op, listed, out, inputs, case.sample.attrs)
        return np.zeros(out.shape) if found is ZERO else evaluate([found], given)[0]

    bars = evaluate(vjp([out], [inputs[k] for k in floats], [ct]), given)
    for k, bar in zip(floats, bars, strict=True):
        wanted = [j == k for j in range(len(inputs))]
        alone = vjp_rules(case.op, ct, out, inputs, case.sample.attrs, wanted)[k]
        found = np.zeros(bar.shape) if alone is ZERO else evaluate([alone], given)[0]
        np.testing.assert_allclose(found, bar, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(sum(tangent([k]) for k in floats), tangent(floats), rtol=1e-9, atol=1e-9)


# the mathematical meaning


@pytest.mark.parametrize("case", _cases(_has_meaning))
def test_sympy_meaning(case: Case) -> None:
    """Elementwise rows at their own points, reductions of a vector, evaluated by SymPy to 30 digits."""
    import sympy as sp

    arrays = operands_of(case)
    want = reference(case, arrays)
    if isinstance(case.op.lower, Reduce):
        found = sp.N(case.op.sympy(sp, [exact(sp, v) for v in arrays[0]], **case.sample.attrs), 30)
        np.testing.assert_allclose(float(found), want, rtol=1e-12)
        return
    points = list(zip(*[a.reshape(-1) for a in arrays], strict=True))[:4]
    for point, value in zip(points, want.reshape(-1), strict=False):
        expression = case.op.sympy(sp, *[exact(sp, v) for v in point], **case.sample.attrs)
        tolerance = max(case.op.tolerance, 1e-12)
        np.testing.assert_allclose(float(sp.N(expression, 30)), float(value), rtol=tolerance, atol=tolerance)


def exact(sp: Any, value: Any) -> Any:
    """A number as SymPy has it, without rounding."""
    if value.dtype.kind == "b":
        return sp.true if value else sp.false
    return sp.Float(float(value), 40) if value.dtype.kind == "f" else sp.Integer(int(value))


# many samples at once


def _batchings(case: Case) -> list[tuple[bool, ...]]:
    """Which operands have the axis of samples: every combination but none of them."""
    return [c for c in itertools.product((False, True), repeat=len(case.sample.operands)) if any(c)]


@pytest.mark.parametrize("op", OPS.values(), ids=OPS)
def test_every_batch_rule_is_there_or_refused(op: Op) -> None:
    has_operands = any(s.operands for s in op.samples) or op.multi or op.name == "item"
    assert callable(op.batch) if has_operands else isinstance(op.batch, Refused)


@pytest.mark.parametrize("count", [2, 0], ids=["two", "none"])
@pytest.mark.parametrize("named", [False, True], ids=["known", "named"])
@pytest.mark.parametrize("case", _cases(lambda case: bool(case.sample.operands)))
def test_batch_is_the_samples_stacked(case: Case, named: bool, count: int) -> None:
    """Operands of samples 0 .. count - 1 are the case's own, turned round along their first axis by so many places."""
    arrays = operands_of(case)
    samples = [[np.roll(a, k, 0) if a.ndim else a for a in arrays] for k in range(count)]
    inputs = symbols_for(arrays)
    out = apply(case.op, *inputs, **case.sample.attrs)
    size = "samples" if named else count
    for batched in _batchings(case):
        over, given = {}, {}
        for k, (x, has) in enumerate(zip(inputs, batched, strict=True)):
            if not has:
                given[x] = arrays[k]
                continue
            over[x] = gc_input(f"xs{k}", (size, *x.shape), x.dtype)
            given[over[x]] = np.array([s[k] for s in samples], x.dtype).reshape(count, *x.shape)
        (many,) = batch([out], over)
        found = evaluate([many], given)[0]
        want = [
            reference(case, [s[k] if has else a for k, (a, has) in enumerate(zip(arrays, batched, strict=True))])
            for s in samples
        ]
        assert (many.shape[1:], many.dtype) == (out.shape, out.dtype)
        assert found.shape == (count, *out.shape)
        np.testing.assert_allclose(found, np.array(want, out.dtype).reshape(found.shape), rtol=1e-12, atol=1e-12)
