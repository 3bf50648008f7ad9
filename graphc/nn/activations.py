"""Activation functions in PyTorch's names and arguments, and the layers that call them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..arguments import bad_argument, whole
from ..ir.apply import lift
from ..ops import activations, piecewise, special, statistics, trigonometry
from ..ops.elementwise import greater, greater_equal, less_equal, where
from .checks import choice, flag, number
from .module import Module

relu = piecewise.relu
leaky_relu = activations.leaky_relu
elu = activations.elu
gelu = activations.gelu
silu = activations.silu
sigmoid = special.sigmoid
tanh = trigonometry.tanh
logsigmoid = activations.log_sigmoid


def softplus(x: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """``log(1 + exp(beta * x)) / beta``; where ``beta * x > threshold`` it is `x`, as PyTorch has it.

    >>> from graphc import eager, nn
    >>> nn.softplus(eager.tensor([0.0, 30.0]))
    tensor([ 0.6931, 30.0000])
    """
    (x,) = lift(x)
    scaled = x if beta == 1 else x * beta
    smooth = special.softplus(scaled)
    return where(greater(scaled, threshold), x, smooth if beta == 1 else smooth / beta)


def hardtanh(x: Any, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    """`x` held between `min_val` and `max_val`; the derivative at either end is 0.

    >>> from graphc import eager, nn
    >>> nn.hardtanh(eager.tensor([-3.0, 0.5, 3.0]))
    tensor([-1.0000,  0.5000,  1.0000])
    """
    (x,) = lift(x)
    return where(less_equal(x, min_val), min_val, where(greater_equal(x, max_val), max_val, x))


def softmax(x: Any, dim: int | None = None) -> Any:
    """``exp(x) / sum(exp(x))`` along axis `dim`, which must be given.

    >>> from graphc import eager, nn
    >>> nn.softmax(eager.tensor([0.0, 0.0]), dim=0)
    tensor([0.5000, 0.5000])
    """
    return statistics.softmax(x, axis=_axis("softmax", dim))


def log_softmax(x: Any, dim: int | None = None) -> Any:
    """``log(softmax(x))`` along axis `dim`, which must be given.

    >>> from graphc import eager, nn
    >>> nn.log_softmax(eager.tensor([0.0, -1000.0]), dim=0)
    tensor([    0., -1000.])
    """
    return statistics.log_softmax(x, axis=_axis("log_softmax", dim))


def _axis(name: str, dim: Any) -> int:
    if dim is None:
        raise bad_argument(name, "dim", dim, "an int", hint="the axis of the classes: dim=-1 is the last one")
    return whole(name, "dim", dim, -64)


class _Activation(Module):
    """A layer that calls a function with the arguments it was made with; it prints them all, as PyTorch does."""

    _function: Callable[..., Any]

    def _keep(self, **arguments: Any) -> None:
        vars(self).update(arguments)

    def forward(self, x: Any) -> Any:
        return type(self)._function(x, **self._arguments())

    def _arguments(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("training", "inplace")}

    def extra_repr(self) -> str:
        found = [f"{name}={value!r}" for name, value in self._arguments().items()]
        return ", ".join([*found, "inplace=True"] if vars(self).get("inplace") else found)


class ReLU(_Activation):
    """`relu`. `inplace` is for code from PyTorch: nothing is changed in place.

    >>> from graphc import eager, nn
    >>> nn.ReLU()(eager.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """

    _function = staticmethod(relu)

    def __init__(self, inplace: bool = False):
        self._keep(inplace=flag("ReLU", "inplace", inplace))


class LeakyReLU(_Activation):
    """`leaky_relu`."""

    _function = staticmethod(leaky_relu)

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False):
        slope = number("LeakyReLU", "negative_slope", negative_slope)
        self._keep(negative_slope=slope, inplace=flag("LeakyReLU", "inplace", inplace))


class ELU(_Activation):
    """`elu`."""

    _function = staticmethod(elu)

    def __init__(self, alpha: float = 1.0, inplace: bool = False):
        self._keep(alpha=number("ELU", "alpha", alpha), inplace=flag("ELU", "inplace", inplace))


class GELU(_Activation):
    """`gelu`, exact or approximated by tanh."""

    _function = staticmethod(gelu)

    def __init__(self, approximate: str = "none"):
        self._keep(approximate=choice("GELU", "approximate", approximate, ("none", "tanh")))


class SiLU(_Activation):
    """`silu`."""

    _function = staticmethod(silu)

    def __init__(self, inplace: bool = False):
        self._keep(inplace=flag("SiLU", "inplace", inplace))


class Softplus(_Activation):
    """`softplus`."""

    _function = staticmethod(softplus)

    def __init__(self, beta: float = 1.0, threshold: float = 20.0):
        if beta == 0:
            raise bad_argument("Softplus", "beta", beta, "a number other than 0")
        self._keep(beta=number("Softplus", "beta", beta), threshold=number("Softplus", "threshold", threshold))


class Sigmoid(_Activation):
    """`sigmoid`."""

    _function = staticmethod(sigmoid)

    def __init__(self) -> None:
        pass


class LogSigmoid(_Activation):
    """`logsigmoid`."""

    _function = staticmethod(logsigmoid)

    def __init__(self) -> None:
        pass


class Tanh(_Activation):
    """`tanh`."""

    _function = staticmethod(tanh)

    def __init__(self) -> None:
        pass


class Hardtanh(_Activation):
    """`hardtanh`."""

    _function = staticmethod(hardtanh)

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False):
        low, high = number("Hardtanh", "min_val", min_val), number("Hardtanh", "max_val", max_val)
        if low >= high:
            raise bad_argument("Hardtanh", "max_val", max_val, f"a number above min_val = {low:g}")
        self._keep(min_val=low, max_val=high, inplace=flag("Hardtanh", "inplace", inplace))


class Softmax(_Activation):
    """`softmax` along axis `dim`, which must be given."""

    _function = staticmethod(softmax)

    def __init__(self, dim: int | None = None):
        self._keep(dim=_axis("Softmax", dim))


class LogSoftmax(_Activation):
    """`log_softmax` along axis `dim`, which must be given."""

    _function = staticmethod(log_softmax)

    def __init__(self, dim: int | None = None):
        self._keep(dim=_axis("LogSoftmax", dim))
