"""Activation functions that are composites: leaky_relu, elu, silu, gelu, log_sigmoid. `relu`, `sigmoid`, `softplus` and
`softmax` stand elsewhere; the names and defaults are PyTorch's.

All take floats; integers and bools compute in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..errors import DTypeError, message, user_line
from ..ir.apply import cast, lift
from .common import float_dtype
from .elementwise import add, greater, multiply, negative, where
from .exponential import expm1
from .logic import isinf
from .piecewise import maximum
from .power import pow
from .special import erfc, sigmoid, softplus

_ROOT_HALF = math.sqrt(0.5)
_ROOT_TWO_OVER_PI = math.sqrt(2.0 / math.pi)


def _floating(x: Any) -> Any:
    (x,) = lift(x)
    return cast(x, float_dtype(x))


def _gated(x: Any, gate: Callable[[Any], Any]) -> Any:
    """``x * gate(x)`` for a gate that goes from 0 to 1; at -inf and inf its limits, with derivatives 0 and 1."""
    far = isinf(x)
    near = where(far, 0.0, x)
    return where(far, maximum(x, 0.0), multiply(near, gate(near)))


def leaky_relu(x: Any, /, negative_slope: float = 0.01) -> Any:
    """x where x > 0, else ``negative_slope * x``; the derivative at 0 is `negative_slope`.

    >>> import graphc as gc
    >>> float(gc.leaky_relu(-2.0))
    -0.02
    """
    x = _floating(x)
    return where(greater(x, 0.0), x, multiply(negative_slope, x))


def elu(x: Any, /, alpha: float = 1.0) -> Any:
    """x where x > 0, else ``alpha * (exp(x) - 1)`` (Clevert and others 2015); the derivative at 0 is `alpha`.

    >>> import graphc as gc
    >>> round(float(gc.elu(-1.0)), 6)
    -0.632121
    """
    x = _floating(x)
    return where(greater(x, 0.0), x, multiply(alpha, expm1(x)))


def silu(x: Any, /) -> Any:
    """x * sigmoid(x), also called swish (Ramachandran and others 2017).

    >>> import graphc as gc
    >>> round(float(gc.silu(1.0)), 6)
    0.731059
    """
    return _gated(_floating(x), sigmoid)


def gelu(x: Any, /, approximate: str = "none") -> Any:
    """x * P(X <= x) for a standard normal X (Hendrycks and Gimpel 2016).

    approximate  "none": ``x * erfc(-x / sqrt(2)) / 2``, accurate for x far below 0 too; "tanh": the approximation
                 ``x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))) / 2``, off by at most 5e-4. Anything else is a
                 `DTypeError`

    >>> import graphc as gc
    >>> round(float(gc.gelu(1.0)), 6)
    0.841345
    """
    x = _floating(x)
    if approximate == "none":
        return _gated(x, lambda v: multiply(0.5, erfc(multiply(-_ROOT_HALF, v))))
    if approximate == "tanh":  # (1 + tanh(z)) / 2 = sigmoid(2 z)
        scale = 2.0 * _ROOT_TWO_OVER_PI
        return _gated(x, lambda v: sigmoid(multiply(scale, add(v, multiply(0.044715, pow(v, 3))))))
    raise DTypeError(
        message(
            "unknown approximation in gelu",
            got=repr(approximate),
            expected="'none' or 'tanh'",
            at=user_line(),
            created=False,
        )
    )


def log_sigmoid(x: Any, /) -> Any:
    """log(sigmoid(x)), accurate where the sigmoid underflows or rounds to 1: ``-softplus(-x)``.

    >>> import graphc as gc
    >>> float(gc.log_sigmoid(-1000.0))
    -1000.0
    """
    return negative(softplus(negative(_floating(x))))


__all__ = ["elu", "gelu", "leaky_relu", "log_sigmoid", "silu"]
