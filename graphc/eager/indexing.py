"""``x[key]`` and ``x[key] = value``: slices are views, boolean masks become positions, op functions do the rest."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import OutOfBoundsError, message, user_line
from ..ops.subscript import getitem as general
from ..ops.table import OPS
from .core import Tensor
from .engine import ENGINE
from .inplace import as_value, assign

_SLICE, _RESHAPE = OPS["slice"], OPS["reshape"]


def getitem(self: Tensor, key: Any) -> Tensor:
    """Elements of `self`: a view for ints and slices, a copy for index arrays and boolean masks."""
    quick = _sliced(self, key)
    return general(self, _positions(self, key)) if quick is None else quick


def _sliced(x: Tensor, key: Any) -> Tensor | None:
    """``x[key]`` where the key is of ints in range and slices forward: the usual case, without a detour."""
    array = x._array
    entries = key if type(key) is tuple else (key,)
    if len(entries) > array.ndim:
        return None
    start, stop, step, shape = [], [], [], []
    for entry, n in zip(entries, array.shape, strict=False):
        if type(entry) is int:
            if not -n <= entry < n:
                return None
            k = entry + n if entry < 0 else entry
            start.append(k)
            stop.append(k + 1)
            step.append(1)
        elif type(entry) is slice and (entry.step is None or (type(entry.step) is int and entry.step > 0)):
            a, b, s = entry.indices(n)
            start.append(a)
            stop.append(max(a, b))
            step.append(s)
            shape.append(len(range(a, b, s)))
        else:
            return None
    rest = array.shape[len(entries) :]
    start += [0] * len(rest)
    stop += rest
    step += [1] * len(rest)
    shape += rest
    if tuple(stop) != array.shape or any(start) or max(step, default=1) > 1:
        x = ENGINE.apply(_SLICE, (x,), {"start": tuple(start), "stop": tuple(stop), "step": tuple(step)})
    return x if len(shape) == array.ndim else ENGINE.apply(_RESHAPE, (x,), {"shape": tuple(shape)})


def _positions(x: Tensor, key: Any) -> Any:
    """`key` with each boolean mask replaced by the positions of its True elements, one array per axis."""
    entries = key if isinstance(key, tuple) else (key,)
    masks = [_mask(e) for e in entries]
    if all(m is None for m in masks):
        return key
    result: list[Any] = []
    for entry, mask in zip(entries, masks, strict=True):
        if mask is None:
            result.append(entry)
            continue
        if not any(e is None or e is Ellipsis for e in result):
            _check_mask(x, mask, len(result))
        result.extend(np.nonzero(mask))
    return tuple(result)


def _mask(entry: Any) -> np.ndarray | None:
    if not isinstance(entry, (Tensor, list, np.ndarray)):
        return None
    array = entry._array if isinstance(entry, Tensor) else np.asarray(entry)
    return array if array.dtype.kind == "b" and array.ndim else None


def _check_mask(x: Tensor, mask: np.ndarray, axis: int) -> None:
    if x.shape[axis : axis + mask.ndim] != mask.shape:
        raise OutOfBoundsError(
            message(
                "a mask of the wrong shape",
                got=f"x: {x._describe()}, mask: bool{list(mask.shape)}",
                expected=f"the sizes of x from axis {axis} on",
                at=user_line(),
                created=False,
            )
        )


def setitem(self: Tensor, key: Any, value: Any) -> None:
    """``x[key] = value``; slices are written through a view, of repeated places in index arrays the last one wins."""
    source = as_value(self, value)
    what = "x[...] = value"
    if any(isinstance(e, (Tensor, np.ndarray, list)) for e in (key if isinstance(key, tuple) else (key,))):
        assign(self, self.at[_positions(self, key)].set(_cast_within(source, self)), what, whole=True)
    else:
        assign(getitem(self, key), source, what)


def _cast_within(value: Tensor, target: Tensor) -> Tensor:
    """`value` in the dtype of `target`, where in-place changes may convert it."""
    narrows = value.dtype != target.dtype and np.can_cast(value.dtype, target.dtype, "same_kind")
    return value.to(target.dtype) if narrows else value
