"""Loops that go through memory element by element: several at once, which memory moves as one vector.

Memory is as fast as it can be only where each thread asks for 16 bytes at a time. What a loop reads and writes at its
own place, it reads before and writes after the iterations of a group, so each place must be on one side only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..ir.dims import DimLike
from ..ir.expr import Call, Expr, Load, Var, children, variables
from ..ir.loops import ArrayArg, Combine, For, Let, Statement, Store
from .parallel import expressions, loads

BYTES = 16
"""What a thread reads or writes at once, at most."""
MOST_WORK = 48
"""Work of an iteration, see `work_of`, up to which compilers write out those of a group, which then stay in registers.
Where there is more, arithmetic is what takes the time, and not memory."""
_SIMPLE = frozenset(
    {"add", "sub", "mul", "neg", "select", "cast", "ct_mul", "zero_mul", "maximum", "minimum", "abs", "eq", "ne"}
    | {"lt", "le", "gt", "ge", "isnan", "isinf", "isfinite", "logical_and", "logical_or", "logical_not", "logical_xor"}
    | {"bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not"}
)
_LENGTHY = frozenset({"lgamma", "digamma", "polygamma", "pow", "floordiv", "mod"})


@dataclass(frozen=True)
class Vectors:
    """How the iterations of a loop go in groups.

    width   iterations of a group
    loaded  elements that are read: of a group, as one vector
    stored  elements that are written: of a group, as one vector
    """

    width: int
    loaded: tuple[Load, ...]
    stored: tuple[Load, ...]

    @property
    def arrays(self) -> list[str]:
        """Where vectors are, each once."""
        return list(dict.fromkeys(place.array for place in (*self.loaded, *self.stored)))


def vectors_of(loop: For, arrays: Mapping[str, ArrayArg], flat: set[str], least: int) -> Vectors | None:
    """The groups of a loop of independent iterations; None where one at a time is better, or safer.

    flat   arrays that are seen with one axis
    least  iterations of a known number of them from which on groups are worth it, for each of a group
    """
    if loop.reverse or loop.kind == "scan" or not all(isinstance(s, (Let, Store, Combine)) for s in loop.body):
        return None
    if work_of(loop.body) > MOST_WORK:
        return None
    places = list(_places(loop.body))
    loaded = tuple(dict.fromkeys(at for at, written in places if not written and _moves(at, loop.var)))
    stored = tuple(dict.fromkeys(at for at, written in places if written))
    if not loaded and not stored:
        return None
    if not all(_is_next(at, loop.var) for at in (*loaded, *stored)) or not _apart(places, arrays):
        return None
    used = [arrays[place.array] for place in (*loaded, *stored)]
    rows = [a.shape[-1] for a in used if len(a.shape) > 1 and a.name not in flat]
    width = BYTES // max(a.dtype.itemsize for a in used)
    while width > 1 and not all(_fits(size, width) for size in rows):
        width //= 2
    if width == 1 or (isinstance(loop.extent, int) and loop.extent < least * width):
        return None
    return Vectors(width, loaded, stored)


def _places(body: list[Statement]) -> Iterator[tuple[Load, bool]]:
    """The elements that a body reads and writes (True), in order."""
    for s in body:
        for load in loads(s):
            yield load, False
        if isinstance(s, Store):
            yield Load(s.array, s.index, s.expr.dtype), True


def work_of(body: list[Statement]) -> int:
    """About how many instructions an iteration takes, in units of a few."""
    found = 0
    stack = [e for s in body for e in expressions(s)]
    while stack:
        e = stack.pop()
        if isinstance(e, Call):
            function = 24 if e.fn in _LENGTHY else 8
            found += 1 if e.fn in _SIMPLE else function * max(e.dtype.itemsize // 4, 1)
        stack.extend(children(e))
    return found


def _moves(place: Load, var: str) -> bool:
    return any(var in variables(e) for e in place.index)


def _is_next(place: Load, var: str) -> bool:
    """Whether the next iteration has the next element."""
    *row, last = place.index or (None,)
    return last == Var(var) and not any(var in variables(e) for e in row if isinstance(e, Expr))


def _apart(places: list[tuple[Load, bool]], arrays: Mapping[str, ArrayArg]) -> bool:
    """Whether what is written is written once, where nothing else of that memory is touched, and not read behind it."""
    buffers = {name: array.buffer for name, array in arrays.items()}
    for k, (place, written) in enumerate(places):
        if not written:
            continue
        same = [(j, other) for j, (other, _) in enumerate(places) if buffers[other.array] == buffers[place.array]]
        if any(j > k or (other.array, other.index) != (place.array, place.index) for j, other in same):
            return False
    return True


def _fits(size: DimLike, width: int) -> bool:
    return not isinstance(size, int) or size % width == 0
