"""Steps of convolutions as text: the printer's part; the functions that it calls stand in `convolution_steps`."""

from __future__ import annotations

from typing import Any

from ..ir.expr import Expr
from ..ir.loops import Batches, MatrixStep, Number, Part
from ..ir.tensor import Tensor
from .products import helpers_of
from .scalar import Printer


class ConvolutionPrinter:
    """Prints the statements of convolutions; mixed into the printer of kernels."""

    printer: Printer
    helpers: set[str]

    def line(self, depth: int, text: str, node: Tensor | None = None) -> None:
        raise NotImplementedError

    def block(self, body: list[Any], depth: int) -> None:
        raise NotImplementedError

    def print_batches(self, s: Batches, depth: int) -> None:
        self.line(depth, f"for {s.first} in range(start, stop, {s.most}):")
        self.line(depth + 1, f"{s.count} = up_to(stop - {s.first}, {s.most})")
        self.line(depth + 1, f"for {s.place} in range({s.count}):")
        self.line(depth + 2, f"{s.var} = position({s.first}, {s.place})")
        self.block(s.body, depth + 2)
        self.block(s.after, depth + 1)

    def print_matrixstep(self, s: MatrixStep, depth: int) -> None:
        self.helpers.add("convolution")
        if s.what in ("mended_product", "products"):
            assert s.node is not None
            self.helpers |= helpers_of(s.node.dtype.name, "multiply", "mend")
        arguments = [self._part(part) for part in s.parts] + [self._number(n) for n in s.numbers]
        self.line(depth, f"{s.what}({', '.join(arguments)})", s.node)

    def _part(self, part: Part) -> str:
        name, at = part
        return f"{name}[{self.printer.index(at)}]" if at else name

    def _number(self, number: Number) -> str:
        if isinstance(number, tuple):
            return "(" + ", ".join(self.printer.size(n) for n in number) + ")"
        if isinstance(number, bool):
            return str(number)
        return self.printer.text(number) if isinstance(number, Expr) else self.printer.size(number)
