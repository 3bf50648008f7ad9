"""`pad` in NumPy's spelling: constants by the primitive, copies of the tensor itself by slices, flips and concat."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import UnsupportedError, message, user_line
from ..ir import dims
from ..ir.apply import is_tensor, lift
from ..ir.dims import DimLike
from .common import axis_index, shape_error
from .guarding import inside
from .indexing import fitting
from .joining import concat
from .movement import broadcast_to, flip, pad_interior, slice_axis

MODES = ("constant", "edge", "reflect", "symmetric", "wrap")


def pad(x: Any, /, pad_width: Any, mode: str = "constant", *, constant_values: Any = 0) -> Any:
    """`x` with `pad_width` more elements before and after it along each axis.

    pad_width        ``n`` everywhere, ``(before, after)`` for every axis, or one such pair for each axis; or a dict
                     {axis: n or pair}. Ints >= 0; with "constant" also dims
    mode             "constant"; "edge" repeats the outermost element; "reflect" mirrors without, "symmetric" with the
                     outermost one; "wrap" goes on at the other end
    constant_values  plain numbers, in the forms of `pad_width`; they must fit the dtype of `x`

    Where a size is named, the other modes need at least as many elements as they copy, which a call checks.

    >>> import graphc as gc
    >>> gc.pad(gc.input("x", ("n", 3)), ((1, 1), (0, 2))).shape
    (n + 2, 5)
    """
    (x,) = lift(x)
    if mode not in MODES:
        raise UnsupportedError(
            message(
                "unknown mode in pad",
                got=repr(mode),
                expected="one of " + ", ".join(MODES),
                at=user_line(),
                created=False,
            )
        )
    widths = [(dims.as_dim(a), dims.as_dim(b)) for a, b in _pairs(x, "pad_width", pad_width)]
    if mode == "constant":
        return _constant(x, widths, _pairs(x, "constant_values", constant_values))
    for axis, (low, high) in enumerate(widths):
        if not isinstance(low, int) or not isinstance(high, int):
            raise shape_error("pad", (x,), f"int widths in mode {mode!r}")
        if low or high:
            x = _copied(x, axis, low, high, mode)
    return x


def _pairs(x: Any, name: str, spec: Any) -> list[tuple[Any, Any]]:
    """NumPy's forms of `pad_width` and `constant_values`, as one pair for each axis."""
    ndim = len(x.shape)
    if isinstance(spec, dict):
        given = {axis_index(k, ndim, "pad"): _pair(v) for k, v in spec.items()}
        pairs = [given.get(k, (0, 0)) for k in range(ndim)]
    else:
        rows = _listed(spec)
        nested = [_listed(row) for row in rows] if isinstance(rows, list) else None
        if nested is None or not any(isinstance(row, list) for row in nested):
            pairs = [_pair(spec)] * ndim
        else:
            pairs = [_pair(row) for row in nested] * (ndim if len(nested) == 1 else 1)
    if len(pairs) != ndim or None in pairs:
        raise shape_error("pad", (x,), f"{name} as a number, a pair, or a pair for each axis, not {spec!r}")
    return pairs  # type: ignore[return-value]


def _listed(spec: Any) -> Any:
    """A list for what is a sequence (arrays too), else `spec` itself."""
    if isinstance(spec, np.ndarray):
        return spec.tolist()
    return list(spec) if isinstance(spec, (tuple, list)) else spec


def _pair(spec: Any) -> tuple[Any, Any] | None:
    """``n``, ``(n,)`` or ``(before, after)`` as a pair; None for anything else."""
    row = _listed(spec)
    if not isinstance(row, list):
        return (row, row)
    if len(row) not in (1, 2) or any(isinstance(_listed(v), list) for v in row):
        return None
    return (row[0], row[-1])


def _constant(x: Any, widths: list[tuple[DimLike, DimLike]], values: list[tuple[Any, Any]]) -> Any:
    """One primitive where all sides have the same value; else axis after axis, so that the last one has the corners."""
    sides = [(_fill(x, a), _fill(x, b)) for a, b in values]
    both = [(v, w) for pair, width in zip(sides, widths, strict=True) for v, w in zip(pair, width, strict=True)]
    used = {repr(v): v for v, w in both if w != 0}  # by text: 0.0 and -0.0 differ
    none = (0,) * len(widths)
    if len(used) <= 1:
        low, high = tuple(a for a, _ in widths), tuple(b for _, b in widths)
        return pad_interior(x, low, high, none, next(iter(used.values()), 0.0))
    for axis, (before, after) in enumerate(widths):
        x = pad_interior(x, _at(axis, before, none), none, none, sides[axis][0])
        x = pad_interior(x, none, _at(axis, after, none), none, sides[axis][1])
    return x


def _at(axis: int, width: DimLike, none: tuple[int, ...]) -> tuple[DimLike, ...]:
    return tuple(width if k == axis else 0 for k in range(len(none)))


def _fill(x: Any, value: Any) -> Any:
    """A plain number that fits the dtype of `x`, as that dtype has it."""
    if is_tensor(value):
        raise UnsupportedError(
            message(
                "pad with a tensor as constant_values",
                expected="plain numbers",
                at=user_line(),
                created=False,
                hint="join with gc.concat([gc.full(shape, value), x])",
            )
        )
    fitting("pad", x, value)
    return np.asarray(value).astype(x.dtype).item()


def _copied(x: Any, axis: int, low: int, high: int, mode: str) -> Any:
    """One axis of `x` continued by its own elements."""
    size = x.shape[axis]
    if size == 0:
        raise shape_error("pad", (x,), f"at least one element on axis {axis} in mode {mode!r}")
    if mode == "edge" or (mode == "reflect" and size == 1):
        return _edge(x, axis, low, high)
    if mode == "wrap":
        return _wrap(x, axis, low, high)
    return _mirror(x, axis, low, high, skip=1 if mode == "reflect" else 0)


def _edge(x: Any, axis: int, low: int, high: int) -> Any:
    size = x.shape[axis]
    x = inside(x, axis, 0)
    shape = [*x.shape]
    first, last = slice_axis(x, axis, 0, 1), slice_axis(x, axis, size - 1, size)
    shape[axis] = low
    before = broadcast_to(first, tuple(shape))
    shape[axis] = high
    return _joined(before, x, broadcast_to(last, tuple(shape)), axis)


def _mirror(x: Any, axis: int, low: int, high: int, skip: int) -> Any:
    """Mirrored at both ends, `skip` elements in; where more is wanted than there is, the longer one again."""
    while low or high:
        size = x.shape[axis]
        now = (min(low, size - skip), min(high, size - skip)) if isinstance(size, int) else (low, high)
        x = inside(x, axis, max(now) + skip - 1)
        before = flip(slice_axis(x, axis, skip, skip + now[0]), axis=axis)
        after = slice_axis(flip(x, axis=axis), axis, skip, skip + now[1])
        x = _joined(before, x, after, axis)
        low, high = low - now[0], high - now[1]
    return x


def _wrap(x: Any, axis: int, low: int, high: int) -> Any:
    size = x.shape[axis]
    whole_low, whole_high = (low // size, high // size) if isinstance(size, int) else (0, 0)
    x = inside(x, axis, max(low, high) - 1)
    before = slice_axis(x, axis, (whole_low + 1) * size - low, size)
    after = slice_axis(x, axis, 0, high - whole_high * size)
    return concat([before, *[x] * (whole_low + 1 + whole_high), after], axis=axis)


def _joined(before: Any, x: Any, after: Any, axis: int) -> Any:
    parts = [part for part in (before, x, after) if part.shape[axis] != 0]
    return concat(parts, axis=axis)


__all__ = ["pad"]
