"""Moving elements without computing: reshape, broadcast, permute, slice, flip, pad, concat, and what they compose."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ShapeError, message
from ..ir import dims
from ..ir.apply import apply, lift, lift_promoted
from ..ir.dims import DimLike, Shape
from ..ir.expr import Expr, call, index
from ..ir.lowering import Alias, Concat, Index, View
from ..ir.op import Arr, Aval, Op, Require, Sample
from .common import axes_tuple, axis_index, broadcast_shapes, shape_error
from .cotangent import ZERO

_LINEAR = frozenset({"linear"})


# reshape


def _reshape_infer(require: Require, x: Aval, shape: Shape) -> Aval:
    require.equal(
        dims.product(x.shape), dims.product(shape), f"as many elements in {list(shape)} as in {list(x.shape)}"
    )
    return Aval(shape, x.dtype)


RESHAPE = Op(
    "reshape",
    _reshape_infer,
    lambda x, shape: np.reshape(x, shape),
    Alias(),
    vjp=(lambda ct, out, x, shape: reshape(ct, x.shape),),
    jvp=(lambda t, out, x, shape: reshape(t, shape),),
    sympy=lambda sp, x, shape: x,
    samples=(Sample((Arr((2, 6)),), {"shape": (3, 4)}), Sample((Arr((4,)),), {"shape": (1, 4, 1)})),
    traits=_LINEAR,
)


def reshape(x: Any, /, shape: Any, *, copy: bool | None = None) -> Any:
    """`x` with the same elements in C order under another shape; one size may be -1.

    >>> import graphc as gc
    >>> gc.reshape(gc.input("x", ("n", 4)), (-1, 2)).shape
    (2*n, 2)
    """
    (x,) = lift(x)
    listed = list(shape) if isinstance(shape, (tuple, list)) else [shape]
    unknown = [k for k, s in enumerate(listed) if isinstance(s, int) and s == -1]
    if len(unknown) > 1:
        raise shape_error("reshape", (x,), f"at most one -1, not {tuple(listed)}")
    if unknown:
        known = dims.product(dims.as_dim(s) for k, s in enumerate(listed) if k != unknown[0])
        if isinstance(known, int) and known == 0:
            raise shape_error("reshape", (x,), f"a size that -1 can stand for in {tuple(listed)}")
        listed[unknown[0]] = dims.floordiv(dims.product(x.shape), known)
    new = tuple(dims.as_dim(s) for s in listed)
    if dims.equal(dims.product(x.shape), dims.product(new)) is False:
        raise shape_error("reshape", (x,), f"as many elements as {tuple(listed)} has")
    return x if new == tuple(x.shape) else apply(RESHAPE, x, shape=new)


# broadcast_to


def _broadcast_infer(require: Require, x: Aval, shape: Shape) -> Aval:
    offset = len(shape) - len(x.shape)
    if offset < 0:
        raise ShapeError(message("cannot broadcast_to", got=str(x), expected=f"at most {len(shape)} axes"))
    for axis, size in enumerate(x.shape):
        if size != 1:
            require.equal(size, shape[offset + axis], f"size {size} to be {shape[offset + axis]} (or declared as 1)")
    return Aval(shape, x.dtype)


def _broadcast_index(out: Index, in_shape: Shape, out_shape: Shape, shape: Shape) -> Index:
    kept = out[len(out) - len(in_shape) :]
    return tuple(index(0) if size == 1 else i for i, size in zip(kept, in_shape, strict=True))


def _broadcast_vjp(ct: Any, out: Any, x: Any, shape: Shape) -> Any:
    from .reduction import sum as sum_

    offset = len(shape) - len(x.shape)
    stretched = [k + offset for k, size in enumerate(x.shape) if size == 1 and shape[k + offset] != 1]
    axes = (*range(offset), *stretched)
    return reshape(sum_(ct, axis=axes), x.shape) if axes else ct


BROADCAST_TO = Op(
    "broadcast_to",
    _broadcast_infer,
    lambda x, shape: np.broadcast_to(x, shape),
    View(_broadcast_index),
    vjp=(_broadcast_vjp,),
    jvp=(lambda t, out, x, shape: broadcast_to(t, shape),),
    sympy=lambda sp, x, shape: x,
    samples=(Sample((Arr((1, 4)),), {"shape": (2, 3, 4)}), Sample((Arr(()),), {"shape": (5,)})),
    traits=_LINEAR,
)


def broadcast_to(x: Any, /, shape: Any) -> Any:
    """`x` stretched to `shape`: sizes declared as 1 repeat, new leading axes are added."""
    (x,) = lift(x)
    new = dims.as_shape(shape)
    if new == tuple(x.shape):
        return x
    offset = len(new) - len(x.shape)
    if offset < 0 or any(s != 1 and dims.equal(s, n) is False for s, n in zip(x.shape, new[offset:], strict=True)):
        raise shape_error("broadcast_to", (x,), f"a shape that broadcasts to {list(new)}")
    return apply(BROADCAST_TO, x, shape=new)


def broadcast_arrays(*arrays: Any) -> list[Any]:
    """All operands stretched to their common shape."""
    lifted = lift(*arrays)
    shape = broadcast_shapes("broadcast_arrays", *lifted)
    return [broadcast_to(a, shape) for a in lifted]


# permute_dims


def _permute_index(out: Index, in_shape: Shape, out_shape: Shape, axes: tuple[int, ...]) -> Index:
    place = {axis: k for k, axis in enumerate(axes)}
    return tuple(out[place[k]] for k in range(len(axes)))


PERMUTE_DIMS = Op(
    "permute_dims",
    lambda require, x, axes: Aval(tuple(x.shape[a] for a in axes), x.dtype),
    lambda x, axes: np.transpose(x, axes),
    View(_permute_index),
    vjp=(lambda ct, out, x, axes: permute_dims(ct, tuple(int(k) for k in np.argsort(axes))),),
    jvp=(lambda t, out, x, axes: permute_dims(t, axes),),
    sympy=lambda sp, x, axes: x,
    samples=(Sample((Arr((2, 3, 4)),), {"axes": (2, 0, 1)}),),
    traits=_LINEAR,
)


def permute_dims(x: Any, /, axes: Any) -> Any:
    """`x` with its axes in another order: axis k of the result is axis ``axes[k]`` of `x`."""
    (x,) = lift(x)
    order = tuple(axis_index(a, len(x.shape), "permute_dims") for a in axes)
    if sorted(order) != list(range(len(x.shape))):
        raise shape_error("permute_dims", (x,), f"each axis once, not {tuple(axes)}")
    return x if order == tuple(range(len(order))) else apply(PERMUTE_DIMS, x, axes=order)


# slice (step > 0), flip, pad: each is the derivative of another


def _slice_shape(x: Aval, start: Shape, stop: Shape, step: tuple[int, ...]) -> Shape:
    return tuple(dims.ceildiv(b - a, s) for a, b, s in zip(start, stop, step, strict=True))


def _slice_index(out: Index, in_shape: Shape, out_shape: Shape, start: Shape, stop: Shape, step: Any) -> Index:
    return tuple(index(a) + i * s for i, a, s in zip(out, start, step, strict=True))


def _slice_vjp(ct: Any, out: Any, x: Any, start: Shape, stop: Shape, step: tuple[int, ...]) -> Any:
    high = tuple(
        n - a - dims.max0((m - 1) * s + 1) if m != 0 else n - a
        for n, a, s, m in zip(x.shape, start, step, out.shape, strict=True)
    )
    return pad_interior(ct, start, high, tuple(s - 1 for s in step), shape=x.shape)


SLICE = Op(
    "slice",
    lambda require, x, start, stop, step: Aval(_slice_shape(x, start, stop, step), x.dtype),
    lambda x, start, stop, step: x[tuple(slice(*t) for t in zip(start, stop, step, strict=True))],
    View(_slice_index),
    vjp=(_slice_vjp,),
    jvp=(lambda t, out, x, **attrs: apply(SLICE, t, **attrs),),
    sympy=lambda sp, x, **attrs: x,
    samples=(
        Sample((Arr((5, 4)),), {"start": (1, 0), "stop": (5, 3), "step": (2, 1)}),
        Sample((Arr((6,)),), {"start": (2,), "stop": (2,), "step": (1,)}),
        Sample((Arr((7,)),), {"start": (0,), "stop": (7,), "step": (3,)}),
    ),
    traits=_LINEAR,
)

FLIP = Op(
    "flip",
    lambda require, x, axes: x,
    lambda x, axes: np.flip(x, axes),
    View(
        lambda out, in_shape, out_shape, axes: tuple(
            index(in_shape[k] - 1) - i if k in axes else i for k, i in enumerate(out)
        )
    ),
    vjp=(lambda ct, out, x, axes: apply(FLIP, ct, axes=axes),),
    jvp=(lambda t, out, x, axes: apply(FLIP, t, axes=axes),),
    sympy=lambda sp, x, axes: x,
    samples=(Sample((Arr((3, 4)),), {"axes": (1,)}),),
    traits=_LINEAR,
)


def flip(x: Any, /, *, axis: Any = None) -> Any:
    """`x` with the order of elements reversed along `axis` (None: all axes)."""
    (x,) = lift(x)
    axes = axes_tuple(axis, len(x.shape), "flip")
    return apply(FLIP, x, axes=axes) if axes else x


def _pad_infer(require: Require, x: Aval, low: Shape, high: Shape, interior: Shape, value: Any, shape: Any) -> Aval:
    natural = tuple(a + b + n + dims.max0(n - 1) * i for n, a, b, i in zip(x.shape, low, high, interior, strict=True))
    return Aval(natural if shape is None else shape, x.dtype)


def _pad_numpy(x: np.ndarray, low: Any, high: Any, interior: Any, value: Any, shape: Any) -> np.ndarray:
    size = [a + b + n + max(0, n - 1) * i for n, a, b, i in zip(x.shape, low, high, interior, strict=True)]
    result = np.full(size, value, x.dtype)
    result[
        tuple(slice(a, a + n + max(0, n - 1) * i, i + 1) for n, a, i in zip(x.shape, low, interior, strict=True))
    ] = x
    return result


def _pad_index(out: Index, in_shape: Shape, out_shape: Shape, low: Shape, interior: Shape, **_: Any) -> Index:
    return tuple(
        call("floordiv_nonneg", o - index(a), i + 1) if i != 0 else o - index(a)
        for o, a, i in zip(out, low, interior, strict=True)
    )


def _pad_guard(
    out: Index, in_shape: Shape, out_shape: Shape, low: Shape, high: Shape, interior: Shape, **_: Any
) -> Expr:
    conditions: list[Expr] = []
    for o, n, a, b, i, total in zip(out, in_shape, low, high, interior, out_shape, strict=True):
        if a != 0:
            conditions.append(o >= index(a))
        if b != 0 or i != 0:
            conditions.append(o < index(a) + index(n + dims.max0(n - 1) * i))
        if i != 0:
            conditions.append(call("eq", call("mod_nonneg", o - index(a), i + 1), 0))
        assert total is not None
    guard = conditions[0] if conditions else call("eq", index(0), index(0))
    for condition in conditions[1:]:
        guard = call("logical_and", guard, condition)
    return guard


def _pad_vjp(ct: Any, out: Any, x: Any, low: Shape, high: Shape, interior: Shape, value: Any, shape: Any) -> Any:
    stop = tuple(a + n + dims.max0(n - 1) * i for n, a, i in zip(x.shape, low, interior, strict=True))
    taken = apply(SLICE, ct, start=low, stop=stop, step=tuple(i + 1 for i in interior))
    return taken if tuple(taken.shape) == tuple(x.shape) else apply(BROADCAST_TO, taken, shape=tuple(x.shape))


PAD = Op(
    "pad",
    _pad_infer,
    _pad_numpy,
    View(_pad_index, _pad_guard),
    vjp=(_pad_vjp,),
    jvp=(lambda t, out, x, **attrs: apply(PAD, t, **{**attrs, "value": 0.0}),),
    sympy=lambda sp, x, **attrs: x,
    samples=(
        Sample((Arr((2, 3)),), {"low": (1, 0), "high": (0, 2), "interior": (0, 0), "value": 1.5, "shape": None}),
        Sample((Arr((3,)),), {"low": (0,), "high": (1,), "interior": (2,), "value": 0.0, "shape": None}),
    ),
)


def pad_interior(x: Any, low: Shape, high: Shape, interior: Shape, value: Any = 0.0, shape: Any = None) -> Any:
    """`x` with `value` before, after and between its elements along each axis; `shape`, if known, names the result's."""
    if all(a == 0 and b == 0 and i == 0 for a, b, i in zip(low, high, interior, strict=True)):
        return x
    return apply(
        PAD,
        x,
        low=tuple(low),
        high=tuple(high),
        interior=tuple(interior),
        value=value,
        shape=None if shape is None else tuple(shape),
    )


# concat


def _concat_infer(require: Require, *avals: Aval, axis: int) -> Aval:
    first = avals[0]
    total: DimLike = 0
    for other in avals:
        if len(other.shape) != len(first.shape):
            raise ShapeError(message("cannot concat", got=", ".join(map(str, avals)), expected="equal ranks"))
        for k, (a, b) in enumerate(zip(first.shape, other.shape, strict=True)):
            if k != axis:
                require.equal(a, b, f"equal sizes on axis {k} of all operands of concat")
        total = total + other.shape[axis]
    return Aval((*first.shape[:axis], total, *first.shape[axis + 1 :]), first.dtype)


def _concat_vjp(ct: Any, out: Any, *xs: Any, axis: int) -> tuple[Any, ...]:
    parts, start = [], 0
    for x in xs:
        stop = start + x.shape[axis]
        parts.append(slice_axis(ct, axis, start, stop))
        start = stop
    return tuple(parts)


def _concat_jvp(tangents: tuple[Any, ...], out: Any, *xs: Any, axis: int) -> Any:
    from .creation import zeros_like

    return concat([zeros_like(x) if t is ZERO else t for t, x in zip(tangents, xs, strict=True)], axis=axis)


CONCAT = Op(
    "concat",
    _concat_infer,
    lambda *xs, axis: np.concatenate(xs, axis),
    Concat(),
    vjp=_concat_vjp,
    jvp=_concat_jvp,
    sympy=lambda sp, *xs, axis: xs[0],
    samples=(
        Sample((Arr((2, 3)), Arr((1, 3)), Arr((4, 3))), {"axis": 0}),
        Sample((Arr((2, 1)), Arr((2, 3))), {"axis": 1}),
    ),
    traits=_LINEAR,
)


def slice_axis(x: Any, axis: int, start: DimLike, stop: DimLike, step: int = 1) -> Any:
    """Elements `start` .. `stop` of one axis; both within its size, `step` > 0."""
    full = (0,) * len(x.shape)
    starts = tuple(start if k == axis else 0 for k in range(len(full)))
    stops = tuple(stop if k == axis else n for k, n in enumerate(x.shape))
    steps = tuple(step if k == axis else 1 for k in range(len(full)))
    if start == 0 and stop == x.shape[axis] and step == 1:
        return x
    return apply(SLICE, x, start=starts, stop=stops, step=steps)


def concat(arrays: Any, /, *, axis: int | None = 0) -> Any:
    """Tensors one after another along `axis` (None: flattened first)."""
    lifted = lift_promoted(*arrays)
    if axis is None:
        lifted, axis = tuple([reshape(a, (-1,)) for a in lifted]), 0
    k = axis_index(axis, len(lifted[0].shape), "concat")
    for other in lifted[1:]:
        if len(other.shape) != len(lifted[0].shape) or any(
            j != k and dims.equal(a, b) is False
            for j, (a, b) in enumerate(zip(lifted[0].shape, other.shape, strict=True))
        ):
            raise shape_error("concat", lifted, f"equal shapes but for axis {k}")
    return lifted[0] if len(lifted) == 1 else apply(CONCAT, *lifted, axis=k)


ROWS = (RESHAPE, BROADCAST_TO, PERMUTE_DIMS, SLICE, FLIP, PAD, CONCAT)
__all__ = ["broadcast_arrays", "broadcast_to", "concat", "flip", "permute_dims", "reshape"]
