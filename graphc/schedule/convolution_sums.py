"""Convolutions by the sum that defines an element, in plain loops: to be read, or run with a thread for each."""

from __future__ import annotations

from ..ir import dims
from ..ir.dims import DimLike
from ..ir.expr import Expr, Var, call, index, lit
from ..ir.loops import Combine, If, Init, Store
from ..ir.lowering import Convolve
from ..ir.tensor import Tensor
from .products import guarded_term
from .values import KernelWriter, Scope


def position_before(ahead: Expr, stride: int, positions: DimLike | None) -> tuple[Expr, list[Expr]]:
    """The number of the window that begins at `ahead`, which is not negative; and when there is one.

    positions  how many windows there are; None where one that begins there is certainly one of them
    """
    conditions: list[Expr] = []
    if stride != 1:
        conditions.append(call("eq", call("mod_nonneg", ahead, index(stride)), index(0)))
        ahead = call("floordiv_nonneg", ahead, index(stride))
    if positions is not None:
        conditions.append(ahead < index(positions))
    return ahead, conditions


class PlainConvolution:
    """The sum that defines an element, in loops over the axes of the result."""

    def __init__(self, writer: KernelWriter, node: Tensor):
        self.writer, self.node = writer, node
        lower = node.op.lower
        assert isinstance(lower, Convolve)
        self.out = lower.result
        self.rank = len(node.shape) - 3
        a, b = node.inputs
        self.operands = dict(zip({"y": "xw", "x": "yw", "w": "yx"}[self.out], (a, b), strict=True))
        self.shapes = {**{k: v.shape for k, v in self.operands.items()}, self.out: node.shape}

    def write(self) -> None:
        axes = {"y": "ngo", "x": "ngc", "w": "goc"}[self.out]
        spatial = {"y": "p", "x": "i", "w": "k"}[self.out]
        summed = {"y": ("c", "k"), "x": ("o", "k"), "w": ("n", "p")}[self.out]
        writer, node = self.writer, self.node
        place: dict[str, Expr] = {}
        scope = writer.root
        outer = [*axes, *[f"{spatial}{j}" for j in range(self.rank)]]
        for name, size in zip(outer, node.shape, strict=True):
            scope, place[name] = self.loop(scope, size, "map")
        total = writer.name("s")
        scope.body.append(Init(total, lit(0, node.dtype), node))
        inner = scope
        for name in (summed[0], *[f"{summed[1]}{j}" for j in range(self.rank)]):
            inner, place[name] = self.loop(inner, self.size(name), "reduce")
        self.term(inner, place, total)
        while inner is not scope:
            inner = writer.close(inner)
        at = tuple(place[name] for name in outer)
        scope.body.append(Store(writer.memory(node, True).name, at, Var(total, node.dtype), node))
        while scope is not writer.root:
            scope = writer.close(scope)

    def loop(self, scope: Scope, size: DimLike, kind: str) -> tuple[Scope, Expr]:
        """A loop and its variable; none over the only element."""
        return (scope, index(0)) if size == 1 else (self.writer.open(scope, size, kind), Var(f"i{scope.rank}"))

    def size(self, name: str) -> DimLike:
        if name in "noc":
            array, axis = {"n": ("y", 0), "o": ("w", 1), "c": ("w", 2)}[name]
            return self.shapes[array][axis]
        return self.shapes[{"p": "y", "k": "w"}[name[0]]][3 + int(name[1:])]

    def term(self, scope: Scope, place: dict[str, Expr], total: str) -> None:
        """``total += a * b``, where the position that the others say is inside."""
        found, conditions = dict(place), []
        attrs = self.node.attrs
        for j in range(self.rank):
            s, d, low = (attrs[name][j] for name in ("strides", "dilations", "low"))
            k, positions, size = place[f"k{j}"], self.shapes["y"][3 + j], self.shapes["x"][3 + j]
            kernel = self.shapes["w"][3 + j]
            if self.out == "x":
                ahead = place[f"i{j}"] + index(low) - k * index(d)
                if not (isinstance(kernel, int) and (kernel - 1) * d <= low):
                    conditions.append(ahead >= index(0))
                certain = dims.nonnegative((positions - 1) * s - (size - 1 + low))
                found[f"p{j}"], more = position_before(ahead, s, None if certain else positions)
                conditions += more
            else:
                where = place[f"p{j}"] * index(s) + k * index(d) - index(low)
                if low:
                    conditions.append(where >= index(0))
                if not dims.nonnegative(size - ((positions - 1) * s + (kernel - 1) * d + 1 - low)):
                    conditions.append(where < index(size))
                found[f"i{j}"] = where
        if conditions:
            guard = conditions[0]
            for condition in conditions[1:]:
                guard = call("logical_and", guard, condition)
            branch = If(guard)
            scope.body.append(branch)
            scope = Scope(branch.body, scope.rank, scope, guarded=True)
        names = {"y": ("n", "g", "o", "p"), "x": ("n", "g", "c", "i"), "w": ("g", "o", "c", "k")}
        factors = []
        for name, operand in self.operands.items():
            *axes, spatial = names[name]
            at = (*[found[c] for c in axes], *[found[f"{spatial}{j}"] for j in range(self.rank)])
            factors.append(self.writer.value(operand, at, scope))
        scope.body.append(Combine(total, "add", guarded_term(self.node, *factors), None, self.node))
