"""Nests that read an array along one axis and write along another: tile by tile, so that both go along memory.

The threads of a warp then read neighbours of a row of the one array into a tile that the block shares, and write
neighbours of a row of the other out of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..ir.expr import Load, Var, variables
from ..ir.loops import ArrayArg, For, Let, Store
from .parallel import loads

LEAST = 16
"""Iterations that a known axis has at least for tiles to be worth it."""
MOST_BYTES = 32
"""Bytes of the elements that tiles hold at a place, at most: tiles of a block share some of its processor's memory."""


@dataclass(frozen=True)
class Transposed:
    """What goes through tiles in a nest.

    row     the loop along which `loaded` stand next to each other
    column  the innermost loop, along which everything else does
    """

    row: For
    column: For
    loaded: tuple[Load, ...]


def transposed_in(loops: list[For], arrays: Mapping[str, ArrayArg]) -> Transposed | None:
    """The elements that independent loops around one body read across; None where there are none."""
    *outer, column = loops
    if any(loop.reverse or loop.chunked for loop in loops):
        return None
    if not all(isinstance(s, (Let, Store)) for s in column.body):
        return None
    found = [load for s in column.body for load in loads(s)]
    known = {loop.var for loop in loops}
    for row in reversed(outer):
        across = [load for load in dict.fromkeys(found) if _goes_along(load, row.var, column.var, known)]
        kept: list[Load] = []
        for load in across:
            if sum(arrays[a.array].dtype.itemsize for a in (*kept, load)) <= MOST_BYTES:
                kept.append(load)
        wide = all(not isinstance(loop.extent, int) or loop.extent >= LEAST for loop in (row, column))
        if kept and wide:
            return Transposed(row, column, tuple(kept))
    return None


def _goes_along(load: Load, row: str, column: str, known: set[str]) -> bool:
    """Whether the next element is that of the row loop's next iteration, and not of the column loop's."""
    if not load.index or load.index[-1] != Var(row):
        return False
    before = {name for e in load.index[:-1] for name in variables(e)}
    return column in before and row not in before and before <= known
