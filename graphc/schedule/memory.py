"""Memory: which buffer every value lives in, for how long, and where in the arena."""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from ..ir import dims
from ..ir.dims import DimLike
from ..ir.dtypes import DType

ALIGNMENT = 64
"""Bytes: a cache line, and the widest vector register."""

PACKED_WELL = 500
"""Temps placed in quadratic time: some 20 ms."""


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
    """Offsets of the temps in one arena, and its size in bytes.

    The largest temps decide the size: they are packed well, in quadratic time. Any further ones are packed fast,
    behind them.
    """
    used = [b for b in buffers if b.kind == "temp" and b.first >= 0]
    temps = [(b, -(-max(b.nbytes(env), 1) // ALIGNMENT) * ALIGNMENT) for b in used]
    temps.sort(key=lambda t: (-t[1], t[0].number))
    offsets, end = first_fit(temps[:PACKED_WELL])
    more, size = sweep(temps[PACKED_WELL:])
    return {**offsets, **{number: end + offset for number, offset in more.items()}}, end + size


def first_fit(temps: Sequence[tuple[Buffer, int]]) -> tuple[dict[int, int], int]:
    """The lowest offset free for its lifetime for each temp, the largest first."""
    placed: list[tuple[int, int, int, Buffer]] = []  # start, end, number: sorted
    offsets: dict[int, int] = {}
    for buffer, size in temps:
        offset = 0
        for start, end, _, other in placed:
            if other.last < buffer.first or buffer.last < other.first:
                continue
            if offset + size <= start:
                break
            offset = max(offset, end)
        offsets[buffer.number] = offset
        insort(placed, (offset, offset + size, buffer.number, buffer))
    return offsets, max((p[1] for p in placed), default=0)


def sweep(temps: Sequence[tuple[Buffer, int]]) -> tuple[dict[int, int], int]:
    """In order of lifetime: each temp takes the place of an ended one of its size, else a new one. n log n."""
    ended: dict[int, list[int]] = {}  # size: offsets free again
    alive: list[tuple[int, int, int]] = []  # a heap of last call, offset, size
    offsets: dict[int, int] = {}
    top = 0
    for buffer, size in sorted(temps, key=lambda t: (t[0].first, t[0].number)):
        while alive and alive[0][0] < buffer.first:
            _, offset, old = heappop(alive)
            ended.setdefault(old, []).append(offset)
        if ended.get(size):
            offset = ended[size].pop()
        else:
            offset, top = top, top + size
        offsets[buffer.number] = offset
        heappush(alive, (buffer.last, offset, size))
    return offsets, top
