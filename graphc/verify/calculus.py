"""Derivatives of SymPy expressions almost everywhere, and whether two are equal: proven, or at 50 digits."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .domains import DIGITS, functions

PROVEN, AGREES, DIFFERS, UNDECIDED = "proven", "agrees", "differs", "undecided"
_SIMPLIFY_LIMIT = 60
"""Differences of more operations than this are not given to SymPy's `simplify`, whose time nobody can foretell."""
_EXPAND_LIMIT = 600
_TERMS_LIMIT = 2000
"""Nor is what would have more terms than this, in all, multiplied out: (a + b + c)**60 is a short expression."""
_FOLD_LIMIT = 12


def derivative(expression: Any, x: Any) -> Any:
    """d expression / dx where it exists: floor, ceiling and sign are locally constant, |e| is sign(e) * e.

    That of the real part of loggamma is polygamma(0, .), which is real at negative numbers too.
    """
    import sympy as sp

    smooth = expression.replace(sp.Abs, lambda e: sp.sign(e) * e) if expression.has(sp.Abs) else expression
    real_parts = smooth.has(sp.re)
    if real_parts:
        smooth = smooth.replace(_is_log_gamma, lambda e: e.args[0])
    steps = {s: sp.Dummy("step", real=True) for s in smooth.atoms(sp.floor, sp.ceiling, sp.sign) if s.has(x)}
    result = sp.diff(smooth.xreplace(steps), x)
    if result.has(sp.Heaviside):
        half = sp.Rational(1, 2)
        result = result.replace(sp.Heaviside, lambda a, *_: sp.Piecewise((1, a > 0), (0, a < 0), (half, True)))
    result = result.xreplace({dummy: step for step, dummy in steps.items()})
    return result.replace(sp.loggamma, lambda e: sp.re(sp.loggamma(e))) if real_parts else result


def _is_log_gamma(e: Any) -> bool:
    import sympy as sp

    return isinstance(e, sp.re) and isinstance(e.args[0], sp.loggamma)


class Verdict(NamedTuple):
    """How two lists of expressions compare, the worst relative error, and where they differ.

    proven    how many of `compared` by algebra (the others agree at 50 digits)
    where     position of the first that differs, with both values
    """

    status: str
    error: float = 0.0
    proven: int = 0
    compared: int = 0
    where: tuple[int, str, str] | None = None


def compare(
    found: Sequence[Any],
    wanted: Sequence[Any],
    symbols: Sequence[Any],
    points: Sequence[Sequence[Any]],
    tolerance: float = 1e-13,
    deadline: float = float("inf"),
    algebra: bool = True,
) -> Verdict:
    """Compare expressions of `symbols`: first at `points`, to refute, then by algebra, to prove."""
    error, seen, where = _numeric(found, wanted, symbols, points, tolerance)
    count = len(found)
    if where is not None:
        return Verdict(DIFFERS, error, 0, count, where)
    proven = 0
    for f, w in zip(found, wanted, strict=True):
        proven += algebra and is_zero(f, w, deadline)
    if proven == count:
        return Verdict(PROVEN, 0.0, proven, count)
    return Verdict(AGREES if seen else UNDECIDED, error, proven, count)


def is_zero(found: Any, wanted: Any, deadline: float = float("inf")) -> bool:
    """Whether algebra shows `found` - `wanted` to be zero; False means only that it did not, or had no time to."""
    import sympy as sp

    if found == wanted:
        return True
    if time.monotonic() > deadline:
        return False
    difference = found - wanted
    if difference == 0:
        return True
    operations = difference.count_ops()
    if operations > _EXPAND_LIMIT or sum(expanded_sizes(difference).values()) > _TERMS_LIMIT:
        return False
    if difference.has(sp.Piecewise, sp.Max, sp.Min, sp.floor, sp.ceiling):
        return operations <= _FOLD_LIMIT and sp.piecewise_fold(difference) == 0
    if sp.expand(difference) == 0:
        return True
    return operations <= _SIMPLIFY_LIMIT and time.monotonic() < deadline and sp.simplify(difference) == 0


def expanded_sizes(expression: Any) -> dict[Any, int]:
    """How many terms each sum, product and whole power in an expression has once it is multiplied out.

    >>> import sympy as sp
    >>> a, b, c = sp.symbols("a b c")
    >>> max(expanded_sizes((a + b + c) ** 60 * sp.exp(a * (b + c))).values())
    1891
    """
    import sympy as sp

    terms: dict[Any, int] = {}
    sizes: dict[Any, int] = {}
    for e in sp.postorder_traversal(expression):
        if e in terms:
            continue
        below = [terms.get(a, 1) for a in e.args]
        size = 1
        if e.is_Add:
            size = sum(below)
        elif e.is_Mul:
            size = math.prod(below)
        elif e.is_Pow and e.exp.is_Integer:
            n = min(abs(int(e.exp)), _TERMS_LIMIT)
            size = math.comb(n + below[0] - 1, n)
        terms[e] = 1 if e.is_Pow and e.exp.is_negative else size  # below a line it stays one term
        if size > 1:
            sizes[e] = size
    return sizes


def _numeric(
    found: Sequence[Any], wanted: Sequence[Any], symbols: Sequence[Any], points: Any, tolerance: float
) -> tuple[float, int, tuple[int, str, str] | None]:
    """The worst relative error over the points where both are real numbers, how many there were, and a disagreement."""
    pairs = [k for k, (f, w) in enumerate(zip(found, wanted, strict=True)) if f != w]
    if not pairs:
        return 0.0, len(points), None
    at = numerically([e for k in pairs for e in (found[k], wanted[k])], symbols)
    worst, seen = 0.0, 0
    for point in points:
        values = at(point)
        if values is None or not all(_is_real(v) for v in values):
            continue
        seen += 1
        scale = max(1, *(abs(v) for v in values[1::2]))
        for k, f, w in zip(pairs, values[::2], values[1::2], strict=True):
            error = float(abs(f - w) / scale)
            worst = max(worst, error)
            if error > tolerance:
                return worst, seen, (k, short(f), short(w))
    return worst, seen, None


def _plain(value: Any) -> Any:
    """A number without an imaginary part of zero."""
    import mpmath

    if not isinstance(value, mpmath.mpc):
        return mpmath.mpf(value)
    return value.real if value.imag == 0 else value


def _is_real(value: Any) -> bool:
    import mpmath

    return not isinstance(value, mpmath.mpc) and bool(mpmath.isfinite(value))


def short(value: Any) -> str:
    """A number as errors show it."""
    import mpmath

    return mpmath.nstr(mpmath.mpf(value), 10)


def numerically(expressions: Sequence[Any], symbols: Sequence[Any]) -> Callable[[Sequence[Any]], Any]:
    """A function of a point that gives all `expressions` in 50 digits, or None where one has no value."""
    import mpmath
    import sympy as sp

    function = sp.lambdify(list(symbols), list(expressions), modules=[functions(mpmath.mp), "mpmath"], cse=True)

    def at(point: Sequence[Any]) -> list[Any] | None:
        with mpmath.workdps(DIGITS):
            try:
                values = function(*[v if isinstance(v, bool) else mpmath.mpf(v) for v in point])
                return [_plain(v) for v in values]
            except (ArithmeticError, ValueError, TypeError):
                return None

    return at
