"""Whole matrices of derivatives: one mode of differentiation, applied to all vectors of a basis at once.

The product with one vector is built as a graph, then batched over the basis, which is computed from positions. So the
graph does not grow with the sizes, and they may be named.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import GradientError
from ..ir import dims
from ..ir.apply import cast
from ..ir.dims import DimLike, Shape
from ..ir.dtypes import DType
from ..ir.leaves import input as make_input
from ..ir.tensor import Tensor
from ..ops.creation import iota, ones_like
from ..ops.elementwise import add, equal, multiply
from ..ops.movement import permute_dims, reshape
from .batching import batch
from .jvp import jvp
from .vjp import vjp

_UNKNOWN = 100
"""What a named size is taken as when the mode is chosen."""


def basis(shape: Shape, dtype: DType) -> Tensor:
    """All tensors of `shape` with one 1 among zeros, along a new leading axis, by the place of the 1 in C order."""
    full = (dims.product(shape), *shape)
    place, stride = iota(full, len(shape)), shape[-1]
    for axis in range(len(shape) - 1, 0, -1):
        place = add(place, multiply(iota(full, axis), stride))
        stride = stride * shape[axis - 1]
    return cast(equal(iota(full, 0), place), dtype)


def reverse_jacobian(outputs: Sequence[Tensor], wrt: Sequence[Tensor]) -> list[list[Tensor]]:
    """For each output the derivatives by each of `wrt`; one pass back for each element of the outputs."""
    rows = []
    for y in outputs:
        if not y.shape:
            rows.append(vjp([y], wrt, [ones_like(y)]))
            continue
        ct = make_input("ct", y.shape, y.dtype)
        many = batch(vjp([y], wrt, [ct]), {ct: basis(y.shape, y.dtype)})
        rows.append([reshape(m, (*y.shape, *w.shape)) for m, w in zip(many, wrt, strict=True)])
    return rows


def forward_jacobian(outputs: Sequence[Tensor], wrt: Sequence[Tensor]) -> list[list[Tensor]]:
    """For each output the derivatives by each of `wrt`; one pass forward for each element of `wrt`.

    Tangents have the dtype of the output; they are converted to that of `wrt`, which cotangents have.
    """
    columns = []
    for w in wrt:
        if not w.shape:
            columns.append([cast(m, w.dtype) for m in jvp(outputs, [w], [ones_like(w)])])
            continue
        tangent = make_input("tangent", w.shape, w.dtype)
        many = batch(jvp(outputs, [w], [tangent]), {tangent: basis(w.shape, w.dtype)})
        columns.append(
            [reshape(_last(cast(m, w.dtype)), (*y.shape, *w.shape)) for m, y in zip(many, outputs, strict=True)]
        )
    return [list(row) for row in zip(*columns, strict=True)] if columns else [[] for _ in outputs]


def _last(x: Any) -> Any:
    """The first axis moved to the end."""
    return permute_dims(x, (*range(1, len(x.shape)), 0))


def jacobian(outputs: Sequence[Tensor], wrt: Sequence[Tensor], mode: str | None = None) -> list[list[Tensor]]:
    """By the mode that takes fewer passes, reverse if it is a tie, named sizes taken as 100.

    Where forward mode is refused, on the way or as `mode` has it preferred, reverse mode is taken.
    """
    if mode is None:
        mode = "forward" if _count(wrt) < _count(outputs) else "reverse"
        if mode == "forward":
            return forward_or_reverse(outputs, wrt)
    return (forward_jacobian if mode == "forward" else reverse_jacobian)(outputs, wrt)


def forward_or_reverse(outputs: Sequence[Tensor], wrt: Sequence[Tensor]) -> list[list[Tensor]]:
    """Forward mode; reverse mode where an op on the way has no forward rule."""
    try:
        return forward_jacobian(outputs, wrt)
    except GradientError:
        return reverse_jacobian(outputs, wrt)


def _count(tensors: Sequence[Tensor]) -> int:
    total: DimLike = 0
    for x in tensors:
        total = total + x.size
    return dims.evaluate(total, dict.fromkeys(dims.symbols(total), _UNKNOWN))
