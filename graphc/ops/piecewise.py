"""Functions smooth in pieces: abs, copysign, maximum, minimum, clip, relu. Each says what holds at its kinks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..ir.apply import apply, lift, lift_promoted
from ..ir.expr import call
from ..ir.lowering import Map
from ..ir.op import Arr, Op, Sample
from .batching import batch_elementwise
from .common import broadcast_all, elementwise_infer, nary, refuse_bool
from .cotangent import ct_mul, zero_almost_everywhere, zero_mul
from .elementwise import equal, greater, less, less_equal, multiply, not_equal, where
from .forms import at_points, by_name
from .logic import logical_or, signbit
from .rounding import sign

_INF, _NAN = math.inf, math.nan
_EDGES = (
    at_points((0.0, -0.0, 1.0, _NAN, 1.0, -_INF), (0.0, 0.0, _NAN, 1.0, 1.0, _INF)),
    at_points((0.0, 1.0, _NAN, 1.0), (0.0, _NAN, 1.0, 1.0), dtype="float32"),
)


ABS = Op(
    "abs",
    elementwise_infer,
    np.abs,
    by_name("abs"),
    vjp=(lambda ct, out, x: ct_mul(ct, sign(x)),),
    jvp=(lambda t, out, x: zero_mul(sign(x), t),),
    batch=batch_elementwise,
    sympy=lambda sp, x: sp.Abs(x),
    samples=(
        Sample((Arr(),)),
        Sample((Arr((5,), dtype="float32"),)),
        at_points((0.0, -0.0, _INF, -_INF, _NAN)),
        at_points((-128, -1, 0, 127), dtype="int8"),
        at_points((-(2**63), 5), dtype="int64"),
        at_points((0, 255), dtype="uint8"),
    ),
)


def _with_sign_of(magnitude: Any, y: Any) -> Any:
    return where(signbit(y), multiply(-1.0, magnitude), magnitude)


COPYSIGN = Op(
    "copysign",
    elementwise_infer,
    np.copysign,
    by_name("copysign"),
    vjp=(lambda ct, out, x, y: ct_mul(ct, multiply(sign(x), copysign(1.0, y))), zero_almost_everywhere),
    jvp=(lambda t, out, x, y: _with_sign_of(zero_mul(t, sign(x)), y), zero_almost_everywhere),
    batch=batch_elementwise,
    sympy=lambda sp, x, y: sp.Abs(x) * sp.Piecewise((-1, y < 0), (1, True)),
    samples=(
        Sample((Arr(), Arr())),
        Sample((Arr((5,), dtype="float32"), Arr((5,), dtype="float32"))),
        at_points((0.0, 1.0, -1.0, _NAN, _INF), (-0.0, -0.0, 0.0, -1.0, -_INF)),
    ),
)


def _extremum(name: str, meaning: Any, of_bools: str, loses: Any, sympy_name: str) -> Op:
    """The row of maximum or minimum; ``loses(x, y)`` says that the result is `y`, not `x`."""

    def part(ct: Any, x: Any, y: Any) -> Any:
        """All of `ct` to the winner; ties share it equally, and both take all of it where one of them is nan."""
        return where(equal(x, y), multiply(0.5, ct), where(loses(x, y), 0.0, ct))

    def flow(t: Any, x: Any, y: Any) -> Any:
        return where(loses(x, y), 0.0, where(equal(y, x), multiply(t, 0.5), t))

    return Op(
        name,
        elementwise_infer,
        meaning,
        Map(lambda x, y: call(of_bools if x.dtype.kind == "b" else name, x, y)),
        vjp=(lambda ct, out, x, y: part(ct, x, y), lambda ct, out, x, y: part(ct, y, x)),
        jvp=(lambda t, out, x, y: flow(t, x, y), lambda t, out, x, y: flow(t, y, x)),
        batch=batch_elementwise,
        sympy=lambda sp, x, y: getattr(sp, sympy_name)(x, y),
        samples=(
            Sample((Arr(), Arr())),
            Sample((Arr((5,), dtype="float32"), Arr((5,), dtype="float32"))),
            *_EDGES,
            at_points((-128, 5, 127), (127, 5, -1), dtype="int8"),
            at_points((0, 2**64 - 1), (1, 2**63), dtype="uint64"),
            at_points((False, False, True, True), (False, True, False, True), dtype="bool"),
        ),
        traits=frozenset({"commutative"}),
    )


MAXIMUM = _extremum("maximum", np.maximum, "logical_or", less, "Max")
MINIMUM = _extremum("minimum", np.minimum, "logical_and", greater, "Min")


def abs(x: Any, /) -> Any:
    """Elementwise |x|; the derivative at 0 is 0. The least integer wraps to itself; bools are a `DTypeError`.

    >>> import graphc as gc
    >>> float(gc.abs(-2.0))
    2.0
    """
    (x,) = lift(x)
    refuse_bool("abs", x)
    return apply(ABS, x)


def copysign(x: Any, y: Any, /) -> Any:
    """|x| with the sign of `y`, which for -0.0 is negative. By x the derivative at 0 is 0; by y it is 0 everywhere.

    >>> import graphc as gc
    >>> float(gc.copysign(2.0, -1.0))
    -2.0
    """
    return nary(COPYSIGN, x, y, to_float=True)


def maximum(x: Any, y: Any, /) -> Any:
    """The larger of x and y, elementwise; nan wins.

    The gradient goes to the larger. Where they are equal each takes half of it; where one is nan, both take all of it.

    >>> import graphc as gc
    >>> float(gc.maximum(1.0, 2.0))
    2.0
    """
    return nary(MAXIMUM, x, y)


def minimum(x: Any, y: Any, /) -> Any:
    """The smaller of x and y, elementwise; nan wins. Gradients as for `maximum`.

    >>> import graphc as gc
    >>> float(gc.minimum(1.0, 2.0))
    1.0
    """
    return nary(MINIMUM, x, y)


def clip(x: Any, /, min: Any = None, max: Any = None) -> Any:
    """`x` held between `min` and `max` (None: no bound); where min > max it is `max`. All three promote and broadcast.

    The gradient is 1 by x on [min, max], both ends included, and outside it is 1 by the bound that holds. nan stays.

    >>> import graphc as gc
    >>> float(gc.clip(5.0, 0.0, 1.0))
    1.0
    """
    given = [(beyond, bound) for beyond, bound in ((less, min), (greater, max)) if bound is not None]
    x, *bounds = lift_promoted(x, *[bound for _, bound in given])
    refuse_bool("clip", x, *bounds)
    x, *bounds = broadcast_all("clip", x, *bounds)
    for (beyond, as_given), bound in zip(given, bounds, strict=True):
        crossed = beyond(x, bound)
        if x.dtype.kind == "f" and not _is_plain_number(as_given):
            crossed = logical_or(crossed, not_equal(bound, bound))  # a bound of nan gives nan, as in NumPy
        x = where(crossed, bound, x)
    return x


def _is_plain_number(bound: Any) -> bool:
    return isinstance(bound, (int, float)) and bound == bound


def relu(x: Any, /) -> Any:
    """max(x, 0), elementwise; the derivative at 0 is 0, and nan stays nan.

    >>> import graphc as gc
    >>> float(gc.relu(-2.0))
    0.0
    """
    (x,) = lift(x)
    refuse_bool("relu", x)
    return where(less_equal(x, 0), 0, x)


ROWS = (ABS, COPYSIGN, MAXIMUM, MINIMUM)
