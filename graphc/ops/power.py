"""Powers and roots: pow, square, reciprocal, sqrt, cbrt, rsqrt, hypot.

A power whose exponent is a Python or NumPy number with an integer value is the row ``integer_pow``: its derivatives
``n * x**(n - 1)`` are right at 0 and below to every order, and small ones are multiplications. Every other power is
the row ``pow``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..ir.apply import apply, is_tensor, lift, lift_promoted
from ..ir.dims import Dim
from ..ir.expr import Expr, call, lit
from ..ir.lowering import Map
from ..ir.op import Arr, Op, Sample
from .batching import batch_elementwise
from .common import broadcast_all, dtype_error, elementwise_infer, nary, refuse_bool, unary
from .cotangent import ZERO, ct_mul
from .elementwise import add, divide, equal, multiply, stop_gradient, subtract, where
from .forms import at_points, by_name, points, smooth
from .logic import isinf, logical_or
from .rounding import sign

_INF, _NAN = math.inf, math.nan
_MULTIPLIED = 8
"""Up to this exponent a power is a product: at most 3.5 units in the last place from the exact value."""
_LARGEST = 1024
"""Integer exponents of greater magnitude are left to ``pow``."""


# integer_pow


def _product(x: Expr, n: int) -> Expr:
    """x**n for n >= 1, by repeated squaring."""
    if n == 1:
        return x
    half = _product(x, n // 2)
    squared = half * half
    return squared * x if n % 2 else squared


def _integer_pow_lower(x: Expr, exponent: int) -> Expr:
    if exponent == 0:
        return lit(1, x.dtype)
    if abs(exponent) > _MULTIPLIED:
        return call("pow", x, exponent)
    if exponent < 0:
        return 1.0 / _product(x, -exponent)
    return _product(x, exponent)


def _integer_pow_vjp(ct: Any, out: Any, x: Any, exponent: int) -> Any:
    return ZERO if exponent == 0 else ct_mul(ct, multiply(exponent, pow(x, exponent - 1)))


def _integer_pow_jvp(t: Any, out: Any, x: Any, exponent: int) -> Any:
    return ZERO if exponent == 0 else multiply(exponent, ct_mul(t, pow(x, exponent - 1)))


def _integer_pow_samples() -> tuple[Sample, ...]:
    floats = [Sample((Arr((5,), low=0.5, high=2.0),), {"exponent": n}) for n in (-3, -1, 2, 3, 7, 12)]
    edges = [
        Sample((points(0.0, -0.0, -1.5, _INF, -_INF, _NAN, dtype=dtype),), {"exponent": n}, differentiable=False)
        for dtype in ("float64", "float32")
        for n in (-2, 0, 2, 3)
    ]
    at_zero = [Sample((points(0.0, -1.5, 2.0),), {"exponent": n}) for n in (0, 2, 3, 4)]
    ints = [
        Sample((Arr((5,), low=-5, high=5, dtype=dtype),), {"exponent": n}, differentiable=False)
        for dtype in ("int8", "int64")
        for n in (0, 2, 5, 11)
    ]
    return (*floats, *edges, *at_zero, *ints)


INTEGER_POW = Op(
    "integer_pow",
    elementwise_infer,
    lambda x, exponent: np.power(x, x.dtype.type(exponent)),
    Map(_integer_pow_lower),
    vjp=(_integer_pow_vjp,),
    jvp=(_integer_pow_jvp,),
    batch=batch_elementwise,
    sympy=lambda sp, x, exponent: x**exponent,
    samples=_integer_pow_samples(),
)


# pow


def _pow_numpy(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    if x.dtype.kind == "f":
        return np.power(x, y)
    zero = x.dtype.type(0)
    return np.where(y < zero, zero, np.power(x, np.maximum(y, zero)))


def _by_base(x: Any, y: Any) -> Any:
    """d x**y / dx: ``y * x**(y - 1)``, and 0 where y is 0, at x = 0 too; its derivative by y there is ``1 / x``."""
    return ct_mul(y, pow(x, subtract(y, 1.0)))


def _by_exponent(out: Any, x: Any) -> Any:
    """d x**y / dy: ``x**y * log(x)``, with 0 in place of the logarithm where x is 0."""
    from .exponential import log

    return multiply(out, log(where(equal(x, 0.0), 1.0, x)))


POW = Op(
    "pow",
    elementwise_infer,
    _pow_numpy,
    by_name("pow"),
    vjp=(lambda ct, out, x, y: ct_mul(ct, _by_base(x, y)), lambda ct, out, x, y: ct_mul(ct, _by_exponent(out, x))),
    jvp=(lambda t, out, x, y: ct_mul(t, _by_base(x, y)), lambda t, out, x, y: ct_mul(t, _by_exponent(out, x))),
    batch=batch_elementwise,
    sympy=lambda sp, x, y: x**y,
    samples=(
        Sample((Arr(low=0.3, high=3.0), Arr())),
        Sample((Arr((5,), low=0.3, high=3.0, dtype="float32"), Arr((5,), dtype="float32"))),
        at_points((0.0, 0.0, -0.0, -2.0, -2.0, _INF, _NAN, 1.0), (0.0, 2.0, -1.0, 3.0, 0.5, -1.0, 0.0, _NAN)),
        at_points((2, -3, 7, 0, -1), (6, 3, 0, 0, -3), dtype="int64"),
        at_points((2, -3, 7, 0), (9, 3, 5, 0), dtype="int8"),
        at_points((2, 3, 0), (63, 41, 0), dtype="uint64"),
    ),
)


# roots

SQRT = smooth(
    "sqrt",
    np.sqrt,
    reverse=lambda out, x: divide(0.5, out),
    forward=lambda out, x: divide(0.5, sqrt(x)),
    sympy=lambda sp, x: sp.sqrt(x),
    low=0.3,
    high=4.0,
    special=(1e-300, 1e300),
)

CBRT = smooth(
    "cbrt",
    np.cbrt,
    reverse=lambda out, x: divide(1.0, multiply(3.0, square(out))),
    forward=lambda out, x: divide(divide(1.0, out), multiply(3.0, out)),
    sympy=lambda sp, x: sp.sign(x) * sp.Abs(x) ** sp.Rational(1, 3),
    low=0.3,
    high=4.0,
    special=(1e-300, -1e300, 5e-324, 27.0, -1000.0),
)


def _share(which: int, x: Any, y: Any, out: Any) -> Any:
    """x (or y) over ``hypot(x, y)``, and 0 at the origin; there, and where `out` is infinite, its derivatives are 0."""
    origin, far = equal(out, 0.0), isinf(out)
    *scaled, length = map(stop_gradient, _scaled(x, y))
    above, below = where(far, scaled[which], (x, y)[which]), where(far, length, where(origin, 1.0, out))
    return where(origin, 0.0, divide(above, below))


def _scaled(x: Any, y: Any) -> tuple[Any, Any, Any]:
    """(x, y) times a small number, or the signs of what is infinite in it, and the length of that."""
    small = 2.0 ** -(np.finfo(x.dtype).maxexp // 2 + 1)
    either = logical_or(isinf(x), isinf(y))
    a, b = (where(either, where(isinf(v), sign(v), 0.0), multiply(small, v)) for v in (x, y))
    return a, b, sqrt(add(multiply(a, a), multiply(b, b)))


HYPOT = Op(
    "hypot",
    elementwise_infer,
    np.hypot,
    by_name("hypot"),
    vjp=(
        lambda ct, out, x, y: ct_mul(ct, _share(0, x, y, out)),
        lambda ct, out, x, y: ct_mul(ct, _share(1, x, y, out)),
    ),
    jvp=(
        lambda t, out, x, y: ct_mul(t, _share(0, x, y, out)),
        lambda t, out, x, y: ct_mul(t, _share(1, x, y, out)),
    ),
    batch=batch_elementwise,
    sympy=lambda sp, x, y: sp.sqrt(x**2 + y**2),
    samples=(
        Sample((Arr(), Arr(low=0.5, high=2.0))),
        Sample((Arr((5,), dtype="float32"), Arr((5,), low=-2.0, high=-0.5, dtype="float32"))),
        at_points((0.0, 3.0, 1e200, 1e-200, _INF, _NAN, _NAN), (0.0, -4.0, 1e200, 1e-200, _NAN, 1.0, -_INF)),
    ),
    traits=frozenset({"commutative"}),
)


# functions


def _known(exponent: Any) -> np.ndarray | None:
    """The exponent where it is data, not a tensor."""
    return None if is_tensor(exponent) or isinstance(exponent, Dim) else np.asarray(exponent)


def _integer_value(exponent: Any) -> int | None:
    """The exponent as an int where it is a number with an integer value of moderate size."""
    known = _known(exponent)
    if known is None or known.ndim or known.dtype.kind not in "iuf" or not abs(known) <= _LARGEST:
        return None
    return int(known) if known == np.trunc(known) else None


def _refuse_negative_integer(x: Any, y: Any) -> None:
    known = _known(y)
    if known is not None and known.dtype.kind == "i" and np.any(known < 0):
        x, y = lift(x, y)
        if x.dtype.kind != "f":
            expected = f"exponents >= 0 for integers, not {np.min(known)}"
            raise dtype_error("pow", (x, y), expected, "use floats: x ** -1.0, or astype(x, 'float64')")


def pow(x: Any, y: Any, /) -> Any:
    """Elementwise x**y; a negative base with a fractional exponent gives nan.

    By x the derivative is ``y * x**(y - 1)``, everywhere 0 for y = 0; by y it is ``x**y * log(x)``, 0 for x = 0 with
    y >= 0, and nan for negative x. Integers stay integers and wrap; then a negative number as exponent is a
    `DTypeError`, and a negative element of a tensor of exponents gives 0. bools are a `DTypeError`.

    >>> import graphc as gc
    >>> float(gc.pow(2.0, 3))
    8.0
    """
    _refuse_negative_integer(x, y)
    lifted = lift_promoted(x, y)
    refuse_bool("pow", *lifted)
    exponent = _integer_value(y)
    if exponent is None:
        return apply(POW, *broadcast_all("pow", *lifted))
    return lifted[0] if exponent == 1 else apply(INTEGER_POW, lifted[0], exponent=exponent)


def square(x: Any, /) -> Any:
    """Elementwise x * x, in the dtype of `x` (bools as int64).

    >>> import graphc as gc
    >>> float(gc.square(3.0))
    9.0
    """
    return pow(x, 2)


def reciprocal(x: Any, /) -> Any:
    """Elementwise 1 / x; integers compute in float64.

    >>> import graphc as gc
    >>> float(gc.reciprocal(4))
    0.25
    """
    return divide(1.0, x)


def sqrt(x: Any, /) -> Any:
    """The square root: nan below 0, and an infinite derivative at 0 (a cotangent of 0 stays 0).

    >>> import graphc as gc
    >>> float(gc.sqrt(9))
    3.0
    """
    return unary(SQRT, x, to_float=True)


def cbrt(x: Any, /) -> Any:
    """The cube root, of negative numbers too; infinite derivative at 0 (a cotangent of 0 stays 0).

    >>> import graphc as gc
    >>> float(gc.cbrt(-27.0))
    -3.0
    """
    return unary(CBRT, x, to_float=True)


def rsqrt(x: Any, /) -> Any:
    """1 / sqrt(x).

    >>> import graphc as gc
    >>> float(gc.rsqrt(4))
    0.5
    """
    return divide(1.0, sqrt(x))


def hypot(x: Any, y: Any, /) -> Any:
    """sqrt(x**2 + y**2) without overflow or underflow of the squares; the gradient at (0, 0) is 0.

    The gradient is a unit vector everywhere else, where the result is infinite too: (1, 0) where only x is inf, and
    (sqrt(1/2), sqrt(1/2)), the limit along x = y, where both are. There the second derivatives are 0.

    >>> import graphc as gc
    >>> float(gc.hypot(3, 4))
    5.0
    """
    return nary(HYPOT, x, y, to_float=True)


ROWS = (INTEGER_POW, POW, SQRT, CBRT, HYPOT)
