"""Chunks: the outermost loop of a kernel is cut into parts, by sizes alone, that any number of threads may run.

Every reduction over the outermost loop starts anew in each chunk; the parts are combined in order behind the last one.
So a result does not depend on how many threads there are: one thread runs the same chunks.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..ir import dims
from ..ir.dims import DimLike, Shape
from . import policy as targets
from .policy import CPU, Policy

GRAIN = 16384
"""Elements in a chunk, about: some microseconds, of which starting threads is a small part."""
MAX_CHUNKS = 64
MAX_ARRAY_CHUNKS = 16
"""The same where each chunk has an array of its own to accumulate in."""
LEAST_SUMMED = 16
"""Values that such a chunk adds up at least for each element: the memory for its array is a fraction of what it
reads."""
ALIGNED = 64
"""A chunk of single elements has a multiple of this many: full vectors, and cache lines of its own."""

TILE, LARGE_TILE = (64, 128), (128, 256)
"""Rows and columns of a tile of a matrix product: what it reads stays in a core's cache."""
LARGE = 1 << 18
"""Elements of a product that is cut into large tiles: they read less, and there are enough of them."""
PRODUCT_GRAIN = 1 << 19
"""Multiplications of a product in a chunk, about: some microseconds."""


@dataclass(frozen=True)
class Chunking:
    """Chunk c covers c * length <= i < min((c + 1) * length, extent) of the outermost loop; there are `count`.

    most  the largest count for any sizes
    """

    extent: DimLike
    length: DimLike
    count: DimLike
    most: int


def chunking(domain: Shape, arrays: int, policy: Policy = CPU) -> Chunking | None:
    """How to cut loops of these sizes; None where one chunk does.

    arrays  how many values a row adds to each element of an array, if chunks accumulate in arrays; else 0

    >>> chunking((1000000,), 0)
    Chunking(extent=1000000, length=16384, count=62, most=64)
    >>> chunking((100, 20), 0)
    """
    if not domain:
        return None
    extent, row = domain[0], dims.product(domain[1:])
    most, unit = targets.MOST_CHUNKS if policy.partial else MAX_CHUNKS, 1 if len(domain) > 1 else ALIGNED
    if arrays:
        most, unit = MAX_ARRAY_CHUNKS, -(-LEAST_SUMMED // arrays)
    return cut(extent, row, most, unit, targets.GRAIN if policy.partial else GRAIN)


def cut(
    extent: DimLike, row: DimLike, most: int, unit: int, grain: int | None = None, even: bool = False
) -> Chunking | None:
    """How to cut `extent` rows of `row` elements into `most` chunks at most, each a multiple of `unit` rows.

    If `even`, a known number of rows is shared out evenly instead, among one chunk more where their number was odd.
    """
    enough = dims.ceildiv(grain or GRAIN, dims.larger(row, 1))
    length = dims.larger(dims.larger(enough, dims.ceildiv(extent, most)), 1)
    if unit > 1:
        length = dims.ceildiv(length, unit) * unit
    count = dims.ceildiv(extent, length)
    if isinstance(count, int) and count <= 1:
        return None
    if even and isinstance(extent, int) and isinstance(count, int):
        length = dims.ceildiv(extent, count + count % 2)
        count = dims.ceildiv(extent, length)
    return Chunking(extent, length, count, most)


def tile_of(m: DimLike, n: DimLike) -> tuple[DimLike, DimLike]:
    """Rows and columns of the tiles of an m x n product; its results do not depend on them.

    >>> tile_of(128, 64), tile_of(1024, 256)
    ((64, 128), (128, 256))
    """
    large = dims.smaller(m * n // LARGE, 1)
    rows, columns = (small + (big - small) * large for small, big in zip(TILE, LARGE_TILE, strict=True))
    return rows, columns


def tiles(sizes: tuple[DimLike, DimLike, DimLike], batch: DimLike) -> Chunking:
    """How the tiles of a product of these sizes (m, n, k) are cut into chunks.

    >>> tiles((64, 256, 32), 1), tiles((64, 256, 784), 1).count
    (Chunking(extent=2, length=2, count=1, most=1), 2)
    """
    m, n, k = sizes
    rows, columns = tile_of(m, n)
    extent = dims.ceildiv(m, rows) * dims.ceildiv(n, columns) * batch
    work = dims.smaller(m, rows) * dims.smaller(n, columns) * k
    length = dims.ceildiv(PRODUCT_GRAIN, dims.larger(work, 1))
    count = dims.ceildiv(extent, length)
    return Chunking(extent, length, count, count if isinstance(count, int) else MAX_CHUNKS)


IMAGE_GRAIN = 1 << 19
"""Multiplications of a convolution in a chunk, about."""
MOST_IMAGE_CHUNKS = 16


def image_chunks(images: DimLike, work: DimLike) -> Chunking:
    """How to cut a loop over images of a convolution, of `work` multiplications each; one chunk is a chunk, too.

    >>> image_chunks(100, 240000)
    Chunking(extent=100, length=7, count=15, most=15)
    """
    enough = dims.ceildiv(IMAGE_GRAIN, max(work, 1)) if isinstance(work, int) else 1
    length = dims.larger(dims.larger(enough, dims.ceildiv(images, MOST_IMAGE_CHUNKS)), 1)
    count = dims.ceildiv(images, length)
    return Chunking(
        images, length, count, min(count, MOST_IMAGE_CHUNKS) if isinstance(count, int) else MOST_IMAGE_CHUNKS
    )
