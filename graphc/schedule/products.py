"""Products of matrices: what a contraction multiplies, how that stands in memory, and who does it."""

from __future__ import annotations

from dataclasses import dataclass

from ..ir import dims
from ..ir.dims import DimLike, Shape
from ..ir.expr import Expr, call
from ..ir.lowering import Alias
from ..ir.tensor import Tensor
from .views import in_memory

SMALL = 4096
"""Multiplications up to which a product of known size is plain loops: a call of the function costs more."""

TINY = 7
"""The same of two sizes that are known, where the third is not: loops over so few are straight code, in vectors along
the third."""

BatchIndex = tuple[DimLike, DimLike | None]
"""(divisor, modulus): the index ``b // divisor % modulus`` on an axis; without modulus ``b // divisor``."""


@dataclass(frozen=True)
class Operand:
    """A factor of a product as it stands in memory: that of `base`, seen under `shape`.

    transposed  columns before rows
    batch       the index on each axis that is no row or column (there None); () where the first axis is the batch's
    """

    base: Tensor
    shape: Shape
    transposed: bool
    batch: tuple[BatchIndex | None, ...] = ()

    def axis(self, k: int) -> int | None:
        """Which axis of `base` is that of rows (0) or columns (1); None where it is of size 1, and so is none."""
        kept = [a for a, index in enumerate(self.batch) if index is None] or [len(self.shape) - 2, len(self.shape) - 1]
        axis = kept[k != self.transposed]
        if self.shape == self.base.shape:
            return axis
        if self.shape[axis] == 1:
            return None
        number = sum(size != 1 for size in self.shape[:axis])
        return [a for a, size in enumerate(self.base.shape) if size != 1][number]


@dataclass(frozen=True)
class Product:
    """``out[m, n] = x[m, k] @ y[k, n]``, for every index of a batch axis before them if `batched`.

    sizes       m, n, k
    count       how many products: the size of the batch
    by_tiles    a function for parts of it computes it, see `codegen.multiply`; else plain loops do
    """

    sizes: tuple[DimLike, DimLike, DimLike]
    x: Operand
    y: Operand
    batched: bool
    count: DimLike
    by_tiles: bool

    def axes_of_rows(self, role: str) -> tuple[int | None, int | None]:
        """Which axis of each factor's memory goes along the rows of a cluster; None: all of it is read for each.

        role  "batch", "rows" or "terms", see `Dot.part`
        """
        if role == "batch":
            return 0, 0
        if role == "rows":
            return self.x.axis(0), None
        return self.x.axis(1), self.y.axis(0)

    def work_per_row(self, role: str) -> DimLike:
        """Multiplications for one row of a cluster."""
        m, n, k = self.sizes
        return {"batch": m * n * k, "rows": n * k, "terms": m * n}[role] * (1 if role == "batch" else self.count)


def product_of(node: Tensor) -> Product:
    """What the contraction `node` multiplies."""
    x, y = node.inputs
    operands, _ = node.attrs["spec"].split("->")
    left, right = operands.split(",")
    batched, transposed = left.startswith("b"), (left.endswith("km"), right.endswith("nk"))
    m, n = node.shape[-2:]
    k = x.shape[-2] if transposed[0] else x.shape[-1]
    work = m * n * k
    known = [size for size in (m, n, k) if isinstance(size, int)]
    tiny = len(known) == 2 and known[0] * known[1] <= TINY
    by_tiles = node.dtype.kind == "f" and not tiny and not (isinstance(work, int) and work <= SMALL)
    moved = batched and by_tiles
    left_factor, right_factor = _operand(x, transposed[0], moved), _operand(y, transposed[1], moved)
    return Product((m, n, k), left_factor, right_factor, batched, node.shape[0] if batched else 1, by_tiles)


def _operand(node: Tensor, transposed: bool, batched: bool) -> Operand:
    moved = _moved(node, transposed) if batched else None
    return moved or Operand(in_memory(node), node.shape, transposed)


def _moved(node: Tensor, transposed: bool) -> Operand | None:
    """A batch of matrices whose axes stand in another order: as it is, where its last axis is that of rows or columns.

    ``node`` is such a permutation, or that with all axes of the batch made one.
    """
    inner = node.inputs[0] if isinstance(node.op.lower, Alias) and node.shape[1:] == node.inputs[0].shape[-2:] else node
    if inner.op.name != "permute_dims":
        return None
    x, (*lead, row, column) = inner.inputs[0], inner.attrs["axes"]
    if len(x.shape) - 1 not in (row, column):
        return None
    batch: list[BatchIndex | None] = [None] * len(x.shape)
    for k, axis in enumerate(lead):
        batch[axis] = (dims.product(inner.shape[k + 1 : -2]), inner.shape[k] if k else None)
    return Operand(in_memory(x), x.shape, transposed != (row > column), tuple(batch))


def guarded_term(node: Tensor, x: Expr, y: Expr) -> Expr:
    """The product of two elements that the sum `node` adds, under its guard."""
    match node.attrs.get("guard", ""):
        case "left":
            return call("ct_mul", x, y)
        case "right":
            return call("ct_mul", y, x)
        case "both":
            return call("zero_mul", x, y)
        case _:
            return x * y
