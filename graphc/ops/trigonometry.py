"""Trigonometric and hyperbolic functions and their inverses. Angles are in radians.

Integers compute in float64. Outside its domain a function is nan, as in NumPy; derivatives are written in the form that
stays accurate at the ends of the domain.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..ir.op import Arr, Op, Sample
from .batching import batch_elementwise
from .common import elementwise_infer, nary, unary
from .cotangent import ct_mul
from .elementwise import add, divide, equal, multiply, negative, subtract, where
from .forms import at_points, by_name, smooth
from .power import hypot, rsqrt, sqrt, square

_INF, _NAN = math.inf, math.nan


SIN = smooth(
    "sin",
    np.sin,
    reverse=lambda out, x: cos(x),
    forward=lambda out, x: cos(x),
    sympy=lambda sp, x: sp.sin(x),
    special=(1e-20, 100.0, -1000.0),
)
COS = smooth(
    "cos",
    np.cos,
    reverse=lambda out, x: negative(sin(x)),
    forward=lambda out, x: negative(sin(x)),
    sympy=lambda sp, x: sp.cos(x),
    special=(1e-20, 100.0, -1000.0),
)
TAN = smooth(
    "tan",
    np.tan,
    reverse=lambda out, x: add(1.0, square(out)),
    forward=lambda out, x: divide(1.0, square(cos(x))),
    sympy=lambda sp, x: sp.tan(x),
    low=-1.2,
    high=1.2,
    special=(1e-20, 100.0),
)


def _asin_slope(x: Any) -> Any:
    """1 / sqrt(1 - x**2), without cancellation near +-1; 1 / cos(asin(x)) is finite at 1, for no float is pi / 2."""
    return rsqrt(multiply(subtract(1.0, x), add(1.0, x)))


ASIN = smooth(
    "asin",
    np.arcsin,
    reverse=lambda out, x: _asin_slope(x),
    forward=lambda out, x: _asin_slope(x),
    sympy=lambda sp, x: sp.asin(x),
    low=-0.9,
    high=0.9,
    special=(1e-20, 1.5),
)
ACOS = smooth(
    "acos",
    np.arccos,
    reverse=lambda out, x: negative(_asin_slope(x)),
    forward=lambda out, x: negative(_asin_slope(x)),
    sympy=lambda sp, x: sp.acos(x),
    low=-0.9,
    high=0.9,
    special=(1e-20, 1.5),
)
ATAN = smooth(
    "atan",
    np.arctan,
    reverse=lambda out, x: divide(1.0, add(1.0, square(x))),
    forward=lambda out, x: square(cos(out)),
    sympy=lambda sp, x: sp.atan(x),
    special=(1e-20, 1e20),
)
SINH = smooth(
    "sinh",
    np.sinh,
    reverse=lambda out, x: cosh(x),
    forward=lambda out, x: cosh(x),
    sympy=lambda sp, x: sp.sinh(x),
    special=(1e-20, 710.0, -710.0),
)
COSH = smooth(
    "cosh",
    np.cosh,
    reverse=lambda out, x: sinh(x),
    forward=lambda out, x: sinh(x),
    sympy=lambda sp, x: sp.cosh(x),
    special=(1e-20, 710.0, -710.0),
)
TANH = smooth(
    "tanh",
    np.tanh,
    reverse=lambda out, x: subtract(1.0, square(out)),
    forward=lambda out, x: divide(1.0, square(cosh(x))),
    sympy=lambda sp, x: sp.tanh(x),
    special=(1e-20, 30.0, -400.0),
)
ASINH = smooth(
    "asinh",
    np.arcsinh,
    reverse=lambda out, x: rsqrt(add(square(x), 1.0)),
    forward=lambda out, x: divide(1.0, cosh(out)),
    sympy=lambda sp, x: sp.asinh(x),
    special=(1e-20, 1e20, -1e20),
)
ACOSH = smooth(
    "acosh",
    np.arccosh,
    reverse=lambda out, x: divide(1.0, multiply(sqrt(subtract(x, 1.0)), sqrt(add(x, 1.0)))),
    forward=lambda out, x: divide(1.0, sinh(out)),
    sympy=lambda sp, x: sp.acosh(x),
    low=1.2,
    high=4.0,
    special=(1e20, 1.0000001),
)
ATANH = smooth(
    "atanh",
    np.arctanh,
    reverse=lambda out, x: divide(1.0, multiply(subtract(1.0, x), add(1.0, x))),
    forward=lambda out, x: square(cosh(out)),
    sympy=lambda sp, x: sp.atanh(x),
    low=-0.8,
    high=0.8,
    special=(1e-20, 0.9999999, 1.5),
)


def _over_square(part: Any, y: Any, x: Any) -> Any:
    """``part / (x**2 + y**2)`` without overflow or underflow of the squares."""
    radius = hypot(x, y)
    return divide(divide(part, radius), radius)


def _radius(x: Any, y: Any) -> Any:
    """The distance from the origin, and nan there: it has no direction."""
    radius = hypot(x, y)
    return where(equal(radius, 0.0), _NAN, radius)


ATAN2 = Op(
    "atan2",
    elementwise_infer,
    np.arctan2,
    by_name("atan2"),
    vjp=(
        lambda ct, out, y, x: ct_mul(ct, _over_square(x, y, x)),
        lambda ct, out, y, x: ct_mul(ct, negative(_over_square(y, y, x))),
    ),
    jvp=(
        lambda t, out, y, x: ct_mul(t, divide(cos(out), _radius(x, y))),
        lambda t, out, y, x: ct_mul(t, divide(negative(sin(out)), _radius(x, y))),
    ),
    batch=batch_elementwise,
    sympy=lambda sp, y, x: sp.atan2(y, x),
    samples=(
        Sample((Arr(), Arr(low=0.5, high=2.0))),
        Sample((Arr((5,), low=0.5, high=2.0, dtype="float32"), Arr((5,), low=-2.0, high=-0.5, dtype="float32"))),
        at_points((0.0, -0.0, 0.0, -0.0, 1.0, _INF, _NAN), (0.0, 0.0, -0.0, -1.0, 0.0, -_INF, 1.0)),
    ),
)


def sin(x: Any, /) -> Any:
    """The sine of x, in radians.

    >>> import graphc as gc
    >>> float(gc.sin(0.0))
    0.0
    """
    return unary(SIN, x, to_float=True)


def cos(x: Any, /) -> Any:
    """The cosine of x, in radians.

    >>> import graphc as gc
    >>> float(gc.cos(0.0))
    1.0
    """
    return unary(COS, x, to_float=True)


def tan(x: Any, /) -> Any:
    """The tangent of x, in radians.

    >>> import graphc as gc
    >>> float(gc.tan(0.0))
    0.0
    """
    return unary(TAN, x, to_float=True)


def asin(x: Any, /) -> Any:
    """The angle in [-pi/2, pi/2] whose sine is x; nan outside [-1, 1], and an infinite derivative at its ends.

    >>> import graphc as gc
    >>> float(gc.asin(0.0))
    0.0
    """
    return unary(ASIN, x, to_float=True)


def acos(x: Any, /) -> Any:
    """The angle in [0, pi] whose cosine is x; nan outside [-1, 1], and an infinite derivative at its ends.

    >>> import graphc as gc
    >>> float(gc.acos(1.0))
    0.0
    """
    return unary(ACOS, x, to_float=True)


def atan(x: Any, /) -> Any:
    """The angle in [-pi/2, pi/2] whose tangent is x.

    >>> import graphc as gc
    >>> float(gc.atan(0.0))
    0.0
    """
    return unary(ATAN, x, to_float=True)


def sinh(x: Any, /) -> Any:
    """(e**x - e**-x) / 2.

    >>> import graphc as gc
    >>> float(gc.sinh(0.0))
    0.0
    """
    return unary(SINH, x, to_float=True)


def cosh(x: Any, /) -> Any:
    """(e**x + e**-x) / 2.

    >>> import graphc as gc
    >>> float(gc.cosh(0.0))
    1.0
    """
    return unary(COSH, x, to_float=True)


def tanh(x: Any, /) -> Any:
    """sinh(x) / cosh(x); the derivative is ``1 - tanh(x)**2``.

    >>> import graphc as gc
    >>> float(gc.tanh(0.0))
    0.0
    """
    return unary(TANH, x, to_float=True)


def asinh(x: Any, /) -> Any:
    """The inverse of `sinh`.

    >>> import graphc as gc
    >>> float(gc.asinh(0.0))
    0.0
    """
    return unary(ASINH, x, to_float=True)


def acosh(x: Any, /) -> Any:
    """The inverse of `cosh` on [0, inf): nan below 1, and an infinite derivative at 1.

    >>> import graphc as gc
    >>> float(gc.acosh(1.0))
    0.0
    """
    return unary(ACOSH, x, to_float=True)


def atanh(x: Any, /) -> Any:
    """The inverse of `tanh`: infinite at -1 and 1, nan outside.

    >>> import graphc as gc
    >>> float(gc.atanh(0.0))
    0.0
    """
    return unary(ATANH, x, to_float=True)


def atan2(y: Any, x: Any, /) -> Any:
    """The angle of the point (x, y), in [-pi, pi]; the gradient at the origin is nan, for there is none.

    >>> import graphc as gc
    >>> float(gc.atan2(0.0, 1.0))
    0.0
    """
    return nary(ATAN2, y, x, to_float=True)


ROWS = (SIN, COS, TAN, ASIN, ACOS, ATAN, ATAN2, SINH, COSH, TANH, ASINH, ACOSH, ATANH)
