"""Memory: which buffer every value lives in, for how long, and where in the arena."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..ir import dims
from ..ir.dims import DimLike
from ..ir.dtypes import DType

ALIGNMENT = 64
"""Bytes: a cache line, and the widest vector register."""


@dataclass
class Buffer:
    """A piece of memory the program uses.

    kind    input, param, constant, output (each the caller's, by `position`), or temp (in the arena)
    size    number of elements
    first, last  positions of the first and last kernel call that uses it (temps)
    label   what it holds, for reports
    """

    number: int
    kind: str
    dtype: DType
    size: DimLike
    position: int = 0
    first: int = -1
    last: int = -1
    label: str = ""

    def nbytes(self, env: Mapping[str, int]) -> int:
        return dims.evaluate(self.size, env) * self.dtype.itemsize

    def use(self, call: int) -> None:
        """Note that kernel call number `call` reads or writes it."""
        self.first = call if self.first < 0 else min(self.first, call)
        self.last = max(self.last, call)


def place(buffers: Sequence[Buffer], env: Mapping[str, int]) -> tuple[dict[int, int], int]:
    """Offsets of the temps in one arena, and its size in bytes: first fit, largest first, by lifetime."""
    temps = [(b, -(-max(b.nbytes(env), 1) // ALIGNMENT) * ALIGNMENT) for b in buffers if b.kind == "temp"]
    temps.sort(key=lambda t: (-t[1], t[0].number))
    placed: list[tuple[int, int, Buffer]] = []
    offsets: dict[int, int] = {}
    for buffer, size in temps:
        offset = 0
        for start, end, other in placed:  # sorted by start
            if other.last < buffer.first or buffer.last < other.first:
                continue
            if offset + size <= start:
                break
            offset = max(offset, end)
        offsets[buffer.number] = offset
        placed.append((offset, offset + size, buffer))
        placed.sort(key=lambda p: (p[0], p[1], p[2].number))
    return offsets, max((end for _, end, _ in placed), default=0)
