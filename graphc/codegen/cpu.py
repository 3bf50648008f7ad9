"""The CPU printer: loop IR to the text of one Python file that numba compiles.

A kernel's text uses local names only (a0 arrays, n0 sizes, v0 values, s0 accumulators), never the user's, so equal
kernels have equal text and are compiled once. `#@k` marks statement k; `inspect.source` renders the marks.

All of a program's integers and addresses stand in one int64 table `m`: the error code, the kernels to call, sizes
of runtime dims, addresses of buffers, and for every kernel call a row of positions in that table. A kernel is a C
function of the table's address and of the position of its row; `step` is the order of the calls, which compiled
loops read from the table (`runtime.drivers`). With jit disabled, `m` is a list that holds arrays where the table has
addresses, and kernels and `step` run as plain Python.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..ir.dims import DimLike
from ..ir.dtypes import BOOL
from ..ir.expr import Expr, Lit
from ..ir.loops import (
    Argsort,
    Combine,
    Dot,
    For,
    If,
    Init,
    Kernel,
    Let,
    Statement,
    Store,
    StoreCombine,
)
from ..ir.tensor import Tensor
from ..schedule.plan import Plan
from . import intmath, vecmath
from .prelude import HEADER, HELPERS
from .scalar import FunctionKey, Printer

FIRST_CALL = 4
"""Layout of `m`: the error code, the number of kernel calls before the error check, of all calls, the position of the
first call; then an (address, row) pair per call, dims, buffers, rows."""


@dataclass
class KernelText:
    """A printed kernel: its text without the name, what its call must pass, and what its marks stand for."""

    text: str
    arguments: list[tuple[str, object]]  # ("dim", dim), ("buffer", number), ("check", node)
    marks: list[Tensor | None]
    names: dict[str, Tensor]
    functions: dict[FunctionKey, str]
    helpers: set[str] = field(default_factory=set)


class KernelPrinter:
    """Prints one kernel."""

    def __init__(self, kernel: Kernel):
        self.kernel = kernel
        self.dims: dict[DimLike, str] = {}
        self.printer = Printer(self.dim_name)
        self.lines: list[tuple[int, str, Tensor | None]] = []
        self.names: dict[str, Tensor] = {}
        self.helpers: set[str] = set()

    def dim_name(self, dim: DimLike) -> str:
        return self.dims.setdefault(dim, f"n{len(self.dims)}")

    def print(self) -> KernelText:
        shapes = [self.shape_text(a.shape) for a in self.kernel.arrays]
        self.block(self.kernel.body, 1)
        arguments: list[tuple[str, object]] = [("dim", d) for d in self.dims]
        head = [f"    n{k} = size(m, o, {k})" for k in range(len(self.dims))]
        for array, shape in zip(self.kernel.arrays, shapes, strict=True):
            dtype = "bool_" if array.dtype == BOOL else array.dtype.name
            head.append(f"    {array.name} = array(m, o, {len(arguments)}, {shape}, {dtype})")
            arguments.append(("buffer", array.buffer))
        for k, node in enumerate(self.kernel.checks):
            head.append(f"    e{k} = code(m, o, {len(arguments)})")
            arguments.append(("check", node))
        text, marks = self.finish()
        return KernelText("\n".join([*head, *text]), arguments, marks, self.names, self.printer.functions, self.helpers)

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
        for statement in body:
            getattr(self, f"print_{type(statement).__name__.lower()}")(statement, depth)

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
        self.line(depth, combine_text(self.printer, s.name, s.op, s.expr), s.node)

    def arg_combine(self, s: Combine, depth: int) -> None:
        value, position = s.name.split("|")
        new = self.printer.text(s.expr)
        sign = ">" if s.op == "argmax" else "<"
        nan = f" or ({new} != {new} and {value} == {value})" if s.expr.dtype.kind == "f" else ""
        self.line(depth, f"if {position} < 0 or {new} {sign} {value}{nan}:", s.node)
        self.line(depth + 1, f"{value} = {new}")
        assert s.position is not None
        self.line(depth + 1, f"{position} = {self.printer.text(s.position)}")

    def print_storecombine(self, s: StoreCombine, depth: int) -> None:
        target = f"{s.array}[{self.printer.index(s.index)}]"
        self.line(depth, combine_text(self.printer, target, s.op, s.expr), s.node)

    def print_for(self, s: For, depth: int) -> None:
        size = self.printer.size(s.extent)
        bounds = f"{size} - 1, -1, -1" if s.reverse else size
        self.line(depth, f"for {s.var} in range({bounds}):")
        self.block(s.body, depth + 1)

    def print_if(self, s: If, depth: int) -> None:
        self.line(depth, f"if {self.printer.text(s.condition)}:")
        self.block(s.body, depth + 1)

    def print_dot(self, s: Dot, depth: int) -> None:
        self.helpers.add("dot")
        x, y, out = s.x, s.y, s.out
        if s.batched:
            batch = self.printer.size(next(a for a in self.kernel.arrays if a.name == out).shape[0])
            self.line(depth, f"for b in range({batch}):")
            depth += 1
            x, y, out = (f"{name}[b]" for name in (x, y, out))
        x = f"{x}.T" if s.x_transposed else x
        y = f"{y}.T" if s.y_transposed else y
        self.line(depth, f"dot({x}, {y}, {out})", s.node)

    def print_argsort(self, s: Argsort, depth: int) -> None:
        self.helpers.add("argsort")
        self.line(depth, f"argsort({s.values}, {s.order}, {s.other}, {s.descending})", s.node)


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


@dataclass
class ProgramText:
    """The text of a program's file, and the layout of its table `m`.

    source       the file
    size         length of `m`
    commit       number of kernel calls before the error check; the rest run only if m[0] is 0
    calls        per kernel call: name of the kernel, position of its row
    dims         runtime dims, values from m[first_dim] on
    first_buffer position in `m` of buffer 0's address
    rows         constant tail of `m`, from position `first_row` on: one row of positions per kernel call
    errors       error code -> the node whose index was out of range
    kernels      for each kernel call: (name, its text)
    """

    source: str
    size: int
    commit: int
    calls: list[tuple[str, int]]
    dims: list[DimLike]
    first_dim: int
    first_buffer: int
    first_row: int
    rows: list[int]
    errors: dict[int, Tensor]
    kernels: list[tuple[str, KernelText]]


def print_program(plan: Plan) -> ProgramText:
    """The file for `plan`: helpers, kernels without repeats, and `step` which calls them in order."""
    printed = [KernelPrinter(k).print() for k in plan.kernels]
    first_dim = FIRST_CALL + 2 * len(printed)
    dims: dict[DimLike, int] = {}
    for text in printed:
        for kind, what in text.arguments:
            if kind == "dim":
                dims.setdefault(what, first_dim + len(dims))  # type: ignore[arg-type]
    first_buffer = first_dim + len(dims)
    first_row = first_buffer + len(plan.buffers)
    rows: list[int] = []
    errors: dict[int, Tensor] = {}
    names: dict[str, str] = {}
    definitions: list[str] = []
    calls: list[tuple[str, int]] = []
    kernels: list[tuple[str, KernelText]] = []
    for text in printed:
        if text.text not in names:
            names[text.text] = f"k{len(names)}"
            definitions.append(f"@kernel\ndef {names[text.text]}(m, o):\n{text.text}\n")
        calls.append((names[text.text], first_row + len(rows)))
        kernels.append((names[text.text], text))
        rows += _row(text, dims, first_buffer, errors)
    size = max(first_row + len(rows), 1)
    functions = {key: name for text in printed for key, name in text.functions.items()}
    helpers = {h for text in printed for h in text.helpers} | ({"wrap"} if errors else set())
    parts = [HEADER, *[HELPERS[h] for h in sorted(helpers)]]
    parts += [_functions(functions), *definitions]
    parts.append(_step(calls, plan.commit))
    source = "\n\n".join(p.rstrip("\n") for p in parts if p) + "\n"
    return ProgramText(
        source, size, plan.commit, calls, list(dims), first_dim, first_buffer, first_row, rows, errors, kernels
    )


def _step(calls: list[tuple[str, int]], commit: int) -> str:
    """The order of kernel calls as a Python function; what updates params stands behind the error check."""
    lines = ["def step(m):", '    """Run every kernel; params change only if no error was flagged (m[0])."""']
    for k, (name, row) in enumerate(calls):
        if k == commit:
            lines += ["    if m[0] != 0:", "        return m[0]"]
        lines.append(f"    {name}(m, {row})")
    return "\n".join([*lines, "    return m[0]"]) + "\n"


def _row(text: KernelText, dims: dict[DimLike, int], first_buffer: int, errors: dict[int, Tensor]) -> list[int]:
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
    return row


def _functions(functions: dict[FunctionKey, str]) -> str:
    floats = [k for k in functions if k in vecmath.FUNCTIONS]
    integers = [k for k in functions if k not in vecmath.FUNCTIONS]
    return "\n\n".join(filter(None, [vecmath.source_for(floats), intmath.source_for(integers)]))
