"""Pooling in PyTorch's arguments and defaults: the maximum or mean of each window, functions and layers.

Data are [batch, channels, *spatial], or without the batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..arguments import bad_argument, whole
from ..ir import dims
from ..ir.apply import apply, cast, lift
from ..ir.dims import DimLike
from ..ops.creation import iota
from ..ops.elementwise import where
from ..ops.indexing import take
from ..ops.movement import broadcast_to, reshape
from ..ops.piecewise import maximum, minimum
from ..ops.reduction import sum
from ..ops.statistics import mean
from ..ops.windows import FIRST_MAX, as_windows, winning_place
from .checks import flag, ill_typed
from .module import Module
from .spatial import Ints, batched, has_spatial, per_axis, unbatched, wide_enough


def _count(size: DimLike, pad: int, reach: int, stride: int, ceil_mode: bool) -> DimLike:
    """How many positions a window has; with `ceil_mode` the last may reach beyond the padding, not begin there."""
    room = dims.max0(size + 2 * pad - reach)
    if not ceil_mode:
        return dims.floordiv(room, stride) + 1
    return dims.minimum(dims.ceildiv(room, stride) + 1, dims.ceildiv(size + pad, stride))


def _data(layer: str, x: Any, rank: int) -> Any:
    (x,) = lift(x)
    if x.dtype.kind != "f":
        raise ill_typed(layer, "floats", x)
    has_spatial(layer, x, rank)
    return x


@dataclass(frozen=True)
class _Frame:
    """What a window covers and where it stands, checked: an int for each spatial axis."""

    kernel: Ints
    stride: Ints
    padding: Ints
    dilation: Ints
    ceil_mode: bool
    given: Any
    """The padding, for errors."""

    @classmethod
    def checked(
        cls, layer: str, rank: int, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: Any
    ) -> _Frame:
        size = per_axis(layer, "kernel_size", kernel, rank, 1)
        steps = size if stride is None else per_axis(layer, "stride", stride, rank, 1)
        low, dilations = per_axis(layer, "padding", padding, rank, 0), per_axis(layer, "dilation", dilation, rank, 1)
        return cls(size, steps, low, dilations, flag(layer, "ceil_mode", ceil_mode), padding)


class _Windows:
    """The windows of a call: numbers of positions."""

    def __init__(self, layer: str, x: Any, frame: _Frame):
        self.frame, self.rank = frame, len(frame.kernel)
        reach = tuple((k - 1) * d + 1 for k, d in zip(frame.kernel, frame.dilation, strict=True))
        if any(2 * p > r for p, r in zip(frame.padding, reach, strict=True)):
            raise bad_argument(layer, "padding", frame.given, "at most half of what a window covers")
        x = wide_enough(layer, _data(layer, x, self.rank), reach, tuple(2 * p for p in frame.padding))
        self.x, self.alone = batched(layer, x, self.rank)
        self.spatial = tuple(self.x.shape[2:])
        self.size = tuple(
            _count(n, p, r, s, frame.ceil_mode)
            for n, p, r, s in zip(self.spatial, frame.padding, reach, frame.stride, strict=True)
        )

    def shown(self, value: float) -> Any:
        """[batch, channels, *positions, places of a window]; `value` beyond the edges."""
        f = self.frame
        return as_windows(self.x, f.kernel, f.stride, f.dilation, f.padding, self.size, value)

    def starts(self, axis: int) -> Any:
        """Where the windows begin along a spatial axis, in a shape that broadcasts."""
        count = self.size[axis]
        begin = iota((count,), beside=(self.x,)) * self.frame.stride[axis] - self.frame.padding[axis]
        return reshape(begin, (count, *[1] * (self.rank - 1 - axis)))


def max_pool1d(
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    layer: str = "max_pool1d",
) -> Any:
    """The largest element of each window of `x` [batch, channels, length]; see `max_pool2d`.

    >>> from graphc import eager, nn
    >>> nn.max_pool1d(eager.tensor([[[1.0, 3.0, 2.0, 0.0]]]), 2)
    tensor([[[3., 2.]]])
    """
    frame = _Frame.checked(layer, 1, kernel_size, stride, padding, dilation, ceil_mode)
    return _largest(layer, x, frame, return_indices)


def max_pool2d(
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    layer: str = "max_pool2d",
) -> Any:
    """The largest element of each window of `x` [batch, channels, height, width], or without batch; nan wins.

    kernel_size     size of the windows, an int or (height, width)
    stride          from window to window; None: they stand side by side
    padding         places beyond each edge, which never win; at most half a window
    dilation        from place to place in a window
    ceil_mode       whether a last window may reach beyond the padding
    return_indices  whether to return a pair: the largest, and where each stands in its plane (int64)

    In the gradient, the first of equal elements gets all.

    >>> import graphc as gc
    >>> gc.nn.max_pool2d(gc.input("x", ("n", 6, 28, 28)), 2).shape
    (n, 6, 14, 14)
    """
    frame = _Frame.checked(layer, 2, kernel_size, stride, padding, dilation, ceil_mode)
    return _largest(layer, x, frame, return_indices)


def _largest(layer: str, x: Any, frame: _Frame, return_indices: bool) -> Any:
    windows = _Windows(layer, x, frame)
    shown = windows.shown(-math.inf)
    axis = len(shown.shape) - 1
    inside = (frame.kernel, frame.stride, frame.dilation, frame.padding) if any(frame.padding) else ()
    largest = unbatched(apply(FIRST_MAX, shown, axes=(axis,), frame=inside), windows.alone)
    if not flag(layer, "return_indices", return_indices):
        return largest
    place = winning_place(shown, (axis,), inside)
    found: Any = 0
    behind = math.prod(frame.kernel)
    for k, (size, dilation) in enumerate(zip(frame.kernel, frame.dilation, strict=True)):
        ahead, behind = behind, behind // size
        along = windows.starts(k) + place % ahead // behind * dilation
        found = found * windows.spatial[k] + along
    return largest, unbatched(found, windows.alone)


def avg_pool1d(
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    *,
    layer: str = "avg_pool1d",
) -> Any:
    """The mean of each window of `x` [batch, channels, length]; see `avg_pool2d`.

    >>> from graphc import eager, nn
    >>> nn.avg_pool1d(eager.tensor([[[1.0, 3.0, 2.0, 0.0]]]), 2)
    tensor([[[2., 1.]]])
    """
    frame = _Frame.checked(layer, 1, kernel_size, stride, padding, 1, ceil_mode)
    return _averaged(layer, x, frame, count_include_pad, None)


def avg_pool2d(
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    layer: str = "avg_pool2d",
) -> Any:
    """The mean of each window of `x` [batch, channels, height, width], or without batch.

    kernel_size, stride, padding, ceil_mode   as of `max_pool2d`
    count_include_pad  whether places of the padding count, as zeros; what lies beyond it never does
    divisor_override   what to divide sums by instead

    >>> import graphc as gc
    >>> gc.nn.avg_pool2d(gc.input("x", ("n", 6, 7, 7)), 2, ceil_mode=True).shape
    (n, 6, 4, 4)
    """
    frame = _Frame.checked(layer, 2, kernel_size, stride, padding, 1, ceil_mode)
    return _averaged(layer, x, frame, count_include_pad, divisor_override)


def _averaged(layer: str, x: Any, frame: _Frame, count_include_pad: bool, divisor_override: int | None) -> Any:
    windows = _Windows(layer, x, frame)
    counted = flag(layer, "count_include_pad", count_include_pad)
    total = sum(windows.shown(0.0), axis=-1)
    if divisor_override is not None:
        by: Any = whole(layer, "divisor_override", divisor_override)
    elif not frame.ceil_mode and (counted or not any(frame.padding)):
        by = math.prod(frame.kernel)
    else:
        by = 1
        for k, (size, kernel_size, low) in enumerate(zip(windows.spatial, frame.kernel, frame.padding, strict=True)):
            begin = windows.starts(k)
            margin = low if counted else 0
            by = by * (minimum(begin + kernel_size, size + margin) - maximum(begin, -margin))
        by = cast(by, total.dtype)
    return unbatched(total / by, windows.alone)


def adaptive_avg_pool1d(x: Any, output_size: Any, *, layer: str = "adaptive_avg_pool1d") -> Any:
    """`x` [batch, channels, length] in `output_size` parts, the mean of each; see `adaptive_avg_pool2d`.

    >>> from graphc import eager, nn
    >>> nn.adaptive_avg_pool1d(eager.tensor([[[1.0, 3.0, 2.0, 0.0]]]), 2)
    tensor([[[2., 1.]]])
    """
    return _adapted(layer, 1, x, output_size)


def adaptive_avg_pool2d(x: Any, output_size: Any, *, layer: str = "adaptive_avg_pool2d") -> Any:
    """The planes of `x` [batch, channels, height, width] in `output_size` parts, the mean of each.

    Part i of m along an axis of n places has those from ``i * n // m`` to ``ceil((i + 1) * n / m) - 1``; parts may
    share places.

    output_size  an int, or (height, width); None leaves an axis as it is

    >>> import graphc as gc
    >>> gc.nn.adaptive_avg_pool2d(gc.input("x", ("n", 512, 7, 7)), (1, None)).shape
    (n, 512, 1, 7)
    """
    return _adapted(layer, 2, x, output_size)


def _parts(layer: str, value: Any, rank: int) -> tuple[int | None, ...]:
    listed = tuple(value) if isinstance(value, (tuple, list)) else (value,) * rank
    if len(listed) != rank:
        raise bad_argument(layer, "output_size", value, f"an int >= 1 or None, or {rank} of them")
    return tuple(None if v is None else whole(layer, "output_size", v) for v in listed)


def _adapted(layer: str, rank: int, x: Any, output_size: Any) -> Any:
    x, alone = batched(layer, wide_enough(layer, _data(layer, x, rank), (1,) * rank, (0,) * rank), rank)
    for axis, count in enumerate(_parts(layer, output_size, rank), 2):
        if count is not None:
            x = _in_parts(x, axis, count)
    return unbatched(x, alone)


def _in_parts(x: Any, axis: int, count: int) -> Any:
    """The means of `count` parts of one axis."""
    size = x.shape[axis]
    before, behind = tuple(x.shape[:axis]), tuple(x.shape[axis + 1 :])
    if count == 1:
        return mean(x, axis=axis, keepdims=True)
    if isinstance(size, int) and size % count == 0:
        return mean(reshape(x, (*before, count, size // count, *behind)), axis=axis + 1)
    most = dims.ceildiv(size, count) + 1  # places of a part
    part = iota((count, 1), 0, beside=(x,))
    begin = part * size // count
    length = ((part + 1) * size + (count - 1)) // count - begin
    number = iota((1, most), 1, beside=(x,))
    shown = take(x, minimum(begin + number, size - 1), axis=axis)
    ones = (1,) * len(behind)
    inner = reshape(broadcast_to(number < length, (count, most)), (count, most, *ones))
    return sum(where(inner, shown, 0.0), axis=axis + 1) / reshape(cast(length, x.dtype), (count, *ones))


class _Pooling(Module):
    """Arguments kept as they were given, as PyTorch prints them."""

    _rank: int
    _shown: tuple[str, ...] = ()

    def _take(self, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: Any) -> _Frame:
        frame = _Frame.checked(type(self).__name__, self._rank, kernel_size, stride, padding, dilation, ceil_mode)
        self.kernel_size, self.padding, self.ceil_mode = kernel_size, padding, frame.ceil_mode
        self.stride = kernel_size if stride is None else stride
        return frame

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={getattr(self, name)}" for name in self._shown)


class MaxPool2d(_Pooling):
    """`max_pool2d`, whose arguments it takes.

    >>> import graphc as gc
    >>> layer = gc.nn.MaxPool2d(2)
    >>> layer, layer(gc.input("x", ("n", 6, 28, 28))).shape
    (MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False), (n, 6, 14, 14))
    """

    _rank = 2
    _shown = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ):
        self._take(kernel_size, stride, padding, dilation, ceil_mode)
        self.dilation, self.return_indices = dilation, flag(type(self).__name__, "return_indices", return_indices)

    def forward(self, x: Any) -> Any:
        layer = repr(self)
        given = (self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)
        return _largest(layer, x, _Frame.checked(layer, self._rank, *given), self.return_indices)


class MaxPool1d(MaxPool2d):
    """`max_pool1d`, whose arguments it takes.

    >>> import graphc as gc
    >>> gc.nn.MaxPool1d(2)(gc.input("x", ("n", 6, 28))).shape
    (n, 6, 14)
    """

    _rank = 1


class AvgPool2d(_Pooling):
    """`avg_pool2d`, whose arguments it takes.

    >>> import graphc as gc
    >>> layer = gc.nn.AvgPool2d(2)
    >>> layer, layer(gc.input("x", ("n", 6, 28, 28))).shape
    (AvgPool2d(kernel_size=2, stride=2, padding=0), (n, 6, 14, 14))
    """

    _rank = 2
    _shown = ("kernel_size", "stride", "padding")

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ):
        self._take(kernel_size, stride, padding, 1, ceil_mode)
        self.count_include_pad = flag("AvgPool2d", "count_include_pad", count_include_pad)
        self.divisor_override = (
            None if divisor_override is None else whole("AvgPool2d", "divisor_override", divisor_override)
        )

    def forward(self, x: Any) -> Any:
        return avg_pool2d(
            x,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
            layer=repr(self),
        )


class AvgPool1d(_Pooling):
    """`avg_pool1d`, whose arguments it takes.

    >>> import graphc as gc
    >>> layer = gc.nn.AvgPool1d(2)
    >>> layer, layer(gc.input("x", ("n", 6, 28))).shape
    (AvgPool1d(kernel_size=(2,), stride=(2,), padding=(0,)), (n, 6, 14))
    """

    _rank = 1
    _shown = ("kernel_size", "stride", "padding")

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ):
        frame = self._take(kernel_size, stride, padding, 1, ceil_mode)
        self.kernel_size, self.stride, self.padding = frame.kernel, frame.stride, frame.padding
        self.count_include_pad = flag("AvgPool1d", "count_include_pad", count_include_pad)

    def forward(self, x: Any) -> Any:
        return avg_pool1d(
            x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad, layer=repr(self)
        )


class _Adaptive(_Pooling):
    _shown = ("output_size",)

    def __init__(self, output_size: Any):
        _parts(type(self).__name__, output_size, self._rank)
        self.output_size = output_size

    def forward(self, x: Any) -> Any:
        return _adapted(repr(self), self._rank, x, self.output_size)


class AdaptiveAvgPool2d(_Adaptive):
    """`adaptive_avg_pool2d` to `output_size`.

    >>> import graphc as gc
    >>> gc.nn.AdaptiveAvgPool2d((5, 5))(gc.input("x", ("n", 6, 28, 28))).shape
    (n, 6, 5, 5)
    """

    _rank = 2


class AdaptiveAvgPool1d(_Adaptive):
    """`adaptive_avg_pool1d` to `output_size`.

    >>> import graphc as gc
    >>> gc.nn.AdaptiveAvgPool1d(5)(gc.input("x", ("n", 6, 28))).shape
    (n, 6, 5)
    """

    _rank = 1


__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AvgPool1d",
    "AvgPool2d",
    "MaxPool1d",
    "MaxPool2d",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "avg_pool1d",
    "avg_pool2d",
    "max_pool1d",
    "max_pool2d",
]
