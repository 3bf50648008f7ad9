"""Reductions along axes: sum, prod, max, min, any, all, argmax, argmin, and what they compose."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.apply import apply, cast, lift
from ..ir.dtypes import as_dtype
from ..ir.lowering import Reduce
from ..ir.op import Arr, Aval, Op, Require, Sample
from .common import axes_tuple
from .cotangent import ct_mul
from .elementwise import divide, equal, multiply
from .movement import broadcast_to, reshape


def reduced_shape(shape: tuple[Any, ...], axes: tuple[int, ...], keepdims: bool = False) -> tuple[Any, ...]:
    """`shape` without `axes`, or with 1 in their place."""
    return tuple(1 if k in axes else s for k, s in enumerate(shape) if keepdims or k not in axes)


def restore(reduced: Any, shape: Any, axes: tuple[int, ...]) -> Any:
    """A reduced tensor stretched back over `axes` of `shape`."""
    return broadcast_to(reshape(reduced, reduced_shape(tuple(shape), axes, True)), tuple(shape))


def _reduce_infer(require: Require, x: Aval, axes: tuple[int, ...]) -> Aval:
    return Aval(reduced_shape(x.shape, axes), x.dtype)


def _nonempty_infer(require: Require, x: Aval, axes: tuple[int, ...]) -> Aval:
    for axis in axes:
        require.at_least(x.shape[axis], 1, f"at least one element along axis {axis} of {x} (it has no identity)")
    return _reduce_infer(require, x, axes)


_REDUCED = (
    Sample((Arr((3, 4)),), {"axes": (1,)}),
    Sample((Arr((3, 4)),), {"axes": (0,)}),
    Sample((Arr((2, 3, 4)),), {"axes": (0, 2)}),
    Sample((Arr((5,)),), {"axes": (0,)}),
)


def _sum_numpy(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    return np.sum(x, axis=axes, dtype=np.float64 if x.dtype == np.float32 else x.dtype).astype(x.dtype)


SUM = Op(
    "sum",
    _reduce_infer,
    _sum_numpy,
    Reduce("add"),
    vjp=(lambda ct, out, x, axes: restore(ct, x.shape, axes),),
    jvp=(lambda t, out, x, axes: apply(SUM, t, axes=axes),),
    sympy=lambda sp, xs, axes: sp.Add(*xs),
    samples=_REDUCED,
    traits=frozenset({"linear"}),
)


def _extremum_vjp(ct: Any, out: Any, x: Any, axes: tuple[int, ...]) -> Any:
    """Ties share the cotangent equally."""
    winners = cast(equal(x, restore(out, x.shape, axes)), x.dtype)
    share = divide(winners, restore(apply(SUM, winners, axes=axes), x.shape, axes))
    return ct_mul(restore(ct, x.shape, axes), share)


def _extremum_jvp(t: Any, out: Any, x: Any, axes: tuple[int, ...]) -> Any:
    winners = cast(equal(x, restore(out, x.shape, axes)), x.dtype)
    return divide(apply(SUM, multiply(winners, t), axes=axes), apply(SUM, winners, axes=axes))


MAX = Op(
    "max",
    _nonempty_infer,
    lambda x, axes: np.max(x, axis=axes),
    Reduce("max"),
    vjp=(_extremum_vjp,),
    jvp=(_extremum_jvp,),
    sympy=lambda sp, xs, axes: sp.Max(*xs),
    samples=_REDUCED,
)


def sum(x: Any, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    """Sum along `axis` (an int, several, or None for all). Small integers and bools are summed in int64 or uint64.

    float32 is accumulated in float64 and rounded once.
    """
    (x,) = lift(x)
    if dtype is not None:
        x = cast(x, as_dtype(dtype))
    elif x.dtype.kind in "biu":
        x = cast(x, np.dtype("uint64" if x.dtype.kind == "u" else "int64"))
    return reduce(SUM, x, axis, keepdims)


def reduce(op: Op, x: Any, axis: Any, keepdims: bool) -> Any:
    """Apply a reduction op over `axis`; keeps size-1 axes if `keepdims`."""
    axes = axes_tuple(axis, len(x.shape), op.name)
    result = apply(op, x, axes=axes) if axes else x
    return reshape(result, reduced_shape(tuple(x.shape), axes, True)) if keepdims else result


def max(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """Largest element along `axis`; nan wins. In the gradient, ties share equally."""
    (x,) = lift(x)
    return reduce(MAX, x, axis, keepdims)


def mean(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """Arithmetic mean along `axis`; integers are averaged in float64."""
    from ..ir import dims

    (x,) = lift(x)
    if x.dtype.kind != "f":
        x = cast(x, np.dtype("float64"))
    axes = axes_tuple(axis, len(x.shape), "mean")
    return divide(sum(x, axis=axes, keepdims=keepdims), dims.product(x.shape[k] for k in axes))


ROWS = (SUM, MAX)
