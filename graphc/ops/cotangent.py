"""The algebra of cotangents and tangents: the only way in which derivative rules combine them.

- `ZERO`: a symbolic zero; it costs nothing and annihilates everything.
- ``None`` in a rule's place: the operand is an integer or bool, or an index; no cotangent exists.
- `zero_almost_everywhere`: the rule of floor, sign, comparisons: zero, though not because nothing depends on it.
- a `Refused` in a rule's place: asking for that derivative is an error.
- `ct_mul(ct, d)`: the product of a cotangent, or a tangent, with a derivative. A zero cotangent annihilates inf and
  nan, so the branch that `where` did not take contributes exactly nothing, nor do the zeros of a basis of tangents; the
  derivative of ``ct_mul`` by `ct` is still `d`. (It can turn a true nan gradient into 0 where the cotangent is exactly
  0.) A zero derivative does not annihilate: of ``log(sigmoid(x))`` far below 0, inf * 0, the gradient is nan, not 0.
- `zero_mul(a, b)`: the product in which either zero annihilates: for two cotangents or tangents, and for tangents
  through products and masks. In forward mode the factor of ``0 * sqrt(x)`` comes last, where reverse mode has it first.

Why the branch not taken says nothing to any order: let every value computed in it be garbage (inf, nan), and its
cotangents and tangents be zeros. Each differentiation keeps the two kinds apart. The tangent of garbage is garbage and
that of a zero is zero; the cotangent of garbage is zero and that of a zero is garbage, which ends at the ``where`` that
made the zero. All products then are garbage * garbage and zero * garbage, which has to be 0 in either order. So the
derivative of ``ct_mul`` by `d` is ``zero_mul`` with `ct`, for each of the two may be the zero; those of ``zero_mul``
are ``zero_mul`` again. Ops that add up products (``contract``, ``convolve``) have a guard for the same, see `guarded`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..ir.apply import apply, lift_promoted
from ..ir.expr import call
from ..ir.lowering import Map
from ..ir.op import Arr, Op, Sample
from .batching import batch_elementwise
from .common import broadcast_all, elementwise_infer


class SymbolicZero:
    """A cotangent or tangent that is zero by construction, of any shape."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "ZERO"

    def __reduce__(self) -> str:
        return "ZERO"


ZERO = SymbolicZero()


def zero_almost_everywhere(ct: Any, out: Any, *operands: Any, **attrs: Any) -> SymbolicZero:
    """The rule of a piecewise constant function."""
    return ZERO


def _numpy_ct_mul(ct: np.ndarray, d: np.ndarray) -> np.ndarray:
    return np.where(ct == 0, ct.dtype.type(0), ct * d)


CT_MUL = Op(
    "ct_mul",
    elementwise_infer,
    _numpy_ct_mul,
    Map(lambda ct, d: call("ct_mul", ct, d)),
    vjp=(lambda g, out, ct, d: ct_mul(g, d), lambda g, out, ct, d: zero_mul(g, ct)),
    jvp=(lambda t, out, ct, d: ct_mul(t, d), lambda t, out, ct, d: zero_mul(ct, t)),
    batch=batch_elementwise,
    sympy=lambda sp, ct, d: ct * d,
    samples=(Sample((Arr(), Arr())), Sample((Arr((3,), values=(0.0, 0.0, 2.0)), Arr((3,), values=(0.0, 3.0, -0.0))))),
)


def _numpy_zero_mul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.where((a == 0) | (b == 0), a.dtype.type(0), a * b)


ZERO_MUL = Op(
    "zero_mul",
    elementwise_infer,
    _numpy_zero_mul,
    Map(lambda a, b: call("zero_mul", a, b)),
    vjp=(lambda g, out, a, b: zero_mul(g, b), lambda g, out, a, b: zero_mul(g, a)),
    jvp=(lambda t, out, a, b: zero_mul(t, b), lambda t, out, a, b: zero_mul(a, t)),
    batch=batch_elementwise,
    sympy=lambda sp, a, b: a * b,
    samples=CT_MUL.samples,
)
ROWS = (CT_MUL, ZERO_MUL)


def ct_mul(ct: Any, d: Any) -> Any:
    """``ct * d``, and 0 where `ct` is 0 whatever `d` is. `ct` may be `ZERO`."""
    if ct is ZERO or d is ZERO:
        return ZERO
    if isinstance(d, (int, float)) and math.isfinite(d):
        from .elementwise import multiply

        return multiply(ct, d)
    return apply(CT_MUL, *broadcast_all("ct_mul", *lift_promoted(ct, d)))


def zero_mul(a: Any, b: Any) -> Any:
    """``a * b``, and 0 where either is 0 whatever the other is. Either may be `ZERO`."""
    if a is ZERO or b is ZERO:
        return ZERO
    return apply(ZERO_MUL, *broadcast_all("zero_mul", *lift_promoted(a, b)))


def ct_add(a: Any, b: Any) -> Any:
    """The sum of two contributions to one cotangent."""
    from .elementwise import add

    return b if a is ZERO else a if b is ZERO else add(a, b)


__all__ = [
    "CT_MUL",
    "ROWS",
    "ZERO",
    "ZERO_MUL",
    "SymbolicZero",
    "ct_add",
    "ct_mul",
    "zero_almost_everywhere",
    "zero_mul",
]
