"""Convolution and transposed convolution in PyTorch's arguments and defaults: functions, and layers over them.

"Convolution" is what all of machine learning calls it: the kernel is not flipped. Data are [batch, channels, *spatial],
or without the batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..arguments import bad_argument, whole
from ..errors import count
from ..ir import dims
from ..ir.apply import apply
from ..ir.dims import DimLike
from ..ops.convolution import CONVOLVE, CONVOLVE_TRANSPOSED
from ..ops.guarding import inside
from ..ops.movement import reshape
from ..ops.padding import pad
from . import init
from .checks import choice, flag, float_of, ill_shaped, together
from .module import Module
from .parameter import Parameter
from .spatial import Ints, batched, has_spatial, per_axis, positions, unbatched, wide_enough

PADDING_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


@dataclass(frozen=True)
class _Steps:
    """How a kernel goes along data, checked: an int for each spatial axis; padding may be "same" or "valid"."""

    stride: Ints
    padding: Any
    dilation: Ints
    groups: int

    @classmethod
    def checked(
        cls, layer: str, rank: int, stride: Any, padding: Any, dilation: Any, groups: Any, transposed: bool = False
    ) -> _Steps:
        steps = per_axis(layer, "stride", stride, rank, 1)
        dilations = per_axis(layer, "dilation", dilation, rank, 1)
        if transposed or not isinstance(padding, str):
            padding = per_axis(layer, "padding", padding, rank, 0)
        elif padding not in ("same", "valid"):
            raise bad_argument(layer, "padding", padding, "'same', 'valid', or ints >= 0")
        elif padding == "same" and set(steps) != {1}:
            raise bad_argument(layer, "padding", padding, "stride 1 with it", "give the padding as ints")
        return cls(steps, padding, dilations, whole(layer, "groups", groups))

    def around(self, kernel: Ints) -> tuple[tuple[int, int], ...]:
        """Places before and behind, for each axis."""
        if self.padding == "same":
            totals = [d * (k - 1) for k, d in zip(kernel, self.dilation, strict=True)]
            return tuple((t // 2, t - t // 2) for t in totals)
        return tuple((p, p) for p in ((0,) * len(kernel) if self.padding == "valid" else self.padding))


def conv1d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    layer: str = "conv1d",
) -> Any:
    """Convolution of `x` [batch, in, length] with `weight` [out, in / groups, places]; see `conv2d`.

    >>> from graphc import eager, nn
    >>> nn.conv1d(eager.tensor([[[1.0, 2.0, 4.0]]]), eager.tensor([[[1.0, 1.0]]]))
    tensor([[[3., 6.]]])
    """
    return _convolved(layer, x, weight, bias, _Steps.checked(layer, 1, stride, padding, dilation, groups))


def conv2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    layer: str = "conv2d",
) -> Any:
    """``y[n, o, p] = bias[o] + sum over c, k of weight[o, c, k] * x[n, c, p * stride + k * dilation - padding]``.

    x         [batch, in, height, width], or without batch; 0 beyond its edges
    weight    [out, in / groups, kernel height, kernel width]
    bias      [out], or None
    stride, padding, dilation   an int, or one for each spatial axis; padding may be "valid" (none) or "same" (as many
              places as make the result as large as `x`, the odd one behind; for stride 1)
    groups    channels in as many parts, each convolved by its own part of the weights

    >>> import graphc as gc
    >>> gc.nn.conv2d(gc.input("x", ("n", 3, 32, 32)), gc.input("w", (8, 3, 5, 5)), stride=2, padding=2).shape
    (n, 8, 16, 16)
    """
    return _convolved(layer, x, weight, bias, _Steps.checked(layer, 2, stride, padding, dilation, groups))


def conv_transpose1d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
    *,
    layer: str = "conv_transpose1d",
) -> Any:
    """Transposed convolution of `x` [batch, in, length] with `weight` [in, out / groups, places].

    See `conv_transpose2d`.

    >>> from graphc import eager, nn
    >>> nn.conv_transpose1d(eager.tensor([[[1.0, 2.0]]]), eager.tensor([[[1.0, 10.0]]]))
    tensor([[[ 1., 12., 20.]]])
    """
    steps = _Steps.checked(layer, 1, stride, padding, dilation, groups, transposed=True)
    return _spread(layer, x, weight, bias, steps, output_padding)


def conv_transpose2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
    *,
    layer: str = "conv_transpose2d",
) -> Any:
    """The gradient of `conv2d` by its data, as a function: ``y[n, o, p * stride + k * dilation - padding] += w * x``.

    x               [batch, in, height, width], or without batch
    weight          [in, out / groups, kernel height, kernel width]
    bias            [out], or None
    padding         how many places are cut off at each side
    output_padding  how many more there are behind, less than stride or dilation: several sizes come from one `x`

    The result has ``(size - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1`` places.

    >>> import graphc as gc
    >>> gc.nn.conv_transpose2d(gc.input("x", ("n", 3, 8, 8)), gc.input("w", (3, 4, 3, 3)), stride=2, padding=1).shape
    (n, 4, 15, 15)
    """
    steps = _Steps.checked(layer, 2, stride, padding, dilation, groups, transposed=True)
    return _spread(layer, x, weight, bias, steps, output_padding)


def _kernel(layer: str, weight: Any, rank: int, names: str) -> Ints:
    """The spatial sizes of the weights, which must be known."""
    if len(weight.shape) != rank + 2:
        raise ill_shaped(layer, f"a weight {names} and {rank} spatial axes", weight)
    sizes = tuple(weight.shape[2:])
    if not all(isinstance(k, int) and k > 0 for k in sizes):
        raise ill_shaped(layer, "a weight whose spatial sizes are ints > 0", weight)
    return sizes


def _channels(layer: str, x: Any, rank: int, wanted: DimLike) -> None:
    """`x` must have axes for a convolution, and as many channels as its weight."""
    has_spatial(layer, x, rank)
    if dims.equal(x.shape[-rank - 1], wanted) is False:
        axis = len(x.shape) - rank - 1
        raise ill_shaped(layer, f"{wanted} channels, as its weight has, on axis {axis}", x)


def _parts(layer: str, weight: Any, groups: int) -> DimLike:
    """The first size of the weights, in each of `groups` parts."""
    if isinstance(weight.shape[0], int) and weight.shape[0] % groups:
        raise ill_shaped(layer, f"a weight whose first size groups = {groups} divides", weight)
    return dims.floordiv(weight.shape[0], groups)


def _convolved(layer: str, x: Any, weight: Any, bias: Any, steps: _Steps) -> Any:
    rank, parts = len(steps.stride), steps.groups
    x, weight, bias = together(layer, x, weight, bias)
    kernel = _kernel(layer, weight, rank, "[out, in / groups]")
    around = steps.around(kernel)
    out, own = weight.shape[:2]
    _channels(layer, x, rank, own * parts)
    each = _parts(layer, weight, parts)
    reach = tuple((k - 1) * d + 1 for k, d in zip(kernel, steps.dilation, strict=True))
    both = tuple(a + b for a, b in around)
    x, alone = batched(layer, wide_enough(layer, x, reach, both), rank)
    size = tuple(
        positions(n + more, need, s) for n, more, need, s in zip(x.shape[2:], both, reach, steps.stride, strict=True)
    )
    y = apply(
        CONVOLVE,
        reshape(x, (x.shape[0], parts, own, *x.shape[2:])),
        reshape(weight, (parts, each, own, *kernel)),
        strides=steps.stride,
        dilations=steps.dilation,
        low=tuple(a for a, _ in around),
        size=size,
    )
    return unbatched(_biased(layer, reshape(y, (x.shape[0], out, *size)), bias, out), alone)


def _biased(layer: str, y: Any, bias: Any, channels: DimLike) -> Any:
    if bias is None:
        return y
    if len(bias.shape) != 1 or dims.equal(bias.shape[0], channels) is False:
        raise ill_shaped(layer, f"a bias [{channels}]", bias)
    return y + reshape(bias, (channels, *[1] * (len(y.shape) - 2)))


def _spread(layer: str, x: Any, weight: Any, bias: Any, steps: _Steps, output_padding: Any) -> Any:
    rank, parts = len(steps.stride), steps.groups
    x, weight, bias = together(layer, x, weight, bias)
    kernel = _kernel(layer, weight, rank, "[in, out / groups]")
    more = per_axis(layer, "output_padding", output_padding, rank, 0)
    if any(m >= max(s, d) for m, s, d in zip(more, steps.stride, steps.dilation, strict=True)):
        raise bad_argument(layer, "output_padding", output_padding, "less than stride or dilation")
    channels, own = weight.shape[:2]
    _channels(layer, x, rank, channels)
    inner = _parts(layer, weight, parts)
    given = x
    for axis, n in enumerate(x.shape[-rank:], len(x.shape) - rank):
        k = axis - len(x.shape)
        cut = 2 * steps.padding[k] - steps.dilation[k] * (kernel[k] - 1) - more[k]
        least = max(1, 1 - -cut // steps.stride[k])
        if isinstance(n, int) and n < least:
            raise ill_shaped(layer, f"at least {count(least, 'place')} on axis {axis}, for a result of one", given)
        x = inside(x, axis, least - 1)
    x, alone = batched(layer, x, rank)
    size = tuple(
        (n - 1) * s - 2 * a + d * (k - 1) + m + 1
        for n, s, a, d, k, m in zip(x.shape[2:], steps.stride, steps.padding, steps.dilation, kernel, more, strict=True)
    )
    y = apply(
        CONVOLVE_TRANSPOSED,
        reshape(x, (x.shape[0], parts, inner, *x.shape[2:])),
        reshape(weight, (parts, inner, own, *kernel)),
        strides=steps.stride,
        dilations=steps.dilation,
        low=steps.padding,
        size=size,
    )
    return unbatched(_biased(layer, reshape(y, (x.shape[0], own * parts, *size)), bias, own * parts), alone)


class _Convolution(Module):
    """What the layers have in common; `_rank` is the number of spatial axes, `_transposed` which of the two it is."""

    _rank: int
    _transposed = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        dtype: Any = "float32",
        seed: Any = None,
    ):
        name = type(self).__name__
        self.in_channels = whole(name, "in_channels", in_channels)
        self.out_channels = whole(name, "out_channels", out_channels)
        self.kernel_size = per_axis(name, "kernel_size", kernel_size, self._rank, 1)
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups
        vars(self).update(vars(self._steps(name)))
        self.padding_mode = choice(name, "padding_mode", padding_mode, tuple(PADDING_MODES))
        for argument in ("in_channels", "out_channels"):
            if getattr(self, argument) % self.groups:
                expected = f"a multiple of groups = {self.groups}"
                raise bad_argument(name, argument, getattr(self, argument), expected)
        given, stream = float_of(name, dtype), init.generator(seed)
        first, second = (
            (self.in_channels, self.out_channels) if self._transposed else (self.out_channels, self.in_channels)
        )
        second //= self.groups
        self.weight = Parameter(np.zeros((first, second, *self.kernel_size), given))
        self.bias = Parameter(np.zeros(self.out_channels, given)) if flag(name, "bias", bias) else None
        for own in self.parameters():
            init.fan_in_bound_(own, second * math.prod(self.kernel_size), stream)

    def _steps(self, layer: str) -> _Steps:
        own = (self.stride, self.padding, self.dilation, self.groups)
        return _Steps.checked(layer, self._rank, *own, self._transposed)

    def extra_repr(self) -> str:
        rank = self._rank
        parts = [f"{self.in_channels}, {self.out_channels}"]
        parts += [f"kernel_size={self.kernel_size}, stride={self.stride}"]
        output_padding = getattr(self, "output_padding", (0,) * rank)
        parts += [f"padding={self.padding}"] if self.padding != (0,) * rank else []
        parts += [f"dilation={self.dilation}"] if self.dilation != (1,) * rank else []
        parts += [f"output_padding={output_padding}"] if output_padding != (0,) * rank else []
        parts += [f"groups={self.groups}"] if self.groups != 1 else []
        parts += ["bias=False"] if self.bias is None else []
        parts += [f"padding_mode={self.padding_mode}"] if self.padding_mode != "zeros" else []
        return ", ".join(parts)


class _Forward(_Convolution):
    def forward(self, x: Any) -> Any:
        layer, rank = repr(self), self._rank
        steps = self._steps(layer)
        if self.padding_mode != "zeros":
            x, *_ = together(layer, x, self.weight)
            if len(x.shape) in (rank + 1, rank + 2):
                self._must_have_room(layer, x, steps.around(self.kernel_size))
                around = (*[(0, 0)] * (len(x.shape) - rank), *steps.around(self.kernel_size))
                x, steps = pad(x, around, PADDING_MODES[self.padding_mode]), replace(steps, padding="valid")
        return _convolved(layer, x, self.weight, self.bias, steps)

    def _must_have_room(self, layer: str, x: Any, around: tuple[tuple[int, int], ...]) -> None:
        """An axis must have what is copied beyond its edges, once; `pad` sees to sizes that are named."""
        skipped = 1 if self.padding_mode == "reflect" else 0
        for axis, pair in enumerate(around, len(x.shape) - len(around)):
            need = 1 if self.padding_mode == "replicate" else max(pair) + skipped
            if max(pair) and isinstance(x.shape[axis], int) and x.shape[axis] < need:
                raise ill_shaped(layer, f"at least {count(need, 'place')} on axis {axis}, which its padding copies", x)


class Conv1d(_Forward):
    """`conv1d` of [batch, in_channels, length], or without batch; arguments and first values as of `Conv2d`.

    >>> import graphc as gc
    >>> gc.nn.Conv1d(3, 4, 5, padding="same")(gc.input("x", ("n", 3, 100), "float32")).shape
    (n, 4, 100)
    """

    _rank = 1


class Conv2d(_Forward):
    """`conv2d` of [batch, in_channels, height, width], or without batch.

    kernel_size, stride, dilation   an int, or (along height, along width)
    padding                         the same; or "valid", or "same"
    groups                          channels in as many parts; both numbers of channels are multiples of it
    padding_mode                    what stands beyond the edges: "zeros", "reflect", "replicate", "circular"
    dtype, seed                     as of `Linear`

    weight  [out_channels, in_channels / groups, *kernel_size]; at first uniform in +-1 / sqrt of the number of terms
    bias    [out_channels], the same; None without

    Raises `ShapeError` and `DTypeError` for data that do not fit.

    >>> import graphc as gc
    >>> layer = gc.nn.Conv2d(1, 6, 5, padding=2, seed=0)
    >>> layer, layer(gc.input("x", ("n", 1, 28, 28), "float32")).shape
    (Conv2d(1, 6, kernel_size=(5, 5), stride=(1, 1), padding=(2, 2)), (n, 6, 28, 28))
    """

    _rank = 2


class _Transposed(_Convolution):
    _transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        dtype: Any = "float32",
        seed: Any = None,
    ):
        name = type(self).__name__
        choice(name, "padding_mode", padding_mode, ("zeros",))
        self.output_padding = per_axis(name, "output_padding", output_padding, self._rank, 0)
        if isinstance(padding, str):
            raise bad_argument(name, "padding", padding, "ints >= 0")
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, dtype, seed
        )

    def forward(self, x: Any, output_size: Any = None) -> Any:
        layer = repr(self)
        more = self.output_padding if output_size is None else self._behind(layer, x, output_size)
        return _spread(layer, x, self.weight, self.bias, self._steps(layer), more)

    def _behind(self, layer: str, x: Any, output_size: Any) -> Ints:
        """The output padding that gives a result of this size."""
        rank = self._rank
        wanted = tuple(output_size)[-rank:]
        least = [
            (n - 1) * s - 2 * a + d * (k - 1) + 1
            for n, s, a, d, k in zip(
                x.shape[-rank:], self.stride, self.padding, self.dilation, self.kernel_size, strict=True
            )
        ]
        more = [w - n for w, n in zip(wanted, least, strict=False)]
        fits = all(isinstance(m, int) and 0 <= m < s for m, s in zip(more, self.stride, strict=False))
        if len(tuple(output_size)) not in (rank, rank + 1, rank + 2) or not fits:
            ranges = ", ".join(f"{n} to {n + s - 1}" for n, s in zip(least, self.stride, strict=True))
            raise bad_argument(layer, "output_size", output_size, f"sizes from {ranges}")
        return tuple(more)


class ConvTranspose1d(_Transposed):
    """`conv_transpose1d` of [batch, in_channels, length], or without batch; arguments as of `ConvTranspose2d`.

    >>> import graphc as gc
    >>> gc.nn.ConvTranspose1d(3, 4, 2, stride=2)(gc.input("x", ("n", 3, 100), "float32")).shape
    (n, 4, 200)
    """

    _rank = 1


class ConvTranspose2d(_Transposed):
    """`conv_transpose2d` of [batch, in_channels, height, width], or without batch.

    Arguments as of `Conv2d`; besides, `output_padding` adds places behind, and a call may say ``output_size=`` instead,
    (height, width). Only zeros as `padding_mode`.

    weight  [in_channels, out_channels / groups, *kernel_size]

    >>> import graphc as gc
    >>> layer = gc.nn.ConvTranspose2d(6, 1, 3, stride=2, padding=1)
    >>> x = gc.input("x", ("n", 6, 14, 14), "float32")
    >>> layer(x).shape, layer(x, output_size=(28, 28)).shape
    ((n, 1, 27, 27), (n, 1, 28, 28))
    """

    _rank = 2


__all__ = [
    "Conv1d",
    "Conv2d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "conv1d",
    "conv2d",
    "conv_transpose1d",
    "conv_transpose2d",
]
