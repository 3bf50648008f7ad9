"""Products of matrices on a GPU: a tile of the result for each block, a small square of it for each thread.

The factors' parts of a tile pass through shared memory, some terms at a time, and the sums stay in registers. Under a
guard (see `ops.guarded`) what came out as nan is summed again: an annihilated term is nan without a guard.
"""

from __future__ import annotations

from ..ir.dims import ceildiv
from ..ir.loops import Dot, Kernel
from ..ops.guarded import sides
from ..schedule import launches
from .products import ProductPrinter


class CudaProducts(ProductPrinter):
    """Prints `Dot`; mixed into the printer of launches."""

    kernel: Kernel

    def print_dot(self, s: Dot, depth: int) -> None:
        tile = launches.PRODUCT.tile
        m, n, _ = s.sizes
        tiles = ceildiv(m, tile) * ceildiv(n, tile)
        x, y, out, c = s.x, s.y, s.out, "c"
        batch = next(a for a in self.kernel.arrays if a.name == out).shape[0] if s.batched else 1
        self.line(depth, f"for c in range(first_block(), {self.printer.size(tiles * batch)}, all_blocks()):")
        if s.batched:
            per = self.printer.size(tiles)
            self.line(depth + 1, f"b = c // {per}")
            x, y, out = self.of_batch(x, s.x_batch), self.of_batch(y, s.y_batch), f"{out}[b]"
            c = f"c % {per}"
        left, right = sides(s.guard) if s.guard else (False, False)
        name = f"product_{s.dtype.name}"
        self.helpers |= {"a tiling", name}
        arguments = [x, y, out, s.x_transposed, s.y_transposed, left, right, c]
        self.line(depth + 1, f"{name}({', '.join(map(str, arguments))})", s.node)


def product_function(dtype: str) -> str:
    """The text of the function for a tile of a product."""
    return f'''\
@helper
def term_{dtype}(x, y, x_transposed, y_transposed, i, j, q):
    """Both factors of term q of element (i, j) of x @ y."""
    return x[q, i] if x_transposed else x[i, q], y[j, q] if y_transposed else y[q, j]


@helper
def guarded_{dtype}(x, y, x_transposed, y_transposed, left, right, i, j, terms):
    """Element (i, j) of x @ y, where zeros of x, if `left`, and of y, if `right`, annihilate inf and nan."""
    total = {dtype}(0.0)
    for q in range(terms):
        u, v = term_{dtype}(x, y, x_transposed, y_transposed, i, j, q)
        if not ((left and u == 0) or (right and v == 0)):
            total += u * v
    return total


@helper
def product_{dtype}(x, y, out, x_transposed, y_transposed, left, right, c):
    """Tile c of out = x @ y."""
    rows, columns = out.shape
    terms = x.shape[0] if x_transposed else x.shape[1]
    across = (columns + TILE - 1) // TILE
    top = c // across * TILE
    side = c % across * TILE
    thread = cuda.threadIdx.x
    i0 = thread // SIDE
    j0 = thread % SIDE
    xs = cuda.shared.array((DEPTH, PADDED), {dtype})
    ys = cuda.shared.array((DEPTH, TILE), {dtype})
    sums = cuda.local.array((PER, PER), {dtype})
    for i in range(PER):
        for j in range(PER):
            sums[i, j] = 0.0
    for start in range(0, terms, DEPTH):
        cuda.syncthreads()
        for e in range(thread, TILE * DEPTH, SIDE * SIDE):
            i = e % TILE if x_transposed else e // DEPTH
            q = e // TILE if x_transposed else e % DEPTH
            inside = top + i < rows and start + q < terms
            xs[q, i] = (x[start + q, top + i] if x_transposed else x[top + i, start + q]) if inside else {dtype}(0.0)
            j = e // DEPTH if y_transposed else e % TILE
            q = e % DEPTH if y_transposed else e // TILE
            inside = side + j < columns and start + q < terms
            ys[q, j] = (y[side + j, start + q] if y_transposed else y[start + q, side + j]) if inside else {dtype}(0.0)
        cuda.syncthreads()
        for q in range(DEPTH):
            for i in range(PER):
                for j in range(PER):
                    sums[i, j] = cuda.fma(xs[q, i0 + i * SIDE], ys[q, j0 + j * SIDE], sums[i, j])
    for i in range(PER):
        for j in range(PER):
            row = top + i0 + i * SIDE
            column = side + j0 + j * SIDE
            if row < rows and column < columns:
                out[row, column] = sums[i, j]
    if left or right:  # apart: with a call in their loop, the sums would stand in memory
        for e in range(PER * PER):
            row = top + i0 + e // PER * SIDE
            column = side + j0 + e % PER * SIDE
            if row < rows and column < columns and out[row, column] != out[row, column]:
                total = guarded_{dtype}(x, y, x_transposed, y_transposed, left, right, row, column, terms)
                out[row, column] = total
'''
