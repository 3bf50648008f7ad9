"""Running sums, products and linear recurrences along one axis, and differences, which undo them.

The derivative of a running product is a linear recurrence and that of a linear recurrence is another one, read from
the other end. So all of these differentiate to any order, in linear time, exactly where elements are zero.
float32 is accumulated in float64, each result rounded once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..ir import dims
from ..ir.apply import apply, cast, lift
from ..ir.dtypes import as_dtype
from ..ir.lowering import Scan
from ..ir.op import Arr, Aval, Op, Require, Sample
from .batching import batch_along_axis
from .common import axis_index, shape_error
from .cotangent import ZERO, ct_mul, zero_mul
from .elementwise import add, not_equal, subtract
from .joining import concat
from .movement import broadcast_to, pad_interior, reshape, slice_axis, with_shape


def _same(require: Require, x: Aval, axis: int, reverse: bool) -> Aval:
    return x


def _running(ufunc: np.ufunc) -> Callable[..., np.ndarray]:
    """The reference meaning: accumulate from either end; float32 in float64."""

    def accumulate(x: np.ndarray, axis: int, reverse: bool) -> np.ndarray:
        wide = np.float64 if x.dtype == np.float32 else x.dtype
        ordered = np.flip(x, axis) if reverse else x
        result = ufunc.accumulate(ordered, axis, dtype=wide).astype(x.dtype)
        return np.flip(result, axis) if reverse else result

    return accumulate


def shifted(x: Any, axis: int, by: int, fill: float) -> Any:
    """`x` moved one place along `axis` (`by` = 1: to the right, -1: to the left), `fill` in the place left free."""
    low = tuple(1 if k == axis and by == 1 else 0 for k in range(len(x.shape)))
    high = tuple(1 if k == axis and by == -1 else 0 for k in range(len(x.shape)))
    longer = pad_interior(x, low, high, (0,) * len(x.shape), fill)
    start = 0 if by == 1 else 1
    return slice_axis(longer, axis, start, start + x.shape[axis])


_RUNNING = (
    Sample((Arr((5,)),), {"axis": 0, "reverse": False}),
    Sample((Arr((3, 4)),), {"axis": 1, "reverse": True}),
    Sample((Arr((2, 3, 2)),), {"axis": 1, "reverse": False}),
    Sample((Arr((0, 2)),), {"axis": 0, "reverse": False}),
    Sample((Arr((4,), dtype="int64", low=-3, high=3),), {"axis": 0, "reverse": True}, differentiable=False),
)

CUMULATIVE_SUM: Op = Op(
    "cumulative_sum",
    _same,
    _running(np.add),
    Scan("add"),
    vjp=(lambda ct, out, x, axis, reverse: apply(CUMULATIVE_SUM, ct, axis=axis, reverse=not reverse),),
    jvp=(lambda t, out, x, axis, reverse: apply(CUMULATIVE_SUM, t, axis=axis, reverse=reverse),),
    batch=batch_along_axis,
    sympy=lambda sp, xs, axis, reverse: [sp.Add(*(xs[k:] if reverse else xs[: k + 1])) for k in range(len(xs))],
    samples=_RUNNING,
    traits=frozenset({"linear"}),
)


def _product_vjp(ct: Any, out: Any, x: Any, axis: int, reverse: bool) -> Any:
    """Element k scales every later product: (product before k) * (ct_k + x_{k+1} * (ct_{k+1} + x_{k+2} * ...))."""
    forward = -1 if reverse else 1
    before = shifted(out, axis, forward, 1.0)
    after = recurrence(shifted(x, axis, -forward, 0.0), ct, axis, reverse=not reverse)
    return ct_mul(after, before)


def _product_jvp(t: Any, out: Any, x: Any, axis: int, reverse: bool) -> Any:
    """p_k = p_{k-1} * x_k, so p'_k = p'_{k-1} * x_k + p_{k-1} * x'_k."""
    before = shifted(out, axis, -1 if reverse else 1, 1.0)
    return recurrence(x, zero_mul(before, t), axis, reverse=reverse)


CUMULATIVE_PROD = Op(
    "cumulative_prod",
    _same,
    _running(np.multiply),
    Scan("mul"),
    vjp=(_product_vjp,),
    jvp=(_product_jvp,),
    batch=batch_along_axis,
    sympy=lambda sp, xs, axis, reverse: [sp.Mul(*(xs[k:] if reverse else xs[: k + 1])) for k in range(len(xs))],
    samples=(
        *_RUNNING,
        Sample((Arr((5,), values=[1.5, 0.0, -2.0, 0.0, 3.0]),), {"axis": 0, "reverse": False}),
    ),
)


def _recurrence_infer(require: Require, a: Aval, b: Aval, axis: int, reverse: bool) -> Aval:
    for k, (m, n) in enumerate(zip(a.shape, b.shape, strict=True)):
        require.equal(m, n, f"equal sizes on axis {k} of {a} and {b}")
    return b


def _recurrence_numpy(a: np.ndarray, b: np.ndarray, axis: int, reverse: bool) -> np.ndarray:
    lines, wide = np.moveaxis(a, axis, 0), np.moveaxis(b, axis, 0).astype(np.float64)
    result = np.empty_like(wide)
    last = np.zeros(wide.shape[1:])
    for k in range(len(wide) - 1, -1, -1) if reverse else range(len(wide)):
        last = np.where(last == 0, 0.0, last * lines[k]) + wide[k]
        result[k] = last
    return np.moveaxis(result, 0, axis).astype(b.dtype)


def _recurrence_vjp(ct: Any, out: Any, a: Any, b: Any, axis: int, reverse: bool) -> tuple[Any, ...]:
    forward = -1 if reverse else 1
    bar_b = recurrence(shifted(a, axis, -forward, 0.0), ct, axis, reverse=not reverse)
    return with_shape(zero_mul(bar_b, shifted(out, axis, forward, 0.0)), a.shape), bar_b


def _recurrence_jvp(tangents: tuple[Any, ...], out: Any, a: Any, b: Any, axis: int, reverse: bool) -> Any:
    ta, tb = tangents
    moved = ZERO if ta is ZERO else zero_mul(shifted(out, axis, -1 if reverse else 1, 0.0), ta)
    source = tb if moved is ZERO else moved if tb is ZERO else add(moved, tb)
    return recurrence(a, source, axis, reverse=reverse)


RECURRENCE = Op(
    "recurrence",
    _recurrence_infer,
    _recurrence_numpy,
    Scan("linear"),
    vjp=_recurrence_vjp,
    jvp=_recurrence_jvp,
    batch=batch_along_axis,
    sympy=lambda sp, pairs, axis, reverse: _recurrence_sympy(pairs, reverse),
    samples=(
        Sample((Arr((5,)), Arr((5,))), {"axis": 0, "reverse": False}),
        Sample((Arr((3, 4)), Arr((3, 4))), {"axis": 1, "reverse": True}),
        Sample((Arr((0,)), Arr((0,))), {"axis": 0, "reverse": False}),
    ),
)


def _recurrence_sympy(pairs: Any, reverse: bool) -> list[Any]:
    values, last = [], 0
    for a, b in reversed(pairs) if reverse else pairs:
        last = last * a + b
        values.append(last)
    return values[::-1] if reverse else values


def recurrence(a: Any, b: Any, axis: int, *, reverse: bool = False) -> Any:
    """``s[k] = a[k] * s[k-1] + b[k]`` along `axis`, from 0 (from the end if `reverse`); a zero s annihilates any a."""
    return apply(RECURRENCE, a, b, axis=axis, reverse=reverse)


def widened(x: Any, dtype: Any) -> Any:
    """`x` in the dtype in which it is summed: as asked, else int64 for bools and integers, uint64 for unsigned ones."""
    if dtype is not None:
        return cast(x, as_dtype(dtype))
    return cast(x, np.dtype("uint64" if x.dtype.kind == "u" else "int64")) if x.dtype.kind in "biu" else x


def _cumulative(op: Op, x: Any, axis: Any, dtype: Any, initial: float | None) -> Any:
    (x,) = lift(x)
    if axis is None and len(x.shape) != 1:
        raise shape_error(op.name, (x,), "an axis, or a 1-d tensor", "give axis=, or flatten it with reshape(x, (-1,))")
    k = axis_index(0 if axis is None else axis, len(x.shape), op.name)
    result = apply(op, widened(x, dtype), axis=k, reverse=False)
    if initial is None:
        return result
    low = tuple(1 if j == k else 0 for j in range(len(x.shape)))
    return pad_interior(result, low, (0,) * len(low), (0,) * len(low), initial)


def cumulative_sum(x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Any:
    """Running sums along `axis` (may be left out for a 1-d `x`); 0 comes first if `include_initial`.

    The result has the shape of `x` (one longer along `axis` with `include_initial`). Integers are summed in int64 or
    uint64, float32 in float64 with each result rounded once.

    >>> import graphc as gc
    >>> gc.cumulative_sum(gc.asarray([1, 2, 3]), include_initial=True).tolist()
    [0, 1, 3, 6]
    """
    return _cumulative(CUMULATIVE_SUM, x, axis, dtype, 0.0 if include_initial else None)


def cumulative_prod(x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Any:
    """Running products along `axis` (may be left out for a 1-d `x`); 1 comes first if `include_initial`.

    Shapes and dtypes as for `cumulative_sum`. The gradient is exact where elements are zero, to any order.

    >>> import graphc as gc
    >>> gc.cumulative_prod(gc.asarray([1.0, 2.0, 3.0])).tolist()
    [1.0, 2.0, 6.0]
    """
    return _cumulative(CUMULATIVE_PROD, x, axis, dtype, 1.0 if include_initial else None)


def cumsum(x: Any, /, axis: int | None = None, dtype: Any = None) -> Any:
    """NumPy's spelling of `cumulative_sum`: with `axis` None the tensor is flattened first.

    >>> import graphc as gc
    >>> gc.cumsum(gc.asarray([[1, 2], [3, 4]])).tolist()
    [1, 3, 6, 10]
    """
    (x,) = lift(x)
    return cumulative_sum(reshape(x, (-1,)) if axis is None else x, axis=axis, dtype=dtype)


def cumprod(x: Any, /, axis: int | None = None, dtype: Any = None) -> Any:
    """NumPy's spelling of `cumulative_prod`: with `axis` None the tensor is flattened first.

    >>> import graphc as gc
    >>> gc.cumprod(gc.asarray([[1, 2], [3, 4]])).tolist()
    [1, 2, 6, 24]
    """
    (x,) = lift(x)
    return cumulative_prod(reshape(x, (-1,)) if axis is None else x, axis=axis, dtype=dtype)


def diff(x: Any, /, *, axis: int = -1, n: int = 1, prepend: Any = None, append: Any = None) -> Any:
    """Differences of neighbours along `axis`, `n` times; `prepend` and `append` are joined on first.

    One shorter along `axis` for each time (never below 0). Bools compare: True where neighbours differ.

    >>> import graphc as gc
    >>> gc.diff(gc.asarray([1, 4, 9])).tolist()
    [3, 5]
    """
    (x,) = lift(x, beside=(prepend, append))
    k = axis_index(axis, len(x.shape), "diff")
    one = tuple(1 if j == k else s for j, s in enumerate(x.shape))
    ends = [p for p in (prepend, x, append) if p is not None]
    if len(ends) > 1:
        x = concat([broadcast_to(e, one) if np.ndim(e) == 0 else e for e in ends], axis=k)
    step = not_equal if x.dtype.kind == "b" else subtract
    for _ in range(n):
        size = x.shape[k]
        shorter = dims.max0(size - 1)
        x = step(slice_axis(x, k, size - shorter, size), slice_axis(x, k, 0, shorter))
    return x


ROWS = (CUMULATIVE_SUM, CUMULATIVE_PROD, RECURRENCE)
__all__ = ["cumprod", "cumsum", "cumulative_prod", "cumulative_sum", "diff"]
