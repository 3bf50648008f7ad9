"""Matrices by their diagonals: eye, tril, triu, diagonal, diag. Masks of positions, never arrays of them."""

from __future__ import annotations

from typing import Any

from ..errors import ShapeError, message, user_line
from ..ir import dims
from ..ir.apply import apply, cast, lift
from ..ir.dims import DimLike, Shape
from ..ir.dtypes import as_dtype
from .common import axis_index, shape_error
from .creation import iota, zeros_like
from .elementwise import add, equal, greater_equal, less_equal, where
from .indexing import GATHER
from .movement import broadcast_to, pad_interior, permute_dims, reshape
from .rearranging import moveaxis


def _offset(k: Any, op: str) -> int:
    if isinstance(k, (bool, dims.Dim)) or not hasattr(k, "__index__"):
        raise ShapeError(
            message(f"bad diagonal in {op}", got=repr(k), expected="an int", at=user_line(), created=False)
        )
    return k.__index__()


def _rows_and_columns(shape: Shape, k: int, beside: tuple[Any, ...] = ()) -> tuple[Any, Any]:
    """The row number plus k, and the column number, of each place of the last two axes of `shape`."""
    matrix = shape[-2:]
    return add(iota(matrix, 0, beside=beside), k), iota(matrix, 1, beside=beside)


def eye(n_rows: DimLike, n_cols: DimLike | None = None, /, *, k: int = 0, dtype: Any = "float64") -> Any:
    """Ones on diagonal `k` (above the main one if positive), zeros elsewhere; sizes are ints, dim names or dims.

    >>> import graphc as gc
    >>> gc.eye(3, "n", dtype="float32").shape
    (3, n)
    """
    rows = dims.as_dim(n_rows)
    shape = (rows, rows if n_cols is None else dims.as_dim(n_cols))
    return cast(equal(*_rows_and_columns(shape, _offset(k, "eye"))), as_dtype(dtype))


def tril(x: Any, /, *, k: int = 0) -> Any:
    """`x` with zeros above diagonal `k` of its last two axes.

    >>> import graphc as gc
    >>> gc.tril(gc.input("x", ("n", 3, 3)), k=-1).shape
    (n, 3, 3)
    """
    return _triangle("tril", x, k, greater_equal)


def triu(x: Any, /, *, k: int = 0) -> Any:
    """`x` with zeros below diagonal `k` of its last two axes.

    >>> import graphc as gc
    >>> gc.triu(gc.input("x", ("n", 3, 3))).shape
    (n, 3, 3)
    """
    return _triangle("triu", x, k, less_equal)


def _triangle(op: str, x: Any, k: int, keep: Any) -> Any:
    (x,) = lift(x)
    if len(x.shape) < 2:
        raise shape_error(op, (x,), "at least two axes")
    mask = keep(*_rows_and_columns(tuple(x.shape), _offset(k, op), beside=(x,)))
    return where(broadcast_to(mask, x.shape), x, zeros_like(x))


def diagonal(x: Any, /, *, offset: int = 0, axis1: int = -2, axis2: int = -1) -> Any:
    """Diagonal `offset` of the two axes of `x`, as a new last axis. (The Array API's axes; NumPy's default is 0, 1.)

    >>> import graphc as gc
    >>> gc.diagonal(gc.input("x", ("n", 3, 4)), offset=1).shape
    (n, 3)
    """
    (x,) = lift(x)
    if len(x.shape) < 2:
        raise shape_error("diagonal", (x,), "at least two axes")
    k = _offset(offset, "diagonal")
    a, b = (axis_index(axis, len(x.shape), "diagonal") for axis in (axis1, axis2))
    if a == b:
        raise shape_error("diagonal", (x,), f"two different axes, not {axis1} and {axis2}")
    front = moveaxis(x, (a, b), (0, 1))
    down, right = max(-k, 0), max(k, 0)
    rows, columns = (dims.max0(n - skip) for n, skip in zip(front.shape[:2], (down, right), strict=True))
    places = iota((dims.minimum(rows, columns),), beside=(x,))
    taken = apply(GATHER, front, add(places, down), add(places, right))
    return permute_dims(taken, (*range(1, len(taken.shape)), 0))


def diag(x: Any, /, k: int = 0) -> Any:
    """The square matrix with the 1-d `x` on diagonal `k` and zeros elsewhere; of a 2-d `x`, its diagonal `k`.

    >>> import graphc as gc
    >>> gc.diag(gc.input("x", ("n",)), k=1).shape
    (n + 1, n + 1)
    """
    (x,) = lift(x)
    k = _offset(k, "diag")
    if len(x.shape) == 2:
        return diagonal(x, offset=k)
    if len(x.shape) != 1:
        raise shape_error("diag", (x,), "one or two axes", "gc.diagonal takes more")
    by_row = pad_interior(x, (max(-k, 0),), (max(k, 0),), (0,), False if x.dtype.kind == "b" else 0)
    shape = (by_row.shape[0],) * 2
    column = broadcast_to(reshape(by_row, (shape[0], 1)), shape)
    return where(equal(*_rows_and_columns(shape, k, beside=(x,))), column, zeros_like(column))


__all__ = ["diag", "diagonal", "eye", "tril", "triu"]
