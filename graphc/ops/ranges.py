"""Evenly spaced numbers: arange, linspace, meshgrid, computed from positions; the graph holds no array of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import DTypeError, ShapeError, message, user_line
from ..ir import dims
from ..ir.apply import cast, is_tensor, lift
from ..ir.dims import Dim, DimLike
from ..ir.dtypes import FLOAT64, INT64, DType, as_dtype
from .common import shape_error
from .creation import iota
from .elementwise import add, divide, equal, multiply, subtract, where
from .movement import broadcast_to, reshape


def arange(start: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None) -> Any:
    """``start, start + step, ...`` up to, without, `stop`; `arange(stop)` starts at 0.

    start, stop, step  numbers; with an int `step`, dims too: the length is then a dim. Not tensors, whose values
                       are not known while building
    dtype              int64 for ints and dims, float64 for floats, unless given

    Raises `ShapeError` for `step` 0, `DTypeError` for anything but numbers and dims.

    >>> import graphc as gc
    >>> gc.arange(1, 10, 4).shape, gc.arange(gc.input("x", ("n",)).shape[0]).shape
    ((3,), (n,))
    """
    if stop is None:
        start, stop = 0, start
    start, stop, step = (_number("arange", name, v) for name, v in (("start", start), ("stop", stop), ("step", step)))
    if step == 0:
        raise ShapeError(message("arange with step 0", expected="a step", at=user_line(), created=False))
    if any(isinstance(v, float) for v in (start, stop, step)):
        return _float_range(start, stop, step, FLOAT64 if dtype is None else as_dtype(dtype))
    if isinstance(step, Dim):
        raise DTypeError(
            message("arange", got=f"step {step}", expected="a plain number", at=user_line(), created=False)
        )
    length = dims.ceildiv(dims.max0(stop - start if step > 0 else start - stop), abs(step))
    values = iota((length,))
    if step != 1:
        values = multiply(values, step)
    if start != 0:
        values = add(values, start)
    return cast(values, INT64 if dtype is None else as_dtype(dtype))


def _number(op: str, name: str, value: Any) -> int | float | Dim:
    """A Python number or a dim."""
    if isinstance(value, Dim):
        return value
    if not is_tensor(value) and np.ndim(value) == 0 and np.asarray(value).dtype.kind in "biuf":
        return np.asarray(value).item() + 0
    raise DTypeError(
        message(
            f"bad {name} in {op}",
            got=repr(value),
            expected="a number or a dim: the size of the result must be known while building",
            at=user_line(),
            created=False,
        )
    )


def _float_range(start: Any, stop: Any, step: Any, dtype: DType) -> Any:
    """As NumPy has it: the second number is rounded to the dtype, and its distance to the first is the step."""
    if any(isinstance(v, Dim) for v in (start, stop, step)):
        raise DTypeError(
            message(
                "cannot arange",
                got=f"start {start}, stop {stop}, step {step}",
                expected="ints beside a dim: a float step gives a length that is no dim",
                at=user_line(),
                created=False,
                hint="scale an integer range: gc.arange(n) * step",
            )
        )
    length = math.ceil((stop - start) / step)
    first = np.asarray(start).astype(dtype)
    delta = np.asarray(start + step).astype(dtype) - first
    return add(multiply(iota((max(length, 0),), dtype=dtype), delta), first)


def linspace(start: Any, stop: Any, /, num: DimLike, *, dtype: Any = "float64", endpoint: bool = True) -> Any:
    """`num` numbers from `start` to `stop`, evenly spaced; `stop` is the last one unless ``endpoint=False``.

    start, stop  numbers or 0-d tensors
    num          an int, a dim name or a dim
    dtype        a float dtype; computed in float64 and rounded once

    >>> import graphc as gc
    >>> gc.linspace(0, 1, 5).shape
    (5,)
    """
    wanted = as_dtype(dtype)
    if wanted.kind != "f":
        raise DTypeError(message("cannot linspace", got=str(wanted), expected="a float dtype", at=user_line()))
    ends = tuple(cast(e, FLOAT64) for e in lift(start, stop))
    if any(tuple(e.shape) != () for e in ends):
        raise shape_error("linspace", ends, "0-d start and stop")
    first, last = ends
    count = dims.as_dim(num)
    gaps = 1 + dims.max0(count - 2) if endpoint else 1 + dims.max0(count - 1)
    position = iota((count,), beside=ends)
    step = divide(subtract(last, first), gaps)
    values = add(multiply(cast(position, FLOAT64), step), first)
    if endpoint:
        values = where(equal(position, gaps), last, values)
    return cast(values, wanted)


def meshgrid(*arrays: Any, indexing: str = "xy") -> list[Any]:
    """Coordinate grids of 1-d (or 0-d) operands: one tensor per operand, of the shape of all their sizes.

    indexing  "ij": axis k of the result is operand k. "xy": the first two axes are exchanged

    >>> import graphc as gc
    >>> [a.shape for a in gc.meshgrid(gc.arange(2), gc.arange(3), indexing="ij")]
    [(2, 3), (2, 3)]
    """
    if indexing not in ("xy", "ij"):
        raise ShapeError(
            message(
                "bad indexing in meshgrid", got=repr(indexing), expected="'xy' or 'ij'", at=user_line(), created=False
            )
        )
    if not arrays:
        return []
    lines = [reshape(a, (1,)) if not tuple(a.shape) else a for a in lift(*arrays)]
    if any(len(line.shape) != 1 for line in lines):
        raise shape_error("meshgrid", tuple(lines), "operands with one axis")
    order = list(range(len(lines)))
    if indexing == "xy" and len(lines) > 1:
        order[:2] = [1, 0]
    shape = tuple(lines[k].shape[0] for k in order)
    grids = []
    for k, line in enumerate(lines):
        place = order.index(k)
        alone = reshape(line, tuple(line.shape[0] if a == place else 1 for a in range(len(lines))))
        grids.append(broadcast_to(alone, shape))
    return grids


__all__ = ["arange", "linspace", "meshgrid"]
