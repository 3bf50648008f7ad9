"""`Linear`, `Flatten` and `Identity`."""

from __future__ import annotations

import string
from typing import Any

import numpy as np

from ..arguments import whole
from ..ir import dims
from ..ir.apply import lift
from ..ops.linalg import contract_labelled
from ..ops.movement import reshape
from . import init
from .checks import flag, float_of, has_size, ill_shaped, together
from .module import Module
from .parameter import Parameter

_ROWS = "".join(c for c in string.ascii_letters if c not in "kn")
"""Letters for the axes of data that are no features."""


def linear(x: Any, weight: Any, bias: Any = None, *, layer: str = "linear") -> Any:
    """``x @ weight.T + bias``: `x` is [..., in], `weight` [out, in], `bias` [out].

    >>> from graphc import eager, nn
    >>> nn.linear(eager.tensor([[1.0, 2.0]]), eager.tensor([[10.0, 1.0]]), eager.tensor([0.5]))
    tensor([[12.5000]])
    """
    x, weight, bias = together(layer, x, weight, bias)
    if len(weight.shape) != 2:
        raise ill_shaped(layer, "a weight [out, in]", weight)
    x = has_size(layer, x, -1, weight.shape[1], "in_features")
    rows = _ROWS[: len(x.shape) - 1]
    y = contract_labelled("linear", x, rows + "k", weight, "nk", rows + "n")  # no copy of the weight is transposed
    return y if bias is None else y + bias


class Linear(Module):
    """``x @ weight.T + bias``.

    in_features, out_features   sizes of the last axis of `x`, and of the result
    bias                        whether there is one
    dtype                       of the parameters, and of the data they take
    seed                        for the first values: an int or a generator; None draws from `init.manual_seed`'s stream

    weight  [out_features, in_features], at first uniform in +-1 / sqrt(in_features)
    bias    [out_features], the same; None without

    Raises `ShapeError` and `DTypeError` for data that do not fit.

    >>> import graphc as gc
    >>> layer = gc.nn.Linear(4, 2, seed=0)
    >>> layer(gc.input("x", ("n", 4), "float32")).shape, layer.weight.name
    ((n, 2), 'weight')
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, dtype: Any = "float32", seed: Any = None
    ):
        self.in_features = whole("Linear", "in_features", in_features)
        self.out_features = whole("Linear", "out_features", out_features)
        given, stream = float_of("Linear", dtype), init.generator(seed)
        self.weight = Parameter(np.zeros((self.out_features, self.in_features), given))
        self.bias = Parameter(np.zeros(self.out_features, given)) if flag("Linear", "bias", bias) else None
        for own in self.parameters():
            init.fan_in_bound_(own, self.in_features, stream)

    def forward(self, x: Any) -> Any:
        return linear(x, self.weight, self.bias, layer=repr(self))

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Flatten(Module):
    """Axes `start_dim` to `end_dim` as one.

    >>> import graphc as gc
    >>> gc.nn.Flatten()(gc.input("x", ("n", 1, 28, 28))).shape
    (n, 784)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1):
        self.start_dim = whole("Flatten", "start_dim", start_dim, -64)
        self.end_dim = whole("Flatten", "end_dim", end_dim, -64)

    def forward(self, x: Any) -> Any:
        (x,) = lift(x)
        shape, n = tuple(x.shape), len(x.shape)
        first, last = self.start_dim % n if n else 0, self.end_dim % n if n else 0
        if not (-n <= self.start_dim < n and -n <= self.end_dim < n and first <= last):
            raise ill_shaped(repr(self), "axes from start_dim to end_dim", x)
        return reshape(x, (*shape[:first], dims.product(shape[first : last + 1]), *shape[last + 1 :]))

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Identity(Module):
    """What it is given; takes any arguments, and needs none.

    >>> import graphc as gc
    >>> x = gc.input("x")
    >>> gc.nn.Identity()(x) is x
    True
    """

    def __init__(self, *args: Any, **kwargs: Any):
        pass

    def forward(self, x: Any) -> Any:
        return x
