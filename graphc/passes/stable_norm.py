"""Norms: the gradient 0 at 0, and no square root that is squared again.

The square root of a sum of squares has a kink where all of them are 0. There its gradient is 0, as that of
`gc.vector_norm` is, and not the nan of 0 / 0.
"""

from __future__ import annotations

from ..ir.tensor import Tensor
from ..ops.elementwise import divide, multiply
from ..ops.piecewise import abs
from ..ops.power import hypot, pow, sqrt
from ..ops.statistics import zero_safe
from .patterns import (
    behind_views,
    is_not_negative,
    is_sum_of_squares,
    review,
    square_of_norm,
    square_root_of,
    unview,
)
from .rules import Match, Rule, number


def _root_of_square(inner: Tensor) -> Tensor | None:
    x = square_root_of(inner)
    return None if x is None else abs(x)


def _root_of_even_power(inner: Tensor) -> Tensor | None:
    exponent = inner.attrs["exponent"] if inner.op.name == "integer_pow" else 0
    return pow(abs(inner.inputs[0]), exponent // 2) if exponent > 2 and exponent % 2 == 0 else None


def _hypot(inner: Tensor) -> Tensor | None:
    if inner.op.name != "add":
        return None
    x, y = (square_root_of(part) for part in inner.inputs)
    return None if x is None or y is None else hypot(x, y)


def _norm(inner: Tensor) -> Tensor | None:
    return zero_safe(sqrt, inner) if is_sum_of_squares(inner) else None


_ROOTS: tuple[tuple[str, Match], ...] = (
    ("sqrt(x * x)", behind_views(_root_of_square)),
    ("sqrt(x**2n)", behind_views(_root_of_even_power)),
    ("sqrt(x * x + y * y)", behind_views(_hypot)),
    ("sqrt(sum(x * x))", behind_views(_norm)),
)


def _root(x: Tensor) -> Tensor:
    """sqrt(x), in the form that the rules give it."""
    node = sqrt(x)
    return next((found for _, match in _ROOTS if (found := match(node)) is not None), node)


def _half_power(node: Tensor) -> Tensor | None:
    """x**0.5 and x**-0.5 of what is not negative: for -inf, ``pow`` gives inf and ``sqrt`` nan."""
    base, exponent = node.inputs
    value = number(exponent)
    if value is None or value not in (0.5, -0.5) or not is_not_negative(base):
        return None
    return _root(base) if value > 0 else divide(1.0, _root(base))


# squares of norms


def _even_power_of_norm(node: Tensor) -> Tensor | None:
    exponent = node.attrs["exponent"]
    s = square_of_norm(node.inputs[0]) if exponent and exponent % 2 == 0 else None
    return None if s is None else pow(s, exponent // 2)


def _norm_times_itself(node: Tensor) -> Tensor | None:
    x, y = node.inputs
    return square_of_norm(x) if x is y else None


def _square_of_quotient(quotient: Tensor) -> Tensor | None:
    """``x * (x / s)`` for ``(x / sqrt(s))**2``: no root, no gradient of one; overflows only if the result does."""
    inner, views = unview(quotient)
    if inner.op.name != "divide":
        return None
    x, norm = inner.inputs
    s = None if unview(norm)[0].op.name in ("hypot", "abs") else square_of_norm(norm)  # whose squares may overflow
    return None if s is None else review(multiply(x, divide(x, s)), views)


def _even_power_of_quotient(node: Tensor) -> Tensor | None:
    exponent = node.attrs["exponent"]
    found = _square_of_quotient(node.inputs[0]) if exponent > 0 and exponent % 2 == 0 else None
    return None if found is None else pow(found, exponent // 2)


def _quotient_times_itself(node: Tensor) -> Tensor | None:
    x, y = node.inputs
    return _square_of_quotient(x) if x is y else None


RULES = (
    *(Rule(name, "sqrt", match) for name, match in _ROOTS),
    Rule("x**0.5", "pow", _half_power),
    Rule("norm(x)**2", "integer_pow", _even_power_of_norm),
    Rule("norm(x)**2", "multiply", _norm_times_itself),
    Rule("(x / norm(y))**2", "integer_pow", _even_power_of_quotient),
    Rule("(x / norm(y))**2", "multiply", _quotient_times_itself),
)
