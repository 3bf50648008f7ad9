"""Reductions along axes: sum, prod, max, min, any, all, argmax, argmin, and what they compose.

float32 is accumulated in float64 and rounded once; the compiled kernels do the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ..ir import dims
from ..ir.apply import apply, cast, lift
from ..ir.lowering import Reduce
from ..ir.op import Arr, Aval, Op, Require, Sample
from .batching import batch_along_axes
from .common import axes_tuple, axis_index
from .cotangent import ct_mul, zero_almost_everywhere, zero_mul
from .cumulative import CUMULATIVE_PROD, shifted, widened
from .elementwise import divide, equal, multiply
from .movement import broadcast_to, permute_dims, reshape


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


def _arg_infer(require: Require, x: Aval, axes: tuple[int, ...]) -> Aval:
    return Aval(_nonempty_infer(require, x, axes).shape, np.dtype("int64"))


_REDUCED = (
    Sample((Arr((3, 4)),), {"axes": (1,)}),
    Sample((Arr((3, 4)),), {"axes": (0,)}),
    Sample((Arr((2, 3, 4)),), {"axes": (0, 2)}),
    Sample((Arr((5,)),), {"axes": (0,)}),
    Sample((Arr((0, 3)),), {"axes": (1,)}),
    Sample((Arr((2, 3), dtype="int32", low=-4, high=4),), {"axes": (1,)}, differentiable=False),
)
_EMPTY = Sample((Arr((0, 3)),), {"axes": (0,)})


def _accumulate(ufunc: np.ufunc) -> Callable[..., np.ndarray]:
    """The reference meaning of sum and prod: float32 in float64, rounded once."""

    def numpy(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
        wide = np.float64 if x.dtype == np.float32 else x.dtype
        return np.asarray(ufunc.reduce(x, axis=axes, dtype=wide)).astype(x.dtype)

    return numpy


SUM: Op = Op(
    "sum",
    _reduce_infer,
    _accumulate(np.add),
    Reduce("add"),
    vjp=(lambda ct, out, x, axes: restore(ct, x.shape, axes),),
    jvp=(lambda t, out, x, axes: apply(SUM, t, axes=axes),),
    batch=batch_along_axes,
    sympy=lambda sp, xs, axes: sp.Add(*xs),
    samples=(*_REDUCED, _EMPTY),
    traits=frozenset({"linear"}),
)


def _product_of_others(x: Any, axes: tuple[int, ...]) -> Any:
    """For each element, the product of all others along `axes`: that before it times that after it, no division."""
    n = len(x.shape)
    order = (*[k for k in range(n) if k not in axes], *axes)
    front = permute_dims(x, order)
    lines = reshape(front, (*front.shape[: n - len(axes)], dims.product(x.shape[k] for k in axes)))
    last = len(lines.shape) - 1
    before = shifted(apply(CUMULATIVE_PROD, lines, axis=last, reverse=False), last, 1, 1.0)
    after = shifted(apply(CUMULATIVE_PROD, lines, axis=last, reverse=True), last, -1, 1.0)
    others = reshape(multiply(before, after), tuple(front.shape))
    return permute_dims(others, tuple(int(k) for k in np.argsort(order)))


PROD = Op(
    "prod",
    _reduce_infer,
    _accumulate(np.multiply),
    Reduce("mul"),
    vjp=(lambda ct, out, x, axes: ct_mul(restore(ct, x.shape, axes), _product_of_others(x, axes)),),
    jvp=(lambda t, out, x, axes: apply(SUM, zero_mul(_product_of_others(x, axes), t), axes=axes),),
    batch=batch_along_axes,
    sympy=lambda sp, xs, axes: sp.Mul(*xs),
    samples=(
        *_REDUCED,
        _EMPTY,
        Sample((Arr((4,), values=[2.0, 0.0, -3.0, 1.5]),), {"axes": (0,)}),
        Sample((Arr((2, 3), values=[[0.0, 5.0, 0.0], [1.0, 2.0, 0.0]]),), {"axes": (1,)}),
    ),
)


def _winners(out: Any, x: Any, axes: tuple[int, ...]) -> Any:
    """1 where `x` is the extremum, else 0, in the dtype of `x`."""
    return cast(equal(x, restore(out, x.shape, axes)), x.dtype)


def _extremum_vjp(ct: Any, out: Any, x: Any, axes: tuple[int, ...]) -> Any:
    """Ties share the cotangent equally."""
    winners = _winners(out, x, axes)
    share = divide(winners, restore(apply(SUM, winners, axes=axes), x.shape, axes))
    return ct_mul(restore(ct, x.shape, axes), share)


def _extremum_jvp(t: Any, out: Any, x: Any, axes: tuple[int, ...]) -> Any:
    winners = _winners(out, x, axes)
    return ct_mul(apply(SUM, zero_mul(winners, t), axes=axes), divide(1.0, apply(SUM, winners, axes=axes)))


def _extremum(name: str, ufunc: np.ufunc, meaning: str) -> Op:
    return Op(
        name,
        _nonempty_infer,
        lambda x, axes: ufunc.reduce(x, axis=axes),
        Reduce(name),
        vjp=(_extremum_vjp,),
        jvp=(_extremum_jvp,),
        batch=batch_along_axes,
        sympy=lambda sp, xs, axes: getattr(sp, meaning)(*xs),
        samples=_REDUCED,
    )


MAX = _extremum("max", np.maximum, "Max")
MIN = _extremum("min", np.minimum, "Min")


def _supremum_numpy(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    least = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    return np.maximum.reduce(x, axis=axes, initial=least)


SUPREMUM = replace(
    MAX,
    name="supremum",
    infer=_reduce_infer,
    numpy=_supremum_numpy,
    samples=(*_REDUCED, _EMPTY._replace(differentiable=False)),
)
"""The maximum with an identity: -inf (or the least integer) over no elements, where ``max`` is an error."""

_BOOLS = (
    Sample((Arr((3, 4), dtype="bool"),), {"axes": (1,)}, differentiable=False),
    Sample((Arr((2, 3, 2), dtype="bool"),), {"axes": (0, 2)}, differentiable=False),
    Sample((Arr((0, 3), dtype="bool"),), {"axes": (0,)}, differentiable=False),
)


def _logical(name: str, ufunc: np.ufunc, combine: str, meaning: str) -> Op:
    return Op(
        name,
        _reduce_infer,
        lambda x, axes: ufunc.reduce(x, axis=axes),
        Reduce(combine),
        vjp=(None,),
        jvp=(None,),
        batch=batch_along_axes,
        sympy=lambda sp, xs, axes: getattr(sp, meaning)(*xs),
        samples=_BOOLS,
        traits=frozenset({"boolean"}),
    )


ANY = _logical("any", np.logical_or, "or", "Or")
ALL = _logical("all", np.logical_and, "and", "And")


def _position(name: str, numpy: Callable[..., Any], meaning: str) -> Op:
    """argmax and argmin reduce one axis to the first position of the extremum; the first nan wins."""
    return Op(
        name,
        _arg_infer,
        lambda x, axes: np.asarray(numpy(x, axis=axes[0]), dtype=np.int64),
        Reduce(name),
        vjp=(zero_almost_everywhere,),
        jvp=(zero_almost_everywhere,),
        batch=batch_along_axes,
        sympy=lambda sp, xs, axes: list(xs).index(getattr(sp, meaning)(*xs)),
        samples=tuple(s._replace(differentiable=False) for s in _REDUCED if len(s.attrs["axes"]) == 1),
        traits=frozenset({"integer"}),
    )


ARGMAX = _position("argmax", np.argmax, "Max")
ARGMIN = _position("argmin", np.argmin, "Min")


def reduce(op: Op, x: Any, axis: Any, keepdims: bool) -> Any:
    """Apply a reduction op over `axis`; keeps size-1 axes if `keepdims`."""
    axes = axes_tuple(axis, len(x.shape), op.name)
    result = apply(op, x, axes=axes) if axes else x
    return reshape(result, reduced_shape(tuple(x.shape), axes, True)) if keepdims else result


def sum(x: Any, /, axis: Any = None, *, dtype: Any = None, keepdims: bool = False) -> Any:
    """Sum along `axis` (an int, several, or None for all); 0 over no elements.

    The summed axes go, or stay with size 1 if `keepdims`. Bools and integers are summed in int64 or uint64 unless
    `dtype` says otherwise; float32 is accumulated in float64 and rounded once.

    >>> import graphc as gc
    >>> gc.sum(gc.asarray([[1, 2], [3, 4]]), axis=0).tolist()
    [4, 6]
    """
    (x,) = lift(x)
    return reduce(SUM, widened(x, dtype), axis, keepdims)


def prod(x: Any, /, axis: Any = None, *, dtype: Any = None, keepdims: bool = False) -> Any:
    """Product along `axis`; 1 over no elements. Axes and dtypes as for `sum`.

    The gradient divides nothing: it is exact where elements are zero, to any order.

    >>> import graphc as gc
    >>> gc.prod(gc.asarray([2.0, 3.0])).item()
    6.0
    """
    (x,) = lift(x)
    return reduce(PROD, widened(x, dtype), axis, keepdims)


def _through_uint8(op: Op, x: Any, axis: Any, keepdims: bool) -> Any:
    """Bools are compared as 0 and 1."""
    return reduce(op, cast(x, np.dtype("uint8")) if x.dtype.kind == "b" else x, axis, keepdims)


def max(x: Any, /, axis: Any = None, *, keepdims: bool = False) -> Any:
    """Largest element along `axis`; nan wins. In the gradient, ties share equally.

    An axis without elements is an error: while building if its size is known, else when the step is called.

    >>> import graphc as gc
    >>> gc.max(gc.asarray([[1, 5], [3, 2]]), axis=1).tolist()
    [5, 3]
    """
    (x,) = lift(x)
    return cast(_through_uint8(MAX, x, axis, keepdims), x.dtype)


def min(x: Any, /, axis: Any = None, *, keepdims: bool = False) -> Any:
    """Smallest element along `axis`; nan wins. Otherwise as `max`.

    >>> import graphc as gc
    >>> gc.min(gc.asarray([4.0, 2.5])).item()
    2.5
    """
    (x,) = lift(x)
    return cast(_through_uint8(MIN, x, axis, keepdims), x.dtype)


def supremum(x: Any, axes: tuple[int, ...]) -> Any:
    """The maximum of floats along `axes`, which stay with size 1; -inf over no elements."""
    return reduce(SUPREMUM, x, axes, True)


def any(x: Any, /, axis: Any = None, *, keepdims: bool = False) -> Any:
    """Whether some element along `axis` is not zero (nan is not): bool; False over no elements.

    >>> import graphc as gc
    >>> gc.any(gc.asarray([0, 2])).item()
    True
    """
    (x,) = lift(x)
    return reduce(ANY, cast(x, np.dtype("bool")), axis, keepdims)


def all(x: Any, /, axis: Any = None, *, keepdims: bool = False) -> Any:
    """Whether every element along `axis` is not zero (nan is not): bool; True over no elements.

    >>> import graphc as gc
    >>> gc.all(gc.asarray([0, 2])).item()
    False
    """
    (x,) = lift(x)
    return reduce(ALL, cast(x, np.dtype("bool")), axis, keepdims)


def _argextremum(op: Op, x: Any, axis: Any, keepdims: bool) -> Any:
    (x,) = lift(x)
    n = len(x.shape)
    axes = tuple(range(n)) if axis is None else (axis_index(axis, n, op.name),)
    line = reshape(x, (-1,)) if axis is None and n != 1 else x
    result = _through_uint8(op, line, 0 if axis is None else axis, False)
    return reshape(result, reduced_shape(tuple(x.shape), axes, True)) if keepdims else result


def argmax(x: Any, /, axis: int | None = None, *, keepdims: bool = False) -> Any:
    """Position (int64) of the largest element along `axis`, the first of equals; the first nan wins.

    With `axis` None, the position in the flattened tensor.

    >>> import graphc as gc
    >>> gc.argmax(gc.asarray([1, 7, 7])).item()
    1
    """
    return _argextremum(ARGMAX, x, axis, keepdims)


def argmin(x: Any, /, axis: int | None = None, *, keepdims: bool = False) -> Any:
    """Position (int64) of the smallest element along `axis`; otherwise as `argmax`.

    >>> import graphc as gc
    >>> gc.argmin(gc.asarray([[4, 2], [1, 9]]), axis=0).tolist()
    [1, 0]
    """
    return _argextremum(ARGMIN, x, axis, keepdims)


def count_nonzero(x: Any, /, axis: Any = None, *, keepdims: bool = False) -> Any:
    """How many elements along `axis` are not zero (nan is not): int64.

    >>> import graphc as gc
    >>> gc.count_nonzero(gc.asarray([0.0, 3.0, -1.0])).item()
    2
    """
    (x,) = lift(x)
    return sum(cast(x, np.dtype("bool")), axis=axis, keepdims=keepdims)


ROWS = (SUM, PROD, MAX, MIN, SUPREMUM, ANY, ALL, ARGMAX, ARGMIN)
__all__ = ["all", "any", "argmax", "argmin", "count_nonzero", "max", "min", "prod", "sum"]
