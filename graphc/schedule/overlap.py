"""Windows added up where they overlap: a kernel of its own, cut along the axes in front of them.

Each window is added to where it lies; or, on targets with a thread for each place, each place gathers its windows.
"""

from __future__ import annotations

from ..ir import dims
from ..ir.dims import DimLike
from ..ir.dtypes import BOOL
from ..ir.expr import Expr, Lit, Var, call, index, lit
from ..ir.loops import Chunks, Combine, For, If, Init, Statement, Store, StoreCombine
from ..ir.tensor import Tensor
from ..ops.windows import inside_of, position_of
from .chunks import Chunking, chunking
from .convolution_sums import position_before
from .units import Index, Unit, loop_vars
from .values import KernelWriter, Scope


def overlap(writer: KernelWriter, unit: Unit) -> None:
    """``out = 0``, then ``out[..., p * stride + k * dilation - low] += y[..., p, k]``; ``=`` where none overlap."""
    if writer.policy.direct:
        _gather(writer, unit)
        return
    cut = None
    if writer.chunked and has_rows(unit.node):
        cut = chunking((unit.node.shape[0], dims.product(unit.node.inputs[0].shape[1:])), 0)
    if cut is None:
        _write(writer, unit, writer.root, False)
        return
    chunks = Chunks("c", cut.count, cut.length, cut.extent)
    writer.root.body.append(chunks)
    overlap_in_chunks(writer, unit, cut, chunks.body)


def overlap_in_chunks(writer: KernelWriter, unit: Unit, cut: Chunking, body: list[Statement]) -> list[Statement]:
    """The rows of a chunk, in `body`; nothing is to be done behind the last one."""
    _write(writer, unit, Scope(body, 0, writer.root), True)
    return []


def has_rows(node: Tensor) -> bool:
    """Whether there is an axis in front of those of the windows: what is there does not overlap."""
    return len(node.shape) > len(node.attrs["kernel"])


def _gather(writer: KernelWriter, unit: Unit) -> None:
    """The sum that defines an element: over all places k of windows, where a window has place k at it."""
    node, attrs = unit.node, unit.node.attrs
    y, rank = node.inputs[0], len(attrs["kernel"])
    front = len(node.shape) - rank
    scope = writer.root
    for size in node.shape:
        scope = writer.open(scope, size, "map")
    at = loop_vars(len(node.shape))
    total = writer.name("s")
    dtype = node.dtype
    scope.body.append(Init(total, lit(0, dtype), node))
    inner, places, conditions, flat = scope, [], [], index(0)
    axes = zip(attrs["kernel"], attrs["strides"], attrs["dilations"], attrs["low"], strict=True)
    for j, (kernel, stride, dilation, low) in enumerate(axes):
        k: Expr = index(0)
        if kernel != 1:
            inner = writer.open(inner, kernel, "reduce")
            k = Var(f"i{inner.rank - 1}")
        ahead = at[front + j] + index(low) - k * index(dilation)
        place, found = position_before(ahead, stride, y.shape[front + j])
        if (kernel - 1) * dilation > low:
            conditions.append(ahead >= index(0))
        conditions += found
        places.append(place)
        flat = flat * index(kernel) + k
    innermost = inner
    if conditions:
        guard = conditions[0]
        for condition in conditions[1:]:
            guard = call("logical_and", guard, condition)
        branch = If(guard)
        innermost.body.append(branch)
        innermost = Scope(branch.body, inner.rank, inner, guarded=True)
    value = writer.value(y, (*at[:front], *places, flat), innermost)
    innermost.body.append(Combine(total, "or" if dtype == BOOL else "add", value, None, node))
    while inner is not scope:
        inner = writer.close(inner)
    scope.body.append(Store(writer.memory(node, True).name, at, Var(total, dtype), node))
    while scope is not writer.root:
        scope = writer.close(scope)


def _write(writer: KernelWriter, unit: Unit, scope: Scope, chunked: bool) -> None:
    node = unit.node
    y = node.inputs[0]
    attrs = {name: node.attrs[name] for name in ("kernel", "strides", "dilations", "low")}
    rank = len(attrs["kernel"])
    front = len(node.shape) - rank
    sizes, positions = node.shape[front:], y.shape[front:-1]
    spans = [(k - 1) * d + 1 for k, d in zip(attrs["kernel"], attrs["dilations"], strict=True)]
    apart = all(s >= span for s, span in zip(attrs["strides"], spans, strict=True))
    covered = apart and all(
        s == k and not a and n == m * s
        for s, k, a, n, m in zip(attrs["strides"], attrs["kernel"], attrs["low"], sizes, positions, strict=True)
    )
    target = writer.memory(node, True)

    def clear(scope: Scope, at: Index) -> None:
        scope.body.append(Store(target.name, at, lit(0, node.dtype), node))

    def add(scope: Scope, at: Index) -> None:
        guard = inside_of(at, sizes, positions, **attrs)
        if not isinstance(guard, Lit):
            branch = If(guard)
            scope.body.append(branch)
            scope = Scope(branch.body, scope.rank, scope, guarded=True)
        leading, places = position_of(at, **attrs)
        value = writer.value(y, at, scope)
        where = (*leading, *places)
        scope.body.append(
            Store(target.name, where, value, node) if apart else StoreCombine(target.name, where, "add", value, node)
        )

    for k, size in enumerate(node.shape[:front]):
        scope = writer.open(scope, size, "map")
        loop = scope.memo["loop"]
        assert isinstance(loop, For)
        loop.chunked = chunked and k == 0
    if not covered:
        _nest(writer, scope, sizes, clear)
    _nest(writer, scope, y.shape[front:], add)
    for _ in range(front):
        scope = writer.close(scope)


def _nest(writer: KernelWriter, scope: Scope, shape: tuple[DimLike, ...], action: object) -> None:
    first = scope
    at = tuple(Var(f"i{k}") for k in range(first.rank + len(shape)))
    for size in shape:
        scope = writer.open(scope, size, "map")
    action(scope, at)  # type: ignore[operator]
    for _ in shape:
        scope = writer.close(scope)
