"""Joining and cutting: the primitive `concat`, and stack, unstack, split, tile, repeat over it and its kin."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ShapeError, UnsupportedError, message, user_line
from ..ir import dims
from ..ir.apply import apply, is_tensor, lift, lift_promoted
from ..ir.dims import Dim, DimLike
from ..ir.lowering import Concat
from ..ir.op import Arr, Aval, Op, Require, Sample
from .batching import batch_along_axis
from .common import axis_index, shape_error
from .cotangent import ZERO
from .creation import zeros_like
from .movement import broadcast_to, reshape, slice_axis, with_shape


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
        parts.append(with_shape(slice_axis(ct, axis, start, stop), x.shape))
        start = stop
    return tuple(parts)


def _concat_jvp(tangents: tuple[Any, ...], out: Any, *xs: Any, axis: int) -> Any:
    return concat([zeros_like(x) if t is ZERO else t for t, x in zip(tangents, xs, strict=True)], axis=axis)


CONCAT = Op(
    "concat",
    _concat_infer,
    lambda *xs, axis: np.concatenate(xs, axis),
    Concat(),
    vjp=_concat_vjp,
    jvp=_concat_jvp,
    batch=batch_along_axis,
    sympy=lambda sp, *xs, axis: xs[0],
    samples=(
        Sample((Arr((2, 3)), Arr((1, 3)), Arr((4, 3))), {"axis": 0}),
        Sample((Arr((2, 1)), Arr((2, 3))), {"axis": 1}),
    ),
    traits=frozenset({"linear"}),
)


def _operands(op: str, arrays: Any) -> list[Any]:
    """The tensors of a list or tuple; an error for none, or for one tensor in place of a list."""
    if not isinstance(arrays, (tuple, list)) or not arrays:
        got = "none" if isinstance(arrays, (tuple, list)) else type(arrays).__name__
        hint = f"the tensors are one argument, a list: gc.{op}([x, y])" if is_tensor(arrays) else ""
        raise ShapeError(
            message(
                f"cannot {op}", got=got, expected="a list or tuple of tensors", at=user_line(), created=False, hint=hint
            )
        )
    return list(arrays)


def concat(arrays: Any, /, axis: int | None = 0) -> Any:
    """Tensors one after another along `axis` (None: flattened first), in their promoted dtype.

    Raises `ShapeError` where the other sizes differ; named ones are compared at call time.

    >>> import graphc as gc
    >>> gc.concat([gc.input("x", ("n", 3)), gc.input("y", (2, 3))]).shape
    (n + 2, 3)
    """
    lifted = lift_promoted(*_operands("concat", arrays))
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


def stack(arrays: Any, /, axis: int = 0) -> Any:
    """Tensors of one shape side by side along a new axis at place `axis`, in their promoted dtype.

    >>> import graphc as gc
    >>> gc.stack([gc.input("x", ("n",)), gc.input("y", ("n",))], axis=-1).shape
    (n, 2)
    """
    lifted = lift_promoted(*_operands("stack", arrays))
    first = tuple(lifted[0].shape)
    k = axis_index(axis, len(first) + 1, "stack")
    for other in lifted[1:]:
        if len(other.shape) != len(first) or any(
            dims.equal(a, b) is False for a, b in zip(first, other.shape, strict=True)
        ):
            raise shape_error("stack", lifted, "equal shapes")
    return concat([reshape(a, (*a.shape[:k], 1, *a.shape[k:])) for a in lifted], axis=k)


def unstack(x: Any, /, axis: int = 0) -> tuple[Any, ...]:
    """The slices of `x` along `axis`, without that axis. Its size must be an int: it is the length of the tuple.

    >>> import graphc as gc
    >>> [a.shape for a in gc.unstack(gc.input("x", (2, "n")))]
    [(n,), (n,)]
    """
    (x,) = lift(x)
    k = axis_index(axis, len(x.shape), "unstack")
    size = x.shape[k]
    if not isinstance(size, int):
        raise shape_error("unstack", (x,), f"an int size on axis {k}", "a Python tuple has a fixed length")
    shape = (*x.shape[:k], *x.shape[k + 1 :])
    return tuple(reshape(slice_axis(x, k, i, i + 1), shape) for i in range(size))


def split(x: Any, indices_or_sections: Any, /, axis: int = 0) -> list[Any]:
    """`x` cut along `axis`: into that many equal parts (an int), or before each of several positions.

    An int must divide the size (checked at call time where that is named); positions clamp as slices do.

    >>> import graphc as gc
    >>> [a.shape for a in gc.split(gc.input("x", (5, 2)), [1, 3])]
    [(1, 2), (2, 2), (2, 2)]
    """
    (x,) = lift(x)
    k = axis_index(axis, len(x.shape), "split")
    size = x.shape[k]
    if isinstance(indices_or_sections, (tuple, list, np.ndarray)):
        cuts = [_cut(p, size) for p in np.asarray(indices_or_sections, dtype=object).tolist()]
        return [slice_axis(x, k, a, b) for a, b in zip([0, *cuts], [*cuts, size], strict=True)]
    count = _count("split", indices_or_sections)
    part = dims.floordiv(size, count) if count else 0
    if count == 0 or dims.equal(part * count, size) is False:
        raise shape_error("split", (x,), f"a number of parts that divides axis {k}, not {count}")
    part_shape = tuple(part if j == k else n for j, n in enumerate(x.shape))
    return [
        with_shape(slice_axis(x, k, i * part, size if i == count - 1 else (i + 1) * part), part_shape)
        for i in range(count)
    ]


def _cut(position: Any, size: DimLike) -> DimLike:
    """Where `split` cuts: a position as the bound of a slice has it."""
    if isinstance(position, bool) or not hasattr(position, "__index__"):
        raise ShapeError(
            message("bad position in split", got=repr(position), expected="an int", at=user_line(), created=False)
        )
    k = position if isinstance(position, Dim) else position.__index__()
    return dims.max0(size + k) if isinstance(k, int) and k < 0 else size - dims.max0(size - k)


def _count(op: str, count: Any) -> int:
    if isinstance(count, (bool, Dim)) or not hasattr(count, "__index__") or count.__index__() < 0:
        raise ShapeError(
            message(f"bad count in {op}", got=repr(count), expected="an int >= 0", at=user_line(), created=False)
        )
    return count.__index__()


def tile(x: Any, repetitions: Any, /) -> Any:
    """`x` laid `repetitions` times along each axis (an int or dim: the last axis; several: the last axes).

    >>> import graphc as gc
    >>> gc.tile(gc.input("x", (2, "n")), (3, 1, 2)).shape
    (3, 2, 2*n)
    """
    (x,) = lift(x)
    listed = dims.as_shape(repetitions)
    ndim = max(len(listed), len(x.shape))
    counts = (1,) * (ndim - len(listed)) + listed
    sizes = (1,) * (ndim - len(x.shape)) + tuple(x.shape)
    once = tuple(n for size in sizes for n in (1, size))
    often = tuple(n for pair in zip(counts, sizes, strict=True) for n in pair)
    return reshape(broadcast_to(reshape(x, once), often), tuple(c * n for c, n in zip(counts, sizes, strict=True)))


def repeat(x: Any, repeats: Any, /, axis: int | None = None) -> Any:
    """Each element of `x` repeated along `axis` (None: flattened first).

    repeats  an int or dim for all, or a tuple of ints, one for each position of an axis of int size. A tensor is
             refused (`UnsupportedError`): the size of the result would depend on data

    >>> import graphc as gc
    >>> gc.repeat(gc.input("x", ("n", 2)), 3, axis=0).shape
    (3*n, 2)
    """
    if is_tensor(repeats):
        raise UnsupportedError(
            message(
                "repeat with a tensor of repeats",
                expected="ints: the size of the result must not depend on data",
                at=user_line(),
                created=False,
                hint="give a tuple of ints, or gather with gc.take",
            )
        )
    (x,) = lift(x)
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    k = axis_index(axis, len(x.shape), "repeat")
    if isinstance(repeats, (tuple, list, np.ndarray)) and np.ndim(repeats):
        counts = [_count("repeat", r) for r in repeats]
        return _repeat_each(x, counts, k) if len(counts) != 1 else repeat(x, counts[0], axis=k)
    count = dims.as_dim(repeats)
    size, before, after = x.shape[k], tuple(x.shape[:k]), tuple(x.shape[k + 1 :])
    each = reshape(x, (*before, size, 1, *after))
    return reshape(broadcast_to(each, (*before, size, count, *after)), (*before, size * count, *after))


def _repeat_each(x: Any, counts: list[int], axis: int) -> Any:
    from .indexing import take

    if x.shape[axis] != len(counts):
        raise shape_error("repeat", (x,), f"one repeat for each position of axis {axis}, not {len(counts)}")
    return take(x, np.repeat(np.arange(len(counts)), counts), axis=axis)


ROWS = (CONCAT,)
__all__ = ["concat", "repeat", "split", "stack", "tile", "unstack"]
