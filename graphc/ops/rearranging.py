"""Axes moved, added, dropped and turned: moveaxis, swapaxes, expand_dims, squeeze, roll; plain code over primitives."""

from __future__ import annotations

from typing import Any

from ..errors import ShapeError, message, user_line
from ..ir import dims
from ..ir.apply import lift
from ..ir.dims import DimLike
from .common import axes_tuple, axis_index, shape_error
from .joining import concat
from .movement import permute_dims, reshape, slice_axis, with_shape


def moveaxis(x: Any, source: Any, destination: Any, /) -> Any:
    """`x` with the axes `source` at the places `destination`; the others keep their order.

    >>> import graphc as gc
    >>> gc.moveaxis(gc.input("x", (2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    (x,) = lift(x)
    n = len(x.shape)
    moved, places = _axes(source, n, "moveaxis"), _axes(destination, n, "moveaxis")
    if len(moved) != len(places):
        raise shape_error("moveaxis", (x,), f"as many destinations as sources, not {source} and {destination}")
    order = [k for k in range(n) if k not in moved]
    for place, axis in sorted(zip(places, moved, strict=True)):
        order.insert(place, axis)
    return permute_dims(x, tuple(order))


def _axes(axis: Any, ndim: int, op: str) -> tuple[int, ...]:
    """Distinct axes in the order given."""
    listed = axis if isinstance(axis, (tuple, list)) else (axis,)
    axes_tuple(tuple(listed), ndim, op)
    return tuple(axis_index(a, ndim, op) for a in listed)


def swapaxes(x: Any, axis1: int, axis2: int, /) -> Any:
    """`x` with two axes exchanged.

    >>> import graphc as gc
    >>> gc.swapaxes(gc.input("x", (2, 3, 4)), 0, 2).shape
    (4, 3, 2)
    """
    (x,) = lift(x)
    a, b = (axis_index(k, len(x.shape), "swapaxes") for k in (axis1, axis2))
    order = list(range(len(x.shape)))
    order[a], order[b] = b, a
    return permute_dims(x, tuple(order))


def expand_dims(x: Any, /, axis: Any = 0) -> Any:
    """`x` with an axis of size 1 at each place `axis` (an int or several, places in the result).

    >>> import graphc as gc
    >>> gc.expand_dims(gc.input("x", (2, "n")), axis=-1).shape
    (2, n, 1)
    """
    (x,) = lift(x)
    count = len(axis) if isinstance(axis, (tuple, list)) else 1
    axes = axes_tuple(axis if axis is not None else (), len(x.shape) + count, "expand_dims")
    sizes = iter(x.shape)
    return reshape(x, tuple(1 if k in axes else next(sizes) for k in range(len(x.shape) + count)))


def squeeze(x: Any, /, axis: Any = None) -> Any:
    """`x` without the axes `axis`, whose sizes must be declared as 1 (None: all such axes).

    Raises `ShapeError` for an axis of another or of a named size.

    >>> import graphc as gc
    >>> gc.squeeze(gc.input("x", (1, 3, 1)), axis=0).shape
    (3, 1)
    """
    (x,) = lift(x)
    ones = tuple(k for k, size in enumerate(x.shape) if size == 1)
    axes = ones if axis is None else axes_tuple(axis, len(x.shape), "squeeze")
    for k in axes:
        if k not in ones:
            raise shape_error("squeeze", (x,), f"size 1 on axis {k}")
    return reshape(x, tuple(size for k, size in enumerate(x.shape) if k not in axes))


def roll(x: Any, /, shift: Any, axis: Any = None) -> Any:
    """`x` turned by `shift` places along `axis`: what leaves at the end comes in at the start.

    shift  an int (negative: the other way), or one for each of several axes
    axis   an int or several; None turns the flattened tensor

    >>> import graphc as gc
    >>> gc.roll(gc.input("x", ("n", 3)), 1, axis=0).shape
    (n, 3)
    """
    (x,) = lift(x)
    shifts = list(shift) if isinstance(shift, (tuple, list)) else [shift]
    if any(isinstance(s, (bool, dims.Dim)) or not hasattr(s, "__index__") for s in shifts):
        raise ShapeError(message("bad shift in roll", got=repr(shift), expected="ints", at=user_line(), created=False))
    if axis is None:
        return reshape(_roll_axis(reshape(x, (-1,)), 0, sum(s.__index__() for s in shifts)), x.shape)
    axes = [axis_index(a, len(x.shape), "roll") for a in (axis if isinstance(axis, (tuple, list)) else (axis,))]
    if len(axes) != len(shifts) and 1 not in (len(axes), len(shifts)):
        raise shape_error("roll", (x,), f"as many shifts as axes, not {shift} and {axis}")
    for k in range(max(len(axes), len(shifts))):
        x = _roll_axis(x, axes[k % len(axes)], shifts[k % len(shifts)].__index__())
    return x


def _roll_axis(x: Any, axis: int, shift: int) -> Any:
    size = x.shape[axis]
    if shift == 0 or size == 0:
        return x
    cut = _roll_cut(size, shift)
    if cut == size:
        return x
    return with_shape(concat([slice_axis(x, axis, cut, size), slice_axis(x, axis, 0, cut)], axis=axis), x.shape)


def _roll_cut(size: DimLike, shift: int) -> DimLike:
    """The position that comes first after the turn: ``size - shift % size``, where `size` may turn out to be 0."""
    if isinstance(size, int):
        return size - shift % size
    if shift == 1:
        return dims.max0(size - 1)
    if shift == -1:
        return size - dims.max0(size - 1)
    period = 1 + dims.max0(size - 1)
    return size - shift + period * dims.floordiv(shift, period)


__all__ = ["expand_dims", "moveaxis", "roll", "squeeze", "swapaxes"]
