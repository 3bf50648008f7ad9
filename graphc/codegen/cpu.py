"""The CPU printer: loop IR to the text of one Python file that numba compiles.

A kernel's text uses local names only (a0 arrays, n0 sizes, v0 values, s0 accumulators), never the user's, so equal
kernels have equal text and are compiled once. `#@k` marks statement k; `inspect.source` renders the marks.

All of a program's integers and addresses stand in one int64 table `m`: the error code, the kernels to call, sizes
of runtime dims, addresses of buffers, and for every kernel call a row of positions in that table. A kernel is a C
function of the table's address, the position of its row, and the chunks of its outermost loop that it should run
(first, ..., last - 1); behind the last chunk, whose number is one less than their count, comes what combines them. A
kernel that is not cut into chunks has 0 of them and runs as a whole. `step` is the order of the calls, which compiled
loops read from the table (`runtime.drivers`). With jit disabled, `m` is a list that holds arrays where the table has
addresses, and kernels and `step` run as plain Python.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..ir.dims import DimLike, product
from ..ir.dtypes import BOOL, FLOAT32, FLOAT64
from ..ir.expr import Call, Expr, Lit, Load, Var
from ..ir.loops import (
    Argsort,
    Chunks,
    Combine,
    Dot,
    Finish,
    Finite,
    For,
    If,
    Init,
    Kernel,
    Let,
    Statement,
    Store,
    StoreCombine,
    walk,
)
from ..ir.tensor import Tensor
from ..ops.guarded import sides
from ..schedule.chunks import TILE
from ..schedule.plan import Plan
from . import intmath, vecmath
from .convolutions import ConvolutionPrinter
from .prelude import HEADER, HELPERS
from .scalar import FunctionKey, Printer

FIRST_CALL = 6
"""Layout of `m`: the error code, the number of kernel calls before the error check, of all calls, the position of the
first call, how many threads may run, a counter for them; then (address, row, number of chunks) per call, dims, buffers,
rows."""


@dataclass
class KernelText:
    """A printed kernel: its text without the name, what its call must pass, and what its marks stand for."""

    text: str
    arguments: list[tuple[str, object]]  # ("dim", dim), ("buffer", number), ("check" or "finite", node)
    marks: list[Tensor | None]
    names: dict[str, Tensor]
    functions: dict[FunctionKey, str]
    helpers: set[str] = field(default_factory=set)
    chunks: DimLike | None = None


class KernelPrinter(ConvolutionPrinter):
    """Prints one kernel: to be compiled, or, with `plainly`, to be read: each reduction has one accumulator then."""

    def __init__(self, kernel: Kernel, plainly: bool = False):
        self.kernel, self.plainly = kernel, plainly
        self.lanes = {} if plainly else lanes_of(kernel)
        self.widened: list[tuple[Combine, Expr]] = []  # what the loop being printed still has to add up
        self.in_lanes = {id(loop) for loop in self.lanes.values()}
        self.unrolled = False  # whether the innermost loop is a short one of known length
        self.dims: dict[DimLike, str] = {}
        self.printer = Printer(self.dim_name)
        self.lines: list[tuple[int, str, Tensor | None]] = []
        self.names: dict[str, Tensor] = {}
        self.helpers: set[str] = set()

    def dim_name(self, dim: DimLike) -> str:
        return self.dims.setdefault(dim, f"n{len(self.dims)}")

    def print(self) -> KernelText:
        if self.kernel.finite is not None and not self.plainly:  # one text for all shapes: it is compiled once
            shapes = [f"({self.dim_name(product(a.shape))},)" for a in self.kernel.arrays]
        else:
            shapes = [self.shape_text(a.shape) for a in self.kernel.arrays]
        self.block(self.kernel.body, 1)
        arguments: list[tuple[str, object]] = [("dim", d) for d in self.dims]
        head = [f"    n{k} = size(m, o, {k})" for k in range(len(self.dims))]
        for array, shape in zip(self.kernel.arrays, shapes, strict=True):
            dtype = "bool_" if array.dtype == BOOL else array.dtype.name
            head.append(f"    {array.name} = array(m, o, {len(arguments)}, {shape}, {dtype})")
            arguments.append(("buffer", array.buffer))
        checks = [("check", node) for node in self.kernel.checks]
        for k, check in enumerate(checks if self.kernel.finite is None else [("finite", self.kernel.finite)]):
            head.append(f"    e{k} = code(m, o, {len(arguments)})")
            arguments.append(check)
        text, marks = self.finish()
        chunks = self.kernel.chunks
        return KernelText(
            "\n".join([*head, *text]),
            arguments,
            marks,
            self.names,
            self.printer.functions,
            self.helpers,
            chunks.count if chunks else None,
        )

    def finish(self) -> tuple[list[str], list[Tensor | None]]:
        marks: list[Tensor | None] = []
        text = []
        for depth, line, node in self.lines:
            indented = "    " * depth + line
            if node is not None:
                indented = f"{indented}  #@{len(marks)}"
                marks.append(node)
            text.append(indented)
        return text, marks

    def shape_text(self, shape: tuple[DimLike, ...]) -> str:
        if not shape:
            return "(1,)"
        return "(" + ", ".join(self.printer.size(s) for s in shape) + ("," if len(shape) == 1 else "") + ")"

    def line(self, depth: int, text: str, node: Tensor | None = None) -> None:
        self.lines.append((depth, text, node))

    def block(self, body: list[Statement], depth: int) -> None:
        started: list[Init] = []
        for statement in body:
            if isinstance(statement, Init) and statement.name in self.lanes:
                started.append(statement)
                continue
            inside = {s.name: s for s in walk([statement]) if isinstance(s, Combine)} if started else {}
            own = [s for s in started if s.name in inside]
            self.start_lanes(own, inside, depth)
            getattr(self, f"print_{type(statement).__name__.lower()}")(statement, depth)
            self.fold_lanes(own, inside, depth)
            started = [s for s in started if s.name not in inside]

    # statements

    def print_let(self, s: Let, depth: int) -> None:
        if s.node is not None:
            self.names[s.name] = s.node
        self.line(depth, f"{s.name} = {self.printer.text(s.expr)}", s.node)

    def print_init(self, s: Init, depth: int) -> None:
        if s.node is not None:
            self.names[s.name] = s.node
        text = self.printer.literal(s.expr, typed=True) if isinstance(s.expr, Lit) else self.printer.text(s.expr)
        self.line(depth, f"{s.name} = {text}", s.node)

    def print_store(self, s: Store, depth: int) -> None:
        self.line(depth, f"{s.array}[{self.printer.index(s.index)}] = {self.printer.text(s.expr)}", s.node)

    def print_combine(self, s: Combine, depth: int) -> None:
        if s.op.startswith("arg"):
            self.arg_combine(s, depth)
            return
        if s.name not in self.lanes:
            self.line(depth, combine_text(self.printer, s.name, s.op, s.expr), s.node)
        elif _is_widened(s):
            narrow = s.expr.args[0]  # type: ignore[attr-defined]  # of a cast
            self.line(depth, f"{s.name}_narrow[l] = {self.printer.text(narrow)}", s.node)
            load = Load(f"{s.name}_narrow", (Var("l"),), narrow.dtype)
            self.widened.append((s, Call("cast", (load,), s.expr.dtype)))
        else:
            self.line(depth, combine_text(self.printer, f"{s.name}_[l]", s.op, s.expr), s.node)

    def arg_combine(self, s: Combine, depth: int) -> None:
        value, position = s.name.split("|")
        new = self.printer.text(s.expr)
        sign = ">" if s.op == "argmax" else "<"
        assert s.position is not None
        if self.unrolled and not self.plainly:  # as values, so that loops around become vectors
            ahead = f"({position} < 0) | ({new} {sign} {value})"
            if s.expr.dtype.kind == "f":  # a nan is neither; behind a nan nothing is
                behind = "<=" if s.op == "argmax" else ">="
                ahead = f"(({position} < 0) | (not {new} {behind} {value})) & ({value} == {value})"
            self.line(depth, f"b = {ahead}", s.node)
            self.line(depth, f"{value} = select(b, {new}, {value})")
            self.line(depth, f"{position} = select(b, {self.printer.text(s.position)}, {position})")
            return
        nan = f" or ({new} != {new} and {value} == {value})" if s.expr.dtype.kind == "f" else ""
        self.line(depth, f"if {position} < 0 or {new} {sign} {value}{nan}:", s.node)
        self.line(depth + 1, f"{value} = {new}")
        self.line(depth + 1, f"{position} = {self.printer.text(s.position)}")

    def print_storecombine(self, s: StoreCombine, depth: int) -> None:
        target = f"{s.array}[{self.printer.index(s.index)}]"
        self.line(depth, combine_text(self.printer, target, s.op, s.expr), s.node)

    def print_for(self, s: For, depth: int) -> None:
        size = self.printer.size(s.extent)
        bounds = f"{size} - 1, -1, -1" if s.reverse else size
        if id(s) not in self.in_lanes:
            if s.chunked:
                self.line(depth, "for k in range(stop - start):")
                self.line(depth + 1, f"{s.var} = position(start, k)")
            else:
                self.line(depth, f"for {s.var} in range({bounds}):")
            self.unrolled = isinstance(s.extent, int) and s.extent <= _UNROLLED
            self.block(s.body, depth + 1)
            return
        count = lane_count(s)
        if s.chunked or not isinstance(s.extent, int):
            start, stop = ("start", "stop") if s.chunked else ("0", size)
            self.line(depth, f"for j in range({start}, {stop}, {count}):")
            self.lanes_of_one(s, depth + 1, "j", f"up_to({stop} - j, {count})")
            return
        whole = s.extent // count * count  # loops of known length become vectors without a test
        self.line(depth, f"for j in range(0, {whole}, {count}):")
        self.lanes_of_one(s, depth + 1, "j", str(count))
        if whole < s.extent:
            self.lanes_of_one(s, depth, str(whole), str(s.extent - whole))

    def lanes_of_one(self, s: For, depth: int, start: str, length: str) -> None:
        """One element for each of the first `length` lanes."""
        self.line(depth, f"for l in range({length}):")
        self.line(depth + 1, f"{s.var} = position({start}, l)")
        self.block(s.body, depth + 1)
        if self.widened:  # apart, or every operation of the loop would run at half its width
            self.line(depth, f"for l in range({length}):")
            for one, narrow in self.widened:
                self.line(depth + 1, combine_text(self.printer, f"{one.name}_[l]", one.op, narrow), one.node)
            self.widened = []

    def start_lanes(self, started: list[Init], combines: dict[str, Combine], depth: int) -> None:
        """Memory for the lanes of accumulators that the next loop fills, with their neutral elements."""
        for s in started:
            assert isinstance(s.expr, Lit)
            count, value = lane_count(self.lanes[s.name]), self.printer.literal(s.expr, typed=True)
            self.line(depth, f"{s.name}_ = lanes({count}, {value})", s.node)
            if _is_widened(combines[s.name]):
                self.line(depth, f"{s.name}_narrow = lanes({count}, float32(0.0))", s.node)

    def fold_lanes(self, started: list[Init], combines: dict[str, Combine], depth: int) -> None:
        """Behind that loop, the lanes of each accumulator become one value."""
        for s in started:
            fold = f"fold_{combines[s.name].op}"
            self.line(depth, f"{s.name} = {fold}({s.name}_, {lane_count(self.lanes[s.name])})", s.node)

    def print_chunks(self, s: Chunks, depth: int) -> None:
        count, length, extent = (self.printer.size(d) for d in (s.count, s.length, s.extent))
        self.line(depth, f"for {s.var} in range(first, up_to(last, {count})):")
        if isinstance(s.body[0], Dot) and s.body[0].part == "tile":
            self.block(s.body, depth + 1)
            return
        self.line(depth + 1, f"start = position({s.var} * {length}, 0)")
        self.line(depth + 1, f"stop = start + up_to({extent} - start, {length})")
        self.block(s.body, depth + 1)

    def print_finish(self, s: Finish, depth: int) -> None:
        chunks = self.kernel.chunks
        assert chunks is not None
        self.line(depth, f"if last > {self.printer.size(chunks.count)}:")
        self.block(s.body, depth + 1)

    def print_if(self, s: If, depth: int) -> None:
        self.line(depth, f"if {self.printer.text(s.condition)}:")
        self.block(s.body, depth + 1)

    def print_dot(self, s: Dot, depth: int) -> None:
        x, y, out = s.x, s.y, s.out
        if s.part in ("batch", "rows", "terms"):
            self.dot_in_chunk(s, depth)
            return
        if s.part == "tile":
            tile = "c"
            if s.batched:
                tiles = f"({_tiles_of(out)})"
                self.line(depth, f"b = c // {tiles}")
                x, y, out = self.of_batch(x, s.x_batch), self.of_batch(y, s.y_batch), f"{out}[b]"
                tile = f"c - b * {tiles}"
            self.print_part(s, "tile", depth, x, y, out, tile)
            return
        if s.batched:
            batch = self.printer.size(next(a for a in self.kernel.arrays if a.name == out).shape[0])
            self.line(depth, f"for b in range({batch}):")
            depth += 1
            x, y, out = self.of_batch(x, s.x_batch), self.of_batch(y, s.y_batch), f"{out}[b]"
        x = f"{x}.T" if s.x_transposed else x
        y = f"{y}.T" if s.y_transposed else y
        self.print_part(s, "whole", depth, x, y, out)

    def print_part(self, s: Dot, part: str, depth: int, x: str, y: str, out: str, *numbers: str) -> None:
        """The call of the function for a part of a product, and behind it of that which mends it under a guard."""
        transposed = () if part == "whole" else (str(s.x_transposed), str(s.y_transposed))
        arguments = [x, y, out, *transposed, *numbers]
        self.helpers.add("products")
        self.line(depth, f"dot_{part}({', '.join(arguments)})", s.node)
        if s.guard:
            arguments += [str(side) for side in sides(s.guard)]
            self.line(depth, f"mended_{part}({', '.join(arguments)})", s.node)

    def of_batch(self, array: str, batch: tuple[tuple[DimLike, DimLike | None] | None, ...]) -> str:
        """The matrix number b of an array, see `Dot`."""
        if not batch:
            return f"{array}[b]"
        places = []
        for axis in batch:
            if axis is None:
                places.append(":")
                continue
            divisor, modulus = axis
            place = "b" if divisor == 1 else f"b // {self.printer.size(divisor)}"
            places.append(place if modulus is None else f"{place} % {self.printer.size(modulus)}")
        return f"{array}[{', '.join(places)}]"

    def dot_in_chunk(self, s: Dot, depth: int) -> None:
        """What of a product belongs to the rows of a chunk."""
        x, y, out = s.x, s.y, f"{s.out}[c]" if s.part == "terms" else s.out
        if s.batched:
            self.line(depth, f"for b in range({'start, stop' if s.part == 'batch' else f'{out}.shape[0]'}):")
            depth += 1
            x, y, out = self.of_batch(x, s.x_batch), self.of_batch(y, s.y_batch), f"{out}[b]"
        if s.part == "batch":
            self.line(depth, f"for t in range({_tiles_of(s.out)}):")
            self.print_part(s, "tile", depth + 1, x, y, out, "t")
            return
        self.print_part(s, s.part, depth, x, y, out, "start", "stop")

    def print_argsort(self, s: Argsort, depth: int) -> None:
        self.helpers.add("argsort")
        self.line(depth, f"argsort({s.values}, {s.order}, {s.other}, {s.descending})", s.node)

    def print_finite(self, s: Finite, depth: int) -> None:
        self.helpers.add("check_finite")
        self.line(depth, f"check_finite({s.array}, e0, m)", s.node)


def _tiles_of(out: str) -> str:
    """How many tiles a matrix of a batch has."""
    rows, columns = (f"(({out}.shape[{k}] + {TILE - 1}) // {TILE})" for k in (1, 2))
    return f"{rows} * {columns}"


def lanes_of(kernel: Kernel) -> dict[str, For]:
    """Accumulators kept in lanes, with the loop that combines into them.

    One accumulator is one chain of dependent operations, which neither overlaps nor vectorises. So element i of a long
    loop goes to lane i mod their number, and the lanes are combined half with half. That leaves out what needs the
    order (scans, positions of extrema), and integers, whose order the compiler may change itself.
    """
    literal = {s.name for s in walk(kernel.body) if isinstance(s, Init) and isinstance(s.expr, Lit)}
    found: dict[str, For] = {}
    for loop in walk(kernel.body):
        if not isinstance(loop, For) or loop.kind in ("scan", "join") or loop.reverse:
            continue
        if lane_count(loop) == 1:
            continue
        if any(isinstance(s, (For, Dot, Argsort)) for s in walk(loop.body)):
            continue
        for s in loop.body:
            if isinstance(s, Combine) and s.op in _IN_LANES and s.name in literal and s.expr.dtype.kind == "f":
                found[s.name] = loop
    return found


def combine_text(printer: Printer, target: str, op: str, value: Expr) -> str:
    """``target = target (op) value``; nan wins in max and min."""
    text = printer.text(value)
    if op == "add" and value.dtype != BOOL:
        return f"{target} += {text}"
    if op == "mul" and value.dtype != BOOL:
        return f"{target} *= {text}"
    if op in ("or", "and", "add", "mul"):
        sign = "|" if op in ("or", "add") else "&"
        return f"{target} = {target} {sign} {printer.text(value, 51)}"
    if op in ("max", "min") and value.dtype.kind == "f":
        return f"{target} = {op}imum({text}, {target})"
    return f"{target} = {op}({text}, {target})"


def _is_widened(s: Combine) -> bool:
    """Whether float32 values are combined in float64."""
    e = s.expr
    return isinstance(e, Call) and e.fn == "cast" and e.dtype == FLOAT64 and e.args[0].dtype == FLOAT32


_UNROLLED = 16
"""Iterations of a loop that the compiler writes out, so that the loop around it may become one of vectors."""
_IN_LANES = frozenset({"add", "mul", "max", "min"})
LANES = 32
"""Accumulators of a long reduction: enough for vectors to overlap."""
_FEWER = ((256, 32), (64, 16), (16, 8))
"""Those of a shorter one, of at least so many elements: powers of 2; more where they divide its length evenly."""


def lane_count(loop: For) -> int:
    """How many accumulators a reduction over a loop gets; the same for all sizes of a runtime dim.

    >>> [lane_count(For("i", n, "reduce")) for n in (10, 20, 32, 100, 128, 1000)]
    [1, 8, 16, 16, 32, 32]
    """
    n = loop.extent
    if not isinstance(n, int):
        return LANES
    least = next((count for size, count in _FEWER if n >= size), 1)
    return next((count for count in (32, 16) if least > 1 and n % count == 0 and n >= 2 * count), least)


@dataclass
class ProgramText:
    """The text of a program's file, and the layout of its table `m`.

    source       the file
    size         length of `m`
    commit       number of kernel calls before the error check; the rest run only if m[0] is 0
    calls        per kernel call: name of the kernel, position of its row, position of its number of chunks (0: none)
    dims         runtime dims, values from m[first_dim] on
    first_buffer position in `m` of buffer 0's address
    rows         constant tail of `m`, from position `first_row` on: one row of positions per kernel call
    errors       error code -> the node whose index was out of range, or whose value is nan or inf
    finite       the error codes that mean a nan or inf
    kernels      for each kernel call: (name, its text)
    """

    source: str
    size: int
    commit: int
    calls: list[tuple[str, int, int]]
    dims: list[DimLike]
    first_dim: int
    first_buffer: int
    first_row: int
    rows: list[int]
    errors: dict[int, Tensor]
    finite: frozenset[int]
    kernels: list[tuple[str, KernelText]]


def print_program(plan: Plan) -> ProgramText:
    """The file for `plan`: helpers, kernels without repeats, and `step` which calls them in order."""
    printed = [KernelPrinter(k).print() for k in plan.kernels]
    first_dim = FIRST_CALL + 3 * len(printed)
    dims: dict[DimLike, int] = {}
    for text in printed:
        for kind, what in text.arguments:
            if kind == "dim":
                dims.setdefault(what, first_dim + len(dims))  # type: ignore[arg-type]
        if text.chunks is not None:
            dims.setdefault(text.chunks, first_dim + len(dims))
    first_buffer = first_dim + len(dims)
    first_row = first_buffer + len(plan.buffers)
    rows: list[int] = []
    errors: dict[int, Tensor] = {}
    finite: set[int] = set()
    names: dict[str, str] = {}
    definitions: list[str] = []
    calls: list[tuple[str, int, int]] = []
    kernels: list[tuple[str, KernelText]] = []
    for text in printed:
        if text.text not in names:
            names[text.text] = f"k{len(names)}"
            definitions.append(f"@kernel\ndef {names[text.text]}(m, o, first, last):\n{text.text}\n")
        calls.append((names[text.text], first_row + len(rows), 0 if text.chunks is None else dims[text.chunks]))
        kernels.append((names[text.text], text))
        rows += _row(text, dims, first_buffer, errors, finite)
    size = max(first_row + len(rows), 1)
    parts = [support(printed), *definitions, _step(calls, plan.commit)]
    source = "\n\n".join(p.rstrip("\n") for p in parts) + "\n"
    return ProgramText(
        source,
        size,
        plan.commit,
        calls,
        list(dims),
        first_dim,
        first_buffer,
        first_row,
        rows,
        errors,
        frozenset(finite),
        kernels,
    )


def support(printed: Iterable[KernelText]) -> str:
    """What stands before the kernels of a file: its header, and the functions that they call."""
    printed = list(printed)
    functions = {key: name for text in printed for key, name in text.functions.items()}
    helpers = {h for text in printed for h in text.helpers}
    if any(kind == "check" for text in printed for kind, _ in text.arguments):
        helpers.add("wrap")
    parts = [HEADER, *[HELPERS[h] for h in sorted(helpers)], _functions(functions)]
    return "\n\n".join(p.rstrip("\n") for p in parts if p)


def _step(calls: list[tuple[str, int, int]], commit: int) -> str:
    """The order of kernel calls as a Python function; what updates params stands behind the error check."""
    lines = ["def step(m):", '    """Run every kernel; params change only if no error was flagged (m[0])."""']
    for k, (name, row, chunks) in enumerate(calls):
        if k == commit:
            lines += ["    if m[0] != 0:", "        return m[0]"]
        lines.append(f"    {name}(m, {row}, 0, {f'm[{chunks}] + 1' if chunks else 1})")
    return "\n".join([*lines, "    return m[0]"]) + "\n"


def _row(
    text: KernelText, dims: dict[DimLike, int], first_buffer: int, errors: dict[int, Tensor], finite: set[int]
) -> list[int]:
    """The positions a kernel call passes; checks get error codes, counted from 1."""
    row: list[int] = []
    for kind, what in text.arguments:
        if kind == "dim":
            row.append(dims[what])  # type: ignore[index]
        elif kind == "buffer":
            row.append(first_buffer + what)  # type: ignore[operator]
        else:
            errors[len(errors) + 1] = what  # type: ignore[assignment]
            row.append(len(errors))
            if kind == "finite":
                finite.add(len(errors))
    return row


def _functions(functions: dict[FunctionKey, str]) -> str:
    floats = [k for k in functions if k in vecmath.FUNCTIONS]
    integers = [k for k in functions if k not in vecmath.FUNCTIONS]
    return "\n\n".join(filter(None, [vecmath.source_for(floats), intmath.source_for(integers)]))
