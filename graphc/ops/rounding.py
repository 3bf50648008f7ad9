"""Piecewise constant functions of numbers: floor, ceil, trunc, round, sign, and floor_divide with its remainder.

Their derivatives are zero almost everywhere, and zero at the steps too. Integers are their own floor, ceil, trunc and
round. Bools are a `DTypeError`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..ir.apply import apply, lift, lift_promoted
from ..ir.op import Arr, Op, Sample
from .batching import batch_elementwise
from .common import broadcast_all, elementwise_infer, refuse_bool
from .cotangent import ct_mul
from .elementwise import negative
from .forms import at_points, by_name, stepped

_INF, _NAN = math.inf, math.nan
_FLOATS = (
    Sample((Arr(low=-5.0, high=5.0),), differentiable=False),
    at_points((0.5, 1.5, -0.5, -2.5, 0.0, -0.0, _INF, -_INF, _NAN, 1e300, 2**52 + 0.5)),
    at_points((0.5, 1.5, -0.5, -2.5, 0.0, -0.0, _INF, _NAN, 1e30), dtype="float32"),
)


def _nearest(sp: Any, x: Any) -> Any:
    """x to the nearest integer, halves to the even one."""
    half = sp.Rational(1, 2)
    return sp.Piecewise((2 * sp.floor((x + half) / 2), sp.Eq(x - sp.floor(x), half)), (sp.floor(x + half), True))


FLOOR = stepped("floor", np.floor, operands=1, sympy=lambda sp, x: sp.floor(x), samples=_FLOATS)
CEIL = stepped("ceil", np.ceil, operands=1, sympy=lambda sp, x: sp.ceiling(x), samples=_FLOATS)
TRUNC = stepped("trunc", np.trunc, operands=1, sympy=lambda sp, x: sp.sign(x) * sp.floor(sp.Abs(x)), samples=_FLOATS)
ROUND = stepped("round", np.rint, operands=1, sympy=_nearest, samples=_FLOATS)
SIGN = stepped(
    "sign",
    np.sign,
    operands=1,
    sympy=lambda sp, x: sp.sign(x),
    samples=(
        *_FLOATS,
        at_points((-128, -1, 0, 127), dtype="int8"),
        at_points((-(2**63), 0, 5), dtype="int64"),
        at_points((0, 7), dtype="uint8"),
    ),
)

_DIVISIONS = (
    Sample((Arr(low=-9.0, high=9.0), Arr(low=0.5, high=3.0))),
    Sample((Arr((5,), low=-9.0, high=9.0, dtype="float32"), Arr((5,), low=-3.0, high=-0.5, dtype="float32"))),
    at_points((1.0, -1.0, 0.0, _INF, _NAN, 5.0, -5.0, -0.0, 6.0), (0.0, 0.0, 0.0, 2.0, 1.0, _INF, _INF, 3.0, -3.0)),
    at_points((7, -7, 7, -7, -128, 5, 0), (3, 3, -3, -3, -1, 0, 0), dtype="int8"),
    at_points((7, -7, 7, -7, -(2**63), 5, 0), (3, 3, -3, -3, -1, 0, 0), dtype="int64"),
    at_points((7, 2**64 - 1, 5), (3, 10, 0), dtype="uint64"),
)
FLOOR_DIVIDE = stepped(
    "floor_divide", np.floor_divide, operands=2, sympy=lambda sp, x, y: sp.floor(x / y), samples=_DIVISIONS
)
REMAINDER = Op(
    "remainder",
    elementwise_infer,
    np.remainder,
    by_name("remainder"),
    vjp=(lambda ct, out, x, y: ct, lambda ct, out, x, y: ct_mul(ct, negative(floor_divide(x, y)))),
    jvp=(lambda t, out, x, y: t, lambda t, out, x, y: negative(ct_mul(t, floor_divide(x, y)))),
    batch=batch_elementwise,
    sympy=lambda sp, x, y: x - y * sp.floor(x / y),
    samples=_DIVISIONS,
)


def _rounded(op: Op, x: Any) -> Any:
    """Apply a rounding op; integers are returned as they are."""
    (x,) = lift(x)
    refuse_bool(op.name, x)
    return apply(op, x) if x.dtype.kind == "f" else x


def floor(x: Any, /) -> Any:
    """The largest integer <= x, in the dtype of `x`.

    >>> import graphc as gc
    >>> float(gc.floor(-1.5))
    -2.0
    """
    return _rounded(FLOOR, x)


def ceil(x: Any, /) -> Any:
    """The smallest integer >= x, in the dtype of `x`.

    >>> import graphc as gc
    >>> float(gc.ceil(1.5))
    2.0
    """
    return _rounded(CEIL, x)


def trunc(x: Any, /) -> Any:
    """x without its fraction, in the dtype of `x`.

    >>> import graphc as gc
    >>> float(gc.trunc(-1.5))
    -1.0
    """
    return _rounded(TRUNC, x)


def round(x: Any, /) -> Any:
    """x to the nearest integer, halves to the even one, in the dtype of `x`.

    >>> import graphc as gc
    >>> float(gc.round(2.5))
    2.0
    """
    return _rounded(ROUND, x)


def sign(x: Any, /) -> Any:
    """-1, 0 or 1, in the dtype of `x`; nan for nan. The derivative is 0, at 0 too.

    >>> import graphc as gc
    >>> float(gc.sign(-3.0))
    -1.0
    """
    (x,) = lift(x)
    refuse_bool("sign", x)
    return apply(SIGN, x)


def floor_divide(x: Any, y: Any, /) -> Any:
    """floor(x / y), rounded once. Integers stay integers: x // 0 is 0, and the least one // -1 wraps to itself.

    >>> import graphc as gc
    >>> float(gc.floor_divide(-7.0, 2.0))
    -4.0
    """
    return _division(FLOOR_DIVIDE, x, y)


def remainder(x: Any, y: Any, /) -> Any:
    """x - y * floor(x / y), with the sign of `y`; for integers x % 0 is 0.

    By x the derivative is 1, by y it is -floor(x / y).

    >>> import graphc as gc
    >>> float(gc.remainder(-7.0, 2.0))
    1.0
    """
    return _division(REMAINDER, x, y)


def _division(op: Op, x: Any, y: Any) -> Any:
    operands = lift_promoted(x, y)
    refuse_bool(op.name, *operands)
    return apply(op, *broadcast_all(op.name, *operands))


ROWS = (FLOOR, CEIL, TRUNC, ROUND, SIGN, FLOOR_DIVIDE, REMAINDER)
