"""Derivatives of SymPy expressions almost everywhere, and whether two are equal: proven, or at 50 digits."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .domains import DIGITS, functions

PROVEN, AGREES, DIFFERS, UNDECIDED = "proven", "agrees", "differs", "undecided"
_SIMPLIFY_LIMIT = 60
"""Differences of more operations than this are not given to SymPy's `simplify`, whose time nobody can foretell."""
_EXPAND_LIMIT = 600
_FOLD_LIMIT = 12


def derivative(expression: Any, x: Any) -> Any:
    """d expression / dx where it exists: floor, ceiling and sign are locally constant, |e| is sign(e) * e."""
    import sympy as sp

    smooth = expression.replace(sp.Abs, lambda e: sp.sign(e) * e) if expression.has(sp.Abs) else expression
    steps = {s: sp.Dummy("step", real=True) for s in smooth.atoms(sp.floor, sp.ceiling, sp.sign) if s.has(x)}
    result = sp.diff(smooth.xreplace(steps), x)
    if result.has(sp.Heaviside):
        half = sp.Rational(1, 2)
        result = result.replace(sp.Heaviside, lambda a, *_: sp.Piecewise((1, a > 0), (0, a < 0), (half, True)))
    return result.xreplace({dummy: step for step, dummy in steps.items()})


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
        proven += algebra and time.monotonic() < deadline and is_zero(f, w)
    if proven == count:
        return Verdict(PROVEN, 0.0, proven, count)
    return Verdict(AGREES if seen else UNDECIDED, error, proven, count)


def is_zero(found: Any, wanted: Any) -> bool:
    """Whether algebra shows `found` - `wanted` to be zero; False means only that it did not."""
    import sympy as sp

    if found == wanted:
        return True
    difference = found - wanted
    if difference == 0:
        return True
    operations = difference.count_ops()
    if operations > _EXPAND_LIMIT:
        return False
    if difference.has(sp.Piecewise, sp.Max, sp.Min, sp.floor, sp.ceiling):
        return operations <= _FOLD_LIMIT and sp.piecewise_fold(difference) == 0
    if sp.expand(difference) == 0:
        return True
    return operations <= _SIMPLIFY_LIMIT and sp.simplify(difference) == 0


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
