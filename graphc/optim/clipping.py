"""Gradients held to a norm or a range: as functions of tensors, symbolic or eager, and in place on `.grad`."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..eager.modes import no_grad
from ..errors import InputError, NonFiniteError, message, shown, user_line
from ..ir.apply import cast, is_tensor
from ..ir.tree import flatten
from ..ops.elementwise import add
from ..ops.piecewise import abs, clip, maximum, minimum
from ..ops.power import pow, sqrt
from ..ops.reduction import max, sum
from .checks import number

FLOAT64 = np.dtype("float64")
EPSILON = 1e-6
"""Added to the norm before dividing by it, as PyTorch does."""


def total_norm(gradients: Any, norm_type: float = 2.0) -> Any:
    """The norm of all elements of all `gradients` (a nesting of tensors) together: a 0-d tensor.

    It has the widest dtype among them; computed in float64, where squares of large float32 numbers are finite.

    norm_type  2 for the Euclidean norm, any p > 0, or inf for the largest magnitude

    >>> import numpy as np, graphc as gc
    >>> g = [gc.asarray([3.0, 0.0]), gc.asarray([[4.0]])]
    >>> float(gc.optim.total_norm(g))
    5.0
    """
    leaves = _gradients("total_norm", gradients)
    dtype = np.result_type(*[g.dtype for g in leaves])
    return cast(_norm(leaves, _order("total_norm", norm_type)), dtype)


def _norm(leaves: Sequence[Any], order: float) -> Any:
    """In float64."""
    wide = [cast(g, FLOAT64) for g in leaves]
    if order == math.inf:
        return functools.reduce(maximum, [max(abs(g)) for g in wide])
    if order == 2.0:
        return sqrt(functools.reduce(add, [sum(g * g) for g in wide]))
    return pow(functools.reduce(add, [sum(pow(abs(g), order)) for g in wide]), 1.0 / order)


def clip_grad_norm(gradients: Any, max_norm: float, norm_type: float = 2.0) -> Any:
    """`gradients`, all scaled by one factor so that their common norm is at most `max_norm`; nested as given.

    The factor is ``min(1, max_norm / (norm + 1e-6))``, PyTorch's. `total_norm` gives the norm itself.

    >>> import graphc as gc
    >>> (g,) = gc.optim.clip_grad_norm([gc.asarray([3.0, 4.0])], max_norm=1.0)
    >>> [round(float(v), 5) for v in g]
    [0.6, 0.8]
    """
    leaves = _gradients("clip_grad_norm", gradients)
    factor = _factor(_norm(leaves, _order("clip_grad_norm", norm_type)), _bound("clip_grad_norm", "max_norm", max_norm))
    return flatten(gradients)[0].build([g * cast(factor, g.dtype) for g in leaves])


def _factor(norm: Any, max_norm: float) -> Any:
    return minimum(max_norm / (norm + EPSILON), 1.0)


def clip_grad_value(gradients: Any, clip_value: float) -> Any:
    """`gradients`, every element held between ``-clip_value`` and ``clip_value``; nested as given.

    >>> import graphc as gc
    >>> (g,) = gc.optim.clip_grad_value([gc.asarray([3.0, -0.5])], 1.0)
    >>> [float(v) for v in g]
    [1.0, -0.5]
    """
    leaves = _gradients("clip_grad_value", gradients)
    bound = _bound("clip_grad_value", "clip_value", clip_value)
    return flatten(gradients)[0].build([clip(g, -bound, bound) for g in leaves])


def clip_grad_norm_(parameters: Any, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False) -> Any:
    """Scale the eager `.grad` of `parameters` in place, as `clip_grad_norm`; returns their norm before.

    parameters          params or eager tensors, or one of them; those without a `.grad` are passed over
    error_if_nonfinite  `NonFiniteError` where the norm is nan or inf, before anything is changed

    >>> from graphc import eager, optim
    >>> w = eager.tensor([3.0, 4.0], requires_grad=True)
    >>> (0.5 * w * w).sum().backward()
    >>> optim.clip_grad_norm_([w], max_norm=1.0), w.grad
    (tensor(5.), tensor([0.6000, 0.8000]))
    """
    order, bound = _order("clip_grad_norm_", norm_type), _bound("clip_grad_norm_", "max_norm", max_norm)
    gradients = _grads_of("clip_grad_norm_", parameters)
    with no_grad():
        norm = _norm(gradients, order)
        if error_if_nonfinite and not np.isfinite(norm.numpy()):
            raise NonFiniteError(
                message(
                    "clip_grad_norm_: the gradients have no finite norm",
                    got=str(float(norm.numpy())),
                    at=user_line(),
                    created=False,
                )
            )
        factor = _factor(norm, bound)
        for gradient in gradients:
            gradient.mul_(cast(factor, gradient.dtype))
        return cast(norm, np.result_type(*[g.dtype for g in gradients]))


def clip_grad_value_(parameters: Any, clip_value: float) -> None:
    """Hold every element of the eager `.grad` of `parameters` between ``-clip_value`` and ``clip_value``, in place."""
    bound = _bound("clip_grad_value_", "clip_value", clip_value)
    with no_grad():
        for gradient in _grads_of("clip_grad_value_", parameters):
            gradient.copy_(clip(gradient, -bound, bound))


def _order(what: str, norm_type: Any) -> float:
    return math.inf if norm_type == math.inf else number(what, "norm_type", norm_type, above=0.0)


def _bound(what: str, name: str, value: Any) -> float:
    return number(what, name, value, above=0.0)


def _gradients(what: str, gradients: Any) -> list[Any]:
    leaves = flatten(gradients)[1]
    for leaf in leaves:
        if not is_tensor(leaf) or leaf.dtype.kind != "f":
            raise _refused(what, shown(leaf), "gradients: float tensors, in lists, tuples or dicts")
    if not leaves:
        raise _refused(what, "no gradients", "at least one")
    return leaves


def _grads_of(what: str, parameters: Any) -> list[Any]:
    given: Iterable[Any] = [parameters] if is_tensor(parameters) else parameters
    found = []
    for parameter in given:
        if not is_tensor(parameter) or not hasattr(type(parameter), "grad"):
            raise _refused(what, shown(parameter), "params, or eager tensors")
        if parameter.grad is not None:
            found.append(parameter.grad)
    if not found:
        raise _refused(what, "no param that has a .grad", "at least one", "call loss.backward() first")
    return found


def _refused(what: str, got: str, expected: str, hint: str = "") -> InputError:
    return InputError(message(what, got=got, expected=expected, at=user_line(), created=False, hint=hint))


__all__ = ["clip_grad_norm", "clip_grad_norm_", "clip_grad_value", "clip_grad_value_", "total_norm"]
