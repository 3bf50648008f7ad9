"""Chunks: the outermost loop of a kernel is cut into parts, by sizes alone, that any number of threads may run.

Every reduction over the outermost loop starts anew in each chunk; the parts are combined in order behind the last one.
So a result does not depend on how many threads there are: one thread runs the same chunks.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..ir import dims
from ..ir.dims import DimLike, Shape

GRAIN = 16384
"""Elements in a chunk, about: some microseconds, of which starting threads is a small part."""
MAX_CHUNKS = 64
MAX_ARRAY_CHUNKS = 16
"""The same where each chunk has an array of its own to accumulate in."""
LEAST_ROWS = 16
"""Rows that such a chunk adds up at least: the memory for its array is a fraction of what it reads."""
ALIGNED = 64
"""A chunk of single elements has a multiple of this many: full vectors, and cache lines of its own."""

TILE = 64
"""Rows and columns of a tile of a matrix product, and how many terms are added at once: a library multiplies so small
matrices by itself, with one thread, without copying them, and as fast as it can."""
TILED = 1 << 18
"""Elements of the largest known operand or result for which tiles are as fast as one call for the whole product."""


def tiles(sizes: tuple[DimLike, DimLike, DimLike], batch: DimLike) -> DimLike | None:
    """Into how many tiles a product of these sizes (m, n, k) is cut; None: it is left to the library as a whole."""
    m, n, k = sizes
    if not any(isinstance(size, int) and size <= TILED for size in (m * n, n * k, m * k)):
        return None
    return dims.ceildiv(m, TILE) * dims.ceildiv(n, TILE) * batch


@dataclass(frozen=True)
class Chunking:
    """Chunk c covers c * length <= i < min((c + 1) * length, extent) of the outermost loop; there are `count`.

    most  the largest count for any sizes
    """

    extent: DimLike
    length: DimLike
    count: DimLike
    most: int


def chunking(domain: Shape, arrays: bool) -> Chunking | None:
    """How to cut loops of these sizes; None where one chunk does. `arrays`: chunks accumulate in arrays.

    >>> chunking((1000000,), False)
    Chunking(extent=1000000, length=16384, count=62, most=64)
    >>> chunking((100, 20), False)
    """
    if not domain:
        return None
    extent, row = domain[0], dims.product(domain[1:])
    most, unit = (MAX_ARRAY_CHUNKS, LEAST_ROWS) if arrays else (MAX_CHUNKS, 1 if len(domain) > 1 else ALIGNED)
    enough = dims.ceildiv(GRAIN, _larger(row, 1))
    length = _larger(_larger(enough, dims.ceildiv(extent, most)), 1)
    if unit > 1:
        length = dims.ceildiv(length, unit) * unit
    count = dims.ceildiv(extent, length)
    if isinstance(count, int) and count <= 1:
        return None
    return Chunking(extent, length, count, most)


def _larger(a: DimLike, b: DimLike) -> DimLike:
    if isinstance(a, int) and isinstance(b, int):
        return max(a, b)
    return b + dims.max0(a - b)
