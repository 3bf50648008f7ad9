"""How a kernel becomes grids of threads: launches, one after another, and in each what a block or a thread does.

A loop whose iterations are independent runs one iteration per thread, or one per block, whose threads share the loops
inside; what they combine is combined in a fixed order. What must be finished before something else reads it stands in
an earlier launch. What fits none of this runs in one block.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from ..ir import dims
from ..ir.dims import DimLike
from ..ir.expr import Var
from ..ir.loops import Argsort, Chunks, Dot, Finish, Finite, For, If, Init, Kernel, Let, Statement, Store, walk
from . import cublas
from .collapse import collapsed
from .parallel import Accesses, contiguity, defined, is_wide, loads, nest_of, scanned, used
from .transposes import Transposed, transposed_in
from .vectors import MOST_WORK, Vectors, vectors_of, work_of

BLOCK = 256
"""Threads of a block, at most."""
WARP = 32
"""Threads that run together; a block has a multiple of them."""
MOST_BLOCKS = 65536
"""Blocks of a grid, at most: the rest of the work goes to the same blocks again."""


@dataclass(frozen=True)
class Tiling:
    """How a product of matrices is cut: a block has `side` by `side` threads, each with `per` by `per` results.

    depth  how many terms of it pass through shared memory at a time
    group  how many of a thread's results stand next to each other: what it reads of shared memory at once
    """

    side: int
    per: int
    depth: int
    group: int

    @property
    def tile(self) -> int:
        """Rows and columns of a block's results."""
        return self.side * self.per

    def tiles(self, s: Dot, batch: DimLike) -> DimLike:
        """How many blocks have a tile of a product, of so many of a batch."""
        return dims.ceildiv(s.sizes[0], self.tile) * dims.ceildiv(s.sizes[1], self.tile) * batch


PRODUCTS = {"float32": (Tiling(16, 8, 8, 4), Tiling(16, 4, 16, 4)), "float64": (Tiling(16, 4, 16, 2),)}
"""For each dtype, the largest tiles first: they read least, but a small result has too few of them."""
ENOUGH = 132
"""Tiles with which a device's processors are busy."""


def tilings_for(s: Dot, batch: DimLike) -> tuple[Tiling, ...]:
    """Which tilings a product has: the one that its sizes ask for, or all where they are not known."""
    found = PRODUCTS[s.dtype.name]
    for tiling in found[:-1]:
        count = tiling.tiles(s, batch)
        if not isinstance(count, int):
            return found
        if count >= ENOUGH:
            return (tiling,)
    return found[-1:]


FEW = 4096
"""Results up to which there is a block for each, if it is a long sum."""
LEAST_VECTORS = 1 << 15
"""Threads that a grid must have, as far as is known, for each of them to have a vector: enough for every processor."""


@dataclass
class Launch:
    """A grid of blocks.

    kind     what a block does: "threads", each of its threads an iteration of `loops`; "blocks", all of them together
             one; "chunks", one chunk; "tiles", a square of iterations of two of the loops; "one": it is the only
             block; "whole": a statement on whole arrays, a product of matrices with the loop behind it over its
             results; "cublas": a product that cuBLAS computes, no grid of ours; "mended": the results of one, element
             by element, where a guard asks for another look
    before   values that are computed first, by each thread
    body     what is done for each iteration
    loops    the loops around it, outermost first
    count    how many iterations there are
    threads  of a block
    spread   loops in `body` that the threads of a block share, with the loops in them that go with them; by id
    flat     arrays that are seen with one axis, see `collapse`
    scans    running combinations that they compute together, a piece as long as the block at a time; by id
    vectors  loops that go through memory vector by vector; by id
    transposed  what "tiles" hold
    tiling   how a product of matrices is cut
    """

    kind: Literal["threads", "blocks", "chunks", "tiles", "one", "whole", "cublas", "mended"]
    before: list[Let]
    body: list[Statement]
    loops: list[For] = field(default_factory=list)
    count: DimLike = 1
    threads: int = 1
    spread: dict[int, list[For]] = field(default_factory=dict)
    scans: set[int] = field(default_factory=set)
    flat: set[str] = field(default_factory=set)
    vectors: dict[int, Vectors] = field(default_factory=dict)
    transposed: Transposed | None = None
    tiling: Tiling | None = None

    @property
    def blocks(self) -> DimLike:
        """How many blocks have something to do."""
        if self.kind != "threads":
            return self.count
        return dims.ceildiv(self.count, self.threads * self.width(self.loops))

    def width(self, loops: list[For]) -> int:
        """How many iterations a thread has at a time."""
        found = self.vectors.get(id(loops[0])) if len(loops) == 1 else None
        return found.width if found else 1


class Launcher:
    """Cuts one kernel into launches.

    fixed  memory at addresses that stay, where cuBLAS may compute products of the kernel; None where it may not
    """

    def __init__(self, kernel: Kernel, fixed: set[int] | None = None):
        self.kernel, self.fixed = kernel, fixed
        self.accesses = Accesses({a.name: a.buffer for a in kernel.arrays})
        pairs = zip(kernel.body, kernel.body[1:], strict=False)
        self.epilogues = {id(s): t for s, t in pairs if isinstance(s, Dot) and self._is_epilogue(s, t)}

    def launches(self) -> list[Launch]:
        """In order; what a launch reads, earlier ones have written."""
        found: list[Launch] = []
        lets: dict[str, Let] = {}
        together: list[Statement] = []  # what goes to one block
        written: set[int] = set()
        joined = {id(loop) for loop in self.epilogues.values()}
        for s in [*(s for s in self.kernel.body if id(s) not in joined), None]:
            launch = None if s is None or self._continues(together, s) else self._grid(s)
            if s is not None and launch is None:
                together.append(s)
                if isinstance(s, Let):
                    lets[s.name] = s
                continue
            block = [self._one(together)] if any(not isinstance(t, Let) for t in together) else []
            for one in [*block, *([launch] if launch else [])]:
                if not self._complete(one, lets, written):
                    return [self._one(self.kernel.body)]
                found += self._by_size(one)
                written |= self.accesses.written(one.body)
            together = []
        return found

    def _is_epilogue(self, dot: Dot, s: Statement) -> bool:
        """Whether a loop goes over the results of a product, each iteration with one of them, and changes no factor."""
        if not isinstance(s, For) or dot.guard:
            return False
        arrays = {a.name: a for a in self.kernel.arrays}
        out, loops = arrays[dot.out], nest_of(s)
        body, own = loops[-1].body, tuple(Var(loop.var) for loop in loops)
        if tuple(loop.extent for loop in loops) != out.shape or any(loop.reverse or loop.chunked for loop in loops):
            return False
        if not all(isinstance(t, (Let, Store)) for t in body) or work_of(body) > MOST_WORK:
            return False
        factors = {arrays[name].buffer for name in (dot.x, dot.y, dot.out)}
        if factors & self.accesses.written(body) or any(self.accesses.shared(loop) != set() for loop in loops):
            return False
        mine = [load for t in body for load in loads(t) if arrays[load.array].buffer == out.buffer]
        return all((load.array, load.index) == (dot.out, own) for load in mine)

    def _continues(self, together: list[Statement], s: Statement) -> bool:
        """Whether a statement combines into, or reads, what started in the block before it."""
        names = {t.name for t in together if isinstance(t, Init)}
        return bool(names & used([s]))

    def _complete(self, launch: Launch, lets: dict[str, Let], written: set[int]) -> bool:
        """Let a launch compute again what it reads of earlier values; whether that is possible."""
        launch.before = []
        wanted = used([*launch.body, *launch.loops]) - defined(launch.body)
        needed: set[str] = set()
        stack = [name for name in wanted if name in lets]
        while stack:
            name = stack.pop()
            if name not in needed:
                needed.add(name)
                stack += [n for n in used([lets[name]]) if n in lets]
        launch.before = [s for name, s in lets.items() if name in needed]
        unknown = {s.name for s in self.kernel.body if isinstance(s, Init)} & (wanted | used(launch.before))
        if unknown - defined(launch.body):
            return False
        read = {self.accesses.buffers[load.array] for s in launch.before for load in loads(s)}
        mine = set() if launch.kind == "one" else self.accesses.written(launch.body)
        return not read & (written | mine)

    def _grid(self, s: Statement) -> Launch | None:
        """The launch of a statement of the kernel's own; None where it must go to one block."""
        if isinstance(s, Chunks):
            return self._in_blocks("chunks", s.body, [], s.count, s)
        if isinstance(s, Dot):
            return Launch("whole", [], [s, self.epilogues[id(s)]] if id(s) in self.epilogues else [s])
        if isinstance(s, Finite):
            array = next(a for a in self.kernel.arrays if a.name == s.array)
            count = dims.ceildiv(dims.product(array.shape), BLOCK)
            return Launch("whole", [], [s], count=count, threads=BLOCK)
        if isinstance(s, Finish) and len(s.body) == 1:
            return self._grid(s.body[0])
        if not isinstance(s, For):
            return None
        loops: list[For] = []
        for loop in nest_of(s):
            if self.accesses.shared(loop, sorting=True) != set():
                break
            loops.append(loop)
        if not loops:
            return None
        count = dims.product([loop.extent for loop in loops])
        body = loops[-1].body
        few = isinstance(count, int) and count <= FEW
        sorts = any(isinstance(t, Argsort) for t in walk(body))
        if sorts or any(is_wide(i) and (few or _is_better(i, loops[-1])) for i in self._inner(body, scans=True)):
            return self._in_blocks("blocks", body, loops, count)
        arrays = {a.name: a for a in self.kernel.arrays}
        indexed = {load.array for s in self.kernel.body if isinstance(s, Let) for load in loads(s)}
        found = collapsed(loops, arrays, indexed) if len(loops) > 1 else None
        flat: set[str] = set()
        if found is not None:
            loop, flat = found
            loops, body = [loop], loop.body
        across = transposed_in(loops, arrays)
        if across is not None:
            others = [loop.extent for loop in loops if loop not in (across.row, across.column)]
            tiles = [dims.ceildiv(loop.extent, WARP) for loop in (across.row, across.column)]
            return Launch("tiles", [], body, loops, dims.product([*others, *tiles]), BLOCK, transposed=across)
        launch = Launch("threads", [], body, loops, count, BLOCK, flat=flat)
        if len(loops) == 1:
            self._go_by_vectors(loops[0], launch, LEAST_VECTORS)
        return launch

    def _go_by_vectors(self, loop: For, launch: Launch, least: int) -> None:
        vectors = vectors_of(loop, {a.name: a for a in self.kernel.arrays}, launch.flat, least)
        if vectors is not None:
            launch.vectors[id(loop)] = vectors

    def _by_size(self, launch: Launch) -> list[Launch]:
        """A launch, or those for each way to compute its product: all but one have no blocks, as sizes will show."""
        s = launch.body[0]
        if not isinstance(s, Dot):
            return [launch]
        batch = next(a for a in self.kernel.arrays if a.name == s.out).shape[0] if s.batched else 1
        large = 0 if self.fixed is None else cublas.share(self.kernel, s, self.fixed)
        found = self._by_cublas(launch, s, large) if large != 0 else []
        rest: DimLike = 1 - large  # whether the product is left for the ways still to come: 1, or 0
        if rest == 0:
            return found
        for tiling in (tilings := tilings_for(s, batch)):
            tiles = tiling.tiles(s, batch)
            enough = dims.smaller(tiles // ENOUGH, 1) if tiling is not tilings[-1] else 1
            count = tiles * enough * rest
            found.append(replace(launch, tiling=tiling, count=count, threads=tiling.side**2))
            rest = rest * (1 - enough)
        return found

    def _by_cublas(self, launch: Launch, s: Dot, large: DimLike) -> list[Launch]:
        """The product, and what is computed of its results, in launches of their own; none where `large` is 0."""
        found = [replace(launch, kind="cublas", body=[s], count=large)]
        if s.guard:
            out = next(a for a in self.kernel.arrays if a.name == s.out)
            count = dims.ceildiv(dims.product(out.shape), BLOCK) * large
            found.append(replace(launch, kind="mended", body=[s], count=count, threads=BLOCK))
        for loop in launch.body[1:]:
            behind = self._grid(loop)
            assert behind is not None  # its iterations are independent, see `_is_epilogue`
            found.append(replace(behind, before=launch.before, count=behind.count * large))
        return found

    def _inner(self, body: list[Statement], scans: bool = False) -> list[For]:
        """The loops in a body that the threads of a block could share, with running combinations if `scans`."""
        loops = [s for s in walk(body) if isinstance(s, For)]
        return [s for s in loops if self.accesses.shared(s) is not None or (scans and scanned(s) is not None)]

    def _one(self, body: list[Statement]) -> Launch:
        return self._in_blocks("one", [t for s in body for t in (s.body if isinstance(s, Finish) else [s])], [], 1)

    def _in_blocks(
        self,
        kind: Literal["blocks", "chunks", "one"],
        body: list[Statement],
        loops: list[For],
        count: DimLike,
        chunks: Chunks | None = None,
    ) -> Launch:
        launch = Launch(kind, [], [chunks] if chunks else body, loops, count)
        self._spread(body, launch)
        sorts = any(isinstance(s, Argsort) for s in walk(body))
        launch.threads = BLOCK if sorts or launch.scans else _threads(launch) if launch.spread else 1
        return launch

    def _spread(self, body: list[Statement], launch: Launch) -> None:
        """Choose the loops of a body that the threads of a block share."""
        for s in body:
            if isinstance(s, (If, Chunks, Finish)):
                self._spread(s.body, launch)
            if not isinstance(s, For):
                continue
            if scanned(s) is not None and is_wide(s):
                launch.scans.add(id(s))
                continue
            inner = self._inner(s.body, scans=True)
            if self.accesses.shared(s) is None or any(is_wide(i) and _is_better(i, s) for i in inner):
                self._spread(s.body, launch)
                continue
            together = [s]
            for loop in nest_of(s)[1:]:
                if contiguity(s.var, s.body) or self.accesses.shared(loop) is None or loop not in inner:
                    break
                together.append(loop)
            launch.spread[id(s)] = together
            if len(together) == 1:
                self._go_by_vectors(s, launch, WARP)


def _is_better(inner: For, outer: For) -> bool:
    """Whether threads that share the inner loop read and write more that stands together than with the outer one."""
    return contiguity(inner.var, inner.body) >= contiguity(outer.var, inner.body)


def _threads(launch: Launch) -> int:
    """Threads of a block: no more than the longest loop that they share has iterations, as far as these are known."""
    most = WARP
    for loops in launch.spread.values():
        count = dims.product([loop.extent for loop in loops])
        if not isinstance(count, int) or any(loop.chunked for loop in loops):
            return BLOCK
        count //= launch.width(loops)
        while most < min(count, BLOCK):
            most *= 2
    return min(most, BLOCK)


def launches_of(kernel: Kernel, fixed: set[int] | None = None) -> list[Launch]:
    """The launches of a kernel, in order; `fixed` as in `Launcher`."""
    return Launcher(kernel, fixed).launches()
