"""What a float of a program means in mathematics: the well-known number it is nearest to, else its shortest decimal."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

_WELL_KNOWN = (
    "pi",
    "1/pi",
    "2/pi",
    "pi/2",
    "2*pi",
    "sqrt(pi)",
    "1/sqrt(pi)",
    "2/sqrt(pi)",
    "sqrt(2)",
    "1/sqrt(2)",
    "sqrt(2*pi)",
    "1/sqrt(2*pi)",
    "sqrt(2/pi)",
    "log(2)",
    "1/log(2)",
    "log(10)",
    "1/log(10)",
    "log(pi)",
    "log(2*pi)",
    "log(2*pi)/2",
    "E",
    "1/E",
    "EulerGamma",
)
_SHORT = 15
"""Decimals of up to this many digits are taken as written (0.1 is 1/10), longer ones as the binary fraction."""


@functools.cache
def _table() -> tuple[tuple[float, Any], ...]:
    import sympy as sp

    return tuple((float(sp.N(sp.sympify(text), 40)), sp.sympify(text)) for text in _WELL_KNOWN)


@functools.lru_cache(maxsize=4096)
def _exact(value: float, single: bool) -> Any:
    import sympy as sp

    if math.isnan(value):
        return sp.nan
    if math.isinf(value):
        return sp.oo if value > 0 else -sp.oo
    if value == int(value):
        return sp.Integer(int(value))
    tolerance = 1e-7 if single else 4e-16
    for number, meaning in _table():
        if math.isclose(abs(value), number, rel_tol=tolerance):
            return meaning if value > 0 else -meaning
    text = str(np.float32(value)) if single else repr(value)
    digits = sum(c.isdigit() for c in text.split("e")[0].lstrip("0."))
    return sp.Rational(text) if digits <= _SHORT else sp.Rational(value)


def exact(value: Any) -> Any:
    """The SymPy number that a NumPy scalar stands for.

    >>> exact(np.float64(0.1)), exact(np.float64(1.1283791670955126)), exact(np.int64(3))
    (1/10, 2/sqrt(pi), 3)
    """
    import sympy as sp

    value = np.asarray(value)[()]
    if value.dtype.kind == "b":
        return sp.true if value else sp.false
    if value.dtype.kind in "iu":
        return sp.Integer(int(value))
    return _exact(float(value), value.dtype == np.float32)
