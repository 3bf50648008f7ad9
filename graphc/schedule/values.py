"""Values in a kernel: pulled by demand, each at the outermost loop whose variables it needs."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from ..ir import dims
from ..ir.dims import DimLike
from ..ir.dtypes import INT64, DType
from ..ir.expr import Call, Expr, Lit, Load, Size, Var, call, cast, index, lit, variables
from ..ir.loops import (
    ArrayArg,
    For,
    If,
    Init,
    Kernel,
    Let,
    Statement,
)
from ..ir.lowering import Gather, Generate, Map, View
from ..ir.tensor import Tensor
from .fuse import Group
from .policy import CPU, Policy
from .storage import is_generated, is_view
from .units import Index, view_index

_DUPLICATED = {"isnan": (0,)}
"""Scalar functions whose printed form repeats an operand: that operand must be a name or a literal."""
_MAX_INLINE = 5


@dataclass
class Scope:
    """The body of one loop (or of the kernel, or of a guard) while it is filled."""

    body: list[Statement]
    rank: int
    parent: Scope | None = None
    memo: dict[Any, Expr] = field(default_factory=dict)
    guarded: bool = False

    def find(self, key: Any) -> Expr | None:
        scope: Scope | None = self
        while scope is not None:
            if key in scope.memo:
                return scope.memo[key]
            scope = scope.parent
        return None


class KernelWriter:
    """Writes one kernel, value by value.

    `buffer_of(node)` names the memory of a stored node; `kept(unit)` says whether its value must reach memory. It
    writes on the kernel of the writer `before` it, if there is one.

    chunked  whether loops may be cut into chunks
    policy   how the kernel is shaped
    chunk    the number of the chunk that is computed, out of `most_chunks`
    """

    chunked: bool = False
    policy: Policy = CPU

    chunk: Expr = Var("c")
    most_chunks: int = 1

    def __init__(
        self,
        group: Group,
        stored: set[Tensor],
        buffers: Any,
        uses: dict[Tensor, int],
        before: KernelWriter | None = None,
    ):
        self.group, self.stored, self.buffers, self.uses = group, stored, buffers, uses
        self.arrays: dict[tuple[int, tuple[DimLike, ...], DType], ArrayArg] = before.arrays if before else {}
        self.kernel: Kernel = before.kernel if before else Kernel([], [])
        self.names: Iterator[int] = before.names if before else count()
        self.own = {unit.node: unit for unit in group.units if unit.kind != "copy"}
        self.read_here = {node for unit in group.units for node in unit.reads}
        self.root = Scope(self.kernel.body, 0)

    def name(self, prefix: str = "v") -> str:
        return f"{prefix}{next(self.names)}"

    # arrays

    def array(self, buffer: int, shape: tuple[DimLike, ...], dtype: DType, written: bool = False) -> ArrayArg:
        """The kernel's argument for a buffer seen under `shape`."""
        key = (buffer, shape, dtype)
        if key not in self.arrays:
            self.arrays[key] = ArrayArg(f"a{len(self.arrays)}", dtype, shape, buffer)
            self.kernel.arrays.append(self.arrays[key])
        self.arrays[key].written |= written
        return self.arrays[key]

    def memory(self, node: Tensor, written: bool = False) -> ArrayArg:
        return self.array(self.buffers.of(node), node.shape, node.dtype, written)

    def place(self, node: Tensor, at: Index, written: bool = False) -> tuple[ArrayArg, Index]:
        """Where the element of a stored node at index `at` stands."""
        if node not in self.buffers.rows or node not in self.own:
            return self.memory(node, written), at
        number, shape = self.buffers.of_row(node, self.most_chunks)
        chunk = (self.chunk,) if self.most_chunks > 1 else ()
        return self.array(number, shape, node.dtype, written), (*chunk, *at[self.buffers.rows[node] :])

    # loops

    def open(self, scope: Scope, extent: DimLike, kind: str, reverse: bool = False) -> Scope:
        """A loop inside `scope`; it is appended to its parent by `close`, after what was hoisted before it."""
        loop = For(f"i{scope.rank}", extent, kind, [], reverse)
        inner = Scope(loop.body, scope.rank + 1, scope)
        inner.memo["loop"] = loop  # type: ignore[assignment]
        return inner

    def close(self, scope: Scope) -> Scope:
        assert scope.parent is not None
        loop: Any = scope.memo["loop"]
        if loop.body:
            scope.parent.body.append(loop)
        return scope.parent

    # values

    def value(self, node: Tensor, at: Index, scope: Scope) -> Expr:
        """The value of `node` at index `at`: a literal, a name, a load, or a short expression."""
        key = (node, at)
        found = scope.find(key)
        if found is not None:
            return found
        home = scope if scope.guarded else home_of(scope, at)
        if node in self.stored:
            own = self.own.get(node)
            assert own is None or self.buffers.kept(own), f"{node!r} is read from memory that nothing writes"
            array, place = self.place(node, at)
            result: Expr = Load(array.name, place, node.dtype)
            node_uses = 2 if home is not scope else self.uses.get(node, 1)
        else:
            result = self.compute(node, at, home)
            node_uses = 2 if home is not scope else self.uses.get(node, 1)
        if isinstance(result, (Lit, Var, Size)):
            home.memo[key] = result
            return result
        if node_uses == 1 and _weight(result) <= _MAX_INLINE:
            return result
        return self.let(result, node, key, home)

    def let(self, expr: Expr, node: Tensor | None, key: Any, scope: Scope) -> Expr:
        """Give `expr` a name in `scope`."""
        name = self.name()
        scope.body.append(Let(name, expr, node))
        var = Var(name, expr.dtype)
        if key is not None:
            scope.memo[key] = var
        return var

    def atom(self, expr: Expr, node: Tensor | None, scope: Scope) -> Expr:
        return expr if isinstance(expr, (Lit, Var)) else self.let(expr, node, None, scope)

    def compute(self, node: Tensor, at: Index, scope: Scope) -> Expr:
        """The expression of a node that is not stored."""
        lower = node.op.lower
        if is_view(node):
            guard = lower.guard if isinstance(lower, View) else None
            if guard is not None:
                return self.guarded(node, at, scope)
            return self.value(node.inputs[0], view_index(node, at), scope)
        if isinstance(lower, Map):
            operands = [self.value(i, at, scope) for i in node.inputs]
            result = lower.expr(*operands, **self.map_attrs(node, lower))
            return self.flatten(result, node, scope)
        if isinstance(lower, Generate):
            return lower.expr(at, node.shape, node.dtype, **_own_attrs(lower.expr, node))
        if isinstance(lower, Gather):
            return self.gathered(node, at, scope)
        raise AssertionError(f"{node.op.name} should be stored")

    def map_attrs(self, node: Tensor, lower: Map) -> dict[str, Any]:
        return {**node.attrs, **({"dtype": node.dtype} if lower.wants_dtype else {})}

    def flatten(self, expr: Expr, node: Tensor, scope: Scope) -> Expr:
        """Name the operands that a printed function repeats."""
        if not isinstance(expr, Call):
            return expr
        args = [self.flatten(a, node, scope) for a in expr.args]
        for k in _DUPLICATED.get(expr.fn, ()):
            args[k] = self.atom(args[k], node, scope)
        return Call(expr.fn, tuple(args), expr.dtype)

    def guarded(self, node: Tensor, at: Index, scope: Scope) -> Expr:
        """A value that is only read where its guard holds (pad)."""
        lower = node.op.lower
        assert isinstance(lower, View) and lower.guard is not None
        operand = node.inputs[0]
        condition = lower.guard(at, operand.shape, node.shape, **node.attrs)
        if isinstance(condition, Lit) and condition.value:
            return self.value(operand, view_index(node, at), scope)
        filling = lit(node.attrs.get("value", 0), node.dtype)
        if isinstance(condition, Lit):
            return filling
        name = self.name()
        scope.body.append(Init(name, filling, node))
        branch = If(condition)
        inner = Scope(branch.body, scope.rank, scope, guarded=True)
        value = self.value(operand, view_index(node, at), inner)
        branch.body.append(Init(name, value, node))
        scope.body.append(branch)
        return Var(name, node.dtype)

    def gathered(self, node: Tensor, at: Index, scope: Scope) -> Expr:
        """An element at a checked position; nothing is read where the axis may be empty, since no position is right."""
        x, rank = node.inputs[0], len(node.inputs[1].shape)
        places = self.places(node, at[:rank], scope)
        where = (*places, *at[rank:])
        if is_generated(x):
            assert isinstance(x.op.lower, Generate)
            return x.op.lower.expr(where, x.shape, x.dtype, **_own_attrs(x.op.lower.expr, x))
        array, where = self.place(x, where)
        element = Load(array.name, where, x.dtype)
        filled = not_empty(x.shape[: len(places)])
        if filled is None:
            return element
        name = self.name()
        scope.body.append(Init(name, lit(0, x.dtype), node))
        scope.body.append(If(filled, [Init(name, element, node)]))
        return Var(name, x.dtype)

    def places(self, node: Tensor, at: Index, scope: Scope) -> list[Expr]:
        """Checked, wrapped positions on the leading axes of a gather's or scatter's operand, for index `at`."""
        home = home_of(scope, at)
        found: Any = home.find(("places", node, at))
        if found is not None:
            return found
        indices = node.inputs[1:] if isinstance(node.op.lower, Gather) else node.inputs[2:]
        places: list[Expr] = []
        for axis, operand in enumerate(indices):
            value = self.value(operand, at, home)
            if _within(operand, node.inputs[0].shape[axis]):
                places.append(value)
                continue
            self.kernel.checks.append(node)
            code = Var(f"e{len(self.kernel.checks) - 1}")
            wrapped = Call("wrap", (cast(value, INT64), index(node.inputs[0].shape[axis]), code), INT64)
            places.append(self.let(wrapped, node, None, home))
        home.memo[("places", node, at)] = places  # type: ignore[assignment]
        return places


def _within(indices: Tensor, size: DimLike) -> bool:
    """Whether indices are the positions of an axis of this size."""
    return indices.op.name == "iota" and indices.shape[indices.attrs["axis"]] == size


def home_of(scope: Scope, at: Index) -> Scope:
    """The outermost enclosing loop body in which all loop variables of `at` are known."""
    needed: set[str] = set()
    for e in at:
        needed |= variables(e)
    loops = {f"i{k}" for k in range(scope.rank)}
    if needed - loops:
        return scope  # depends on a value computed here
    rank = max((int(name[1:]) + 1 for name in needed), default=0)
    while scope.rank > rank and scope.parent is not None and not scope.guarded:
        scope = scope.parent
    return scope


def not_empty(sizes: tuple[DimLike, ...]) -> Expr | None:
    """The condition under which axes of these sizes have elements; None where they always have."""
    unsure = [n for n in sizes if not dims.nonnegative(n - 1)]
    if not unsure:
        return None
    return call("gt", index(dims.product(unsure)), 0)


def _weight(expr: Expr) -> int:
    """Number of functions in an expression, for deciding what stays on one line."""
    if isinstance(expr, Call):
        return 1 + sum(_weight(a) for a in expr.args)
    if isinstance(expr, Load):
        return sum(_weight(a) for a in expr.index) // 2
    return 0


def _own_attrs(function: Any, node: Tensor) -> dict[str, Any]:
    """The node's attrs, without those that `Generate.expr` gets by position."""
    taken = ("index", "shape", "dtype")
    accepted = inspect.signature(function).parameters
    return {k: v for k, v in node.attrs.items() if k not in taken and (k in accepted or "_" in accepted)}
