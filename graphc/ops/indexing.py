"""Reading and writing by integer arrays: `gather`, `scatter`, and the functions that compose them.

Negative indices wrap; an index out of range is an error on every target. Repeats: `scatter` in mode "set" keeps the
last in row-major order, in mode "add" sums in that order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import OutOfBoundsError, ShapeError, message
from ..ir.apply import apply, lift
from ..ir.dims import Shape
from ..ir.lowering import Gather, Scatter
from ..ir.op import Arr, Aval, Op, Require, Sample
from .common import axis_index, dtype_error
from .movement import permute_dims

_INDEX = Arr((2, 3), dtype="int64", low=-3, high=2)


def checked_index(index: np.ndarray, size: int) -> np.ndarray:
    """`index` wrapped into 0 .. size-1; `OutOfBoundsError` for one outside -size .. size-1."""
    bad = (index < -size) | (index >= size)
    if np.any(bad):
        raise OutOfBoundsError(
            message("index out of range", got=str(index[bad].flat[0]), expected=f"{-size} <= index < {size}")
        )
    return np.where(index < 0, index + size, index)


def _indexed_shape(x: Aval, indices: tuple[Aval, ...], op: str) -> Shape:
    for other in indices:
        if other.dtype.kind not in "iu":
            raise ShapeError(message(f"cannot {op}", got=str(other), expected="integer indices"))
        if other.shape != indices[0].shape:
            raise ShapeError(message(f"malformed {op}", got=", ".join(map(str, indices)), expected="equal shapes"))
    if len(indices) > len(x.shape):
        raise ShapeError(message(f"cannot {op}", got=str(x), expected=f"at least {len(indices)} axes"))
    return (*indices[0].shape, *x.shape[len(indices) :])


def _gather_infer(require: Require, x: Aval, *indices: Aval) -> Aval:
    return Aval(_indexed_shape(x, indices, "gather"), x.dtype)


def _gather_numpy(x: np.ndarray, *indices: np.ndarray) -> np.ndarray:
    return x[tuple(checked_index(i, n) for i, n in zip(indices, x.shape, strict=False))]


def _gather_vjp(ct: Any, out: Any, x: Any, *indices: Any) -> tuple[Any, ...]:
    from .creation import zeros_like

    return (apply(SCATTER_ADD, zeros_like(x), ct, *indices), *[None] * len(indices))


GATHER = Op(
    "gather",
    _gather_infer,
    _gather_numpy,
    Gather(),
    vjp=_gather_vjp,
    jvp=lambda tangents, out, x, *indices: apply(GATHER, tangents[0], *indices),
    sympy=lambda sp, x, *indices: x,
    samples=(Sample((Arr((3, 4)), _INDEX)), Sample((Arr((3, 3)), _INDEX, _INDEX))),
)


def _scatter_infer(require: Require, x: Aval, updates: Aval, *indices: Aval) -> Aval:
    for a, b in zip(_indexed_shape(x, indices, "scatter"), updates.shape, strict=True):
        require.equal(a, b, "updates of the shape that the indices select")
    return x


def _scatter_add_numpy(x: np.ndarray, updates: np.ndarray, *indices: np.ndarray) -> np.ndarray:
    result = x.copy()
    np.add.at(result, tuple(checked_index(i, n) for i, n in zip(indices, x.shape, strict=False)), updates)
    return result


def _scatter_add_vjp(ct: Any, out: Any, x: Any, updates: Any, *indices: Any) -> tuple[Any, ...]:
    return (ct, apply(GATHER, ct, *indices), *[None] * len(indices))


def _scatter_add_jvp(tangents: Any, out: Any, x: Any, updates: Any, *indices: Any) -> Any:
    from .cotangent import ZERO
    from .creation import zeros_like

    tx, tu = [zeros_like(v) if t is ZERO else t for t, v in zip(tangents[:2], (x, updates), strict=True)]
    return apply(SCATTER_ADD, tx, tu, *indices)


SCATTER_ADD = Op(
    "scatter_add",
    _scatter_infer,
    _scatter_add_numpy,
    Scatter("add"),
    vjp=_scatter_add_vjp,
    jvp=_scatter_add_jvp,
    sympy=lambda sp, x, updates, *indices: x,
    samples=(Sample((Arr((3, 4)), Arr((2, 3, 4)), _INDEX)),),
)


def take(x: Any, indices: Any, /, *, axis: int | None = None) -> Any:
    """Elements of `x` at integer `indices` along `axis` (may be left out for a 1-d `x`).

    The result has the shape of `x` with `axis` replaced by the shape of `indices`.
    """
    x, indices = lift(x, indices)
    if indices.dtype.kind not in "iu":
        raise dtype_error("take", (x, indices), "integer indices")
    if axis is None and len(x.shape) != 1:
        raise ShapeError(message("take needs an axis", got=f"a tensor with {len(x.shape)} axes"))
    k = axis_index(0 if axis is None else axis, len(x.shape), "take")
    n, m = len(x.shape), len(indices.shape)
    front = permute_dims(x, (k, *[a for a in range(n) if a != k]))
    taken = apply(GATHER, front, indices)
    return permute_dims(taken, (*range(m, m + k), *range(m), *range(m + k, m + n - 1)))


ROWS = (GATHER, SCATTER_ADD)
