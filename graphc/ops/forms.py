"""What elementwise rows share: lowering by name, sample operands, the forms of smooth and stepped functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..ir.expr import call
from ..ir.lowering import Map, Refused
from ..ir.op import Arr, Op, Sample
from .batching import batch_elementwise
from .common import elementwise_infer
from .cotangent import ct_mul, zero_almost_everywhere

EXTREMES = (0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan)
"""Points every function of one float is tested at."""
_FLOAT32_MAX = 3.4e38


def by_name(scalar: str) -> Map:
    """Lower to the scalar function called `scalar`."""
    return Map(lambda *xs: call(scalar, *xs))


def points(*values: Any, dtype: str = "float64") -> Arr:
    """A 1-d sample operand with given values."""
    return Arr((len(values),), dtype=dtype, values=values)


def at_points(*operands: tuple[Any, ...], dtype: str = "float64", differentiable: bool = False) -> Sample:
    """A call at given values, one tuple of them per operand."""
    return Sample(tuple(points(*values, dtype=dtype) for values in operands), differentiable=differentiable)


def smooth(
    name: str,
    numpy: Callable[..., Any],
    *,
    reverse: Callable[[Any, Any], Any],
    forward: Callable[[Any, Any], Any],
    sympy: Callable[..., Any],
    low: float = -2.0,
    high: float = 2.0,
    special: tuple[float, ...] = (),
    tolerance: float = 1e-12,
) -> Op:
    """The row of a function of one float that is differentiable inside its domain.

    reverse, forward  the derivative, ``rule(out, x)``, as vjp and jvp write it: apart, so that one checks the other
    low, high         an interval of the domain
    special           points where only the value is tested, next to `EXTREMES`
    """
    values = (*EXTREMES, *special)
    return Op(
        name,
        elementwise_infer,
        numpy,
        by_name(name),
        vjp=(lambda ct, out, x: ct_mul(ct, reverse(out, x)),),
        jvp=(lambda t, out, x: ct_mul(t, forward(out, x)),),
        batch=batch_elementwise,
        sympy=sympy,
        samples=(
            Sample((Arr(low=low, high=high),)),
            Sample((Arr((5,), low=low, high=high, dtype="float32"),)),
            at_points(values),
            at_points(tuple([v for v in values if not _FLOAT32_MAX < abs(v) < math.inf]), dtype="float32"),
        ),
        tolerance=tolerance,
    )


def stepped(
    name: str,
    numpy: Callable[..., Any],
    *,
    operands: int,
    sympy: Callable[..., Any] | Refused,
    samples: tuple[Sample, ...],
    infer: Callable[..., Any] = elementwise_infer,
    lower: Map | None = None,
    traits: frozenset[str] = frozenset(),
) -> Op:
    """The row of a piecewise constant function: its derivative is zero almost everywhere.

    It lowers to the scalar function of its name, unless `lower` says otherwise.
    """
    zero = (zero_almost_everywhere,) * operands
    lower = lower or by_name(name)
    return Op(name, infer, numpy, lower, zero, zero, batch_elementwise, sympy, samples, traits)
