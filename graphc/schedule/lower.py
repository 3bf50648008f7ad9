"""A fusion group as loop IR: values are pulled by demand, each at the outermost loop whose variables they need."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..ir import dims
from ..ir.dims import DimLike
from ..ir.dtypes import BOOL, FLOAT64, INT64, DType
from ..ir.expr import Call, Expr, Lit, Load, Size, Var, call, cast, index, lit, variables
from ..ir.loops import (
    Argsort,
    ArrayArg,
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
from ..ir.lowering import Gather, Generate, Map, View
from ..ir.tensor import Tensor
from .fuse import Group, stages_of
from .storage import is_view
from .units import Index, Unit, loop_vars, view_index

_DUPLICATED = {"isnan": (0,)}
"""Scalar functions whose printed form repeats an operand: that operand must be a name or a literal."""
_MAX_INLINE = 5


def identity(combine: str, dtype: DType) -> Any:
    """The neutral element of a reduction in `dtype`."""
    if combine in ("add", "or", "linear"):
        return 0
    if combine in ("mul", "and"):
        return 1
    if dtype.kind == "f":
        return -np.inf if combine in ("max", "argmax") else np.inf
    if combine not in ("max", "min", "argmax", "argmin"):
        raise ValueError(f"no neutral element known for {combine}")
    if dtype.kind == "b":
        return combine in ("min", "argmin")
    info = np.iinfo(dtype)
    return info.min if combine in ("max", "argmax") else info.max


def accumulator_dtype(combine: str, dtype: DType) -> DType:
    """float32 sums and products accumulate in float64 and are rounded once."""
    return FLOAT64 if combine in ("add", "mul", "linear") and dtype == np.dtype("float32") else dtype


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


class KernelBuilder:
    """Builds the kernel of one group.

    `buffer_of(node)` names the memory of a stored node; `kept(unit)` says whether its value must reach memory.
    """

    def __init__(self, group: Group, stored: set[Tensor], buffers: Any, uses: dict[Tensor, int]):
        self.group, self.stored, self.buffers, self.uses = group, stored, buffers, uses
        self.arrays: dict[tuple[int, tuple[DimLike, ...], DType], ArrayArg] = {}
        self.kernel = Kernel([], [])
        self.names = 0
        self.read_here = {node for unit in group.units for node in unit.reads}
        self.root = Scope(self.kernel.body, 0)

    def name(self, prefix: str = "v") -> str:
        self.names += 1
        return f"{prefix}{self.names - 1}"

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
        home = scope if scope.guarded else _home(scope, at)
        if node in self.stored:
            result: Expr = Load(self.memory(node).name, at, node.dtype)
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
        name = self.name()
        scope.body.append(Init(name, lit(node.attrs.get("value", 0), node.dtype), node))
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
        element = Load(self.memory(x).name, (*places, *at[rank:]), x.dtype)
        filled = _not_empty(x.shape[: len(places)])
        if filled is None:
            return element
        name = self.name()
        scope.body.append(Init(name, lit(0, x.dtype), node))
        scope.body.append(If(filled, [Init(name, element, node)]))
        return Var(name, x.dtype)

    def places(self, node: Tensor, at: Index, scope: Scope) -> list[Expr]:
        """Checked, wrapped positions on the leading axes of a gather's or scatter's operand, for index `at`."""
        home = _home(scope, at)
        found: Any = home.find(("places", node, at))
        if found is not None:
            return found
        indices = node.inputs[1:] if isinstance(node.op.lower, Gather) else node.inputs[2:]
        places: list[Expr] = []
        for axis, operand in enumerate(indices):
            value = self.value(operand, at, home)
            self.kernel.checks.append(node)
            code = Var(f"e{len(self.kernel.checks) - 1}")
            wrapped = Call("wrap", (cast(value, INT64), index(node.inputs[0].shape[axis]), code), INT64)
            places.append(self.let(wrapped, node, None, home))
        home.memo[("places", node, at)] = places  # type: ignore[assignment]
        return places

    # units

    def build(self) -> Kernel:
        """The kernel of the whole group."""
        kind = self.group.units[0].kind
        if kind in ("map", "reduce", "copy"):
            self.stages()
        else:
            getattr(self, kind)(self.group.units[0])
        self.kernel.nodes = [u.node for u in self.group.units]
        self.kernel.title = _title(self.group)
        return self.kernel

    def stages(self) -> None:
        """Outer loops shared by all units, then stage after stage inside them."""
        group = self.group
        depth = group.depth if group.depth is not None else len(group.domain)
        pending: list[tuple[int, Any]] = []  # (rank of the scope to finish in, callback), run as loops close
        scope = self.root
        self.start(group.units, scope, 0, pending, depth)
        for k in range(depth):
            kinds = {"reduce" if k in u.reduced else "map" for u in group.units}
            scope = self.open(scope, group.domain[k], "reduce" if kinds == {"reduce"} else "map")
            self.start(group.units, scope, k + 1, pending, depth)
        for inner, units in stages_of(group):
            self.stage(units, inner, scope)
        for k in range(depth, 0, -1):
            scope = self.close(scope)
            self.finish(scope, k - 1, pending)

    def start(self, units: list[Unit], scope: Scope, rank: int, pending: list, limit: int) -> None:
        """Start the accumulators of reductions whose first reduced loop is number `rank` (if it is an outer loop)."""
        for unit in units:
            if unit.kind == "reduce" and unit.reduced[0] == rank < limit:
                pending.append((rank, self.accumulator(unit, scope)))

    def finish(self, scope: Scope, rank: int, pending: list) -> None:
        for at, callback in pending:
            if at == rank:
                callback(scope)
        pending[:] = [p for p in pending if p[0] != rank]

    def stage(self, units: list[Unit], inner: tuple[DimLike, ...], outer: Scope) -> None:
        """One nest of inner loops with all the units that share it."""
        pending: list[tuple[int, Any]] = []
        scope = outer
        for k in range(len(inner) + 1):
            rank = outer.rank + k
            for unit in units:
                if unit.kind == "reduce" and unit.reduced[0] == rank and rank >= outer.rank and k < len(inner):
                    pending.append((rank, self.accumulator(unit, scope)))
            if k < len(inner):
                kinds = {"reduce" if rank in u.reduced else "map" for u in units}
                scope = self.open(scope, inner[k], "reduce" if kinds == {"reduce"} else "map")
        for unit in units:
            self.emit(unit, scope)
        for k in range(len(inner), 0, -1):
            scope = self.close(scope)
            self.finish(scope, outer.rank + k - 1, pending)

    def emit(self, unit: Unit, scope: Scope) -> None:
        """The innermost statements of one unit."""
        at = loop_vars(len(unit.domain))
        if unit.kind == "reduce":
            self.combine(unit, self.value(unit.node.inputs[0], at, scope), scope)
            return
        if unit.kind == "copy":
            source, number = self.buffers.of_copy(unit)
            shape, dtype = unit.node.shape, unit.node.dtype
            value = self.value(unit.node, at, scope)
            if source is not None:
                value = Load(self.array(source, shape, dtype).name, at, dtype)
            target = self.array(number, shape, dtype, True)
            scope.body.append(Store(target.name, at, value, unit.node))
            return
        value = self.compute(unit.node, at, scope)
        if unit.node in self.read_here and not isinstance(value, (Lit, Var)):
            value = self.let(value, unit.node, None, scope)
        scope.memo[(unit.node, at)] = value
        if self.buffers.kept(unit):
            scope.body.append(Store(self.memory(unit.node, True).name, at, value, unit.node))

    # reductions

    def accumulator(self, unit: Unit, scope: Scope) -> Any:
        """Start a reduction in `scope`; returns what to do there when its loops have closed."""
        combine = unit.node.op.lower.combine  # type: ignore[union-attr]
        operand = unit.node.inputs[0].dtype
        dtype = accumulator_dtype(combine, operand)
        start = lit(identity(combine, dtype), dtype)
        if not unit.trailing:
            return self.array_accumulator(unit, combine, dtype, start, scope)
        name = self.name("s")
        scope.body.append(Init(name, start, unit.node))
        unit_acc: tuple[str, ...] = (name,)
        if combine.startswith("arg"):
            position = self.name("p")
            scope.body.append(Init(position, lit(-1, INT64), unit.node))
            unit_acc = (name, position)
        self.root.memo[("acc", unit.number)] = Var("|".join(unit_acc), dtype)

        def done(closing: Scope) -> None:
            result: Expr = Var(unit_acc[-1], INT64 if len(unit_acc) > 1 else dtype)
            result = cast(result, unit.node.dtype)
            if not isinstance(result, Var):
                result = self.let(result, unit.node, None, closing)
            at = loop_vars(closing.rank)
            closing.memo[(unit.node, at)] = result
            if self.buffers.kept(unit):
                closing.body.append(Store(self.memory(unit.node, True).name, at, result, unit.node))

        return done

    def array_accumulator(self, unit: Unit, combine: str, dtype: DType, start: Expr, scope: Scope) -> Any:
        """A reduction over an outer loop with map loops inside it: the accumulator is an array."""
        own = unit.node.dtype
        target = self.memory(unit.node, True)
        if dtype != own:
            target = self.array(self.buffers.scratch(unit, dtype), unit.node.shape, dtype, True)
        self.root.memo[("acc", unit.number)] = Var(target.name, dtype)
        self.over_result(unit, scope, lambda inner, at: inner.body.append(Store(target.name, at, start, unit.node)))

        def done(closing: Scope) -> None:
            if dtype != own:
                final = self.memory(unit.node, True)
                self.over_result(
                    unit,
                    closing,
                    lambda inner, at: inner.body.append(
                        Store(final.name, at, cast(Load(target.name, at, dtype), own), unit.node)
                    ),
                )

        return done

    def over_result(self, unit: Unit, scope: Scope, action: Any) -> None:
        """Loops over the result's axes that are not open yet, around `action(scope, index)`."""
        first, inner = unit.reduced[0], scope
        remaining = [k for k in range(len(unit.domain)) if k not in unit.reduced and k >= first]
        for k in remaining:
            inner = self.open(inner, unit.domain[k], "map")
        at = tuple(Var(f"i{k}") for k in range(inner.rank))
        action(inner, at)
        for _ in remaining:
            inner = self.close(inner)

    def combine(self, unit: Unit, value: Expr, scope: Scope) -> None:
        combine = unit.node.op.lower.combine  # type: ignore[union-attr]
        acc = self.root.memo[("acc", unit.number)]
        assert isinstance(acc, Var)
        value = cast(value, acc.dtype)
        if not unit.trailing:
            at = tuple(Var(f"i{k}") for k in range(len(unit.domain)) if k not in unit.reduced)
            scope.body.append(StoreCombine(acc.name, at, combine, value, unit.node))
        elif combine.startswith("arg"):
            name, _ = acc.name.split("|")
            value = self.atom(value, unit.node.inputs[0], scope)
            scope.body.append(Combine(acc.name, combine, value, Var(f"i{unit.reduced[-1]}"), unit.node))
            assert name
        else:
            scope.body.append(Combine(acc.name, combine, value, None, unit.node))

    # kernels of their own

    def scan(self, unit: Unit) -> None:
        """A running sum or product along one axis, or a linear recurrence ``s = s * a + b``."""
        node, attrs = unit.node, unit.node.attrs
        axis, reverse = attrs["axis"], attrs.get("reverse", False)
        combine = node.op.lower.combine  # type: ignore[union-attr]
        dtype = accumulator_dtype(combine, node.dtype)
        others = [k for k in range(len(node.shape)) if k != axis]
        scope, place = self.root, {}
        for k in others:
            place[k] = Var(f"i{scope.rank}")
            scope = self.open(scope, node.shape[k], "map")
        name = self.name("s")
        scope.body.append(Init(name, lit(identity(combine, dtype), dtype), node))
        place[axis] = Var(f"i{scope.rank}")
        inner = self.open(scope, node.shape[axis], "scan", reverse)
        at = tuple(place[k] for k in range(len(node.shape)))
        values = [cast(self.value(i, at, inner), dtype) for i in node.inputs]
        if combine == "linear":
            a, b = values
            inner.body.append(Init(name, call("ct_mul", Var(name, dtype), a) + b, node))
        else:
            inner.body.append(Combine(name, combine, values[0], None, node))
        store = Store(self.memory(node, True).name, at, cast(Var(name, dtype), node.dtype), node)
        inner.body.append(store)
        scope = self.close(inner)
        for _ in others:
            scope = self.close(scope)

    def nest(self, shape: tuple[DimLike, ...], action: Any) -> None:
        """Map loops over `shape` at the kernel's root, around `action(scope, index)`."""
        scope = self.root
        for size in shape:
            scope = self.open(scope, size, "map")
        action(scope, loop_vars(len(shape)))
        for _ in shape:
            scope = self.close(scope)

    def concat(self, unit: Unit) -> None:
        """Each operand is written to its place."""
        node, axis = unit.node, unit.node.attrs["axis"]
        target = self.memory(node, True)
        offset: DimLike = 0
        for operand in node.inputs:

            def write(scope: Scope, at: Index, operand: Tensor = operand, offset: DimLike = offset) -> None:
                place = (*at[:axis], at[axis] + index(offset), *at[axis + 1 :])
                scope.body.append(Store(target.name, place, self.value(operand, at, scope), node))

            self.nest(operand.shape, write)
            offset = offset + operand.shape[axis]

    def scatter(self, unit: Unit) -> None:
        """Copy the operand, then write the updates one after another, in row-major order."""
        node = unit.node
        x, updates, *indices = node.inputs
        target, source = self.memory(node, True), self.memory(x)
        mode = node.op.lower.mode  # type: ignore[union-attr]
        self.nest(
            node.shape,
            lambda scope, at: scope.body.append(Store(target.name, at, Load(source.name, at, x.dtype), node)),
        )
        rank = len(indices[0].shape)

        def update(scope: Scope, at: Index) -> None:
            place = (*self.places(node, at[:rank], scope), *at[rank:])
            value = self.value(updates, at, scope)
            write: Statement = Store(target.name, place, value, node)
            if mode == "add":
                write = StoreCombine(target.name, place, "add", value, node)
            filled = _not_empty(x.shape[: len(indices)])
            scope.body.append(write if filled is None else If(filled, [write]))

        self.nest(updates.shape, update)

    def dot(self, unit: Unit) -> None:
        """A product of matrices: BLAS for floats of unknown or large size, loops for the rest."""
        node = unit.node
        x, y = node.inputs
        x_spec, y_spec, _ = _spec(node)
        batched = x_spec.startswith("b")
        x_t, y_t = x_spec.endswith("km"), y_spec.endswith("nk")
        m, n = node.shape[-2], node.shape[-1]
        k = x.shape[-2] if x_t else x.shape[-1]
        work = m * n * k
        if node.dtype.kind == "f" and not (isinstance(work, int) and work <= SMALL_DOT):
            left, right, out = (self.memory(v, v is node).name for v in (x, y, node))
            self.kernel.body.append(Dot(left, right, out, x_t, y_t, batched, (m, n, k), node.dtype, node))
            return

        def cell(scope: Scope, at: Index) -> None:
            *b, i, j = at
            name = self.name("s")
            acc = accumulator_dtype("add", node.dtype)
            combine = "or" if node.dtype == BOOL else "add"
            scope.body.append(Init(name, lit(0, acc), node))
            inner = self.open(scope, k, "reduce")
            kk = Var(f"i{scope.rank}")
            a = Load(self.memory(x).name, (*b, kk, i) if x_t else (*b, i, kk), x.dtype)
            c = Load(self.memory(y).name, (*b, j, kk) if y_t else (*b, kk, j), y.dtype)
            term = call("logical_and", a, c) if node.dtype == BOOL else cast(a, acc) * cast(c, acc)
            inner.body.append(Combine(name, combine, term, None, node))
            self.close(inner)
            scope.body.append(Store(self.memory(node, True).name, at, cast(Var(name, acc), node.dtype), node))

        self.nest(node.shape, cell)

    def argsort(self, unit: Unit) -> None:
        """Row by row along the sorted axis: copied to scratch memory, sorted there, and copied out."""
        node, axis = unit.node, unit.node.attrs["axis"]
        x, n = node.inputs[0], node.shape[axis]
        values = self.array(self.buffers.new("temp", x.dtype, n, label="row to sort"), (n,), x.dtype, True)
        order = self.array(self.buffers.new("temp", INT64, n, label="order"), (n,), INT64, True)
        other = self.array(self.buffers.new("temp", INT64, n, label="merge scratch"), (n,), INT64, True)
        others = [k for k in range(len(node.shape)) if k != axis]
        scope = self.root
        place: dict[int, Expr] = {}
        for k in others:
            place[k] = Var(f"i{scope.rank}")
            scope = self.open(scope, node.shape[k], "map")
        j = place[axis] = Var(f"i{scope.rank}")
        at = tuple(place[k] for k in range(len(node.shape)))
        read = self.open(scope, n, "map")
        read.body.append(Store(values.name, (j,), Load(self.memory(x).name, at, x.dtype), node))
        self.close(read)
        descending = bool(node.attrs.get("descending", False))
        scope.body.append(Argsort(values.name, order.name, other.name, descending, node))
        write = self.open(scope, n, "map")
        write.body.append(Store(self.memory(node, True).name, at, Load(order.name, (j,), INT64), node))
        self.close(write)
        for _ in others:
            scope = self.close(scope)


SMALL_DOT = 4096
"""Multiplications up to which a product of known size is plain loops: a BLAS call costs more."""


def _spec(node: Tensor) -> tuple[str, str, str]:
    operands, out = node.attrs["spec"].split("->")
    left, right = operands.split(",")
    return left, right, out


def _not_empty(sizes: tuple[DimLike, ...]) -> Expr | None:
    """The condition under which axes of these sizes have elements; None where they always have."""
    unsure = [n for n in sizes if not dims.nonnegative(n - 1)]
    if not unsure:
        return None
    return call("gt", index(dims.product(unsure)), 0)


def _home(scope: Scope, at: Index) -> Scope:
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


def _title(group: Group) -> str:
    domain = ", ".join(map(str, group.domain)) if group.domain else "scalar"
    ops = dict.fromkeys("copy" if u.kind == "copy" else u.node.op.name for u in group.units)
    return f"[{domain}] {', '.join(ops)}"
