"""Kernels of their own: scans, concatenations, scatters, products of matrices, sorts, checks of values."""

from __future__ import annotations

from typing import Any

from ..ir import dims
from ..ir.dims import DimLike
from ..ir.dtypes import BOOL, INT64, DType
from ..ir.expr import Expr, Load, Var, call, cast, index, lit
from ..ir.loops import (
    Argsort,
    ArrayArg,
    Chunks,
    Combine,
    Dot,
    Finite,
    For,
    If,
    Init,
    Statement,
    Store,
    StoreCombine,
)
from ..ir.tensor import Tensor
from .chunks import Chunking, tiles
from .products import Operand, Product, guarded_term, product_of
from .stages import StagesWriter, accumulator_dtype, identity
from .units import Index, Unit, loop_vars
from .values import KernelWriter, Scope, not_empty


def scan(writer: KernelWriter, unit: Unit) -> None:
    """A running sum or product along one axis, or a linear recurrence ``s = s * a + b``."""
    node, attrs = unit.node, unit.node.attrs
    axis, reverse = attrs["axis"], attrs.get("reverse", False)
    combine = node.op.lower.combine  # type: ignore[union-attr]
    dtype = accumulator_dtype(combine, node.dtype)
    others = [k for k in range(len(node.shape)) if k != axis]
    scope, place = writer.root, {}
    for k in others:
        place[k] = Var(f"i{scope.rank}")
        scope = writer.open(scope, node.shape[k], "map")
    name = writer.name("s")
    scope.body.append(Init(name, lit(identity(combine, dtype), dtype), node))
    place[axis] = Var(f"i{scope.rank}")
    inner = writer.open(scope, node.shape[axis], "scan", reverse)
    at = tuple(place[k] for k in range(len(node.shape)))
    values = [cast(writer.value(i, at, inner), dtype) for i in node.inputs]
    if combine == "linear":
        a, b = values
        inner.body.append(Init(name, call("ct_mul", Var(name, dtype), a) + b, node))
    else:
        inner.body.append(Combine(name, combine, values[0], None, node))
    store = Store(writer.memory(node, True).name, at, cast(Var(name, dtype), node.dtype), node)
    inner.body.append(store)
    scope = writer.close(inner)
    for _ in others:
        scope = writer.close(scope)


def nest(writer: KernelWriter, shape: tuple[DimLike, ...], action: Any) -> None:
    """Map loops over `shape` at the kernel's root, around `action(scope, index)`."""
    scope = writer.root
    for size in shape:
        scope = writer.open(scope, size, "map")
    action(scope, loop_vars(len(shape)))
    for _ in shape:
        scope = writer.close(scope)


def concat(writer: KernelWriter, unit: Unit) -> None:
    """Each operand is written to its place."""
    node, axis = unit.node, unit.node.attrs["axis"]
    target = writer.memory(node, True)
    offset: DimLike = 0
    for operand in node.inputs:

        def write(scope: Scope, at: Index, operand: Tensor = operand, offset: DimLike = offset) -> None:
            place = (*at[:axis], at[axis] + index(offset), *at[axis + 1 :])
            scope.body.append(Store(target.name, place, writer.value(operand, at, scope), node))

        nest(writer, operand.shape, write)
        offset = offset + operand.shape[axis]


def scatter(writer: KernelWriter, unit: Unit) -> None:
    """Copy the operand, then write the updates one after another, in row-major order."""
    node = unit.node
    x, updates, *indices = node.inputs
    target, source = writer.memory(node, True), writer.memory(x)
    mode = node.op.lower.mode  # type: ignore[union-attr]
    nest(
        writer,
        node.shape,
        lambda scope, at: scope.body.append(Store(target.name, at, Load(source.name, at, x.dtype), node)),
    )
    rank = len(indices[0].shape)
    if writer.policy.columns:
        scatter_apart(writer, node, target, rank)
        return

    def update(scope: Scope, at: Index) -> None:
        place = (*writer.places(node, at[:rank], scope), *at[rank:])
        value = writer.value(updates, at, scope)
        write: Statement = Store(target.name, place, value, node)
        if mode == "add":
            write = StoreCombine(target.name, place, "add", value, node)
        filled = not_empty(x.shape[: len(indices)])
        scope.body.append(write if filled is None else If(filled, [write]))

    nest(writer, updates.shape, update)


def scatter_apart(writer: KernelWriter, node: Tensor, target: ArrayArg, rank: int) -> None:
    """The updates for independent loops outside: each goes over all indices, in order, and writes what is its own.

    Those are columns, elements behind an index, and of each some rows: which is the row modulo `OWNERS` or fewer.
    """
    x, updates, *indices = node.inputs
    inner = updates.shape[rank:]
    size = dims.product(inner)
    owners = max(1, OWNERS // max(size, 1)) if isinstance(size, int) else WARP_OWNERS
    scope = writer.open(writer.root, owners, "map")
    loop: Any = scope.memo["loop"]
    loop.apart = True
    columns: list[Expr] = []
    for n in inner:
        columns.append(Var(f"i{scope.rank}"))
        scope = writer.open(scope, n, "map")
    at: list[Expr] = []
    for n in updates.shape[:rank]:
        at.append(Var(f"i{scope.rank}"))
        scope = writer.open(scope, n, "map")
    places = writer.places(node, tuple(at), scope)
    value = writer.value(updates, (*at, *columns), scope)
    place = (*places, *columns)
    write: Statement = Store(target.name, place, value, node)
    if node.op.lower.mode == "add":  # type: ignore[union-attr]
        write = StoreCombine(target.name, place, "add", value, node)
    mine = call("eq", call("mod_nonneg", places[0], index(owners)), Var("i0"))
    filled = not_empty(x.shape[: len(indices)])
    scope.body.append(If(mine if filled is None else call("logical_and", filled, mine), [write]))
    while scope.rank:
        scope = writer.close(scope)


OWNERS, WARP_OWNERS = 8192, 32
"""How many independent loops updates are scattered by, about; and for each column where it is not known how many."""


def dot(writer: KernelWriter, unit: Unit) -> None:
    """A product of matrices: tiles for floats of unknown or large size, loops for the rest."""
    node = unit.node
    x, y = node.inputs
    product = product_of(node)
    x_t, y_t, k = product.x.transposed, product.y.transposed, product.sizes[2]
    if product.by_tiles:
        tiled = writer.chunked and not writer.policy.partial
        statement = product_call(writer, node, product, writer.memory(node, True).name, "tile" if tiled else "whole")
        if not tiled:
            writer.kernel.body.append(statement)
            return
        parts = tiles(product.sizes, node.shape[0] if product.batched else 1)
        loop = For("t", parts.extent, "tile", [statement], chunked=True)
        writer.kernel.body.append(Chunks("c", parts.count, parts.length, parts.extent, [loop]))
        return

    def cell(scope: Scope, at: Index) -> None:
        *b, i, j = at
        name = writer.name("s")
        acc = accumulator_dtype("add", node.dtype)
        combine = "or" if node.dtype == BOOL else "add"
        scope.body.append(Init(name, lit(0, acc), node))
        inner = writer.open(scope, k, "reduce")
        kk = Var(f"i{scope.rank}")
        a = Load(_factor(writer, product.x), (*b, kk, i) if x_t else (*b, i, kk), x.dtype)
        c = Load(_factor(writer, product.y), (*b, j, kk) if y_t else (*b, kk, j), y.dtype)
        term = call("logical_and", a, c) if node.dtype == BOOL else guarded_term(node, cast(a, acc), cast(c, acc))
        inner.body.append(Combine(name, combine, term, None, node))
        writer.close(inner)
        scope.body.append(Store(writer.memory(node, True).name, at, cast(Var(name, acc), node.dtype), node))

    nest(writer, node.shape, cell)


def product_call(writer: KernelWriter, node: Tensor, product: Product, out: str, part: str) -> Dot:
    """The statement that computes a part of a product into the array `out`, see `Dot`."""
    x, y = (_factor(writer, f) for f in (product.x, product.y))
    transposed = product.x.transposed, product.y.transposed
    dot = Dot(x, y, out, *transposed, product.batched, product.sizes, node.dtype, node, part)
    dot.guard = node.attrs.get("guard", "")
    dot.x_batch, dot.y_batch = product.x.batch, product.y.batch
    return dot


def dot_in_chunks(writer: StagesWriter, unit: Unit, role: str, cut: Chunking, body: list[Statement]) -> list[Statement]:
    """The part of a product that belongs to a chunk of rows, in `body`; what is to be done behind the last chunk.

    Those rows of the result; or what they add to it, where they are its terms.
    """
    node, product = unit.node, product_of(unit.node)
    if role != "terms":
        body.append(product_call(writer, node, product, writer.memory(node, True).name, role))
        return []
    writer.chunking = cut
    parts = writer.parts(unit, node.dtype, node.shape, "parts")
    body.append(product_call(writer, node, product, parts.name, role))
    writer.end_join = Scope([], 0, writer.root)
    writer.join_arrays(unit, "add", parts, lit(0, accumulator_dtype("add", node.dtype)))
    return writer.end_join.body


def _factor(writer: KernelWriter, factor: Operand) -> str:
    """The array that a product reads."""
    return writer.array(writer.buffers.of(factor.base), factor.shape, factor.base.dtype).name


def argsort(writer: KernelWriter, unit: Unit) -> None:
    """Row by row along the sorted axis: copied to scratch memory, sorted there, and copied out."""
    node, axis = unit.node, unit.node.attrs["axis"]
    x, n = node.inputs[0], node.shape[axis]
    others = [k for k in range(len(node.shape)) if k != axis]
    shape = (*[node.shape[k] for k in others if writer.policy.columns], n)  # rows at once, or one after another

    def scratch(dtype: DType, label: str) -> ArrayArg:
        return writer.array(writer.buffers.new("temp", dtype, dims.product(shape), label=label), shape, dtype, True)

    values, order, other = scratch(x.dtype, "row to sort"), scratch(INT64, "order"), scratch(INT64, "merge scratch")
    scope = writer.root
    place: dict[int, Expr] = {}
    for k in others:
        place[k] = Var(f"i{scope.rank}")
        scope = writer.open(scope, node.shape[k], "map")
    j = place[axis] = Var(f"i{scope.rank}")
    at = tuple(place[k] for k in range(len(node.shape)))
    read = writer.open(scope, n, "map")
    row = loop_vars(len(shape) - 1)
    read.body.append(Store(values.name, (*row, j), Load(writer.memory(x).name, at, x.dtype), node))
    writer.close(read)
    descending = bool(node.attrs.get("descending", False))
    scope.body.append(Argsort(values.name, order.name, other.name, descending, node, row))
    write = writer.open(scope, n, "map")
    write.body.append(Store(writer.memory(node, True).name, at, Load(order.name, (*row, j), INT64), node))
    writer.close(write)
    for _ in others:
        scope = writer.close(scope)


def check(writer: KernelWriter, unit: Unit) -> None:
    """A value that must not be nan or inf."""
    writer.kernel.finite = unit.node
    writer.kernel.body.append(Finite(writer.memory(unit.node).name, unit.node))
