"""Products of matrices on a GPU: a tile of the result for each block, a small square of it for each thread.

The factors' parts of a tile pass through shared memory, some terms at a time, and the sums stay in registers. Under a
guard (see `ops.guarded`) what came out as nan is summed again: an annihilated term is nan without a guard.
"""

from __future__ import annotations

from collections.abc import Collection

from ..ir.dims import DimLike, ceildiv
from ..ir.expr import Load, Var
from ..ir.loops import Dot, For, Kernel, Statement
from ..ops.guarded import sides
from ..schedule import launches
from ..schedule.launches import Launch, Tiling
from ..schedule.parallel import nest_of
from .products import ProductPrinter


class CudaProducts(ProductPrinter):
    """Prints `Dot`, and the loop behind it that goes over its results; mixed into the printer of launches."""

    kernel: Kernel
    launch: Launch
    private: Collection[int]
    alone: bool

    def block(self, body: list[Statement], depth: int) -> None:
        raise NotImplementedError

    def print_dot(self, s: Dot, depth: int) -> None:
        batch = next(a for a in self.kernel.arrays if a.name == s.out).shape[0] if s.batched else 1
        found = launches.tilings_for(s, batch)
        for k, tiling in enumerate(found):
            if len(found) > 1:
                enough = f"if {self.printer.size(tiling.tiles(s, batch))} >= {launches.ENOUGH}:"
                self.line(depth, enough if k == 0 else "else:")
            self._tiles(s, tiling, batch, depth + (len(found) > 1))

    def _tiles(self, s: Dot, tiling: Tiling, batch: DimLike, depth: int) -> None:
        """A tile for each block: the sums of each thread, then what becomes of them."""
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
            self.helpers.add(mended)
            left, right = sides(s.guard)
            self.line(depth + 1, f"{mended}({out}, {arguments}, {left}, {right})", s.node)

    def _results(self, s: Dot, tiling: Tiling, depth: int) -> None:
        """The results of a thread, one by one, into memory, and through the loop behind the product."""
        behind = [nest_of(t) for t in self.launch.body if isinstance(t, For)]
        row, column = (loop.var for loop in behind[0][-2:]) if behind else ("i0", "i1")
        self.line(depth, f"for i in range({tiling.per}):")
        self.line(depth + 1, f"for j in range({tiling.per}):")
        self.line(depth + 2, f"{row} = top + {_place('i', f'cuda.threadIdx.x // {tiling.side}', tiling)}")
        self.line(depth + 2, f"{column} = side + {_place('j', f'cuda.threadIdx.x % {tiling.side}', tiling)}")
        m, n = (self.printer.size(size) for size in s.sizes[:2])
        self.line(depth + 2, f"if {row} < {m} and {column} < {n}:")
        out = next(a for a in self.kernel.arrays if a.name == s.out)
        lead = "b, " if s.batched else ""
        if not behind or out.buffer not in self.private:
            self.line(depth + 3, f"{s.out}[{lead}{row}, {column}] = sums[i, j]")
        for loops in behind:
            if s.batched:
                self.line(depth + 3, f"{loops[0].var} = b")
            own = Load(s.out, tuple(Var(loop.var) for loop in loops), out.dtype)
            self.printer.elements = {own: "sums[i, j]"}
            before, self.alone = self.alone, True
            self.block(loops[-1].body, depth + 3)
            self.alone = before
            self.printer.elements = {}


def _place(k: str, thread: str, tiling: Tiling) -> str:
    """Where result k of a thread stands in the tile."""
    group = tiling.group
    if tiling.per == group:
        return f"{thread} * {group} + {k}"
    return f"{k} // {group} * {tiling.side * group} + {thread} * {group} + {k} % {group}"


def mended_function(dtype: str, tiling: Tiling) -> str:
    """The text of the function that sums again, under a guard, what is nan in a tile."""
    side, per, tile = tiling.side, tiling.per, tiling.tile
    return f'''\
@helper
def guarded_{dtype}_{tile}(x, y, x_transposed, y_transposed, left, right, i, j):
    """Element (i, j) of x @ y, where zeros of x, if `left`, and of y, if `right`, annihilate inf and nan."""
    total = {dtype}(0.0)
    for q in range(x.shape[0] if x_transposed else x.shape[1]):
        u = x[q, i] if x_transposed else x[i, q]
        v = y[j, q] if y_transposed else y[q, j]
        if not ((left and u == 0) or (right and v == 0)):
            total += u * v
    return total


@helper
def mended_{dtype}_{tile}(out, x, y, x_transposed, y_transposed, top, side, left, right):
    """A thread's results of a tile, summed again where they are nan: an annihilated term is nan without a guard."""
    for e in range({per * per}):
        i = e // {per}
        j = e % {per}
        row = top + {_place("i", f"cuda.threadIdx.x // {side}", tiling)}
        column = side + {_place("j", f"cuda.threadIdx.x % {side}", tiling)}
        if row < out.shape[0] and column < out.shape[1] and out[row, column] != out[row, column]:
            out[row, column] = guarded_{dtype}_{tile}(x, y, x_transposed, y_transposed, left, right, row, column)
'''


def product_function(dtype: str, tiling: Tiling) -> str:
    """The text of the function for a tile of a product.

    A thread has `per` by `per` results, in groups of neighbours, so that it reads a group from shared memory at once.
    While it adds up the terms of one stage, those of the next are on their way from memory.
    """
    side, per, depth, tile, group = tiling.side, tiling.per, tiling.depth, tiling.tile, tiling.group
    threads, padded = side * side, tile + group
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
    """Elements of a from row or column i, term q on, `along` terms or not; at its edges, the last ones again."""
    rows, columns = a.shape
    row, column = (i, q) if along else (q, i)
    return load_lanes(a, (min(row, rows - 1), column), {group}, wide and column + {group} <= columns, columns)


@helper
def product_{dtype}_{tile}(sums, x, y, x_transposed, y_transposed, top, side):
    """Sums of a thread in a tile of x @ y: of its rows from `top` on, and its columns from `side` on."""
    terms = x.shape[0] if x_transposed else x.shape[1]
    thread = cuda.threadIdx.x
    i0 = thread // {side}
    j0 = thread % {side}
    xs = cuda.shared.array((2, {depth}, {padded}), {dtype}, 16)
    ys = cuda.shared.array((2, {depth}, {padded}), {dtype}, 16)
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
            if terms > 0:
                u = part_{dtype}_{tile}(x, top + i, q, not x_transposed, x_wide)
                v = part_{dtype}_{tile}(y, side + j, p, y_transposed, y_wide)
                for k in range({group}):
                    inside = (q if x_transposed else q + k) < terms
                    next_xs[g * {group} + k] = select(inside, lane(u, k), {dtype}(0.0))
                    inside = (p + k if y_transposed else p) < terms
                    next_ys[g * {group} + k] = select(inside, lane(v, k), {dtype}(0.0))
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
