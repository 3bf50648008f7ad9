"""Statements of the loop IR as Python text, the same for every target: values, stores, accumulators, branches.

The text uses local names only (a0 arrays, n0 sizes, q0 positions, v0 values, s0 accumulators), never the user's, so
equal kernels have equal text and are compiled once. `#@k` marks statement k; `inspect.source` renders the marks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from ..ir.dims import DimLike
from ..ir.dtypes import BOOL
from ..ir.expr import Expr, Lit
from ..ir.loops import Combine, If, Init, Let, Statement, Store, StoreCombine
from ..ir.tensor import Tensor
from .scalar import FunctionKey, Printer


@dataclass
class KernelText:
    """A printed kernel: its text without the name, what its call must pass, and what its marks stand for."""

    text: str
    arguments: list[tuple[str, object]]  # ("dim", dim), ("buffer" or "number", int), ("check" or "finite", node)
    marks: list[Tensor | None]
    names: dict[str, Tensor]
    functions: dict[FunctionKey, str]
    helpers: set[str] = field(default_factory=set)
    chunks: DimLike | None = None


@dataclass
class Printed:
    """The text of a program's file, for any target.

    source   the file
    errors   error code -> the node whose index was out of range, or whose value is nan or inf
    finite   the error codes that mean a nan or inf
    kernels  for each kernel of the plan: (name, its text)
    """

    source: str
    errors: dict[int, Tensor]
    finite: frozenset[int]
    kernels: list[tuple[str, KernelText]]
    target: ClassVar[str] = "cpu"

    def library(self, name: str) -> str:
        """What runs in the place of a kernel, or of parts of it, and when; empty where nothing does."""
        return ""


class StatementPrinter:
    """Prints what is no loop; loops, and what needs a library, are the target's. `plainly`: to be read."""

    def __init__(self) -> None:
        self.dims: dict[DimLike, str] = {}
        self.printer = Printer(self.dim_name)
        self.lines: list[tuple[int, str, Tensor | None]] = []
        self.names: dict[str, Tensor] = {}
        self.helpers: set[str] = set()

    def dim_name(self, dim: DimLike) -> str:
        return self.dims.setdefault(dim, f"n{len(self.dims)}")

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
        """Every statement of a body; `print_...` of its class says how."""
        for statement in body:
            getattr(self, f"print_{type(statement).__name__.lower()}")(statement, depth)

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
        else:
            self.line(depth, combine_text(self.printer, s.name, s.op, s.expr), s.node)

    def arg_combine(self, s: Combine, depth: int) -> None:
        value, position = s.name.split("|")
        new = self.printer.text(s.expr)
        sign = ">" if s.op == "argmax" else "<"
        assert s.position is not None
        nan = f" or ({new} != {new} and {value} == {value})" if s.expr.dtype.kind == "f" else ""
        self.line(depth, f"if {position} < 0 or {new} {sign} {value}{nan}:", s.node)
        self.line(depth + 1, f"{value} = {new}")
        self.line(depth + 1, f"{position} = {self.printer.text(s.position)}")

    def print_storecombine(self, s: StoreCombine, depth: int) -> None:
        target = f"{s.array}[{self.printer.index(s.index)}]"
        self.line(depth, combine_text(self.printer, target, s.op, s.expr), s.node)

    def print_if(self, s: If, depth: int) -> None:
        self.line(depth, f"if {self.printer.text(s.condition)}:")
        self.block(s.body, depth + 1)


def combine_text(printer: Printer, target: str, op: str, value: Expr) -> str:
    """``target = target (op) value``; nan wins in max and min."""
    text = printer.text(value)
    if op in ("add", "mul") and value.dtype.kind in "iu" and value.dtype.itemsize < 8 and "[" not in target:
        # numba computes in 64 bits: the name would hold more than what its dtype can
        sign, level = ("+", 61) if op == "add" else ("*", 71)
        return f"{target} = {value.dtype.name}({target} {sign} {printer.text(value, level)})"
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
