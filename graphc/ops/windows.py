"""Sliding windows over the last axes of a tensor: `windows` shows them, without a copy; `overlap` adds them up.

Place k of the window at position p stands at i = p * stride + k * dilation - low. The places of a window are one axis,
in C order. Each row is the transpose of the other. `first_max` is the maximum whose derivative goes to the first of
ties.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import ShapeError, message
from ..ir import dims
from ..ir.apply import apply
from ..ir.dims import DimLike, Shape
from ..ir.dtypes import BOOL
from ..ir.expr import Expr, call, index, lit
from ..ir.lowering import Index, Overlap, View
from ..ir.op import Arr, Aval, Batching, Op, Require, Sample
from .creation import iota
from .elementwise import equal, where
from .movement import reshape, with_shape
from .piecewise import maximum
from .reduction import ARGMAX, MAX, SUM, restore

Ints = tuple[int, ...]


def _check(require: Require, x: Aval, last: int, kernel: Ints, strides: Ints, dilations: Ints, low: Ints) -> None:
    ranks = {len(kernel), len(strides), len(dilations), len(low)}
    if len(ranks) != 1 or len(x.shape) < len(kernel) + last:
        raise ShapeError(message(f"malformed {require.op_name}", got=str(x), expected=f"{max(ranks)} axes of windows"))


def _windows_infer(
    require: Require, x: Aval, kernel: Ints, strides: Ints, dilations: Ints, low: Ints, size: Shape, value: float
) -> Aval:
    _check(require, x, 0, kernel, strides, dilations, low)
    return Aval((*x.shape[: len(x.shape) - len(kernel)], *size, math.prod(kernel)), x.dtype)


def _overlap_infer(
    require: Require, y: Aval, kernel: Ints, strides: Ints, dilations: Ints, low: Ints, size: Shape
) -> Aval:
    _check(require, y, 1, kernel, strides, dilations, low)
    require.equal(y.shape[-1], math.prod(kernel), f"{math.prod(kernel)} places on the last axis of {y}")
    return Aval((*y.shape[: len(y.shape) - len(kernel) - 1], *size), y.dtype)


def _pairs(
    sizes: Ints, positions: Ints, kernel: Ints, strides: Ints, dilations: Ints, low: Ints
) -> Iterator[tuple[int, tuple[Any, ...], tuple[Any, ...]]]:
    """For each place in a window: its number, slices of the positions where it is inside, and of where it is then."""
    for number, k in enumerate(np.ndindex(*kernel)):
        ps, places = [], []
        for n, m, j, s, d, a in zip(sizes, positions, k, strides, dilations, low, strict=True):
            first = max(0, -((j * d - a) // s))
            last = min(m, (n - 1 + a - j * d) // s + 1)
            last = max(first, last)
            start = first * s + j * d - a
            ps.append(slice(first, last))
            places.append(slice(start, start + (last - first - 1) * s + 1, s) if last > first else slice(0, 0))
        yield number, tuple(ps), tuple(places)


def _windows_numpy(
    x: np.ndarray, kernel: Ints, strides: Ints, dilations: Ints, low: Ints, size: Ints, value: float
) -> np.ndarray:
    rank = len(kernel)
    result = np.full((*x.shape[: x.ndim - rank], *size, math.prod(kernel)), value, x.dtype)
    for number, positions, places in _pairs(x.shape[x.ndim - rank :], size, kernel, strides, dilations, low):
        result[..., *positions, number] = x[..., *places]
    return result


def _overlap_numpy(y: np.ndarray, kernel: Ints, strides: Ints, dilations: Ints, low: Ints, size: Ints) -> np.ndarray:
    rank = len(kernel)
    front = y.ndim - rank - 1
    result = np.zeros((*y.shape[:front], *size), y.dtype)
    for number, positions, places in _pairs(size, y.shape[front:-1], kernel, strides, dilations, low):
        result[..., *places] += y[..., *positions, number]
    return result


def place_in_window(number: Expr, kernel: Ints) -> list[Expr]:
    """The place along each axis of the window's place with this number."""
    found = []
    whole = behind = math.prod(kernel)
    for size in kernel:
        ahead, behind = behind, behind // size
        part = number if ahead == whole else call("mod_nonneg", number, index(ahead))
        if size == 1:
            part = index(0)
        elif behind != 1:
            part = call("floordiv_nonneg", part, index(behind))
        found.append(part)
    return found


def position_of(at: Index, kernel: Ints, strides: Ints, dilations: Ints, low: Ints) -> tuple[Index, tuple[Expr, ...]]:
    """For an index [*leading, *positions, place]: the leading part, and where that place is along each axis."""
    rank = len(kernel)
    front = len(at) - rank - 1
    places = place_in_window(at[-1], kernel)
    where_ = tuple(
        p * index(s) + k * index(d) - index(a)
        for p, k, s, d, a in zip(at[front:-1], places, strides, dilations, low, strict=True)
    )
    return at[:front], where_


def _windows_index(
    out: Index, in_shape: Shape, out_shape: Shape, kernel: Ints, strides: Ints, dilations: Ints, low: Ints, **_: Any
) -> Index:
    front, places = position_of(out, kernel, strides, dilations, low)
    return (*front, *places)


def inside_of(
    at: Index, sizes: Shape, positions: Shape, kernel: Ints, strides: Ints, dilations: Ints, low: Ints
) -> Expr:
    """Whether that place is inside, as far as that is not certain."""
    _, places = position_of(at, kernel, strides, dilations, low)
    conditions: list[Expr] = []
    for i, n, m, k, s, d, a in zip(places, sizes, positions, kernel, strides, dilations, low, strict=True):
        if a > 0:
            conditions.append(i >= index(0))
        if not dims.nonnegative(n + a - ((m - 1) * s + (k - 1) * d + 1)):
            conditions.append(i < index(n))
    guard = conditions[0] if conditions else lit(True, BOOL)
    for condition in conditions[1:]:
        guard = call("logical_and", guard, condition)
    return guard


def _windows_guard(
    out: Index, in_shape: Shape, out_shape: Shape, kernel: Ints, strides: Ints, dilations: Ints, low: Ints, **_: Any
) -> Expr:
    rank = len(kernel)
    sizes, positions = in_shape[len(in_shape) - rank :], out_shape[len(out_shape) - rank - 1 : -1]
    return inside_of(out, sizes, positions, kernel, strides, dilations, low)


def _windows_vjp(ct: Any, out: Any, x: Any, value: float, size: Shape, kernel: Ints, **attrs: Any) -> Any:
    inner = tuple(x.shape[len(x.shape) - len(kernel) :])
    return with_shape(apply(OVERLAP, ct, kernel=kernel, size=inner, **attrs), x.shape)


def _overlap_vjp(ct: Any, out: Any, y: Any, size: Shape, kernel: Ints, **attrs: Any) -> Any:
    positions = tuple(y.shape[len(y.shape) - len(kernel) - 1 : -1])
    return with_shape(apply(WINDOWS, ct, kernel=kernel, size=positions, value=0.0, **attrs), y.shape)


def _same(how: Batching, x: Any, **attrs: Any) -> Any:
    return apply(how.op, x, **attrs)


def _attrs(kernel: Ints, strides: Ints, dilations: Ints, low: Ints, size: Ints, **more: Any) -> dict[str, Any]:
    return {"kernel": kernel, "strides": strides, "dilations": dilations, "low": low, "size": size, **more}


WINDOWS: Op = Op(
    "windows",
    _windows_infer,
    _windows_numpy,
    View(_windows_index, _windows_guard),
    vjp=(_windows_vjp,),
    jvp=(lambda t, out, x, **attrs: apply(WINDOWS, t, **{**attrs, "value": 0.0}),),
    batch=_same,
    sympy=lambda sp, x, **attrs: x,
    samples=(
        Sample((Arr((6,)),), _attrs((3,), (1,), (1,), (0,), (4,), value=0.0)),
        Sample((Arr((2, 7)),), _attrs((2,), (2,), (3,), (1,), (4,), value=-1.5)),
        Sample((Arr((4, 6)),), _attrs((2, 2), (2, 2), (1, 1), (0, 0), (2, 3), value=0.0)),
        Sample((Arr((2, 3, 5)),), _attrs((2, 3), (1, 2), (1, 1), (1, 0), (3, 3), value=0.5)),
        Sample((Arr((3, 2, 4)),), _attrs((2, 1, 3), (1, 1, 1), (1, 1, 1), (0, 0, 0), (2, 2, 2), value=0.0)),
        Sample((Arr((0, 4)),), _attrs((2,), (1,), (1,), (0,), (3,), value=0.0)),
    ),
)

OVERLAP: Op = Op(
    "overlap",
    _overlap_infer,
    _overlap_numpy,
    Overlap(),
    vjp=(_overlap_vjp,),
    jvp=(lambda t, out, y, **attrs: apply(OVERLAP, t, **attrs),),
    batch=_same,
    sympy=lambda sp, x, **attrs: x,
    samples=(
        Sample((Arr((4, 3)),), _attrs((3,), (1,), (1,), (0,), (6,))),
        Sample((Arr((2, 4, 2)),), _attrs((2,), (2,), (3,), (1,), (7,))),
        Sample((Arr((2, 3, 4)),), _attrs((2, 2), (2, 2), (1, 1), (0, 0), (4, 6))),
        Sample((Arr((1, 3, 3, 6)),), _attrs((2, 3), (1, 2), (1, 1), (1, 0), (3, 5))),
        Sample((Arr((3, 3)),), _attrs((3,), (4,), (1,), (0,), (12,))),
        Sample((Arr((2, 2, 2, 6)),), _attrs((2, 1, 3), (1, 1, 1), (1, 1, 1), (0, 0, 0), (3, 2, 4))),
        Sample((Arr((0, 3, 2)),), _attrs((2,), (1,), (1,), (0,), (4,))),
    ),
    traits=frozenset({"linear"}),
)


# the maximum of a window


def first_inside(positions: Shape, kernel: Ints, strides: Ints, dilations: Ints, low: Ints, *, beside: Any) -> Any:
    """The number of the first place of each window that is inside, at these positions."""
    place: Any = 0
    for k, (count, size, s, d, a) in enumerate(zip(positions, kernel, strides, dilations, low, strict=True)):
        outside = maximum(a - iota((count,), beside=(beside,)) * s, 0)  # before the first that is inside
        first = outside if d == 1 else (outside + (d - 1)) // d
        place = place * size + reshape(first, (count, *[1] * (len(positions) - 1 - k)))
    return place


def winning_place(x: Any, axes: Ints, frame: tuple[Ints, ...]) -> Any:
    """Where the first of the largest stands along an axis; of windows (`frame`), never beyond the edges.

    There, a -inf is the first of the largest only at place 0, where all is -inf; and no place inside comes before the
    first one that is.
    """
    place = apply(ARGMAX, x, axes=axes)
    if not frame:
        return place
    positions = tuple(place.shape[len(place.shape) - len(frame[0]) :])
    return maximum(place, first_inside(positions, *frame, beside=x))


def _winner(x: Any, axes: Ints, frame: tuple[Ints, ...]) -> Any:
    """Whether an element is the first of the largest along its row."""
    return equal(iota(x.shape, axes[0], beside=(x,)), restore(winning_place(x, axes, frame), x.shape, axes))


def _first_vjp(ct: Any, out: Any, x: Any, axes: Ints, frame: tuple[Ints, ...] = ()) -> Any:
    return where(_winner(x, axes, frame), restore(ct, x.shape, axes), 0.0)


def _first_jvp(t: Any, out: Any, x: Any, axes: Ints, frame: tuple[Ints, ...] = ()) -> Any:
    return apply(SUM, where(_winner(x, axes, frame), t, 0.0), axes=axes)


def _without_frame(rule: Any) -> Any:
    return lambda *operands, axes, frame=(): rule(*operands, axes=axes)


FIRST_MAX = replace(
    MAX,
    name="first_max",
    infer=_without_frame(MAX.infer),
    numpy=_without_frame(MAX.numpy),
    sympy=_without_frame(MAX.sympy),
    vjp=(_first_vjp,),
    jvp=(_first_jvp,),
    traits=frozenset({"by position"}),
    samples=(
        *[s for s in MAX.samples if len(s.attrs["axes"]) == 1],
        Sample(
            (Arr((2, 4), values=[[1.0, 3.0, 3.0, 2.0], [5.0, 5.0, 4.0, 5.0]]),), {"axes": (1,)}, differentiable=False
        ),
        Sample(
            (Arr((2, 3), values=[[-math.inf, 1.0, 2.0], [3.0, 1.0, 2.0]]),),
            {"axes": (1,), "frame": ((3,), (1,), (1,), (1,))},
            differentiable=False,
        ),
    ),
)
"""The maximum along one axis, as ``max``; its derivative goes to the first of ties, as that of ``argmax`` says.

frame  of the windows on that axis, the last one, whose places beyond the edges are -inf and get none of it: kernel,
       strides, dilations, low
"""


def as_windows(
    x: Any, kernel: Ints, strides: Ints, dilations: Ints, low: Ints, size: tuple[DimLike, ...], value: float = 0.0
) -> Any:
    """The windows over the last axes of `x` at `size` positions: [*leading, *size, places]; `value` beyond `x`."""
    return apply(
        WINDOWS, x, kernel=kernel, strides=strides, dilations=dilations, low=low, size=tuple(size), value=value
    )


ROWS = (WINDOWS, OVERLAP, FIRST_MAX)
