"""Accumulators of long reductions as lanes: which have them, and how many."""

from __future__ import annotations

from collections import Counter
from enum import Enum

from ..ir.expr import Lit
from ..ir.loops import Argsort, Combine, Dot, For, Init, Kernel, walk

_IN_LANES = frozenset({"add", "mul", "max", "min"})
LANES = 32
"""Accumulators of a long reduction: enough for vectors to overlap."""
REST = 4
"""Those for what is left of a loop of unknown length behind rounds of `LANES` elements, which is all of a short one: a
vector of float64 that costs little to start and to fold."""
_FEWER = ((256, 32), (64, 16), (16, 8))
"""Those of a shorter one, of at least so many elements: powers of 2; more where they divide its length evenly."""


class Round(Enum):
    """The part of a loop that is being printed, and how the names of its lanes end.

    WHOLE  all of a loop of known length
    MANY   of a loop of unknown length, rounds of `LANES` elements
    REST   what they leave: its lanes take one new value each, which is the neutral one where there is no element
    """

    WHOLE = ""
    MANY = "many"
    REST = "new"


def lanes_of(kernel: Kernel) -> dict[str, For]:
    """Accumulators kept in lanes, with the loop that combines into them.

    One accumulator is one chain of dependent operations, which neither overlaps nor vectorises. So element i of a long
    loop goes to lane i mod their number, and the lanes are combined half with half. (Of a loop of unknown length, that
    is so for whole rounds; what is left goes to other, fewer lanes, see `REST`.) That leaves out what needs the order
    (scans, positions of extrema), and integers, whose order the compiler may change itself.
    """
    literal = {s.name for s in walk(kernel.body) if isinstance(s, Init) and isinstance(s.expr, Lit)}
    found: dict[str, For] = {}
    for loop in walk(kernel.body):
        if not isinstance(loop, For) or loop.kind in ("scan", "join") or loop.reverse:
            continue
        if lane_count(loop) == 1:
            continue
        if any(isinstance(s, (For, Dot, Argsort)) for s in walk(loop.body)):
            continue
        often = Counter(s.name for s in walk(loop.body) if isinstance(s, Combine))
        for s in loop.body:
            if not isinstance(s, Combine) or s.op not in _IN_LANES or s.expr.dtype.kind != "f":
                continue
            if s.name in literal and often[s.name] == 1:
                found[s.name] = loop
    return found


def lane_count(loop: For) -> int:
    """How many accumulators a reduction over a loop gets; the same for all sizes of a runtime dim.

    >>> [lane_count(For("i", n, "reduce")) for n in (10, 20, 32, 100, 128, 1000)]
    [1, 8, 16, 16, 32, 32]
    """
    n = loop.extent
    if not isinstance(n, int):
        return LANES
    least = next((count for size, count in _FEWER if n >= size), 1)
    return next((count for count in (32, 16) if least > 1 and n % count == 0 and n >= 2 * count), least)


def is_open(loop: For) -> bool:
    """Whether a loop is of a length that the text does not know."""
    return loop.chunked or not isinstance(loop.extent, int)
