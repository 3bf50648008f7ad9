"""One launch as the text of a CUDA kernel.

A block goes through its iterations of the grid's loop. Statements around shared loops are executed by all its threads
alike, with equal values, except that only the first one stores; a shared loop gives each thread some of its iterations,
and what they combine into is combined over the block behind the statement that has the loop in it. Barriers stand
around what writes memory that something else in the launch reads or writes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from ..ir.dims import DimLike, product
from ..ir.dtypes import DType
from ..ir.loops import (
    Argsort,
    Chunks,
    Combine,
    Finite,
    For,
    If,
    Init,
    Kernel,
    Statement,
    Store,
    StoreCombine,
    walk,
)
from ..schedule.launches import Launch
from ..schedule.parallel import Accesses, accumulators, scanned
from .cuda_blocks import BARRIER, type_name
from .cuda_products import CudaProducts
from .cuda_transposes import CudaTransposes
from .cuda_vectors import CudaVectors
from .statements import KernelText, StatementPrinter


class LaunchPrinter(StatementPrinter, CudaVectors, CudaProducts, CudaTransposes):
    """Prints one launch of a kernel.

    guarded  it does nothing once an error is flagged
    private  memory that no other kernel reads
    """

    def __init__(self, kernel: Kernel, launch: Launch, guarded: bool, private: Collection[int] = ()):
        super().__init__()
        self.private = private
        self.kernel, self.launch, self.guarded = kernel, launch, guarded
        self.accesses = Accesses({a.name: a.buffer for a in kernel.arrays})
        self.mentioned = self.accesses.counted([*launch.before, *launch.body])
        self.alone = False  # whether what is printed is executed by one thread, or by each for itself
        self.parted = self._parted()

    def print(self) -> KernelText:
        """The kernel's text, and what it must be passed."""
        if self.launch.kind == "whole":
            self.block(self.launch.body[:1], 1)
        elif self.launch.kind == "mended":
            self.print_mended(self.launch.body[0])
        else:
            self._iterations()
        text, marks = self.finish()
        code = "\n".join(text)
        arrays = [a for a in self.kernel.arrays if _mentions(code, a.name)]
        shapes = [self.shape_text((product(a.shape),) if a.name in self.launch.flat else a.shape) for a in arrays]
        arguments: list[tuple[str, object]] = [("dim", d) for d in self.dims]
        head = ["    if stopped(m):", "        return"] if self.guarded else []
        head += [f"    n{k} = size(m, o, {k})" for k in range(len(self.dims))]
        for array, shape in zip(arrays, shapes, strict=True):
            head.append(f"    {array.name} = array(m, o, {len(arguments)}, {shape}, {type_name(array.dtype)})")
            arguments.append(("buffer", array.buffer))
        checks = [("check", node) for node in self.kernel.checks]
        for k, check in enumerate(checks if self.kernel.finite is None else [("finite", self.kernel.finite)]):
            if _mentions(code, f"e{k}"):
                head.append(f"    e{k} = code(m, o, {len(arguments)})")
                arguments.append(check)
        functions, helpers = self.printer.functions, self.helpers
        return KernelText("\n".join([*head, *text]), arguments, marks, self.names, functions, helpers)

    # the grid's loop

    def _iterations(self) -> None:
        launch = self.launch
        for s in launch.before:
            self.print_let(s, 1)
        depth = 1
        if launch.kind == "tiles":
            self.alone = True
            self.print_tiles()
            return
        if launch.kind in ("threads", "blocks"):
            who = "thread" if launch.kind == "threads" else "block"
            first, step = f"first_{who}()", f"all_{who}s()"
            if launch.width(launch.loops) > 1:
                self.alone = True
                self._vectors(launch.loops[0], first, step, 1)
                return
            depth = self._loop(launch.loops, first, step, 1)
        self.alone = launch.kind == "threads" or launch.threads == 1
        self.block(launch.body, depth)

    def _vectors(self, loop: For, first: str, step: str, depth: int) -> None:
        self.vector_loop(loop, self.launch.vectors[id(loop)], first, step, depth)

    def _loop(self, loops: list[For], first: str, step: str, depth: int) -> int:
        """Loops as one, from `first` on in steps of `step`; the depth of what is inside."""
        if len(loops) == 1:
            (loop,) = loops
            start, stop = ("start + ", "stop") if loop.chunked else ("", self.printer.size(loop.extent))
            if loop.reverse:
                self.line(depth, f"for f in range({first}, {stop}, {step}):")
                self.line(depth + 1, f"{loop.var} = {stop} - 1 - f")
            else:
                self.line(depth, f"for {loop.var} in range({start}{first}, {stop}, {step}):")
            return depth + 1
        total = self.printer.size(product([loop.extent for loop in loops]))
        if loops[0].chunked:
            inner = product([loop.extent for loop in loops[1:]])
            total = f"(stop - start) * {self.printer.size(inner)}"
        self.line(depth, f"for f in range({first}, {total}, {step}):")
        rest = "f"
        for loop in reversed(loops[1:]):
            size = self.printer.size(loop.extent)
            self.line(depth + 1, f"{loop.var} = {rest} % {size}")
            self.line(depth + 1, f"{rest if rest != 'f' else 'g'} = {rest} // {size}")
            rest = "g"
        self.line(depth + 1, f"{loops[0].var} = {'start + ' if loops[0].chunked else ''}{rest}")
        return depth + 1

    def print_chunks(self, s: Chunks, depth: int) -> None:
        count, length, extent = (self.printer.size(d) for d in (s.count, s.length, s.extent))
        grid = self.launch.kind == "chunks"
        bounds = f"first_block(), {count}, all_blocks()" if grid else count
        self.line(depth, f"for {s.var} in range({bounds}):")
        self.line(depth + 1, f"start = {s.var} * {length}")
        self.line(depth + 1, f"stop = min(start + {length}, {extent})")
        self.block(s.body, depth + 1)

    # inside a block

    def block(self, body: list[Statement], depth: int) -> None:
        if self.alone:
            super().block(body, depth)
            return
        dtypes = {s.name: s.expr.dtype for s in body if isinstance(s, Init)}
        for s in body:
            super().block([s], depth)
            self._combined(s, dtypes, depth)

    def _combined(self, s: Statement, dtypes: dict[str, DType], depth: int) -> None:
        """Behind a statement, the parts that threads have of accumulators that started beside it become one."""
        done: set[str] = set()
        for c in walk([s]):
            if isinstance(c, Combine) and c.name in self.parted and c.name not in done:
                own = accumulators(c)
                if own[0] in dtypes and c is not s:
                    done.add(c.name)
                    function = f"block_{c.op}_{dtypes[own[0]].name}"
                    self.helpers.add(function)
                    self.line(depth, f"{', '.join(own)} = {function}({', '.join(own)})")

    def _parted(self) -> set[str]:
        """Accumulators of which each thread has a part: combined into inside a shared loop, started outside it."""
        found: set[str] = set()
        for loop in walk(self.launch.body):
            if isinstance(loop, For) and id(loop) in self.launch.spread:
                own = {s.name for s in walk(loop.body) if isinstance(s, Init)}
                found |= {s.name for s in walk(loop.body) if isinstance(s, Combine) and not own & set(accumulators(s))}
        return found

    def print_for(self, s: For, depth: int) -> None:
        if self.alone:
            if s.chunked:
                self.line(depth, f"for {s.var} in range(start, stop):")
            else:
                size = self.printer.size(s.extent)
                self.line(depth, f"for {s.var} in range({f'{size} - 1, -1, -1' if s.reverse else size}):")
            self.block(s.body, depth + 1)
            return
        together = self.launch.spread.get(id(s))
        if id(s) in self.launch.scans:
            self._scan(s, depth)
        elif together is not None:
            self._apart([s], depth, before=True)
            self.alone = True
            if self.launch.width(together) > 1:
                self._vectors(s, "cuda.threadIdx.x", str(self.launch.threads), depth)
            else:
                inside = self._loop(together, "cuda.threadIdx.x", str(self.launch.threads), depth)
                self.block(together[-1].body, inside)
            self.alone = False
            self._apart([s], depth)
        elif self._by_all(s):
            bounds = "start, stop" if s.chunked else self.printer.size(s.extent)
            if s.reverse:
                bounds = f"{bounds} - 1, -1, -1"
            self.line(depth, f"for {s.var} in range({bounds}):")
            self.block(s.body, depth + 1)
        else:
            self._by_one(s, depth)

    def _scan(self, s: For, depth: int) -> None:
        """A running combination, a piece as long as the block at a time: that of a piece goes on from the one before.

        It stands in the accumulator; each thread has an element of the piece, and its running combination.
        """
        combine = scanned(s)
        assert combine is not None
        at, size, kind = s.body.index(combine), self.printer.size(s.extent), type_name(combine.expr.dtype)
        function = f"scan_{combine.op}_{combine.expr.dtype.name}"
        self.helpers.add(function)
        self._apart([s], depth, before=True)
        self.line(depth, f"for f in range(0, {size}, {self.launch.threads}):")
        place = "f + cuda.threadIdx.x"
        self.line(depth + 1, f"{s.var} = {f'{size} - 1 - ({place})' if s.reverse else place}")
        inside = f"{s.var} >= 0" if s.reverse else f"{s.var} < {size}"
        self.line(depth + 1, f"x = {kind}({'0' if combine.op == 'add' else '1'})")
        self.line(depth + 1, f"if {inside}:")
        self.alone = True
        self.block(s.body[:at], depth + 2)
        self.line(depth + 2, f"x = {self.printer.text(combine.expr)}")
        self.line(depth + 1, f"x, {combine.name}_next = {function}(x, {combine.name})", combine.node)
        self.line(depth + 1, f"{combine.name} = x")
        self.line(depth + 1, f"if {inside}:")
        self.block(s.body[at + 1 :], depth + 2)
        self.line(depth + 1, f"{combine.name} = {combine.name}_next")
        self.alone = False
        self._apart([s], depth)

    def _by_all(self, s: For) -> bool:
        """Whether all threads go through a loop that they do not share: they share one in it, or need its result."""
        shared = {*self.launch.spread, *self.launch.scans}
        inside = [t for t in walk(s.body) if isinstance(t, Argsort) or id(t) in shared]
        own = {t.name for t in walk(s.body) if isinstance(t, Init)}
        needed = any(isinstance(t, Combine) and not own & set(accumulators(t)) for t in walk(s.body))
        return bool(inside) or not self._stores(s) or (needed and s.kind != "scan")

    def print_if(self, s: If, depth: int) -> None:
        if self.alone or any(isinstance(t, For) for t in walk(s.body)) or not self._stores(s):
            super().print_if(s, depth)
        else:
            self._by_one(s, depth)

    def print_store(self, s: Store, depth: int) -> None:
        if self.alone:
            super().print_store(s, depth)
        else:
            self._by_one(s, depth)

    def print_storecombine(self, s: StoreCombine, depth: int) -> None:
        if self.alone:
            super().print_storecombine(s, depth)
        else:
            self._by_one(s, depth)

    def print_combine(self, s: Combine, depth: int) -> None:
        if not self.alone and s.name in self.parted:
            self.line(depth, "if cuda.threadIdx.x == 0:")
            depth += 1
        super().print_combine(s, depth)

    def _by_one(self, s: Statement, depth: int) -> None:
        """A statement that the first thread of the block executes."""
        self._apart([s], depth, before=True)
        self.line(depth, "if cuda.threadIdx.x == 0:")
        self.alone = True
        self.block([s], depth + 1)
        self.alone = False
        self._apart([s], depth)

    def _stores(self, s: Statement) -> bool:
        return bool(self.accesses.written([s]))

    def _apart(self, body: list[Statement], depth: int, before: bool = False) -> None:
        """A barrier, if the body writes what something else in the launch reads or writes."""
        own = self.accesses.counted(body)
        if any(self.mentioned[b] > own[b] for b in self.accesses.written(body)):
            if before and self.lines and self.lines[-1][1] == BARRIER:
                return
            self.line(depth, BARRIER)

    def print_argsort(self, s: Argsort, depth: int) -> None:
        self.helpers.add("argsort")
        at = f"[{self.printer.index(s.row)}]" if s.row else ""
        arrays = ", ".join(f"{name}{at}" for name in (s.values, s.order, s.other))
        self.line(depth, BARRIER)
        self.line(depth, f"argsort({arrays}, {s.descending})", s.node)
        self.line(depth, BARRIER)

    def print_finite(self, s: Finite, depth: int) -> None:
        array = next(a for a in self.kernel.arrays if a.name == s.array)
        flat = ", ".join(_unravelled(self.printer.size, array.shape)) or "0"
        size: DimLike = product(array.shape)
        self.line(depth, f"for f in range(first_thread(), {self.printer.size(size)}, all_threads()):")
        self.line(depth + 1, f"if not abs({s.array}[{flat}]) < inf:", s.node)
        self.line(depth + 2, "flag(m, e0)")


def _unravelled(size: Callable[[DimLike], str], shape: tuple[DimLike, ...]) -> list[str]:
    """The index of element number f of an array of this shape."""
    found = []
    for k, n in enumerate(shape):
        inner = product(shape[k + 1 :])
        place = "f" if inner == 1 else f"f // {size(inner)}"
        found.append(place if k == 0 else f"{place} % {size(n)}")
    return found


def _mentions(code: str, name: str) -> bool:
    return re.search(rf"\b{name}\b", code) is not None
