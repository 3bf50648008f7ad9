"""Exponentials and logarithms. Integers compute in float64; outside its domain a logarithm is nan, as in NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..ir.expr import Expr, call, select
from ..ir.lowering import Map
from ..ir.op import Arr, Op, Sample
from .batching import batch_elementwise
from .common import elementwise_infer, nary, unary
from .cotangent import ct_mul, zero_mul
from .elementwise import add, divide, equal, multiply, negative, where
from .forms import at_points, smooth
from .logic import logical_and

_INF, _NAN = math.inf, math.nan
_LN2, _LN10 = math.log(2.0), math.log(10.0)
_TINY, _HUGE = 1e-300, 1e300


EXP = smooth(
    "exp",
    np.exp,
    reverse=lambda out, x: out,
    forward=lambda out, x: exp(x),
    sympy=lambda sp, x: sp.exp(x),
    special=(709.5, -745.0, 88.5, -103.0),
)
EXP2 = smooth(
    "exp2",
    np.exp2,
    reverse=lambda out, x: multiply(_LN2, out),
    forward=lambda out, x: multiply(exp2(x), _LN2),
    sympy=lambda sp, x: 2**x,
    special=(1023.5, -1070.0, 10.0),
)
EXPM1 = smooth(
    "expm1",
    np.expm1,
    reverse=lambda out, x: exp(x),  # not out + 1, which cancels for x far below 0
    forward=lambda out, x: exp(x),
    sympy=lambda sp, x: sp.exp(x) - 1,
    special=(1e-20, 709.5, -745.0),
)
LOG = smooth(
    "log",
    np.log,
    reverse=lambda out, x: divide(1.0, x),
    forward=lambda out, x: divide(1.0, x),
    sympy=lambda sp, x: sp.log(x),
    low=0.3,
    high=4.0,
    special=(_TINY, _HUGE, 5e-324),
)
LOG1P = smooth(
    "log1p",
    np.log1p,
    reverse=lambda out, x: divide(1.0, add(1.0, x)),
    forward=lambda out, x: exp(negative(out)),
    sympy=lambda sp, x: sp.log(1 + x),
    low=-0.7,
    high=4.0,
    special=(1e-20, -1e-20, _HUGE),
)
LOG2 = smooth(
    "log2",
    np.log2,
    reverse=lambda out, x: divide(1.0 / _LN2, x),
    forward=lambda out, x: divide(1.0, multiply(_LN2, x)),
    sympy=lambda sp, x: sp.log(x, 2),
    low=0.3,
    high=4.0,
    special=(_TINY, _HUGE, 8.0, 0.125),
)
LOG10 = smooth(
    "log10",
    np.log10,
    reverse=lambda out, x: divide(1.0 / _LN10, x),
    forward=lambda out, x: divide(1.0, multiply(_LN10, x)),
    sympy=lambda sp, x: sp.log(x, 10),
    low=0.3,
    high=4.0,
    special=(_TINY, _HUGE, 1000.0, 0.01),
)


def _xlogy_numpy(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.where((x == 0) & ~np.isnan(y), x.dtype.type(0), x * np.log(y))


def _xlogy_lower(x: Expr, y: Expr) -> Expr:
    nothing = call("logical_and", call("eq", x, 0), call("eq", y, y))
    return select(nothing, 0, x * call("log", y))


def _ratio(x: Any, y: Any) -> Any:
    """``x / y``, and 0 where both are 0."""
    return divide(x, where(logical_and(equal(x, 0.0), equal(y, 0.0)), 1.0, y))


XLOGY = Op(
    "xlogy",
    elementwise_infer,
    _xlogy_numpy,
    Map(_xlogy_lower),
    vjp=(lambda ct, out, x, y: ct_mul(ct, log(y)), lambda ct, out, x, y: ct_mul(ct, _ratio(x, y))),
    jvp=(lambda t, out, x, y: zero_mul(t, log(y)), lambda t, out, x, y: zero_mul(t, _ratio(x, y))),
    batch=batch_elementwise,
    sympy=lambda sp, x, y: x * sp.log(y),
    samples=(
        Sample((Arr(), Arr(low=0.3, high=4.0))),
        Sample((Arr((5,), dtype="float32"), Arr((5,), low=0.3, high=4.0, dtype="float32"))),
        at_points((0.0, -0.0, 0.0, 0.0, 1.0, -2.0, 0.5, _NAN, 0.0), (0.0, 0.0, _INF, -1.0, 0.0, 0.0, -1.0, 1.0, _NAN)),
    ),
)


def exp(x: Any, /) -> Any:
    """e**x; the derivative is the result itself.

    >>> import graphc as gc
    >>> float(gc.exp(0.0))
    1.0
    """
    return unary(EXP, x, to_float=True)


def exp2(x: Any, /) -> Any:
    """2**x.

    >>> import graphc as gc
    >>> float(gc.exp2(3))
    8.0
    """
    return unary(EXP2, x, to_float=True)


def expm1(x: Any, /) -> Any:
    """e**x - 1, accurate where x is near 0.

    >>> import graphc as gc
    >>> float(gc.expm1(1e-20))
    1e-20
    """
    return unary(EXPM1, x, to_float=True)


def log(x: Any, /) -> Any:
    """The natural logarithm: -inf at 0, nan below.

    >>> import graphc as gc
    >>> float(gc.log(1.0))
    0.0
    """
    return unary(LOG, x, to_float=True)


def log1p(x: Any, /) -> Any:
    """log(1 + x), accurate where x is near 0; nan below -1.

    >>> import graphc as gc
    >>> float(gc.log1p(1e-20))
    1e-20
    """
    return unary(LOG1P, x, to_float=True)


def log2(x: Any, /) -> Any:
    """The logarithm of base 2.

    >>> import graphc as gc
    >>> float(gc.log2(8))
    3.0
    """
    return unary(LOG2, x, to_float=True)


def log10(x: Any, /) -> Any:
    """The logarithm of base 10.

    >>> import graphc as gc
    >>> float(gc.log10(1000))
    3.0
    """
    return unary(LOG10, x, to_float=True)


def xlogy(x: Any, y: Any, /) -> Any:
    """x * log(y), and 0 where x is 0 (unless y is nan).

    The derivative by x is log(y), so at x = y = 0 it is -inf, the limit of that of x * log(x); by y it is x / y, and 0
    where x is 0.

    >>> import graphc as gc
    >>> float(gc.xlogy(0.0, 0.0))
    0.0
    """
    return nary(XLOGY, x, y, to_float=True)


ROWS = (EXP, EXP2, EXPM1, LOG, LOG1P, LOG2, LOG10, XLOGY)
