"""Losses of predictions and targets that are numbers or probabilities, in PyTorch's names, arguments and defaults.

reduction  "mean" over all elements, "sum" of them, or "none": a loss for each

Predictions and targets must have one shape: nothing is stretched. `ShapeError` and `DTypeError` name the loss.
"""

from __future__ import annotations

from typing import Any

from ..arguments import bad_argument
from ..ir.apply import lift, lift_promoted
from ..ops.elementwise import greater, less, where
from ..ops.exponential import exp, log, log1p, xlogy
from ..ops.piecewise import abs, maximum
from ..ops.reduction import sum
from ..ops.special import softplus
from ..ops.statistics import mean
from .checks import choice, ill_typed, number, same_shape

REDUCTIONS = ("mean", "sum", "none")


def reduced(loss: str, values: Any, reduction: str) -> Any:
    """The mean or the sum of the losses of all elements, or all of them."""
    choice(loss, "reduction", reduction, REDUCTIONS)
    return mean(values) if reduction == "mean" else sum(values) if reduction == "sum" else values


def pair(loss: str, x: Any, target: Any) -> tuple[Any, Any]:
    """Predictions and targets as floats of one dtype and shape."""
    x, target = lift(x, target)
    if x.dtype.kind != "f" or target.dtype.kind != "f":
        hint = "target.astype('float32'); classes by number are for cross_entropy" if x.dtype.kind == "f" else ""
        raise ill_typed(loss, "floats", x, target, hint=hint)
    same_shape(loss, x, target)
    return lift_promoted(x, target)


def mse_loss(x: Any, target: Any, reduction: str = "mean") -> Any:
    """``(x - target)**2``.

    >>> from graphc import eager, nn
    >>> nn.mse_loss(eager.tensor([1.0, 2.0]), eager.tensor([1.0, 4.0]))
    tensor(2.)
    """
    x, target = pair("mse_loss", x, target)
    difference = x - target
    return reduced("mse_loss", difference * difference, reduction)


def l1_loss(x: Any, target: Any, reduction: str = "mean") -> Any:
    """``|x - target|``.

    >>> from graphc import eager, nn
    >>> nn.l1_loss(eager.tensor([1.0, 2.0]), eager.tensor([1.0, 4.0]))
    tensor(1.)
    """
    x, target = pair("l1_loss", x, target)
    return reduced("l1_loss", abs(x - target), reduction)


def smooth_l1_loss(x: Any, target: Any, reduction: str = "mean", beta: float = 1.0) -> Any:
    """``d**2 / (2 * beta)`` where ``d = |x - target| < beta``, else ``d - beta / 2`` (Girshick 2015).

    >>> from graphc import eager, nn
    >>> nn.smooth_l1_loss(eager.tensor([1.0, 2.0]), eager.tensor([1.5, 5.0]), reduction="none")
    tensor([0.1250, 2.5000])
    """
    if number("smooth_l1_loss", "beta", beta, 0.0) == 0:
        return l1_loss(x, target, reduction)
    x, target = pair("smooth_l1_loss", x, target)
    d = abs(x - target)
    return reduced("smooth_l1_loss", where(less(d, beta), (0.5 / beta) * d * d, d - 0.5 * beta), reduction)


def huber_loss(x: Any, target: Any, reduction: str = "mean", delta: float = 1.0) -> Any:
    """``d**2 / 2`` where ``d = |x - target| <= delta``, else ``delta * (d - delta / 2)`` (Huber 1964).

    >>> from graphc import eager, nn
    >>> nn.huber_loss(eager.tensor([1.0, 2.0]), eager.tensor([1.5, 5.0]), reduction="none", delta=2.0)
    tensor([0.1250, 4.0000])
    """
    if number("huber_loss", "delta", delta, 0.0) == 0:
        raise bad_argument("huber_loss", "delta", delta, "a number > 0")
    x, target = pair("huber_loss", x, target)
    d = abs(x - target)
    return reduced("huber_loss", where(greater(d, delta), delta * (d - 0.5 * delta), 0.5 * d * d), reduction)


_LOWEST_LOG = -100.0


def binary_cross_entropy(x: Any, target: Any, weight: Any = None, reduction: str = "mean") -> Any:
    """``-(target * log(x) + (1 - target) * log(1 - x))`` of probabilities `x`.

    Logarithms are held at -100 from below, as PyTorch holds them, so that 0 and 1 give finite losses; the derivative
    there is 0. Better is `binary_cross_entropy_with_logits`, which needs no such thing.

    weight  a factor for each element, of a shape that broadcasts

    >>> from graphc import eager, nn
    >>> nn.binary_cross_entropy(eager.tensor([0.5, 0.0]), eager.tensor([1.0, 1.0]), reduction="none")
    tensor([  0.6931, 100.0000])
    """
    x, target = pair("binary_cross_entropy", x, target)
    yes, no = maximum(log(x), _LOWEST_LOG), maximum(log1p(-x), _LOWEST_LOG)
    return _weighted("binary_cross_entropy", (target - 1.0) * no - target * yes, weight, reduction)


def binary_cross_entropy_with_logits(
    x: Any, target: Any, weight: Any = None, reduction: str = "mean", pos_weight: Any = None
) -> Any:
    """`binary_cross_entropy` of ``sigmoid(x)``, accurate for any `x`.

    pos_weight  a factor for the positive part, of a shape that broadcasts: above 1 it favours recall

    >>> from graphc import eager, nn
    >>> nn.binary_cross_entropy_with_logits(eager.tensor([0.0, -1000.0]), eager.tensor([1.0, 1.0]), reduction="none")
    tensor([6.9315e-01, 1.0000e+03])
    """
    name = "binary_cross_entropy_with_logits"
    x, target = pair(name, x, target)
    if pos_weight is None:
        return _weighted(name, softplus(x) - target * x, weight, reduction)
    (factor,) = lift(pos_weight, dtype=None if hasattr(pos_weight, "dtype") else x.dtype, beside=(x,))
    return _weighted(name, factor * target * softplus(-x) + (1.0 - target) * softplus(x), weight, reduction)


def _weighted(name: str, values: Any, weight: Any, reduction: str) -> Any:
    if weight is None:
        return reduced(name, values, reduction)
    (weight,) = lift(weight, dtype=None if hasattr(weight, "dtype") else values.dtype, beside=(values,))
    return reduced(name, values * weight, reduction)


def kl_div(x: Any, target: Any, reduction: str = "mean", log_target: bool = False) -> Any:
    """``target * (log(target) - x)`` of log-probabilities `x`: the divergence of `x` from `target`.

    reduction   also "batchmean": the sum over the size of axis 0, which is what mathematics means. ("mean" divides by
                the number of all elements.)
    log_target  whether `target` holds logarithms too

    >>> from graphc import eager, nn
    >>> nn.kl_div(eager.tensor([[-1.0, -1.0]]), eager.tensor([[0.5, 0.5]]), reduction="batchmean")
    tensor(0.3069)
    """
    choice("kl_div", "reduction", reduction, (*REDUCTIONS, "batchmean"))
    x, target = pair("kl_div", x, target)
    values = exp(target) * (target - x) if log_target else xlogy(target, target) - target * x
    if reduction == "batchmean":
        return sum(values) / (x.shape[0] if x.shape else 1)
    return reduced("kl_div", values, reduction)
