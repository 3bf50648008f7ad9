"""Products of matrices on a GPU: a tile of the result for each block, a small square of it for each thread.

The factors' parts of a tile pass through shared memory, some terms at a time, and the sums stay in registers. Under a
guard (see `ops.guarded`) what came out as nan is summed again: an annihilated term is nan without a guard.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from ..ir.dims import ceildiv, product
from ..ir.expr import Call, Expr, Load, Var
from ..ir.loops import Dot, For, Kernel, Statement, Store
from ..ops.guarded import sides
from ..schedule.collapse import changed
from ..schedule.launches import Launch, Tiling
from ..schedule.parallel import nest_of
from ..schedule.vectors import Vectors, vectors_of
from .products import ProductPrinter


class CudaProducts(ProductPrinter):
    """Prints `Dot`, and the loop behind it that goes over its results; mixed into the printer of launches."""

    kernel: Kernel
    launch: Launch
    private: Collection[int]
    alone: bool

    def block(self, body: list[Statement], depth: int) -> None:
        raise NotImplementedError

    def print_wide(self, vectors: Vectors, depth: int, condition: str = "") -> None:
        raise NotImplementedError

    def print_group(self, loop: For, vectors: Vectors, stop: str, depth: int) -> None:
        raise NotImplementedError

    def print_dot(self, s: Dot, depth: int) -> None:
        """A tile for each block: the sums of each thread, then what becomes of them."""
        batch = next(a for a in self.kernel.arrays if a.name == s.out).shape[0] if s.batched else 1
        tiling = self.launch.tiling
        assert tiling is not None
        size, tile, per = self.printer.size, tiling.tile, tiling.per
        x, y, out, c = s.x, s.y, s.out, "c"
        across = ceildiv(s.sizes[1], tile)
        self.line(depth, f"for c in range(first_block(), {size(tiling.tiles(s, batch))}, all_blocks()):")
        if s.batched:
            each = size(tiling.tiles(s, 1))
            self.line(depth + 1, f"b = c // {each}")
            x, y, out = self.of_batch(x, s.x_batch), self.of_batch(y, s.y_batch), f"{out}[b]"
            c = f"c % {each}"
        self.line(depth + 1, f"top = {c} // {size(across)} * {tile}")
        self.line(depth + 1, f"side = {c} % {size(across)} * {tile}")
        self.line(depth + 1, f"sums = cuda.local.array(({per}, {per}), {s.dtype.name})")
        name = f"product_{s.dtype.name}_{tile}"
        self.helpers |= {"lanes", name}
        arguments = f"{x}, {y}, {s.x_transposed}, {s.y_transposed}, top, side"
        self.line(depth + 1, f"{name}(sums, {arguments})", s.node)
        self._results(s, tiling, depth + 1)
        if s.guard:
            mended = f"mended_{s.dtype.name}_{tile}"
            self.helpers |= {mended, f"guarded_{s.dtype.name}"}
            left, right = sides(s.guard)
            self.line(depth + 1, f"{mended}({out}, {arguments}, {left}, {right})", s.node)

    def print_mended(self, s: Statement) -> None:
        """The results of a product under a guard, a thread for each: what is nan is summed again."""
        assert isinstance(s, Dot)
        out = next(a for a in self.kernel.arrays if a.name == s.out)
        size, x, y, place = self.printer.size, s.x, s.y, s.out
        rows, columns = out.shape[-2:]
        self.line(1, f"for f in range(first_thread(), {size(product(out.shape))}, all_threads()):")
        row = f"f // {size(columns)}"
        if s.batched:
            self.line(2, f"b = f // {size(rows * columns)}")
            x, y, place = self.of_batch(x, s.x_batch), self.of_batch(y, s.y_batch), f"{place}[b]"
            row = f"{row} % {size(rows)}"
        self.line(2, f"i = {row}")
        self.line(2, f"j = f % {size(columns)}")
        name, (left, right) = f"guarded_{s.dtype.name}", sides(s.guard)
        self.helpers.add(name)
        self.line(2, f"if {place}[i, j] != {place}[i, j]:")
        arguments = f"{x}, {y}, {s.x_transposed}, {s.y_transposed}, {left}, {right}, i, j"
        self.line(3, f"{place}[i, j] = {name}({arguments})", s.node)

    def _results(self, s: Dot, tiling: Tiling, depth: int) -> None:
        """The results of a thread, group by group, into memory, and through the loop behind the product."""
        size, per, group = self.printer.size, tiling.per, tiling.group
        out = next(a for a in self.kernel.arrays if a.name == s.out)
        loops = next((nest_of(t) for t in self.launch.body if isinstance(t, For)), None) or [
            For(f"i{k}", extent, "map") for k, extent in enumerate(out.shape)
        ]
        own = Load(s.out, tuple(Var(loop.var) for loop in loops), out.dtype)
        mine = Var(f"pick(sums, {per}, i, {f'{group} * g + k' if per > group else 'k'})", out.dtype)
        body = [changed(t, lambda e: _replaced(e, own, mine)) for t in loops[-1].body]
        if not body or out.buffer not in self.private:
            body.insert(0, Store(s.out, own.index, mine))
        along = replace(loops[-1], body=body)
        row, column, stop = loops[-2].var, along.var, size(along.extent)
        vectors = vectors_of(along, {a.name: a for a in self.kernel.arrays}, set(), 0)
        by_vectors = vectors is not None and vectors.width >= group
        if vectors is not None and by_vectors:
            vectors = replace(vectors, width=group)
            self.print_wide(vectors, depth)
        self.line(depth, f"top += cuda.threadIdx.x // {tiling.side} * {group}")
        self.line(depth, f"side += cuda.threadIdx.x % {tiling.side} * {group}")
        if s.batched:
            self.line(depth, f"{loops[0].var} = b")
        self.line(depth, f"for i in range({per}):")
        self.line(depth + 1, f"{row} = top + {_place('i', tiling)}")
        self.line(depth + 1, f"for g in range({per // group}):")
        self.line(depth + 2, f"j = side + g * {tiling.side * group}")
        self.line(depth + 2, f"if {row} < {size(loops[-2].extent)} and j < {stop}:")
        before, self.alone = self.alone, True
        if vectors is not None and by_vectors:
            self.print_group(along, vectors, stop, depth + 3)
        else:
            self.line(depth + 3, f"for k in range({group}):")
            self.line(depth + 4, f"{column} = j + k")
            self.line(depth + 4, f"if {column} < {stop}:")
            self.block(body, depth + 5)
        self.alone = before


def _replaced(e: Expr, old: Expr, new: Expr) -> Expr:
    if e == old:
        return new
    if isinstance(e, Call):
        return Call(e.fn, tuple(_replaced(a, old, new) for a in e.args), e.dtype)
    return e


def _place(k: str, tiling: Tiling) -> str:
    """How far behind a thread's first result its result k stands in the tile."""
    group = tiling.group
    return k if tiling.per == group else f"{k} // {group} * {tiling.side * group} + {k} % {group}"


def guarded_function(dtype: str) -> str:
    """The text of the function that sums one result again, under a guard."""
    return f'''\
@helper
def guarded_{dtype}(x, y, x_transposed, y_transposed, left, right, i, j):
    """Element (i, j) of x @ y, where zeros of x, if `left`, and of y, if `right`, annihilate inf and nan."""
    total = {dtype}(0.0)
    for q in range(x.shape[0] if x_transposed else x.shape[1]):
        u = x[q, i] if x_transposed else x[i, q]
        v = y[j, q] if y_transposed else y[q, j]
        if not ((left and u == 0) or (right and v == 0)):
            total += u * v
    return total
'''


def mended_function(dtype: str, tiling: Tiling) -> str:
    """The text of the function that sums again, under a guard, what is nan in a tile."""
    per, tile = tiling.per, tiling.tile
    return f'''\
@helper
def mended_{dtype}_{tile}(out, x, y, x_transposed, y_transposed, top, side, left, right):
    """A thread's results from (top, side) on, summed again where they are nan: without a guard, 0 * inf is one."""
    for e in range({per * per}):
        i = e // {per}
        j = e % {per}
        row = top + {_place("i", tiling)}
        column = side + {_place("j", tiling)}
        if row < out.shape[0] and column < out.shape[1] and out[row, column] != out[row, column]:
            out[row, column] = guarded_{dtype}(x, y, x_transposed, y_transposed, left, right, row, column)
'''


def product_function(dtype: str, tiling: Tiling) -> str:
    """The text of the function for a tile of a product.

    A thread has `per` by `per` results, in groups of neighbours, so that it reads a group from shared memory at once.
    While it adds up the terms of one stage, those of the next are on their way from memory.
    """
    side, per, depth, tile, group = tiling.side, tiling.per, tiling.depth, tiling.tile, tiling.group
    threads, padded, width = side * side, tile + group, group * np.dtype(dtype).itemsize
    loads = tile * depth // (threads * group)
    return f'''\
@helper
def place_{dtype}_{tile}(e, along):
    """The column of a tile and the term with which vector e starts, which goes on `along` terms, or else columns."""
    if along:
        return e // {depth // group}, e % {depth // group} * {group}
    return e % {tile // group} * {group}, e // {tile // group}


@helper
def part_{dtype}_{tile}(a, i, q, along, wide):
    """Elements of a from row or column i, term q on, `along` terms or not; zeros beyond its edges."""
    row, column = (i, q) if along else (q, i)
    stop = a.shape[1] if row < a.shape[0] else 0
    return load_lanes(a, (row, column), {group}, wide and column + {group} <= stop, stop)


@helper
def product_{dtype}_{tile}(sums, x, y, x_transposed, y_transposed, top, side):
    """Sums of a thread in a tile of x @ y: of its rows from `top` on, and its columns from `side` on."""
    terms = x.shape[0] if x_transposed else x.shape[1]
    thread = cuda.threadIdx.x
    i0 = thread // {side}
    j0 = thread % {side}
    xs = cuda.shared.array((2, {depth}, {padded}), {dtype}, {width})
    ys = cuda.shared.array((2, {depth}, {padded}), {dtype}, {width})
    us = cuda.local.array({per}, {dtype})
    vs = cuda.local.array({per}, {dtype})
    next_xs = cuda.local.array({loads * group}, {dtype})
    next_ys = cuda.local.array({loads * group}, {dtype})
    x_wide = aligned(x, {group})
    y_wide = aligned(y, {group})
    for i in range({per}):
        for j in range({per}):
            sums[i, j] = 0.0
    stage = 1
    cuda.syncthreads()
    for start in range(-{depth}, terms, {depth}):
        for g in range({loads}):  # from memory: terms of the next stage
            i, q = place_{dtype}_{tile}(thread + g * {threads}, not x_transposed)
            j, p = place_{dtype}_{tile}(thread + g * {threads}, y_transposed)
            q += start + {depth}
            p += start + {depth}
            u = part_{dtype}_{tile}(x, top + i, q, not x_transposed, x_wide)
            v = part_{dtype}_{tile}(y, side + j, p, y_transposed, y_wide)
            for k in range({group}):
                next_xs[g * {group} + k] = lane(u, k)
                next_ys[g * {group} + k] = lane(v, k)
        if start >= 0:
            for q in range({depth}):
                for g in range({per // group}):
                    u = load_lanes(xs, (stage, q, g * {side * group} + i0 * {group}), {group}, True, 0)
                    v = load_lanes(ys, (stage, q, g * {side * group} + j0 * {group}), {group}, True, 0)
                    for k in range({group}):
                        us[g * {group} + k] = lane(u, k)
                        vs[g * {group} + k] = lane(v, k)
                for i in range({per}):
                    for j in range({per}):
                        sums[i, j] = cuda.fma(us[i], vs[j], sums[i, j])
        stage = 1 - stage
        for g in range({loads}):
            i, q = place_{dtype}_{tile}(thread + g * {threads}, not x_transposed)
            j, p = place_{dtype}_{tile}(thread + g * {threads}, y_transposed)
            for k in range({group}):
                if x_transposed:
                    xs[stage, q, i + k] = next_xs[g * {group} + k]
                else:
                    xs[stage, q + k, i] = next_xs[g * {group} + k]
                if y_transposed:
                    ys[stage, p + k, j] = next_ys[g * {group} + k]
                else:
                    ys[stage, p, j + k] = next_ys[g * {group} + k]
        cuda.syncthreads()
'''
