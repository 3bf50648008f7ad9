"""One kernel of the loop IR as the text of a C function for the CPU, for numba to compile or to be read."""

from __future__ import annotations

from dataclasses import replace

from ..ir.dims import product
from ..ir.dtypes import BOOL, FLOAT32, FLOAT64, INT64
from ..ir.expr import Call, Expr, Lit, Load, Var, lit
from ..ir.loops import (
    Argsort,
    AtOnce,
    Chunks,
    Combine,
    Dot,
    Finish,
    Finite,
    For,
    Init,
    Kernel,
    Let,
    Statement,
    Store,
    walk,
)
from .at_once import LEAST, functions_at_once
from .convolutions import ConvolutionPrinter
from .lanes import REST, Round, is_open, lane_count, lanes_of
from .products import ProductPrinter
from .statements import KernelText, StatementPrinter, combine_text


class KernelPrinter(StatementPrinter, ProductPrinter, ConvolutionPrinter):
    """Prints one kernel: to be compiled, or, with `plainly`, to be read: each reduction has one accumulator then.

    varied  whether its text is to serve other sizes, too, as that which is compiled does if `is_flat`
    """

    def __init__(self, kernel: Kernel, plainly: bool = False, varied: bool = False):
        super().__init__()
        self.kernel, self.plainly = kernel, plainly
        self.lanes = {} if plainly else lanes_of(kernel)
        self.widened: list[tuple[Combine, Expr]] = []  # what the loop being printed still has to add up
        self.in_lanes = {id(loop) for loop in self.lanes.values()}
        self.neutral = {s.name: s for s in walk(kernel.body) if isinstance(s, Init)} if self.lanes else {}
        self.round = Round.WHOLE
        self.at_once = 0  # loops over functions of scalars so far
        self.unrolled = False  # whether the innermost loop is a short one of known length
        self.own_parts = {} if plainly else _own_parts(kernel)
        self.printer.named = varied if plainly else is_flat(kernel)

    def print(self) -> KernelText:
        if self.kernel.finite is not None and not self.plainly:  # one text for all shapes: it is compiled once
            shapes = [f"({self.dim_name(product(a.shape))},)" for a in self.kernel.arrays]
        else:
            shapes = [self.shape_text(a.shape) for a in self.kernel.arrays]
        self.block(self.kernel.body if self.plainly else functions_at_once(self.kernel), 1)
        arguments: list[tuple[str, object]] = [("dim", d) for d in self.dims]
        head = [f"    n{k} = size(m, o, {k})" for k in range(len(self.dims))]
        first: dict[int, str] = {}  # buffer: its first array; different buffers share no memory in one kernel
        for array, shape in zip(self.kernel.arrays, shapes, strict=True):
            if array.buffer in first:
                head.append(f"    {array.name} = reshaped({first[array.buffer]}, {shape})")
                continue
            first[array.buffer] = array.name
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

    def print_combine(self, s: Combine, depth: int) -> None:
        if s.name not in self.lanes:
            super().print_combine(s, depth)
        elif self.round is Round.REST:
            self.line(depth, f"{s.name}_{self.round.value} = {self.printer.text(s.expr)}", s.node)
        elif _is_widened(s):
            narrow = s.expr.args[0]  # type: ignore[attr-defined]  # of a cast
            self.line(depth, f"{s.name}_narrow[l] = {self.printer.text(narrow)}", s.node)
            load = Load(f"{s.name}_narrow", (Var("l"),), narrow.dtype)
            self.widened.append((s, Call("cast", (load,), s.expr.dtype)))
        else:
            self.line(depth, combine_text(self.printer, f"{s.name}_{self.round.value}[l]", s.op, s.expr), s.node)

    def arg_combine(self, s: Combine, depth: int) -> None:
        if not self.unrolled or self.plainly:
            super().arg_combine(s, depth)
            return
        value, position = s.name.split("|")
        new = self.printer.text(s.expr)
        assert s.position is not None  # as values, so that loops around become vectors
        ahead = f"({position} < 0) | ({new} {'>' if s.op == 'argmax' else '<'} {value})"
        if s.expr.dtype.kind == "f":  # a nan is neither; behind a nan nothing is
            behind = "<=" if s.op == "argmax" else ">="
            ahead = f"(({position} < 0) | (not {new} {behind} {value})) & ({value} == {value})"
        self.line(depth, f"b = {ahead}", s.node)
        self.line(depth, f"{value} = select(b, {new}, {value})")
        self.line(depth, f"{position} = select(b, {self.printer.text(s.position)}, {position})")

    def print_for(self, s: For, depth: int) -> None:
        size = self.printer.size(s.extent)
        bounds = f"{size} - 1, -1, -1" if s.reverse else size
        if s.kind == "join" and _parts_joined(s) <= self.own_parts.keys():
            self.join_own_parts(s, depth)
            return
        if id(s) not in self.in_lanes:
            if s.chunked:
                self.line(depth, "for k in range(stop - start):")
                self.line(depth + 1, f"{s.var} = position(start, k)")
            else:
                self.line(depth, f"for {s.var} in range({bounds}):")
            self.unrolled = isinstance(s.extent, int) and s.extent <= _UNROLLED
            self.block(s.body, depth + 1)
            known = isinstance(s.extent, int) and s.extent > _UNROLLED and not self.printer.named
            if known and not self.plainly and not any(isinstance(inner, (For, Dot)) for inner in walk(s.body)):
                self.line(depth + 1, "as_vectors()")
            return
        if is_open(s):
            self.open_lanes(s, depth)
            return
        count = lane_count(s)
        whole = s.extent // count * count  # loops of known length become vectors without a test
        self.line(depth, f"for j in range(0, {whole}, {count}):")
        self.lanes_of_one(s, depth + 1, "j", str(count))
        if whole < s.extent:
            self.lanes_of_one(s, depth, str(whole), str(s.extent - whole))

    def open_lanes(self, s: For, depth: int) -> None:
        """A loop of unknown length: rounds of as many elements as there are lanes, then what is left, in few lanes.

        All loops over lanes have a known length, so that lanes become registers: one with too few elements for it asks
        of each whether it is there. What a short loop does not need, it does not touch.
        """
        count = lane_count(s)
        start, stop = ("start", "stop") if s.chunked else ("0", self.printer.size(s.extent))
        length = f"({stop} - start)" if s.chunked else stop
        combines = [c for c in s.body if isinstance(c, Combine) and self.lanes.get(c.name) is s]
        self.line(depth, f"if {length.strip('()')} >= {count}:")
        self.round = Round.MANY
        for c in combines:
            self.print_lanes(c, count, depth + 1)
        self.line(depth + 1, f"for j in range({start}, {stop} - {count - 1}, {count}):")
        self.lanes_of_one(s, depth + 2, "j", str(count))
        for c in combines:
            name = f"{c.name}_{self.round.value}"
            self.line(depth + 1, f"fold_{c.op}_into({name}, {count}, {c.name}_, {REST})", c.node)
        self.round = Round.REST
        self.line(depth, f"for j in range({stop} - {length} % {count}, {stop}, {REST}):")
        self.line(depth + 1, f"rest = {stop} - j")
        self.line(depth + 1, f"for l in range({REST}):")
        for c in combines:
            self.line(depth + 2, f"{c.name}_new = {self.neutral_text(c)}")
        self.line(depth + 2, "if l < rest:")
        self.line(depth + 3, f"{s.var} = position(j, l)")
        self.block(s.body, depth + 3)
        for c in combines:
            new = Var(f"{c.name}_new", self.neutral[c.name].expr.dtype)
            self.line(depth + 2, combine_text(self.printer, f"{c.name}_[l]", c.op, new), c.node)
        self.line(depth + 2, "as_vectors()")
        self.line(depth + 1, "as_vectors()")
        self.round = Round.WHOLE

    def lanes_of_one(self, s: For, depth: int, start: str, length: str) -> None:
        """One element for each of the first `length` lanes."""
        self.line(depth, f"for l in range({length}):")
        self.line(depth + 1, f"{s.var} = position({start}, l)")
        self.block(s.body, depth + 1)
        self.line(depth + 1, "as_vectors()")
        if self.widened:  # apart, or every operation of the loop would run at half its width
            self.line(depth, f"for l in range({length}):")
            for one, narrow in self.widened:
                lane = f"{one.name}_{self.round.value}[l]"
                self.line(depth + 1, combine_text(self.printer, lane, one.op, narrow), one.node)
            self.line(depth + 1, "as_vectors()")
            self.widened = []

    def start_lanes(self, started: list[Init], combines: dict[str, Combine], depth: int) -> None:
        """Memory for the lanes of accumulators that the next loop fills, with their neutral elements."""
        for s in started:
            loop = self.lanes[s.name]
            if is_open(loop):
                self.line(depth, f"{s.name}_ = lanes({REST}, {self.neutral_text(combines[s.name])})", s.node)
            else:
                self.print_lanes(combines[s.name], lane_count(loop), depth)

    def print_lanes(self, c: Combine, count: int, depth: int) -> None:
        """The lanes of a round, and where their new values stand before they are widened."""
        node = self.neutral[c.name].node
        self.line(depth, f"{c.name}_{self.round.value} = lanes({count}, {self.neutral_text(c)})", node)
        if _is_widened(c):
            self.line(depth, f"{c.name}_narrow = lanes({count}, float32(0.0))", node)

    def neutral_text(self, c: Combine) -> str:
        """What an accumulator starts with."""
        value = self.neutral[c.name].expr
        assert isinstance(value, Lit)
        return self.printer.literal(value, typed=True)

    def fold_lanes(self, started: list[Init], combines: dict[str, Combine], depth: int) -> None:
        """Behind that loop, the lanes of each accumulator become one value."""
        for s in started:
            loop = self.lanes[s.name]
            count = REST if is_open(loop) else lane_count(loop)
            self.line(depth, f"{s.name} = fold_{combines[s.name].op}({s.name}_, {count})", s.node)

    def join_own_parts(self, s: For, depth: int) -> None:
        """What this call has found of the last chunk need not come from memory, on which the next step would wait."""
        count = self.printer.size(s.extent)
        if s.extent != 1:
            self.line(depth, f"for {s.var} in range({count} - 1):")
            self.block(s.body, depth + 1)
        self.line(depth, f"if chunk < {count}:")
        for c in s.body:
            assert isinstance(c, Combine) and isinstance(c.expr, Load)
            own = self.own_parts[c.expr.array]
            self.line(depth + 1, combine_text(self.printer, c.name, c.op, own), c.node)
        self.line(depth, f"elif {count} > 0:")
        self.line(depth + 1, f"{s.var} = {count} - 1")
        self.block(s.body, depth + 1)

    def print_chunks(self, s: Chunks, depth: int) -> None:
        count, length, extent = (self.printer.size(d) for d in (s.count, s.length, s.extent))
        for part in self.own_parts.values():
            self.line(depth, f"{part.name} = {self.printer.literal(lit(0, part.dtype), typed=True)}")
        self.line(depth, f"if chunk < {count}:")
        self.line(depth + 1, f"{s.var} = chunk")
        self.line(depth + 1, f"start = position({s.var} * {length}, 0)")
        self.line(depth + 1, f"stop = start + up_to({extent} - start, {length})")
        self.block(s.body, depth + 1)

    def print_atonce(self, s: AtOnce, depth: int) -> None:
        """The scalars become lanes, and the lanes of the results become values."""
        dtype = s.args[0].dtype
        name, zero = f"x{self.at_once}", self.printer.literal(lit(0, dtype), typed=True)
        count = -(-len(s.args) // LEAST) * LEAST  # full vectors
        self.at_once += 1
        self.line(depth, f"{name} = lanes({count}, {zero})")
        for k, arg in enumerate(s.args):
            self.line(depth, f"{name}[{k}] = {self.printer.text(arg)}")
        for fn in s.results:
            self.line(depth, f"{name}_{fn} = lanes({count}, {zero})")
        self.line(depth, f"for l in range({count}):")
        for fn in s.results:
            call = Call(fn, (Load(name, (Var("l"),), dtype),), dtype)
            self.line(depth + 1, f"{name}_{fn}[l] = {self.printer.text(call)}")
        self.line(depth + 1, "as_vectors()")
        for fn, results in s.results.items():
            for k, one in enumerate(results):
                self.print_let(replace(one, expr=Load(f"{name}_{fn}", (lit(k, INT64),), dtype)), depth)

    def print_finish(self, s: Finish, depth: int) -> None:
        self.line(depth, "if finish:")
        self.block(s.body, depth + 1)

    def print_argsort(self, s: Argsort, depth: int) -> None:
        self.helpers.add("argsort")
        self.line(depth, f"argsort({s.values}, {s.order}, {s.other}, {s.descending})", s.node)

    def print_finite(self, s: Finite, depth: int) -> None:
        self.helpers.add("check_finite")
        self.line(depth, f"check_finite({s.array}, e0, m)", s.node)


def is_flat(kernel: Kernel) -> bool:
    """Whether a kernel is one loop over arrays of its length: then one text, compiled once, serves all lengths."""
    statements = list(walk(kernel.body))
    loops = [s for s in statements if isinstance(s, For)]
    if len(loops) != 1 or not all(isinstance(s, (Chunks, For, Let, Store)) for s in statements):
        return False
    return loops[0].kind == "map" and all(a.shape in ((), (loops[0].extent,)) for a in kernel.arrays)


def _parts_joined(loop: For) -> set[str]:
    """The arrays with the numbers of chunks that a loop over chunks combines, and does nothing else; or {""}."""
    plain = all(isinstance(c, Combine) and c.position is None and isinstance(c.expr, Load) for c in loop.body)
    return {c.expr.array for c in loop.body} if plain else {""}  # type: ignore[union-attr]  # see above


def _own_parts(kernel: Kernel) -> dict[str, Var]:
    """Arrays of such numbers, with the variables in which a chunk has its own."""
    chunks = kernel.chunks
    if chunks is None:
        return {}
    joins = [s for s in walk(kernel.body) if isinstance(s, For) and s.kind == "join"]
    joined = set().union(*map(_parts_joined, joins))
    own = {s.array: s.expr for s in chunks.body if isinstance(s, Store) and s.index == (Var(chunks.var),)}
    return {array: e for array, e in own.items() if array in joined and isinstance(e, Var)}


def _is_widened(s: Combine) -> bool:
    """Whether float32 values are combined in float64."""
    e = s.expr
    return isinstance(e, Call) and e.fn == "cast" and e.dtype == FLOAT64 and e.args[0].dtype == FLOAT32


_UNROLLED = 16
"""Iterations of a loop that the compiler writes out, so that the loop around it may become one of vectors."""
