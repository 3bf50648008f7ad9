"""Special functions: erf, erfc, lgamma and its derivatives, sigmoid, softplus, log1mexp, logaddexp.

Integers compute in float64. SciPy is the reference for values; it is imported where a value is computed, not before.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import DTypeError, message, user_line
from ..ir.dtypes import INT64
from ..ir.expr import Call, Expr, call, lit, select
from ..ir.lowering import Map
from ..ir.op import Arr, Op, Sample
from .batching import batch_elementwise
from .common import elementwise_infer, nary, unary
from .cotangent import ct_mul
from .elementwise import divide, equal, greater, multiply, negative, subtract, where
from .exponential import exp, expm1
from .forms import EXTREMES, at_points, by_name, points, smooth
from .logic import isinf, logical_and
from .power import square

_INF, _NAN = math.inf, math.nan
_LN2 = math.log(2.0)
_TWO_OVER_ROOT_PI = 2.0 / math.sqrt(math.pi)


def _scipy(name: str) -> Callable[[np.ndarray], np.ndarray]:
    """``scipy.special.<name>``, which keeps float32."""

    def meaning(x: np.ndarray) -> np.ndarray:
        from scipy import special

        return getattr(special, name)(x)

    return meaning


def _lgamma_numpy(x: np.ndarray) -> np.ndarray:
    """SciPy's gammaln, but inf at -inf, as the C standard and the poles below 0 have it."""
    return np.where(x == -_INF, x.dtype.type(_INF), _scipy("gammaln")(x))


def _gauss(x: Any) -> Any:
    """2 / sqrt(pi) * exp(-x**2)"""
    return multiply(_TWO_OVER_ROOT_PI, exp(negative(square(x))))


ERF = smooth(
    "erf",
    _scipy("erf"),
    reverse=lambda out, x: _gauss(x),
    forward=lambda out, x: _gauss(x),
    sympy=lambda sp, x: sp.erf(x),
    special=(1e-20, 6.0, -30.0),
)
ERFC = smooth(
    "erfc",
    _scipy("erfc"),
    reverse=lambda out, x: negative(_gauss(x)),
    forward=lambda out, x: negative(_gauss(x)),
    sympy=lambda sp, x: sp.erfc(x),
    special=(1e-20, 6.0, 26.0, -30.0),
)
LGAMMA = smooth(
    "lgamma",
    _lgamma_numpy,
    reverse=lambda out, x: digamma(x),
    forward=lambda out, x: digamma(x),
    sympy=lambda sp, x: sp.re(sp.loggamma(x)),  # complex where x is negative
    low=0.3,
    high=6.0,
    special=(0.5, -0.5, -2.5, -3.0, 2.0, 1e-20, 1e5, 171.5),
)
DIGAMMA = smooth(
    "digamma",
    _scipy("digamma"),
    reverse=lambda out, x: polygamma(1, x),
    forward=lambda out, x: polygamma(1, x),
    sympy=lambda sp, x: sp.digamma(x),
    low=0.3,
    high=6.0,
    special=(0.5, -0.5, -2.5, -3.0, 1e-10, 1e5),
    tolerance=1e-11,
)


def _polygamma_numpy(x: np.ndarray, n: int) -> np.ndarray:
    from scipy import special

    return np.asarray(special.polygamma(n, x)).astype(x.dtype)


def _polygamma_lower(x: Expr, n: int) -> Expr:
    return Call("polygamma", (lit(n, INT64), x), x.dtype)


POLYGAMMA = Op(
    "polygamma",
    elementwise_infer,
    _polygamma_numpy,
    Map(_polygamma_lower),
    vjp=(lambda ct, out, x, n: ct_mul(ct, polygamma(n + 1, x)),),
    jvp=(lambda t, out, x, n: ct_mul(t, polygamma(n + 1, x)),),
    batch=batch_elementwise,
    sympy=lambda sp, x, n: sp.polygamma(n, x),
    samples=(
        *(Sample((Arr(low=0.3, high=6.0),), {"n": n}) for n in (1, 2, 3)),
        Sample((Arr((5,), low=0.3, high=6.0, dtype="float32"),), {"n": 1}),
        Sample((points(0.5, 30.0, 1e5, _INF, _NAN),), {"n": 1}, differentiable=False),
    ),
    tolerance=1e-10,
)

SIGMOID = smooth(
    "sigmoid",
    _scipy("expit"),
    reverse=lambda out, x: multiply(out, sigmoid(negative(x))),  # not 1 - out, which cancels for x far above 0
    forward=lambda out, x: multiply(sigmoid(x), sigmoid(negative(x))),
    sympy=lambda sp, x: 1 / (1 + sp.exp(-x)),
    special=(40.0, -745.0, -1000.0, 1000.0),
)
SOFTPLUS = smooth(
    "softplus",
    lambda x: np.logaddexp(x.dtype.type(0), x),
    reverse=lambda out, x: sigmoid(x),
    forward=lambda out, x: sigmoid(x),
    sympy=lambda sp, x: sp.log(1 + sp.exp(x)),
    special=(40.0, -745.0, -1000.0, 1000.0),
)


def _log1mexp_numpy(x: np.ndarray) -> np.ndarray:
    return np.where(x > x.dtype.type(-_LN2), np.log(-np.expm1(x)), np.log1p(-np.exp(x)))


def _log1mexp_lower(x: Expr) -> Expr:
    return select(call("gt", x, -_LN2), call("log", -call("expm1", x)), call("log1p", -call("exp", x)))


LOG1MEXP = Op(
    "log1mexp",
    elementwise_infer,
    _log1mexp_numpy,
    Map(_log1mexp_lower),
    vjp=(lambda ct, out, x: ct_mul(ct, divide(-1.0, expm1(subtract(0.0, x)))),),  # 0 - x: -x has the wrong sign at 0
    jvp=(lambda t, out, x: ct_mul(t, negative(exp(subtract(x, out)))),),
    batch=batch_elementwise,
    sympy=lambda sp, x: sp.log(1 - sp.exp(x)),
    samples=(
        Sample((Arr(low=-3.0, high=-0.3),)),
        Sample((Arr((5,), low=-3.0, high=-0.3, dtype="float32"),)),
        at_points((*EXTREMES, -1e-300, -1e-20, -0.6931471805599453, -40.0, -745.0, -1000.0)),
        at_points((*EXTREMES, -1e-30, -1e-10, -0.6931472, -20.0, -100.0), dtype="float32"),
    ),
)


def _unless_infinite(x: Any, y: Any, weight: Any) -> Any:
    """`weight`, but where both operands are -inf, 0: the sum of exponentials is 0; and where both are inf, a half."""
    both = logical_and(equal(x, y), isinf(x))
    return where(logical_and(both, greater(x, 0.0)), 0.5, where(both, 0.0, weight))


LOGADDEXP = Op(
    "logaddexp",
    elementwise_infer,
    np.logaddexp,
    by_name("logaddexp"),
    vjp=(
        lambda ct, out, x, y: ct_mul(ct, _unless_infinite(x, y, sigmoid(subtract(x, y)))),
        lambda ct, out, x, y: ct_mul(ct, _unless_infinite(x, y, sigmoid(subtract(y, x)))),
    ),
    jvp=(
        lambda t, out, x, y: ct_mul(t, _unless_infinite(x, y, exp(negative(softplus(subtract(y, x)))))),
        lambda t, out, x, y: ct_mul(t, _unless_infinite(x, y, exp(negative(softplus(subtract(x, y)))))),
    ),
    batch=batch_elementwise,
    sympy=lambda sp, x, y: sp.log(sp.exp(x) + sp.exp(y)),
    samples=(
        Sample((Arr(), Arr())),
        Sample((Arr((5,), dtype="float32"), Arr((5,), dtype="float32"))),
        at_points((*EXTREMES, 1000.0, -1000.0, -_INF), (0.0, 0.0, _INF, 1.0, -_INF, 3.0, 1.0, 1000.0, 1.0, -_INF)),
    ),
    traits=frozenset({"commutative"}),
)


def erf(x: Any, /) -> Any:
    """The error function, 2 / sqrt(pi) times the integral of exp(-t**2) from 0 to x (DLMF 7.2.1).

    >>> import graphc as gc
    >>> float(gc.erf(0.0))
    0.0
    """
    return unary(ERF, x, to_float=True)


def erfc(x: Any, /) -> Any:
    """1 - erf(x), accurate where that is small (DLMF 7.2.2).

    >>> import graphc as gc
    >>> float(gc.erfc(0.0))
    1.0
    """
    return unary(ERFC, x, to_float=True)


def lgamma(x: Any, /) -> Any:
    """log(abs(gamma(x))): inf at 0 and the negative integers; the derivative is `digamma`.

    >>> import graphc as gc
    >>> float(gc.lgamma(1.0))
    0.0
    """
    return unary(LGAMMA, x, to_float=True)


def digamma(x: Any, /) -> Any:
    """The derivative of log(gamma(x)) (DLMF 5.2.2).

    >>> import graphc as gc
    >>> round(float(gc.digamma(1.0)), 6)
    -0.577216
    """
    return unary(DIGAMMA, x, to_float=True)


def polygamma(n: int, x: Any, /) -> Any:
    """The n-th derivative of `digamma` (DLMF 5.15); `n` is a Python int >= 0, anything else a `DTypeError`.

    >>> import graphc as gc
    >>> round(float(gc.polygamma(1, 1.0)), 6)
    1.644934
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 0:
        raise DTypeError(
            message("bad order in polygamma", got=repr(n), expected="a Python int >= 0", at=user_line(), created=False)
        )
    return digamma(x) if n == 0 else unary(POLYGAMMA, x, to_float=True, n=int(n))


def sigmoid(x: Any, /) -> Any:
    """1 / (1 + exp(-x)), without overflow; the derivative is ``sigmoid(x) * sigmoid(-x)``.

    >>> import graphc as gc
    >>> float(gc.sigmoid(0.0))
    0.5
    """
    return unary(SIGMOID, x, to_float=True)


def softplus(x: Any, /) -> Any:
    """log(1 + exp(x)), without overflow or cancellation; the derivative is `sigmoid`.

    >>> import graphc as gc
    >>> float(gc.softplus(1000.0))
    1000.0
    """
    return unary(SOFTPLUS, x, to_float=True)


def log1mexp(x: Any, /) -> Any:
    """log(1 - exp(x)) for x <= 0, accurate near 0 and far below it (Maechler 2012); -inf at 0, nan above.

    >>> import graphc as gc
    >>> float(gc.log1mexp(-1000.0))
    -0.0
    """
    return unary(LOG1MEXP, x, to_float=True)


def logaddexp(x: Any, y: Any, /) -> Any:
    """log(exp(x) + exp(y)), without overflow or underflow.

    The derivatives are sigmoids of x - y and y - x. They are 0 where both are -inf, and a half each, as of `maximum`,
    where both are inf: how fast each got there, which decides the limit, is not known any more.

    >>> import graphc as gc
    >>> float(gc.logaddexp(1000.0, 0.0))
    1000.0
    """
    return nary(LOGADDEXP, x, y, to_float=True)


ROWS = (ERF, ERFC, LGAMMA, DIGAMMA, POLYGAMMA, SIGMOID, SOFTPLUS, LOG1MEXP, LOGADDEXP)
