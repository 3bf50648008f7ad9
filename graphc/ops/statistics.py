"""What reductions compose: mean, var, std, logsumexp, softmax, norms."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..errors import UnsupportedError, count, message, user_line
from ..ir import dims
from ..ir.apply import cast, lift
from ..ir.dtypes import as_dtype
from .common import axes_tuple, dtype_error, float_dtype
from .elementwise import (
    add,
    divide,
    equal,
    greater,
    multiply,
    not_equal,
    stop_gradient,
    subtract,
    where,
)
from .exponential import exp, log
from .logic import isinf
from .movement import reshape
from .piecewise import abs
from .power import pow, sqrt
from .reduction import max, min, reduced_shape, sum, supremum


def _floating(x: Any) -> Any:
    (x,) = lift(x)
    return cast(x, float_dtype(x))


def _count(x: Any, axes: tuple[int, ...]) -> Any:
    """How many elements are combined: an int or a dim."""
    return dims.product(x.shape[k] for k in axes)


def mean(x: Any, /, axis: Any = None, *, dtype: Any = None, keepdims: bool = False) -> Any:
    """Arithmetic mean along `axis`; nan over no elements. Integers and bools are averaged in float64.

    float32 is summed in float64 and rounded, then divided.

    >>> import graphc as gc
    >>> gc.mean(gc.asarray([1.0, 2.0, 6.0])).item()
    3.0
    """
    x = _floating(x) if dtype is None else cast(lift(x)[0], as_dtype(dtype))
    if x.dtype.kind != "f":
        raise dtype_error("mean", (x,), "a float dtype")
    axes = axes_tuple(axis, len(x.shape), "mean")
    return divide(sum(x, axis=axes, keepdims=keepdims), _count(x, axes))


def var(x: Any, /, axis: Any = None, *, correction: float = 0, keepdims: bool = False) -> Any:
    """Variance along `axis`: the sum of squared deviations from the mean over ``n - correction``.

    Two passes, hence no cancellation. Where ``n - correction`` is not positive the divisor is 0: nan or inf.

    >>> import graphc as gc
    >>> gc.var(gc.asarray([1.0, 3.0]), correction=1).item()
    2.0
    """
    x = _floating(x)
    axes = axes_tuple(axis, len(x.shape), "var")
    deviation = subtract(x, mean(x, axis=axes, keepdims=True))
    return divide(sum(multiply(deviation, deviation), axis=axes, keepdims=keepdims), _degrees(x, axes, correction))


def _degrees(x: Any, axes: tuple[int, ...], correction: float) -> Any:
    """``max(n - correction, 0)``, as an int, a dim or a tensor."""
    n = _count(x, axes)
    if correction == int(correction):
        return dims.max0(n - int(correction))
    if isinstance(n, int):
        return n - correction if n > correction else 0.0
    (left,) = lift(n, dtype=x.dtype, beside=(x,))
    left = subtract(left, correction)
    return where(greater(left, 0.0), left, 0.0)


def std(x: Any, /, axis: Any = None, *, correction: float = 0, keepdims: bool = False) -> Any:
    """Standard deviation along `axis`: the square root of `var`. Where it is 0 its gradient is defined as 0.

    >>> import graphc as gc
    >>> gc.std(gc.asarray([1.0, 3.0])).item()
    1.0
    """
    return zero_safe(sqrt, var(x, axis=axis, correction=correction, keepdims=keepdims))


def _shift(x: Any, axes: tuple[int, ...]) -> tuple[Any, Any, Any]:
    """(shift, top, infinite), axes kept: the maximum as a constant for derivatives, and 0 for it where it is infinite.

    top       the maximum; -inf over no elements
    infinite  where it is inf or -inf
    """
    top = stop_gradient(supremum(x, axes))
    infinite = isinf(top)
    return where(infinite, 0.0, top), top, infinite


def shift(x: Any, axes: tuple[int, ...]) -> Any:
    """The maximum along `axes`, which stay with size 1, as a constant for derivatives; 0 where it is infinite."""
    return _shift(x, axes)[0]


def log_total(x: Any, axes: tuple[int, ...], count: Any = None) -> Any:
    """``log(sum(exp(x)))`` along `axes`, which stay with size 1; with `count`, that of ``sum(exp(x)) / count``.

    Where the maximum is infinite it is the result, and a constant for derivatives: in both modes, to any order.
    """
    moved, top, infinite = _shift(x, axes)
    total = sum(exp(subtract(x, moved)), axis=axes, keepdims=True)
    if count is not None:
        total = divide(total, count)
        top = top if isinstance(count, float) else multiply(top, divide(count, count))  # nan over none, as a mean is
    return where(infinite, top, add(log(where(infinite, 1.0, total)), moved))


def logsumexp(x: Any, /, axis: Any = None, *, keepdims: bool = False) -> Any:
    """``log(sum(exp(x)))`` along `axis`, without overflow: the maximum is taken out first.

    -inf over no elements or a line of -inf, inf where an element is inf, nan where one is nan. The gradient is
    softmax(x). Over a line whose maximum is infinite it is defined as 0, so that a masked line (all -inf) adds nothing;
    PyTorch and JAX give nan there.

    >>> import graphc as gc
    >>> gc.logsumexp(gc.asarray([1000.0, 1000.0])).item()
    1000.6931471805599
    """
    x = _floating(x)
    axes = axes_tuple(axis, len(x.shape), "logsumexp")
    total = log_total(x, axes)
    return total if keepdims else reshape(total, reduced_shape(tuple(x.shape), axes))


def softmax(x: Any, /, axis: Any = -1) -> Any:
    """``exp(x) / sum(exp(x))`` along `axis`, without overflow. A line of -inf, or one with inf, gives nan.

    >>> import graphc as gc
    >>> gc.softmax(gc.asarray([0.0, 0.0])).tolist()
    [0.5, 0.5]
    """
    x = _floating(x)
    axes = axes_tuple(axis, len(x.shape), "softmax")
    powers = exp(subtract(x, shift(x, axes)))
    return divide(powers, sum(powers, axis=axes, keepdims=True))


def log_softmax(x: Any, /, axis: Any = -1) -> Any:
    """``log(softmax(x))`` along `axis`, accurate where softmax underflows. A line of -inf, or one with inf, gives nan.

    >>> import graphc as gc
    >>> gc.log_softmax(gc.asarray([0.0, -1000.0])).tolist()
    [0.0, -1000.0]
    """
    x = _floating(x)
    axes = axes_tuple(axis, len(x.shape), "log_softmax")
    moved = subtract(x, shift(x, axes))
    return subtract(moved, log(sum(exp(moved), axis=axes, keepdims=True)))


def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: float = 2) -> Any:
    """The `ord`-norm of the vectors along `axis` (None: of all elements): ``sum(|x|**ord)**(1/ord)``.

    `ord` 2 is the Euclidean norm, 1 the sum of magnitudes, inf and -inf the largest and smallest magnitude, 0 the
    number of elements that are not zero. The gradient of a zero vector is defined as zero. Integers compute in float64.

    The powers are added up as they are. Where their sum overflows, as the squares of 1e155 do (of 1e20 in float32), the
    norm is inf, and where it underflows, as those of 1e-163 do (1e-23), 0, both with a gradient of 0. Numbers such as
    these are to be scaled: ``top * gc.vector_norm(x / top)`` with ``top = gc.stop_gradient(gc.max(gc.abs(x)))``.

    >>> import graphc as gc
    >>> gc.vector_norm(gc.asarray([3.0, 4.0])).item()
    5.0
    """
    x = _floating(x)
    axes = axes_tuple(axis, len(x.shape), "vector_norm")
    if ord == math.inf:
        return max(abs(x), axis=axes, keepdims=keepdims)
    if ord == -math.inf:
        return min(abs(x), axis=axes, keepdims=keepdims)
    if ord == 0:
        return cast(sum(not_equal(x, 0.0), axis=axes, keepdims=keepdims), x.dtype)
    if ord == 1:
        return sum(abs(x), axis=axes, keepdims=keepdims)
    if ord == 2:
        return zero_safe(sqrt, sum(multiply(x, x), axis=axes, keepdims=keepdims))
    powers = zero_safe(lambda v: pow(v, ord), abs(x)) if ord > 0 else pow(abs(x), ord)
    return zero_safe(lambda v: pow(v, 1.0 / ord), sum(powers, axis=axes, keepdims=keepdims))


def zero_safe(function: Callable[[Any], Any], x: Any) -> Any:
    """``function(x)``, and 0 with gradient 0 where `x` is 0."""
    zero = equal(x, 0.0)
    return where(zero, 0.0, function(where(zero, 1.0, x)))


def norm(x: Any, /, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """NumPy's ``linalg.norm`` for vectors, and the Frobenius norm of matrices; the gradient at 0 is 0.

    With `axis` None or two axes and `ord` None or "fro", the square root of the sum of squares; with one axis, or a 1-d
    `x`, `vector_norm`. Other norms of matrices are an `UnsupportedError`.

    >>> import graphc as gc
    >>> gc.norm(gc.asarray([[3.0, 0.0], [0.0, 4.0]])).item()
    5.0
    """
    (x,) = lift(x)
    axes = axes_tuple(axis, len(x.shape), "norm")
    if ord is not None and not (len(axes) == 1 and not isinstance(ord, str)) and not (len(axes) == 2 and ord == "fro"):
        raise UnsupportedError(
            message(
                "no such norm",
                got=f"ord={ord!r} over {count(len(axes), 'axis', 'axes')}",
                expected="ord a number over one axis, or 'fro' over two",
                at=user_line(),
                created=False,
                hint="over all elements as one vector: gc.vector_norm(x, ord=...)",
            )
        )
    return vector_norm(x, axis=axes, keepdims=keepdims, ord=2 if ord in (None, "fro") else ord)


ROWS = ()
__all__ = ["log_softmax", "logsumexp", "mean", "norm", "softmax", "std", "var", "vector_norm"]
