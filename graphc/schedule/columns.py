"""A reduction whose result has an axis behind one that it reduces: what it keeps outside, what it reduces inside.

The loops of what is kept are independent of each other and stand around those that combine, whatever the order of the
axes: the accumulator is a scalar. Where there is much to combine, the first reduced loop is cut into chunks.
"""

from __future__ import annotations

from ..ir import dims
from ..ir.expr import Expr, Load, Var, cast, lit
from ..ir.loops import ArrayArg, Chunks, Combine, Finish, For, Init, Statement, Store
from .chunks import Chunking, chunking
from .stages import accumulator_dtype, identity
from .units import Index, Unit
from .values import KernelWriter, Scope


def columns(writer: KernelWriter, unit: Unit) -> None:
    """``out[kept] = combination over reduced of x[kept and reduced]``, as one kernel; the accumulator is a scalar."""
    node = unit.node
    kept = [k for k in range(len(unit.domain)) if k not in unit.reduced]
    combine = node.op.lower.combine  # type: ignore[union-attr]
    dtype = accumulator_dtype(combine, node.inputs[0].dtype)
    start = lit(identity(combine, dtype), dtype)
    cut = _cut(writer, unit, kept)
    target = writer.memory(node, True)
    before: Index = ()
    body: list[Statement] = writer.root.body
    if cut is not None:
        shape = (cut.most, *node.shape)
        parts = writer.buffers.new("temp", dtype, dims.product(shape), label=f"{node.op.name} parts")
        target, before = writer.array(parts, shape, dtype, True), (Var("c"),)
        body = []
    scope = Scope(body, 0, writer.root)
    place: dict[int, Expr] = {}
    for k in kept:
        place[k] = Var(f"i{scope.rank}")
        scope = writer.open(scope, unit.domain[k], "map")
    name = writer.name("s")
    scope.body.append(Init(name, start, node))
    inner = scope
    for k in unit.reduced:
        place[k] = Var(f"i{inner.rank}")
        inner = writer.open(inner, unit.domain[k], "reduce")
        if cut is not None and k == unit.reduced[0]:
            loop = inner.memo["loop"]
            assert isinstance(loop, For)
            loop.chunked = True
    at = tuple(place[k] for k in range(len(unit.domain)))
    value = cast(writer.value(node.inputs[0], at, inner), dtype)
    inner.body.append(Combine(name, combine, value, None, node))
    while inner is not scope:
        inner = writer.close(inner)
    where = tuple(place[k] for k in kept)
    scope.body.append(Store(target.name, (*before, *where), cast(Var(name, dtype), target.dtype), node))
    while scope.rank:
        scope = writer.close(scope)
    if cut is not None:
        writer.root.body.append(Chunks("c", cut.count, cut.length, cut.extent, body))
        writer.root.body.append(Finish(_joined(writer, unit, target, cut, start)))


def _cut(writer: KernelWriter, unit: Unit, kept: list[int]) -> Chunking | None:
    """How the first reduced loop is cut: so that what chunks have found is a fraction of what they read."""
    if not writer.chunked:
        return None
    first, *rest = unit.reduced
    row = dims.product([unit.domain[k] for k in [*kept, *rest]])
    result = dims.product([unit.domain[k] for k in kept])
    few = isinstance(result, int) and result <= FEW
    return chunking((unit.domain[first], row), 0 if few else 1, writer.policy)


def _joined(writer: KernelWriter, unit: Unit, parts: ArrayArg, cut: Chunking, start: Expr) -> list[Statement]:
    """Behind the last chunk: element by element, what the chunks have found is combined in order."""
    node = unit.node
    body: list[Statement] = []
    combine = node.op.lower.combine  # type: ignore[union-attr]
    scope = Scope(body, 0, writer.root)
    for size in node.shape:
        scope = writer.open(scope, size, "map")
    at: Index = tuple(Var(f"i{k}") for k in range(scope.rank))
    name = writer.name("s")
    scope.body.append(Init(name, start, node))
    part = Load(parts.name, (Var("c"), *at), parts.dtype)
    scope.body.append(For("c", cut.count, "join", [Combine(name, combine, part, None, node)]))
    scope.body.append(Store(writer.memory(node, True).name, at, cast(Var(name, start.dtype), node.dtype), node))
    while scope.rank:
        scope = writer.close(scope)
    return body


FEW = 4096
"""Elements of a result up to which each of many chunks may have a part for each."""
