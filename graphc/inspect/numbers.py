"""Numbers of generated code as people know them: powers of two, shares of one, the inverse of a probability.

A number is written otherwise only where that has the very same value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import numpy as np

_NUMBER = re.compile(r"(?<![\w.])(?:(float32|float64|uint64|int64)\()?(\d[\d.]*(?:e[-+]?\d+)?)(\))?(?![\w.(])")
_LARGE = 31
_FINE = 53
_SHORT, _LONG = 5, 7
"""The most letters of a number that says what it is, and the fewest of one that does not."""


def explained(code: str) -> str:
    """`code` with its numbers as people know them.

    >>> explained("x = a - 4611686018427387904 + b * 1.1102230246251565e-16")
    'x = a - 2**62 + b * 2.0**-53'
    >>> explained("kept = bits < uint64(8106479329266893)"), explained("y = x * float32(1.1111112)")
    ('kept = bits < uint64(0.9 * 2**53)', 'y = x * float32(1 / 0.9)')
    """
    return _NUMBER.sub(lambda found: _explained(found[0], found[1], found[2], found[3]), code)


def _explained(whole: str, dtype: str | None, text: str, closed: str | None) -> str:
    if len(text) < _LONG or (dtype and not closed):
        return whole
    alone = bool(dtype and closed)
    known = next(_forms(text, dtype or "", alone), None)
    return whole if known is None else whole.replace(text, known)


def _forms(text: str, dtype: str, alone: bool) -> Iterator[str]:
    """Other ways to write a number that have its value; `alone`: it stands in brackets of its own."""
    if text.isdigit():
        number = int(text)
        power = number.bit_length() - 1
        if power >= _LARGE and number == 2**power:
            yield f"2**{power}"
        share = number / 2**_FINE
        if alone and 0 < share < 1 and len(repr(share)) <= _SHORT and int(share * 2**_FINE) == number:
            yield f"{share!r} * 2**{_FINE}"
        return
    value = float(text)
    same = np.float32 if dtype == "float32" else float
    if value == 0 or not math.isfinite(value):
        return
    power = round(math.log2(value))
    if same(value) == same(2.0**power):
        yield f"2.0**{power}"
    inverse = float(f"{1 / value:.3g}")
    if 0 < inverse < 1 and same(1 / inverse) == same(value):
        yield f"1 / {inverse!r}" if alone else f"(1 / {inverse!r})"
