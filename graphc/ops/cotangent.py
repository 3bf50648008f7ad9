"""The algebra of cotangents: the only way in which derivative rules combine them.

- `ZERO`: a symbolic zero; it costs nothing and annihilates everything.
- ``None`` in a rule's place: the operand is an integer or bool, or an index; no cotangent exists.
- `zero_almost_everywhere`: the rule of floor, sign, comparisons: zero, though not because nothing depends on it.
- a `Refused` in a rule's place: asking for that derivative is an error.
- `ct_mul(ct, d)`: the product of a cotangent with a derivative. A zero cotangent annihilates inf and nan, so the
  branch that `where` did not take contributes exactly nothing; the derivative of ``ct_mul`` by `ct` is still `d`.
  (It can turn a true nan gradient into 0 where the cotangent is exactly 0.)
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
    vjp=(lambda g, out, ct, d: ct_mul(g, d), lambda g, out, ct, d: ct_mul(g, ct)),
    jvp=(lambda t, out, ct, d: ct_mul(t, d), lambda t, out, ct, d: ct_mul(ct, t)),
    batch=batch_elementwise,
    sympy=lambda sp, ct, d: ct * d,
    samples=(Sample((Arr(), Arr())),),
)
ROWS = (CT_MUL,)


def ct_mul(ct: Any, d: Any) -> Any:
    """``ct * d``, and 0 where `ct` is 0 whatever `d` is. `ct` may be `ZERO`."""
    if ct is ZERO or d is ZERO:
        return ZERO
    if isinstance(d, (int, float)) and math.isfinite(d):
        from .elementwise import multiply

        return multiply(ct, d)
    return apply(CT_MUL, *broadcast_all("ct_mul", *lift_promoted(ct, d)))


def ct_add(a: Any, b: Any) -> Any:
    """The sum of two contributions to one cotangent."""
    from .elementwise import add

    return b if a is ZERO else a if b is ZERO else add(a, b)


__all__ = ["CT_MUL", "ROWS", "ZERO", "SymbolicZero", "ct_add", "ct_mul", "zero_almost_everywhere"]
