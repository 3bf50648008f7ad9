"""Reading and writing by integer arrays: gather, scatter_add, scatter_set; take, take_along_axis, one_hot over them.

Negative indices wrap; an index out of range is an error on every target. Repeats: `scatter_set` keeps the last in
row-major order, `scatter_add` sums in that order.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..errors import DTypeError, OutOfBoundsError, ShapeError, UnsupportedError, message, user_line
from ..ir import dims
from ..ir.apply import apply, cast, is_tensor, lift, lift_promoted
from ..ir.dims import DimLike, Shape
from ..ir.dtypes import as_dtype
from ..ir.lowering import Gather, Scatter
from ..ir.op import Arr, Aval, Batching, Op, Require, Sample
from ..ir.tensor import meaning
from .batching import everywhere
from .common import axis_index, broadcast_all, describe, dtype_error, shape_error
from .cotangent import ZERO
from .creation import filled, iota, zeros_like
from .elementwise import equal, less, where
from .movement import broadcast_to, permute_dims, reshape

_INDEX = Arr((2, 3), dtype="int64", low=-3, high=2)
_REPEATS = Arr((5,), dtype="int64", values=(1, 0, 1, -3, 2))


# what the rows share


_REFUSED = 2**62
"""Taken from an index that is no place counted from the front: it is out of range then, and can still be told."""


def from_front(index: Any, size: DimLike) -> Any:
    """The integer tensor `index`, as int64, where a negative one is out of range: it does not count from the end."""
    wide = cast(index, as_dtype("int64"))
    with meaning("refused"):
        refused = wide - _REFUSED
    with meaning("index"):
        return where(less(wide, 0), refused, where(less(wide, size), wide, refused))


def range_texts(bad: Any, size: int) -> tuple[str, str]:
    """For an error: the index that was out of range as its user knows it, and where it should be."""
    value, least = int(bad), -size
    if value < -_REFUSED // 2:
        value, least = value + _REFUSED, 0
    return str(value), f"{least} <= index < {size}" if size else "no index: the axis is empty"


def checked_index(index: np.ndarray, size: int) -> np.ndarray:
    """`index` wrapped into 0 .. size-1, as int64; `OutOfBoundsError` for one outside -size .. size-1."""
    bad = (index < -size) | (index >= size)
    if np.any(bad):
        got, expected = range_texts(index[bad].flat[0], size)
        raise OutOfBoundsError(message("index out of range", got=got, expected=expected, at=user_line(), created=False))
    whole = index.astype(np.int64)
    return np.where(whole < 0, whole + size, whole)


def _places(x: np.ndarray, indices: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """Index arrays in row-major order, as one axis: NumPy then writes in that order whatever their strides."""
    return tuple(checked_index(i, n).ravel() for i, n in zip(indices, x.shape, strict=False))


def _rows(updates: np.ndarray, indices: tuple[np.ndarray, ...]) -> np.ndarray:
    return updates.reshape(indices[0].size, *updates.shape[indices[0].ndim :])


def _indexed_shape(require: Require, x: Aval, indices: tuple[Aval, ...]) -> Shape:
    for other in indices:
        if other.dtype.kind not in "iu":
            raise DTypeError(message(f"cannot {require.op_name}", got=str(other), expected="integer indices"))
        if other.shape != indices[0].shape:
            raise ShapeError(
                message(f"malformed {require.op_name}", got=", ".join(map(str, indices)), expected="equal shapes")
            )
    if not 1 <= len(indices) <= len(x.shape):
        raise ShapeError(
            message(f"malformed {require.op_name}", got=f"{len(indices)} indices of {x}", expected="one per axis")
        )
    return (*indices[0].shape, *x.shape[len(indices) :])


# gather


def _gather_vjp(ct: Any, out: Any, x: Any, *indices: Any) -> tuple[Any, ...]:
    return (apply(SCATTER_ADD, zeros_like(x), ct, *indices), *[None] * len(indices))


def _gather_batch(how: Batching, x: Any, *indices: Any) -> Any:
    """Indices of their own for every sample and, where `x` has the axis too, the number of the sample before them."""
    indices = everywhere(how._replace(batched=how.batched[1:]), indices)
    return apply(GATHER, x, iota(indices[0].shape, 0), *indices) if how.batched[0] else apply(GATHER, x, *indices)


GATHER: Op = Op(
    "gather",
    lambda require, x, *indices: Aval(_indexed_shape(require, x, indices), x.dtype),
    lambda x, *indices: x[tuple(checked_index(i, n) for i, n in zip(indices, x.shape, strict=False))],
    Gather(),
    vjp=_gather_vjp,
    jvp=lambda tangents, out, x, *indices: apply(GATHER, tangents[0], *indices),
    batch=_gather_batch,
    sympy=lambda sp, x, *indices: x,
    samples=(
        Sample((Arr((3, 4)), _INDEX)),
        Sample((Arr((3, 3)), _INDEX, _INDEX)),
        Sample((Arr((3,)), Arr((), dtype="int64", values=-1))),
        Sample((Arr((3, 2)), Arr((0,), dtype="int64"))),
    ),
    traits=frozenset({"linear"}),
)


# scatter_add, scatter_set


def _scatter_infer(require: Require, x: Aval, updates: Aval, *indices: Aval) -> Aval:
    selected = _indexed_shape(require, x, indices)
    if len(selected) != len(updates.shape) or x.dtype != updates.dtype:
        raise ShapeError(
            message(f"malformed {require.op_name}", got=f"updates {updates}", expected=str(Aval(selected, x.dtype)))
        )
    for a, b in zip(selected, updates.shape, strict=True):
        require.equal(a, b, f"updates {updates} of the shape that the indices select from {x}")
    return x


def _scatter_add_numpy(x: np.ndarray, updates: np.ndarray, *indices: np.ndarray) -> np.ndarray:
    result = x.copy()
    np.add.at(result, _places(x, indices), _rows(updates, indices))
    return result


def _scatter_set_numpy(x: np.ndarray, updates: np.ndarray, *indices: np.ndarray) -> np.ndarray:
    result = x.copy()
    result[_places(x, indices)] = _rows(updates, indices)
    return result


def _scatter_tangents(tangents: Any, x: Any, updates: Any) -> list[Any]:
    return [zeros_like(v) if t is ZERO or t is None else t for t, v in zip(tangents[:2], (x, updates), strict=True)]


def _scatter_add_vjp(ct: Any, out: Any, x: Any, updates: Any, *indices: Any) -> tuple[Any, ...]:
    return (ct, apply(GATHER, ct, *indices), *[None] * len(indices))


def _scatter_set_vjp(ct: Any, out: Any, x: Any, updates: Any, *indices: Any) -> tuple[Any, ...]:
    """What was written over gets 0; of the updates, only those that stayed get the cotangent of their place."""
    kept = apply(SCATTER_SET, ct, zeros_like(updates), *indices)
    read = apply(GATHER, ct, *indices)
    if dims.product(indices[0].shape) != 1:
        read = where(_stayed(ct, updates, indices), read, 0.0)
    return (kept, read, *[None] * len(indices))


def _stayed(x: Any, updates: Any, indices: tuple[Any, ...]) -> Any:
    """Whether each update is the last one written to its place, in the shape of `updates`.

    The number of each update is written the way the updates are; one whose number is read back has stayed.
    """
    shape = tuple(indices[0].shape)
    number = reshape(iota((dims.product(shape),), beside=(x,)), shape)
    nobody = filled(x.shape[: len(indices)], -1, "int64", beside=(x,))
    stayed = equal(apply(GATHER, apply(SCATTER_SET, nobody, number, *indices), *indices), number)
    ones = (1,) * (len(updates.shape) - len(shape))
    return broadcast_to(reshape(stayed, (*shape, *ones)), updates.shape)


def _scatter_batch(how: Batching, x: Any, updates: Any, *indices: Any) -> Any:
    """Everything has the axis; the number of the sample comes before the indices."""
    x, updates, *places = everywhere(how, (x, updates, *indices))
    return apply(how.op, x, updates, iota(places[0].shape, 0), *places)


_SCATTERED = (
    Sample((Arr((3, 4)), Arr((2, 3, 4)), _INDEX)),
    Sample((Arr((3,)), Arr((5,)), _REPEATS)),
    Sample((Arr((3, 3, 2)), Arr((2, 3, 2)), _INDEX, _INDEX)),
    Sample((Arr((3,)), Arr(()), Arr((), dtype="int64", values=-1))),
)
SCATTER_ADD: Op = Op(
    "scatter_add",
    _scatter_infer,
    _scatter_add_numpy,
    Scatter("add"),
    vjp=_scatter_add_vjp,
    jvp=lambda ts, out, x, updates, *indices: apply(SCATTER_ADD, *_scatter_tangents(ts, x, updates), *indices),
    batch=_scatter_batch,
    sympy=lambda sp, x, updates, *indices: x,
    samples=_SCATTERED,
    traits=frozenset({"linear"}),
)
SCATTER_SET: Op = Op(
    "scatter_set",
    _scatter_infer,
    _scatter_set_numpy,
    Scatter("set"),
    vjp=_scatter_set_vjp,
    jvp=lambda ts, out, x, updates, *indices: apply(SCATTER_SET, *_scatter_tangents(ts, x, updates), *indices),
    batch=_scatter_batch,
    sympy=lambda sp, x, updates, *indices: x,
    samples=_SCATTERED,
    traits=frozenset({"linear"}),
)


# what users call


def index_tensor(op: str, x: Any, value: Any, axis: int) -> Any:
    """`value` (a tensor, array, list or int) as an integer tensor that indexes `axis` of `x`.

    Data is checked against an int size at once. Raises `DTypeError` for floats, `UnsupportedError` for masks.
    """
    data = not is_tensor(value)
    if data:
        value = np.asarray(value)
        if value.size == 0 and value.dtype.kind == "f":
            value = value.astype(np.int64)  # an empty list
    (index,) = lift(value, beside=(x,))
    got = f"{describe(x)}, indices: {index.dtype}{dims.shape_text(tuple(index.shape))}"
    if index.dtype.kind == "b":
        raise UnsupportedError(
            message(
                f"a mask as index in {op}",
                got=got,
                expected="integer indices: the size of a result must not depend on data",
                at=user_line(),
                created=False,
                hint="use gc.where(mask, x, other), and reduce over that",
            )
        )
    if index.dtype.kind not in "iu":
        hint = "convert them with gc.astype(indices, 'int64')"
        raise DTypeError(
            message(
                f"bad indices in {op}", got=got, expected="integer indices", at=user_line(), created=False, hint=hint
            )
        )
    size = x.shape[axis]
    if data and isinstance(size, int) and value.size and not (-size <= value.min() and value.max() < size):
        raise out_of_range(op, x, axis, value[(value < -size) | (value >= size)].flat[0])
    return index


def out_of_range(op: str, x: Any, axis: int, index: Any) -> OutOfBoundsError:
    """The error of an index that is known, while building, to be outside its axis."""
    size = x.shape[axis]
    return OutOfBoundsError(
        message(
            f"index {index} is out of range in {op}",
            got=describe(x),
            expected=f"{-size} <= index < {size} on axis {axis}" if size != 0 else f"no index: axis {axis} is empty",
            at=user_line(),
            created=False,
        )
    )


def _indices(op: str, x: Any, indices: Iterable[Any]) -> tuple[Any, ...]:
    found = tuple(index_tensor(op, x, value, k) for k, value in enumerate(indices))
    if not found:
        raise shape_error(op, (x,), "at least one index array")
    return broadcast_all(op, *found)


def _check_rank(op: str, x: Any, indices: tuple[Any, ...]) -> None:
    if len(indices) > len(x.shape):
        raise shape_error(op, (x,), f"at most one index array per axis, not {len(indices)}")


def gather(x: Any, /, *indices: Any) -> Any:
    """Elements (or subarrays) of `x` whose leading axes are indexed by integer arrays, which broadcast.

    Raises `OutOfBoundsError` for an index outside its axis, while building or in a call.

    >>> import graphc as gc
    >>> from graphc.ops.indexing import gather
    >>> gather(gc.input("x", (5, 3)), gc.input("i", ("n",), "int64")).shape
    (n, 3)
    """
    (x,) = lift(x, beside=indices)
    _check_rank("gather", x, indices)
    return apply(GATHER, x, *_indices("gather", x, indices))


def scatter_add(x: Any, updates: Any, /, *indices: Any) -> Any:
    """A copy of `x` with `updates` added where `gather` with the same indices would read; repeats add up in order.

    `updates` broadcasts to what `gather` would give; a dtype that `x` cannot hold raises `DTypeError`.
    """
    return _scatter(SCATTER_ADD, x, updates, indices)


def scatter_set(x: Any, updates: Any, /, *indices: Any) -> Any:
    """A copy of `x` with `updates` written where `gather` with the same indices would read; the last of repeats wins.

    `updates` broadcasts to what `gather` would give; a dtype that `x` cannot hold raises `DTypeError`.
    """
    return _scatter(SCATTER_SET, x, updates, indices)


def _scatter(op: Op, x: Any, updates: Any, indices: tuple[Any, ...]) -> Any:
    (x,) = lift(x, beside=(updates, *indices))
    _check_rank(op.name, x, indices)
    places = _indices(op.name, x, indices)
    updates = fitting(op.name, x, updates)
    return apply(op, x, broadcast_to(updates, (*places[0].shape, *x.shape[len(places) :])), *places)


def fitting(op: str, x: Any, value: Any) -> Any:
    """`value` in the dtype of `x`; `DTypeError` where that would narrow it. Python scalars are weak."""
    promoted, lifted = lift_promoted(x, value)
    if promoted.dtype != x.dtype:
        raise dtype_error(op, (x, lifted), f"values that fit {x.dtype}", f"convert them with gc.astype(v, '{x.dtype}')")
    return lifted


def take(x: Any, indices: Any, /, axis: int | None = None) -> Any:
    """Elements of `x` at integer `indices` along `axis` (may be left out for a 1-d `x`).

    The result has the shape of `x` with `axis` replaced by the shape of `indices`. Raises `OutOfBoundsError` for an
    index outside ``-size .. size-1``, while building or in a call.

    >>> import graphc as gc
    >>> gc.take(gc.input("x", (5, 3)), gc.input("i", ("n", 2), "int64"), axis=0).shape
    (n, 2, 3)
    """
    (x,) = lift(x, beside=(indices,))
    if axis is None and len(x.shape) != 1:
        raise shape_error("take", (x,), "axis=, unless the tensor is 1-d", "flatten it first: take(reshape(x, -1), i)")
    k = axis_index(0 if axis is None else axis, len(x.shape), "take")
    index = index_tensor("take", x, indices, k)
    n, m = len(x.shape), len(index.shape)
    front = permute_dims(x, (k, *[a for a in range(n) if a != k]))
    taken = apply(GATHER, front, index)
    return permute_dims(taken, (*range(m, m + k), *range(m), *range(m + k, m + n - 1)))


def take_along_axis(x: Any, indices: Any, /, axis: int = -1) -> Any:
    """Elements of `x` where `indices`, of as many axes, says the position along `axis`; the other axes broadcast.

    It undoes `argsort`: ``take_along_axis(x, argsort(x))`` is sorted. Raises as `take` does.

    >>> import graphc as gc
    >>> gc.take_along_axis(gc.input("x", ("n", 5)), gc.input("i", ("n", 2), "int64")).shape
    (n, 2)
    """
    (x,) = lift(x, beside=(indices,))
    k = axis_index(axis, len(x.shape), "take_along_axis")
    index = index_tensor("take_along_axis", x, indices, k)
    if len(index.shape) != len(x.shape):
        raise shape_error("take_along_axis", (x, index), "as many axes in the indices as in x")
    full = _along(x, index, k)
    x = broadcast_to(x, tuple(x.shape[k] if a == k else n for a, n in enumerate(full)))
    index = broadcast_to(index, full)
    return apply(GATHER, x, *[index if a == k else iota(full, a, beside=(x,)) for a in range(len(full))])


def _along(x: Any, index: Any, axis: int) -> Shape:
    """The shape of `take_along_axis`: that of the indices along `axis`, the common one elsewhere."""
    sizes = []
    for k, (n, m) in enumerate(zip(x.shape, index.shape, strict=True)):
        if k != axis and n != 1 and m != 1 and dims.equal(n, m) is False:
            raise shape_error("take_along_axis", (x, index), f"sizes that broadcast on every axis but {axis}")
        sizes.append(m if k == axis or n == 1 or (isinstance(m, int) and m != 1) else n)
    return tuple(sizes)


def one_hot(x: Any, /, num_classes: DimLike, dtype: Any = "float64") -> Any:
    """A new last axis of `num_classes` with 1 at the position that the integer `x` says, else 0.

    As all indices do, negative ones count from the end, and one out of range raises `OutOfBoundsError`.

    >>> import graphc as gc
    >>> gc.one_hot(gc.input("label", ("n",), "int64"), 10).shape
    (n, 10)
    """
    (x,) = lift(x)
    count = dims.as_dim(num_classes)
    positions = iota((count,), beside=(x,))
    found = apply(GATHER, positions, index_tensor("one_hot", positions, x, 0))
    return cast(equal(reshape(found, (*x.shape, 1)), positions), as_dtype(dtype))


ROWS = (GATHER, SCATTER_ADD, SCATTER_SET)
__all__ = ["gather", "one_hot", "scatter_add", "scatter_set", "take", "take_along_axis"]
