"""Losses of scores for classes: `cross_entropy` and `nll_loss`, in PyTorch's names, arguments and defaults.

Classes are axis 1 of the scores, [batch, classes, ...], or the only axis. Targets are the numbers of the classes,
[batch, ...]; for `cross_entropy` they may be probabilities in the shape of the scores.
"""

from __future__ import annotations

from typing import Any

from ..arguments import bad_argument
from ..ir import dims
from ..ir.apply import cast, lift
from ..ir.dims import DimLike
from ..ir.tensor import meaning
from ..ops.elementwise import equal, where
from ..ops.indexing import from_front, take, take_along_axis
from ..ops.movement import reshape
from ..ops.rearranging import expand_dims, squeeze
from ..ops.reduction import sum
from ..ops.statistics import log_softmax
from .checks import choice, ill_shaped, ill_typed, number, same_shape
from .losses import REDUCTIONS, reduced

IGNORED = -100


def nll_loss(x: Any, target: Any, weight: Any = None, ignore_index: int = IGNORED, reduction: str = "mean") -> Any:
    """``-x[n, target[n]]`` of log-probabilities `x`: the negative log-likelihood.

    weight        a factor for each class, [classes]; "mean" divides by the sum of the factors of the targets
    ignore_index  targets of this number count for nothing

    `OutOfBoundsError` for a target that is no class, negative ones included.

    >>> import numpy as np
    >>> from graphc import eager, nn
    >>> nn.nll_loss(eager.tensor([[-1.0, -2.0]]), eager.tensor([1]))
    tensor(2.)
    """
    x, target, weight, axis = _scores("nll_loss", x, target, weight)
    if target.dtype.kind == "f":
        raise ill_typed("nll_loss", "targets that are numbers of classes", x, target)
    return _picked("nll_loss", x, target, weight, axis, ignore_index, reduction)


def cross_entropy(
    x: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = IGNORED,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """`nll_loss` of ``log_softmax(x)``: of scores that are any numbers.

    target           numbers of classes, or probabilities: ``-sum(target * log_softmax(x))``
    weight           a factor for each class, [classes]
    ignore_index     targets of this number count for nothing; not for probabilities
    label_smoothing  how much of a target, from 0 to 1, is spread evenly over all classes (Szegedy and others 2016)

    `OutOfBoundsError` for a number that is no class, negative ones included. `InputError` for an ignore_index beside
    probabilities.

    >>> import graphc as gc
    >>> x, t = gc.input("x", ("n", 10), "float32"), gc.input("t", ("n",), "int64")
    >>> gc.nn.cross_entropy(x, t)
    <Tensor divide float32[]>
    """
    name = "cross_entropy"
    choice(name, "reduction", reduction, REDUCTIONS)
    eps = number(name, "label_smoothing", label_smoothing, 0.0, 1.0)
    x, target, weight, axis = _scores(name, x, target, weight)
    logs = log_softmax(x, axis=axis)
    if target.dtype.kind == "f":
        if ignore_index != IGNORED:
            hint = "weight the losses of reduction='none' instead"
            raise bad_argument(name, "ignore_index", ignore_index, "none where targets are probabilities", hint)
        return _of_probabilities(logs, target, weight, axis, reduction, eps)
    picked = _picked(name, logs, target, weight, axis, ignore_index, reduction)
    if eps == 0:
        return picked
    weighted = logs if weight is None else logs * _along(weight, logs, axis)
    kept = _kept(target, ignore_index)
    spread = where(kept, -sum(weighted, axis=axis), 0.0)
    if reduction == "mean":
        spread = sum(spread) / sum(_factors(logs, target, weight, ignore_index))
    elif reduction == "sum":
        spread = sum(spread)
    return (1.0 - eps) * picked + (eps / logs.shape[axis]) * spread


def _of_probabilities(logs: Any, target: Any, weight: Any, axis: int, reduction: str, eps: float) -> Any:
    if len(target.shape) == len(logs.shape) - 1:
        expected = "integers, one for each row of scores, or probabilities of the shape of the scores"
        raise ill_shaped("cross_entropy", expected, logs, target, hint="numbers of classes: t.astype('int64')")
    same_shape("cross_entropy", logs, target)
    target = cast(target, logs.dtype)
    if eps:
        target = (1.0 - eps) * target + eps / logs.shape[axis]
    products = logs * target
    if weight is not None:
        products = products * _along(weight, logs, axis)
    return reduced("cross_entropy", -sum(products, axis=axis), reduction)


def _scores(name: str, x: Any, target: Any, weight: Any) -> tuple[Any, Any, Any, int]:
    """Scores, targets and factors as tensors of one engine, and the axis of the classes."""
    given = (x, target) if weight is None else (x, target, weight)
    x, target, *rest = lift(*given)
    if x.dtype.kind != "f":
        swapped = target.dtype.kind == "f" and len(target.shape) > len(x.shape)
        hint = f"the scores come first: {name}(scores, targets)" if swapped else ""
        raise ill_typed(name, "scores that are floats", x, hint=hint)
    if target.dtype.kind not in "iuf":
        raise ill_typed(name, "targets that are numbers of classes, or probabilities", x, target)
    if not x.shape:
        raise ill_shaped(name, "scores [batch, classes, ...] or [classes]", x)
    axis = 0 if len(x.shape) == 1 else 1
    if target.dtype.kind != "f":
        want = (*x.shape[:axis], *x.shape[axis + 1 :])
        if len(want) != len(target.shape) or any(
            dims.equal(m, n) is False for m, n in zip(want, target.shape, strict=True)
        ):
            expected = f"targets {dims.shape_text(want)}: the shape of the scores without axis {axis}"
            rows = len(target.shape) == len(x.shape) and dims.equal(target.shape[axis], x.shape[axis]) is not False
            hint = f"rows of 0 and 1: gc.argmax(t, axis={axis}) of them, or floats, as probabilities" if rows else ""
            raise ill_shaped(name, expected, x, target, hint=hint)
    factors = rest[0] if rest else None
    if factors is not None:
        if len(factors.shape) != 1 or dims.equal(factors.shape[0], x.shape[axis]) is False:
            raise ill_shaped(name, f"a weight for each of {x.shape[axis]} classes", factors)
        factors = cast(factors, x.dtype)
    return x, target, factors, axis


def _kept(target: Any, ignored: int) -> Any:
    """Where a target counts."""
    if isinstance(ignored, bool) or not hasattr(ignored, "__index__"):
        raise bad_argument("a loss of classes", "ignore_index", ignored, "an int")
    with meaning("counted"):
        return ~_ignored(target, ignored)


def _ignored(target: Any, ignored: int) -> Any:
    """Where a target is `ignored`, the number for those that count for nothing."""
    with meaning("ignored"):
        return equal(target, ignored)


def _classes(target: Any, count: DimLike, ignored: int) -> Any:
    """The classes to look at: 0 for targets that are ignored; a negative one is out of range, for it is none."""
    with meaning("label"):
        label = where(_ignored(target, ignored), 0, target)
    return from_front(label, count)


def _factors(logs: Any, target: Any, weight: Any, ignored: int) -> Any:
    """What each target counts: its class's factor, or 1; 0 where it is ignored."""
    kept = _kept(target, ignored)
    if weight is None:
        return cast(kept, logs.dtype)
    return where(kept, take(weight, _classes(target, weight.shape[0], ignored), axis=0), 0.0)


def _picked(name: str, logs: Any, target: Any, weight: Any, axis: int, ignored: int, reduction: str) -> Any:
    """``-logs`` at the targets, reduced."""
    choice(name, "reduction", reduction, REDUCTIONS)
    chosen = take_along_axis(logs, expand_dims(_classes(target, logs.shape[axis], ignored), axis=axis), axis=axis)
    factors = _factors(logs, target, weight, ignored)
    values = where(_kept(target, ignored), -squeeze(chosen, axis=axis) * factors, 0.0)
    if reduction == "none":
        return values
    return sum(values) / sum(factors) if reduction == "mean" else sum(values)


def _along(weight: Any, logs: Any, axis: int) -> Any:
    """A factor for each class, in a shape that broadcasts along the axis of the classes."""
    return reshape(weight, (-1, *[1] * (len(logs.shape) - axis - 1)))
