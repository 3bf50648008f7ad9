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


HEADER = '''\
"""Generated by graphc: one step as kernels, in the order of `step` at the end. Read it with `Step.source`."""

import math

import numba
import numpy as np
from numpy import bool_, float32, float64, inf, int8, int16, int32, int64, nan, uint8, uint16, uint32, uint64

if numba.config.DISABLE_JIT:  # plain Python: `m` is a list with arrays where the compiled table has their addresses

    def size(m, o, k):
        return m[m[o + k]]

    def array(m, o, k, shape, dtype):
        return m[m[o + k]].reshape(shape)

    def code(m, o, k):
        return m[o + k]

    def flag(m, code):
        m[0] = m[0] or code

    def select(condition, x, y):
        return x if condition else y

    def ct_mul(ct, d):
        return ct * d if ct != 0 else ct.dtype.type(0)

    def maximum(x, y):
        return x if x > y or x != x else y

    def minimum(x, y):
        return x if x < y or x != x else y

    def kernel(function):
        return function

    helper = kernel
else:
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic
    from numba.np import arrayobj

    def entry(builder, m, position):
        """A pointer to entry `position` of the table at address `m`."""
        table = builder.inttoptr(m, ir.IntType(64).as_pointer())
        return builder.gep(table, [position])

    def indirect(builder, m, o, k):
        """The entry whose position stands at o + k."""
        return builder.load(entry(builder, m, builder.load(entry(builder, m, builder.add(o, k)))))

    @intrinsic
    def size(typingctx, m, o, k):
        """A runtime dim: entry m[m[o + k]]."""
        return types.int64(types.int64, types.int64, types.int64), lambda c, b, s, args: indirect(b, *args)

    @intrinsic
    def code(typingctx, m, o, k):
        """An error code: entry m[o + k]."""

        def codegen(context, builder, signature, args):
            return builder.load(entry(builder, args[0], builder.add(args[1], args[2])))

        return types.int64(types.int64, types.int64, types.int64), codegen

    @intrinsic
    def flag(typingctx, m, code):
        """Set the error code m[0], if none is set."""

        def codegen(context, builder, signature, args):
            first = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
            old = builder.load(first)
            unset = builder.icmp_signed("==", old, old.type(0))
            builder.store(builder.select(unset, args[1], old), first)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), codegen

    @intrinsic
    def array(typingctx, m, o, k, shape, dtype):
        """The array of `shape` (C order) whose address is m[m[o + k]]."""
        element = dtype.instance_type
        result = types.Array(element, len(shape), "C")

        def codegen(context, builder, signature, args):
            sizes = cgutils.unpack_tuple(builder, args[3])
            sizes = [context.cast(builder, n, t, types.int64) for n, t in zip(sizes, shape)]
            width = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(element)))
            strides = [width]
            for n in sizes[:0:-1]:
                strides.insert(0, builder.mul(strides[0], n))
            made = context.make_array(result)(context, builder)
            data = builder.inttoptr(indirect(builder, *args[:3]), context.get_data_type(element).as_pointer())
            arrayobj.populate_array(
                made,
                data=data,
                shape=cgutils.pack_array(builder, sizes),
                strides=cgutils.pack_array(builder, strides),
                itemsize=width,
                meminfo=None,
            )
            return made._getvalue()

        return result(types.int64, types.int64, types.int64, shape, dtype), codegen

    @intrinsic
    def select(typingctx, condition, x, y):
        """x where condition holds, else y, without a branch."""

        def codegen(context, builder, signature, args):
            return builder.select(*args)

        return types.unliteral(x)(types.boolean, types.unliteral(x), types.unliteral(x)), codegen

    @intrinsic
    def ct_mul(typingctx, ct, d):
        """A cotangent times a derivative; a zero cotangent annihilates inf and nan."""

        def codegen(context, builder, signature, args):
            zero = args[0].type(0.0)
            product = builder.fmul(*args)
            return builder.select(builder.fcmp_unordered("!=", args[0], zero), product, zero)

        return ct(ct, ct), codegen

    def extremum(sign):
        @intrinsic
        def chosen(typingctx, x, y):
            """The larger (or smaller) of two floats; nan wins."""

            def codegen(context, builder, signature, args):
                beyond = builder.fcmp_ordered(sign, *args)
                wins = builder.or_(beyond, builder.fcmp_unordered("!=", args[0], args[0]))
                return builder.select(wins, *args)

            return x(x, x), codegen

        return chosen

    maximum, minimum = extremum(">"), extremum("<")
    kernel = numba.cfunc("void(int64, int64)", error_model="numpy", cache=True)
    helper = numba.njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, forceinline=True)
'''

HELPERS = {
    "wrap": '''\
@helper
def wrap(k, n, code, m):
    """Position k of n, counted from the end if negative; out of range sets the error code."""
    if -n <= k < n:
        return k + n if k < 0 else k
    flag(m, code)
    return 0
''',
    "dot": '''\
@helper
def dot(x, y, out):
    """out = x @ y by BLAS."""
    np.dot(x, y, out)
''',
    "argsort": '''\
@helper
def argsort(values, order, other, descending):
    """order = positions of `values`, sorted by a bottom-up merge: stable, nan last."""
    n = values.size
    for i in range(n):
        order[i] = i
    width = 1
    while width < n:
        for start in range(0, n, 2 * width):
            middle = min(start + width, n)
            end = min(start + 2 * width, n)
            i = start
            j = middle
            for k in range(start, end):
                left = j >= end
                if i < middle and j < end:
                    a = values[order[i]]
                    b = values[order[j]]
                    later = b > a if descending else b < a
                    left = not (later or (a != a and b == b))
                if left:
                    other[k] = order[i]
                    i += 1
                else:
                    other[k] = order[j]
                    j += 1
        for k in range(n):
            order[k] = other[k]
        width *= 2
''',
}


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
