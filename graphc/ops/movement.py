"""The primitives that move elements without computing: reshape, broadcast, permute, slice, flip, pad."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ShapeError, count, message
from ..ir import dims
from ..ir.apply import apply, lift
from ..ir.dims import DimLike, Shape, shape_text
from ..ir.dtypes import BOOL
from ..ir.expr import Expr, call, index, lit
from ..ir.lowering import Alias, Index, View
from ..ir.op import Arr, Aval, Batching, Op, Require, Sample
from .batching import batch_along_axes
from .common import axes_tuple, axis_index, broadcast_shapes, shape_error

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
    batch=lambda how, x, shape: reshape(x, (how.size, *shape)),
    sympy=lambda sp, x, shape: x,
    samples=(Sample((Arr((2, 6)),), {"shape": (3, 4)}), Sample((Arr((4,)),), {"shape": (1, 4, 1)})),
    traits=_LINEAR,
)


def reshape(x: Any, /, shape: Any, *, copy: bool | None = None) -> Any:
    """`x` with the same elements in C order under another shape; one size may be -1.

    A size may be a dim; where the numbers of elements cannot be compared while building, a call checks them.
    Raises `ShapeError` where they differ. `copy` is accepted and means nothing: tensors are immutable.

    >>> import graphc as gc
    >>> gc.reshape(gc.input("x", ("n", 4)), (-1, 2)).shape
    (2*n, 2)
    """
    (x,) = lift(x)
    listed = list(shape) if isinstance(shape, (tuple, list)) else [shape]
    unknown = [k for k, s in enumerate(listed) if not isinstance(s, (str, dims.Dim)) and s == -1]
    if len(unknown) > 1:
        raise shape_error("reshape", (x,), f"at most one -1, not {tuple(listed)}")
    total = dims.product(x.shape)
    sizes = [1 if k in unknown else dims.as_dim(s) for k, s in enumerate(listed)]
    if unknown:
        known = dims.product(sizes)
        if known == 0:
            raise shape_error("reshape", (x,), f"a size that -1 can stand for in {tuple(listed)}")
        sizes[unknown[0]] = dims.floordiv(total, known)
    new = tuple(sizes)
    if dims.equal(total, dims.product(new)) is False:
        raise shape_error("reshape", (x,), f"as many elements as the shape {tuple(listed)} has")
    return x if new == tuple(x.shape) else apply(RESHAPE, x, shape=new)


# broadcast_to


def _broadcast_infer(require: Require, x: Aval, shape: Shape) -> Aval:
    offset = len(shape) - len(x.shape)
    if offset < 0:
        raise ShapeError(
            message("cannot broadcast_to", got=str(x), expected=f"at most {count(len(shape), 'axis', 'axes')}")
        )
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
    if offset or stretched:
        kept = tuple(1 if k in stretched else size for k, size in enumerate(shape) if k >= offset)
        ct = reshape(sum_(ct, axis=(*range(offset), *stretched)), kept)
    return with_shape(ct, x.shape)


def _broadcast_batch(how: Batching, x: Any, shape: Shape) -> Any:
    """The sample's missing axes go between the new one and its own."""
    missing = len(shape) - (len(x.shape) - 1)
    return broadcast_to(reshape(x, (how.size, *[1] * missing, *x.shape[1:])), (how.size, *shape))


BROADCAST_TO = Op(
    "broadcast_to",
    _broadcast_infer,
    lambda x, shape: np.broadcast_to(x, shape),
    View(_broadcast_index),
    vjp=(_broadcast_vjp,),
    jvp=(lambda t, out, x, shape: broadcast_to(t, shape),),
    batch=_broadcast_batch,
    sympy=lambda sp, x, shape: x,
    samples=(
        Sample((Arr((1, 4)),), {"shape": (2, 3, 4)}),
        Sample((Arr(()),), {"shape": (5,)}),
        Sample((Arr((3, 1, 2)),), {"shape": (2, 3, 4, 2)}),
        *(Sample((Arr((1, 1)),), {"shape": shape}) for shape in ((1, 5), (5, 1), (2, 5, 1), (2, 1, 5), (0, 1))),
    ),
    traits=_LINEAR,
)


def broadcast_to(x: Any, /, shape: Any) -> Any:
    """`x` stretched to `shape`: sizes declared as 1 repeat, new leading axes are added.

    A named size never stretches: it must equal the new one, which is checked at call time. Raises `ShapeError`.

    >>> import graphc as gc
    >>> gc.broadcast_to(gc.input("x", (3, 1)), ("n", 3, 2)).shape
    (n, 3, 2)
    """
    (x,) = lift(x)
    new = dims.as_shape(shape)
    if new == tuple(x.shape):
        return x
    offset = len(new) - len(x.shape)
    if offset < 0 or any(s != 1 and dims.equal(s, n) is False for s, n in zip(x.shape, new[offset:], strict=True)):
        raise shape_error("broadcast_to", (x,), f"a shape that broadcasts to {shape_text(new)}")
    return apply(BROADCAST_TO, x, shape=new)


def with_shape(x: Any, shape: Any) -> Any:
    """`x`, whose sizes are those of `shape` at every call, under that spelling of them.

    Rules need it: a cotangent has exactly the shape of its operand, and equal dims are not always seen to be equal.
    """
    shape = tuple(shape)
    return x if tuple(x.shape) == shape else apply(BROADCAST_TO, x, shape=shape)


def broadcast_arrays(*arrays: Any) -> list[Any]:
    """All operands stretched to their common shape; dtypes stay as they are.

    >>> import graphc as gc
    >>> [a.shape for a in gc.broadcast_arrays(gc.input("x", (3, 1)), gc.input("y", (4,)))]
    [(3, 4), (3, 4)]
    """
    if not arrays:
        return []
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
    batch=lambda how, x, axes: permute_dims(x, (0, *[k + 1 for k in axes])),
    sympy=lambda sp, x, axes: x,
    samples=(Sample((Arr((2, 3, 4)),), {"axes": (2, 0, 1)}),),
    traits=_LINEAR,
)


def permute_dims(x: Any, /, axes: Any) -> Any:
    """`x` with its axes in another order: axis k of the result is axis ``axes[k]`` of `x`.

    >>> import graphc as gc
    >>> gc.permute_dims(gc.input("x", (2, 3, "n")), (2, 0, 1)).shape
    (n, 2, 3)
    """
    (x,) = lift(x)
    listed = tuple(axes) if isinstance(axes, (tuple, list)) else (axes,)
    order = tuple(axis_index(a, len(x.shape), "permute_dims") for a in listed)
    if sorted(order) != list(range(len(x.shape))):
        raise shape_error("permute_dims", (x,), f"each axis once, not {listed}")
    return x if order == tuple(range(len(order))) else apply(PERMUTE_DIMS, x, axes=order)


# slice, flip, pad: each is the derivative of another


def _slice_shape(start: Shape, stop: Shape, step: Shape) -> Shape:
    return tuple(dims.ceildiv(dims.max0(b - a), s) for a, b, s in zip(start, stop, step, strict=True))


def _slice_numpy(x: np.ndarray, start: Any, stop: Any, step: Any) -> np.ndarray:
    return x[tuple(slice(a, max(a, b), s) for a, b, s in zip(start, stop, step, strict=True))]


def _slice_index(out: Index, in_shape: Shape, out_shape: Shape, start: Shape, stop: Shape, step: Shape) -> Index:
    return tuple(index(a) + i * index(s) for i, a, s in zip(out, start, step, strict=True))


def span(size: DimLike, interior: DimLike) -> DimLike:
    """How many places `size` elements take with `interior` places between each two."""
    return size + dims.max0(size - 1) * interior


def _slice_vjp(ct: Any, out: Any, x: Any, start: Shape, stop: Shape, step: Shape) -> Any:
    interior = tuple(s - 1 for s in step)
    taken = [span(m, i) for m, i in zip(out.shape, interior, strict=True)]
    return pad_interior(ct, start, tuple(n - a - t for n, a, t in zip(x.shape, start, taken, strict=True)), interior)


def _slice_batch(how: Batching, x: Any, start: Shape, stop: Shape, step: Shape) -> Any:
    return apply(SLICE, x, start=(0, *start), stop=(how.size, *stop), step=(1, *step))


SLICE: Op = Op(  # start >= 0, stop <= size, step >= 1; where stop <= start nothing is taken, and start may be anything
    "slice",
    lambda require, x, start, stop, step: Aval(_slice_shape(start, stop, step), x.dtype),
    _slice_numpy,
    View(_slice_index),
    vjp=(_slice_vjp,),
    jvp=(lambda t, out, x, **attrs: apply(SLICE, t, **attrs),),
    batch=_slice_batch,
    sympy=lambda sp, x, **attrs: x,
    samples=(
        Sample((Arr((5, 4)),), {"start": (1, 0), "stop": (5, 3), "step": (2, 1)}),
        Sample((Arr((6,)),), {"start": (2,), "stop": (2,), "step": (1,)}),
        Sample((Arr((7,)),), {"start": (0,), "stop": (7,), "step": (3,)}),
        Sample((Arr((9,)),), {"start": (1,), "stop": (8,), "step": (4,)}),
    ),
    traits=_LINEAR,
)

FLIP: Op = Op(
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
    batch=batch_along_axes,
    sympy=lambda sp, x, axes: x,
    samples=(Sample((Arr((3, 4)),), {"axes": (1,)}),),
    traits=_LINEAR,
)


def flip(x: Any, /, axis: Any = None) -> Any:
    """`x` with the order of elements reversed along `axis` (an int, several, or None for all).

    >>> import graphc as gc
    >>> gc.flip(gc.input("x", ("n", 3)), axis=0).shape
    (n, 3)
    """
    (x,) = lift(x)
    axes = axes_tuple(axis, len(x.shape), "flip")
    return apply(FLIP, x, axes=axes) if axes else x


def _pad_infer(require: Require, x: Aval, low: Shape, high: Shape, interior: Shape, value: Any) -> Aval:
    return Aval(tuple(a + span(n, i) + b for n, a, b, i in zip(x.shape, low, high, interior, strict=True)), x.dtype)


def _pad_numpy(x: np.ndarray, low: Any, high: Any, interior: Any, value: Any) -> np.ndarray:
    taken = [n + max(0, n - 1) * i for n, i in zip(x.shape, interior, strict=True)]
    result = np.full([a + t + b for a, t, b in zip(low, taken, high, strict=True)], value, x.dtype)
    result[tuple(slice(a, a + t, i + 1) for a, t, i in zip(low, taken, interior, strict=True))] = x
    return result


def _pad_index(out: Index, in_shape: Shape, out_shape: Shape, low: Shape, interior: Shape, **_: Any) -> Index:
    return tuple(
        o - index(a) if i == 0 else call("floordiv_nonneg", o - index(a), index(i + 1))
        for o, a, i in zip(out, low, interior, strict=True)
    )


def _pad_guard(
    out: Index, in_shape: Shape, out_shape: Shape, low: Shape, high: Shape, interior: Shape, **_: Any
) -> Expr:
    conditions: list[Expr] = []
    for o, n, a, b, i in zip(out, in_shape, low, high, interior, strict=True):
        if a != 0:
            conditions.append(o >= index(a))
        if b != 0:
            conditions.append(o < index(a + span(n, i)))
        if i != 0:
            conditions.append(call("eq", call("mod_nonneg", o - index(a), index(i + 1)), 0))
    guard = conditions[0] if conditions else lit(True, BOOL)
    for condition in conditions[1:]:
        guard = call("logical_and", guard, condition)
    return guard


def _pad_vjp(ct: Any, out: Any, x: Any, low: Shape, high: Shape, interior: Shape, value: Any) -> Any:
    stop = tuple(a + span(n, i) for n, a, i in zip(x.shape, low, interior, strict=True))
    return with_shape(apply(SLICE, ct, start=low, stop=stop, step=tuple(i + 1 for i in interior)), x.shape)


def _pad_batch(how: Batching, x: Any, low: Shape, high: Shape, interior: Shape, value: Any) -> Any:
    return apply(PAD, x, low=(0, *low), high=(0, *high), interior=(0, *interior), value=value)


PAD: Op = Op(  # an empty operand may come with low > the result's size and high < 0: nothing of it is read
    "pad",
    _pad_infer,
    _pad_numpy,
    View(_pad_index, _pad_guard),
    vjp=(_pad_vjp,),
    jvp=(lambda t, out, x, **attrs: apply(PAD, t, **{**attrs, "value": 0.0}),),
    batch=_pad_batch,
    sympy=lambda sp, x, **attrs: x,
    samples=(
        Sample((Arr((2, 3)),), {"low": (1, 0), "high": (0, 2), "interior": (0, 0), "value": 1.5}),
        Sample((Arr((3,)),), {"low": (0,), "high": (1,), "interior": (2,), "value": 0.0}),
        Sample((Arr((3,)),), {"low": (0,), "high": (0,), "interior": (1,), "value": 0.0}),
        Sample((Arr((0, 2)),), {"low": (2, 0), "high": (1, 0), "interior": (3, 0), "value": 0.0}),
    ),
)


def pad_interior(x: Any, low: Shape, high: Shape, interior: Shape, value: Any = 0.0) -> Any:
    """`x` with `value` before, after and between its elements: `low`, `high` and `interior` places for each axis."""
    if all(a == 0 and b == 0 and i == 0 for a, b, i in zip(low, high, interior, strict=True)):
        return x
    return apply(PAD, x, low=tuple(low), high=tuple(high), interior=tuple(interior), value=value)


def slice_axis(x: Any, axis: int, start: DimLike, stop: DimLike, step: int = 1) -> Any:
    """Elements `start` .. `stop` of one axis; both within its size, `step` > 0."""
    if start == 0 and stop == x.shape[axis] and step == 1:
        return x
    rank = range(len(x.shape))
    starts = tuple(start if k == axis else 0 for k in rank)
    stops = tuple(stop if k == axis else n for k, n in enumerate(x.shape))
    return apply(SLICE, x, start=starts, stop=stops, step=tuple(step if k == axis else 1 for k in rank))


ROWS = (RESHAPE, BROADCAST_TO, PERMUTE_DIMS, SLICE, FLIP, PAD)
__all__ = ["broadcast_arrays", "broadcast_to", "flip", "permute_dims", "reshape"]
