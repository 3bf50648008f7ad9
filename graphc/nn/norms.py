"""Normalisation: `BatchNorm1d`, `BatchNorm2d`, `LayerNorm`, `GroupNorm`, and the functions beneath.

All divide deviations from a mean by ``sqrt(var + eps)``, with the biased variance, and then scale and shift.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..arguments import bad_argument, whole
from ..eager.core import Tensor as Eager
from ..eager.modes import no_grad
from ..ir import dims
from ..ir.apply import cast, lift
from ..ir.leaves import Param
from ..ir.owed import Owed
from ..ir.tensor import Tensor, meaning
from ..ops.elementwise import greater, stop_gradient, where
from ..ops.guarding import unless
from ..ops.movement import reshape
from ..ops.power import sqrt
from ..ops.statistics import mean
from .checks import flag, float_of, has_rank, has_size, ill_shaped, number, together
from .module import Module
from .parameter import Buffer, Parameter


def _normalised(x: Any, centre: Any, spread: Any, eps: float) -> Any:
    with meaning("deviation"):
        deviation = sqrt(spread + eps)
    with meaning("normal"):
        return (x - centre) / deviation


def _moments(x: Any, axes: tuple[int, ...], checked: Callable[[Any], Any] = lambda centre: centre) -> tuple[Any, Any]:
    """Mean, as `checked` gives it back, and biased variance along `axes`, which stay with size 1; in two passes."""
    centre = checked(mean(x, axis=axes, keepdims=True))
    with meaning("centred"):
        centred = x - centre
    with meaning("variance"):
        return centre, mean(centred * centred, axis=axes, keepdims=True)


def _affine(x: Any, weight: Any, bias: Any, shape: Sequence[Any]) -> Any:
    """``x * weight + bias``, of factors in this shape; either may be None."""
    if weight is not None:
        x = x * reshape(weight, tuple(shape))
    return x if bias is None else x + reshape(bias, tuple(shape))


def layer_norm(
    x: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5, *, layer: str = "layer_norm"
) -> Any:
    """`x` normalised over its last axes, which are `normalized_shape` (Ba and others 2016).

    >>> from graphc import eager, nn
    >>> nn.layer_norm(eager.tensor([[1.0, 3.0]]), (2,))
    tensor([[-1.0000,  1.0000]])
    """
    last = _sizes(layer, normalized_shape)
    x, weight, bias = together(layer, x, weight, bias)
    for k, size in enumerate(last):
        x = has_size(layer, x, k - len(last), size, "normalized_shape")
    axes = tuple(range(len(x.shape) - len(last), len(x.shape)))
    return _affine(_normalised(x, *_moments(x, axes), eps), weight, bias, last)


def _sizes(layer: str, shape: Any) -> tuple[int, ...]:
    listed = shape if isinstance(shape, (tuple, list)) else (shape,)
    if not listed:
        raise bad_argument(layer, "normalized_shape", shape, "at least one size")
    return tuple(whole(layer, "normalized_shape", size) for size in listed)


def group_norm(
    x: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5, *, layer: str = "group_norm"
) -> Any:
    """`x` [batch, channels, ...] normalised over groups of channels and all that follows (Wu and He 2018).

    >>> from graphc import eager, nn
    >>> nn.group_norm(eager.tensor([[1.0, 3.0, 10.0, 30.0]]), 2)
    tensor([[-1.0000,  1.0000, -1.0000,  1.0000]])
    """
    x, weight, bias = together(layer, x, weight, bias)
    groups = whole(layer, "num_groups", num_groups)
    if len(x.shape) < 2:
        raise ill_shaped(layer, "at least 2 axes, [batch, channels, ...]", x)
    batch, channels, *rest = x.shape
    if isinstance(channels, int) and channels % groups:
        raise ill_shaped(layer, f"channels that num_groups = {groups} divides on axis 1", x)
    parts = reshape(x, (batch, groups, channels // groups, *rest))
    normal = _normalised(parts, *_moments(parts, tuple(range(2, len(parts.shape)))), eps)
    return _affine(reshape(normal, tuple(x.shape)), weight, bias, (channels, *[1] * len(rest)))


class LayerNorm(Module):
    """`layer_norm`, with a weight (at first 1) and a bias (at first 0) in the shape that is normalised.

    normalized_shape    sizes of the last axes, or the last size
    elementwise_affine  whether there is a weight; then `bias` says whether there is a bias too

    >>> from graphc import nn
    >>> nn.LayerNorm(8)
    LayerNorm((8,), eps=1e-05, elementwise_affine=True, bias=True)
    """

    def __init__(
        self,
        normalized_shape: Any,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: Any = "float32",
    ):
        self.normalized_shape = _sizes("LayerNorm", normalized_shape)
        self.eps = number("LayerNorm", "eps", eps, 0.0)
        self.elementwise_affine = flag("LayerNorm", "elementwise_affine", elementwise_affine)
        given, biased = float_of("LayerNorm", dtype), flag("LayerNorm", "bias", bias) and elementwise_affine
        self.weight = Parameter(np.ones(self.normalized_shape, given)) if elementwise_affine else None
        self.bias = Parameter(np.zeros(self.normalized_shape, given)) if biased else None

    def forward(self, x: Any) -> Any:
        return layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps, layer=repr(self))

    def extra_repr(self) -> str:
        affine = f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        return f"{self.normalized_shape}, eps={self.eps}, {affine}"


class GroupNorm(Module):
    """`group_norm`, with a weight (at first 1) and a bias (at first 0) for each channel.

    affine, bias   whether there are a weight, and a bias, which needs `affine`

    >>> from graphc import nn
    >>> nn.GroupNorm(2, 6)
    GroupNorm(2, 6, eps=1e-05, affine=True, bias=True)
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        *,
        bias: bool = True,
        dtype: Any = "float32",
    ):
        self.num_groups = whole("GroupNorm", "num_groups", num_groups)
        self.num_channels = whole("GroupNorm", "num_channels", num_channels)
        if self.num_channels % self.num_groups:
            raise bad_argument("GroupNorm", "num_channels", num_channels, f"a multiple of num_groups = {num_groups}")
        self.eps = number("GroupNorm", "eps", eps, 0.0)
        self.affine, given = flag("GroupNorm", "affine", affine), float_of("GroupNorm", dtype)
        self.weight = Parameter(np.ones(self.num_channels, given)) if affine else None
        self.bias = (
            Parameter(np.zeros(self.num_channels, given)) if flag("GroupNorm", "bias", bias) and affine else None
        )

    def forward(self, x: Any) -> Any:
        (x,) = lift(x)
        x = has_size(repr(self), x, 1, self.num_channels, "num_channels")
        return group_norm(x, self.num_groups, self.weight, self.bias, self.eps, layer=repr(self))

    def extra_repr(self) -> str:
        affine = f"affine={self.affine}, bias={self.bias is not None}"
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, {affine}"


_MANY = "more than 1 value per channel in training"
_HINT = (
    "drop_last=True, of step.run or a DataLoader, leaves out a last batch that is too small; for predictions, "
    "model.eval() before the model is called"
)


class BatchNorm(Module):
    """Batch norm over all axes but 1 (Ioffe and Szegedy 2015), for the numbers of axes in `_RANKS`.

    In training (`Module.train`, the default) it takes mean and variance of the batch, and moves the running ones
    towards them (the unbiased variance) by the share `momentum`; None: the average of all batches. Evaluating
    (`Module.eval`) it takes the running ones. Called on eager tensors it moves them at once; a graph has no such
    moment, so its step must be told: ``gc.compile(updates={**trained, **model.updates()})``. Several calls in one graph
    move them one after the other, in the order of the calls; a repeated call on the same tensor counts once.

    num_features         channels, the size of axis 1
    momentum             the share, or None
    affine, bias         whether there are a weight (at first 1) and a bias (at first 0), which needs `affine`
    track_running_stats  whether there are running statistics; without, those of the batch are always taken

    Raises `ShapeError` for a batch with one value per channel in training, for it has no variance; where the size is
    named, when a step is called, which then changes nothing. A batch of no rows leaves the running statistics alone.
    """

    _RANKS: tuple[int, ...] = ()

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        bias: bool = True,
        dtype: Any = "float32",
    ):
        name = type(self).__name__
        self.num_features = whole(name, "num_features", num_features)
        self.eps = number(name, "eps", eps, 0.0)
        self.momentum = None if momentum is None else number(name, "momentum", momentum, 0.0, 1.0)
        self.affine = flag(name, "affine", affine)
        self.track_running_stats = flag(name, "track_running_stats", track_running_stats)
        given, n = float_of(name, dtype), self.num_features
        self.weight = Parameter(np.ones(n, given)) if affine else None
        self.bias = Parameter(np.zeros(n, given)) if flag(name, "bias", bias) and affine else None
        self.running_mean = Buffer(np.zeros(n, given)) if track_running_stats else None
        self.running_var = Buffer(np.ones(n, given)) if track_running_stats else None
        self.num_batches_tracked = Buffer(np.zeros((), np.int64)) if track_running_stats else None

    def forward(self, x: Any) -> Any:
        x, weight, bias, running_mean, running_var = together(
            repr(self), x, self.weight, self.bias, self.running_mean, self.running_var
        )
        has_rank(repr(self), x, *self._RANKS)
        x = has_size(repr(self), x, 1, self.num_features, "num_features")
        shape = (self.num_features, *[1] * (len(x.shape) - 2))
        if self.training or running_mean is None:
            centre, spread = self._of_batch(x)
        else:
            centre, spread = reshape(running_mean, shape), reshape(running_var, shape)
        result = _affine(_normalised(x, centre, spread, self.eps), weight, bias, shape)
        if self.training and running_mean is not None and self.momentum != 0.0 and isinstance(result, Tensor):
            vars(self)["_pending"].owed.of(result, centre, spread)  # a derivative may need the last only
        return result

    def _of_batch(self, x: Any) -> tuple[Any, Any]:
        """The statistics of a batch, axes kept; in training the running ones learn of them."""
        axes = tuple(k for k in range(len(x.shape)) if k != 1)
        count = dims.product([x.shape[k] for k in axes])
        if self.training and count == 1:
            raise ill_shaped(repr(self), _MANY, x, hint=_HINT)

        def checked(centre: Any) -> Any:
            return unless(centre, count, 1, f"{_MANY} of {self!r}", _HINT) if self.training else centre

        centre, spread = _moments(x, axes, checked)
        if self.training and self.running_mean is not None:
            batch = [reshape(stop_gradient(s), (self.num_features,)) for s in (centre, spread)]
            self._track(x, batch[0], batch[1], count)
        return centre, spread

    def _track(self, x: Any, centre: Any, spread: Any, count: Any) -> None:
        own: list[Any] = [self.running_mean, self.running_var, self.num_batches_tracked]
        if isinstance(count, int):
            unbiased, any_rows = spread * count / (count - 1), count > 0
        else:
            with meaning("unbiased"):
                unbiased = spread * (_as(count, x) / _as(count - 1, x))
            with meaning("any_rows"):
                any_rows = greater(_as(count, x), 0.0)

        def moved(old: Sequence[Any], centre: Any, spread: Any) -> tuple[Any, ...]:
            mean, variance, number = self._moved(old, centre, spread)
            if any_rows is True:
                return mean, variance, number
            return where(any_rows, mean, old[0]), where(any_rows, variance, old[1]), number

        if isinstance(x, Eager):
            with no_grad():
                old = lift(*own, beside=(x,))
                for param, value in zip(own, moved(old, centre, unbiased), strict=True):
                    param.state.write(value._array)
            return
        pending = vars(self).get("_pending")
        if pending is None or pending.owed.asked:  # a new graph begins
            pending = vars(self)["_pending"] = _Pending(Owed(type(self).__name__, tuple(own)))
        pending.add(own, centre, unbiased, moved)

    def _moved(self, old: Sequence[Any], centre: Any, spread: Any) -> tuple[Any, Any, Any]:
        """The running mean, variance and number of batches after one more batch."""
        number = old[2] + 1
        share: Any = self.momentum
        if share is None:
            share = 1.0 / cast(number, centre.dtype)
        return old[0] * (1.0 - share) + centre * share, old[1] * (1.0 - share) + spread * share, number

    def own_updates(self) -> Mapping[Param, Any]:
        pending = vars(self).get("_pending")
        return {} if pending is None else pending.collect()

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


def _as(count: Any, x: Any) -> Any:
    """A size as a 0-d tensor of the dtype of `x`."""
    return cast(lift(count, beside=(x,))[0], x.dtype)


class _Pending:
    """What the calls in a graph make of the running statistics, until they are asked for and a new graph begins."""

    def __init__(self, owed: Owed) -> None:
        self.owed = owed
        self.values: dict[Param, Any] = {}
        self.seen: set[Tensor] = set()

    def add(self, own: Sequence[Any], centre: Any, spread: Any, moved: Any) -> None:
        """One more call, whose batch has these statistics."""
        if centre in self.seen:
            return
        self.seen.add(centre)
        old = [self.values.get(param, param) for param in own]
        self.values.update(zip(own, moved(old, centre, spread), strict=True))

    def collect(self) -> dict[Param, Any]:
        """The new values."""
        self.owed.asked = True
        return dict(self.values)


class BatchNorm1d(BatchNorm):
    """`BatchNorm` of [batch, channels] or [batch, channels, length].

    >>> from graphc import nn
    >>> nn.BatchNorm1d(3)
    BatchNorm1d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    """

    _RANKS = (2, 3)


class BatchNorm2d(BatchNorm):
    """`BatchNorm` of [batch, channels, height, width].

    >>> from graphc import eager, nn
    >>> norm = nn.BatchNorm2d(1)
    >>> norm(eager.tensor([[[[1.0, 3.0]]]])), norm.running_mean
    (tensor([[[[-1.0000,  1.0000]]]], grad_fn=<AddBackward>), tensor([0.2000]))
    """

    _RANKS = (4,)
