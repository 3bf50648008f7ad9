"""Draws: uniform and normal numbers, truth values, integers and permutations, each a pure function of a `Key`."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..errors import DTypeError, InputError, ShapeError, message, shown, user_line
from ..ir import dims
from ..ir.apply import apply, cast, engine_of, is_tensor, lift
from ..ir.dims import DimLike, Shape, shape_text
from ..ir.dtypes import DType, as_dtype
from ..ir.leaves import dim_scalar
from ..ir.tensor import meaning
from ..ops.common import axis_index
from ..ops.creation import iota
from ..ops.elementwise import add, less, multiply, subtract
from ..ops.indexing import take, take_along_axis
from ..ops.logic import BITWISE_RIGHT_SHIFT
from ..ops.movement import broadcast_to
from ..ops.philox import box_muller, multiply_high, philox
from ..ops.sorting import argsort
from .key import MOST_DRAWS, UINT64, Key

FLOAT32, FLOAT64 = np.dtype("float32"), np.dtype("float64")
_DRAW = 2**48
"""What one draw adds to the position in the lower 64 bits of the counter: draws of fewer elements share no bits."""


def uniform(
    key: Key,
    shape: Any = (),
    dtype: Any = "float64",
    low: Any = 0.0,
    high: Any = 1.0,
    *,
    draw: int | None = None,
    like: Any = None,
) -> Any:
    """Numbers uniform in [low, high), a tensor of `shape`.

    shape      ints, dim names and dims
    dtype      float32 (multiples of 2**-24 in [0, 1)) or float64 (of 2**-53)
    low, high  numbers, or tensors that broadcast to `shape`: ``low + (high - low) * u``, which may round up to `high`.
               Gradients flow to them
    draw       the number of the draw, where the key shall not count it (see `Key`)
    like       a tensor: the result is eager if it is, symbolic otherwise

    The same bits in every mode; the arithmetic of `low` and `high` is that of any other expression.
    Raises `DTypeError` for another dtype, `InputError` for numbers with high < low, `ShapeError` where they do not fit.

    >>> import graphc as gc
    >>> key = gc.random.Key(0)
    >>> gc.compile([], gc.random.uniform(key, (2,), "float32"))()
    array([0.88052016, 0.36209106], dtype=float32)
    """
    wanted = _float("uniform", dtype)
    numbers = not is_tensor(low) and not is_tensor(high) and np.ndim(low) == np.ndim(high) == 0
    if numbers and not (low <= high and math.isfinite(high - low)):
        raise _bad("uniform", f"low={low!r}, high={high!r}", "finite numbers, low <= high")
    u = _fraction(_block("uniform", key, shape, draw, (like, low, high))(0), wanted)
    if numbers:
        return u if (low, high) == (0, 1) else add(float(low), multiply(float(high - low), u))
    return _fitting("uniform", add(low, multiply(subtract(high, low), u)), u)


def normal(
    key: Key,
    shape: Any = (),
    dtype: Any = "float64",
    mean: Any = 0.0,
    std: Any = 1.0,
    *,
    draw: int | None = None,
    like: Any = None,
) -> Any:
    """Numbers of the normal distribution, a tensor of `shape`; the arguments are those of `uniform`.

    mean, std  numbers, or tensors that broadcast to `shape`: ``mean + std * z``. Gradients flow to them

    By Box and Muller from 106 bits, in float64 whatever the dtype: ``sqrt(-2 log u) cos(2 pi v)``, at most 8.6.
    The same bits in every mode.

    >>> import graphc as gc
    >>> key = gc.random.Key(0)
    >>> gc.compile([], gc.round(gc.random.normal(key, (3,)) * 1000))()
    array([-398., 1387., -206.])
    """
    wanted = _float("normal", dtype)
    numbers = not is_tensor(mean) and not is_tensor(std) and np.ndim(mean) == np.ndim(std) == 0
    if numbers and not (math.isfinite(mean) and 0 <= std < math.inf):
        raise _bad("normal", f"mean={mean!r}, std={std!r}", "finite numbers, std >= 0")
    half = _block("normal", key, shape, draw, (like, mean, std))
    z = cast(box_muller(half(0), half(1)), wanted)
    if numbers:
        return z if (mean, std) == (0, 1) else add(float(mean), multiply(float(std), z))
    return _fitting("normal", add(mean, multiply(std, z)), z)


def bernoulli(
    key: Key, p: Any = 0.5, shape: Any = None, dtype: Any = "bool", *, draw: int | None = None, like: Any = None
) -> Any:
    """True with probability `p`, a tensor of `shape` (by default that of `p`); the rest as for `uniform`.

    p      a number in [0, 1], or a tensor that broadcasts to `shape`, of probabilities: of nan the result is False
    dtype  what True and False become: with a float or integer dtype 1 and 0

    It is ``uniform(key, shape) < p`` in float64: exact to 2**-53, the same in every mode. No gradient flows to `p`.

    >>> import graphc as gc
    >>> key = gc.random.Key(0)
    >>> gc.compile([], gc.random.bernoulli(key, 0.8, (6,)))()
    array([False,  True,  True,  True,  True,  True])
    """
    number = not is_tensor(p) and np.ndim(p) == 0
    if number and not 0 <= p <= 1:
        raise _bad("bernoulli", f"p={p!r}", "a probability")
    if shape is None:
        shape = () if number else np.shape(p) if not is_tensor(p) else tuple(p.shape)
    half = _block("bernoulli", key, shape, draw, (like, p))
    steps = _shifted(half(0), 11)
    if number:  # k * 2**-53 < p without rounding
        hit = less(steps, np.uint64(math.ceil(float(p) * 2.0**53)))
    else:
        (p,) = lift(p, beside=(steps,))
        hit = less(multiply(cast(steps, FLOAT64), 2.0**-53), cast(p, FLOAT64))
    return cast(_fitting("bernoulli", hit, steps), as_dtype(dtype))


def randint(
    key: Key,
    low: int,
    high: int,
    shape: Any = (),
    dtype: Any = "int64",
    *,
    draw: int | None = None,
    like: Any = None,
) -> Any:
    """Integers uniform in low, ..., high - 1, a tensor of `shape`; the rest as for `uniform`.

    low, high  ints, low < high, within the range of `dtype`, which is an integer type

    Without remainders: it is the upper half of the product of 128 random bits and high - low. The probability of every
    integer is right to 2**-64 of itself. The same bits in every mode.

    >>> import graphc as gc
    >>> key = gc.random.Key(0)
    >>> gc.compile([], gc.random.randint(key, 1, 7, (8,)))()
    array([6, 3, 2, 3, 5, 1, 5, 1])
    """
    wanted = as_dtype(dtype)
    if wanted.kind not in "iu":
        raise DTypeError(
            message("randint of another dtype", got=str(wanted), expected="an integer", at=user_line(), created=False)
        )
    if not all(hasattr(v, "__index__") and not isinstance(v, bool) and not is_tensor(v) for v in (low, high)):
        hint = "gc.floor(gc.random.uniform(key, shape) * n) has a range that depends on data"
        raise _bad("randint", f"low={low!r}, high={high!r}"[:80], "ints", hint)
    least, end, info = low.__index__(), high.__index__(), np.iinfo(wanted)
    if not info.min <= least < end <= info.max + 1 or end - least == 2**64:
        raise _bad("randint", f"low={least}, high={end}", f"low < high, both within {wanted}")
    half = _block("randint", key, shape, draw, (like,))
    count = np.uint64(end - least)
    upper, lower = half(0), half(1)
    count = broadcast_to(lift(count, beside=(upper,))[0], tuple(upper.shape))
    rest = multiply_high(lower, count)
    carry = cast(less(add(multiply(upper, count), rest), rest), UINT64)
    found = add(multiply_high(upper, count), carry)
    return cast(add(found, np.uint64(least % 2**64)), wanted)  # modulo 2**64, so right for negative ones too


def permutation(
    key: Key, x: Any, axis: int = 0, independent: bool = False, *, draw: int | None = None, like: Any = None
) -> Any:
    """0, ..., n - 1 in random order, int64, where `x` is an int or dim n; else the tensor `x`, shuffled along `axis`.

    axis         of a tensor
    independent  every line along `axis` gets an order of its own; else all get the same
    draw, like   as for `uniform`

    The order is that of 64 random bits for each place, found by sorting: with n places two of them are equal, and keep
    their order, with a probability below n**2 / 2**65. The same bits in every mode. Gradients flow to `x`.
    Raises `ShapeError` for an axis that is not there.

    >>> import graphc as gc
    >>> key = gc.random.Key(0)
    >>> gc.compile([], gc.random.permutation(key, 5))()
    array([2, 1, 3, 4, 0])
    >>> x = gc.input("x", ("n", 2))
    >>> gc.compile([x], gc.random.permutation(key, x))([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    array([[3., 4.],
           [5., 6.],
           [1., 2.]])
    """
    if isinstance(x, (str, dims.Dim)) or (not is_tensor(x) and hasattr(x, "__index__") and np.ndim(x) == 0):
        (n,) = dims.as_shape((x,))
        return argsort(_block("permutation", key, (n,), draw, (like,))(0))
    (x,) = lift(x, beside=(like,))
    k = axis_index(axis, len(x.shape), "permutation")
    shape = tuple(x.shape) if independent else (x.shape[k],)
    order = argsort(_block("permutation", key, shape, draw, (like, x))(0), axis=k if independent else 0)
    return take_along_axis(x, order, axis=k) if independent else take(x, order, axis=k)


# bits


def _block(what: str, key: Key, shape: Any, draw: int | None, like: tuple[Any, ...]) -> Callable[[int], Any]:
    """Gives, for 0 and 1, two tensors of 64 random bits that belong to a new draw from `key`.

    The 128-bit counter of an element is its place in C order (48 bits), the number of the draw (16 bits), and the
    counter of the key (64 bits); the key of Philox is the seed and the stream (32 bits each). `like` are tensors, or
    anything else; the result is eager where one of them is.
    """
    if not isinstance(key, Key):
        hint = "" if isinstance(key, type) else "key = gc.random.Key(seed)"
        raise _bad(what, shown(key), "a gc.random.Key first", hint)
    if draw is not None and not (hasattr(draw, "__index__") and 0 <= draw.__index__() < MOST_DRAWS):
        raise _bad(what, f"draw={draw!r}", f"an int from 0 to {MOST_DRAWS - 1}")
    sizes = dims.as_shape(shape)
    number = key.number(like) if draw is None else draw.__index__()
    words, counter = key.operands(engine_of(*like))
    place = _places(sizes, number * _DRAW, (words, *like))
    return partial(philox, place, broadcast_to(counter, sizes), broadcast_to(words, sizes))


def _places(shape: Shape, start: int, beside: tuple[Any, ...]) -> Any:
    """start + the place of each element in C order, uint64."""
    total: Any = None
    stride: DimLike = 1
    for axis in range(len(shape) - 1, -1, -1):
        place = iota(shape, axis, UINT64, beside)
        if stride != 1:
            place = multiply(place, np.uint64(stride) if isinstance(stride, int) else dim_scalar(stride, UINT64))
        total = place if total is None else add(total, place)
        stride = stride * shape[axis]
    if total is None:
        return lift(np.uint64(start), beside=beside)[0]
    return add(total, np.uint64(start)) if start else total


def _shifted(bits: Any, by: int) -> Any:
    """bits >> by."""
    amount = broadcast_to(lift(np.uint64(by), beside=(bits,))[0], tuple(bits.shape))
    with meaning("bits"):
        return apply(BITWISE_RIGHT_SHIFT, bits, amount)


def _fraction(bits: Any, dtype: DType) -> Any:
    """The upper 24 or 53 bits as a number in [0, 1)."""
    if dtype == FLOAT32:
        return multiply(cast(cast(_shifted(bits, 40), np.dtype("int32")), FLOAT32), 2.0**-24)
    return multiply(cast(_shifted(bits, 11), FLOAT64), 2.0**-53)


# arguments


def _float(what: str, dtype: Any) -> DType:
    wanted = as_dtype(dtype)
    if wanted.kind != "f":
        hint = "gc.random.randint draws integers" if wanted.kind in "iu" else "gc.random.bernoulli draws bools"
        raise DTypeError(
            message(
                f"{what} of another dtype",
                got=str(wanted),
                expected="float32 or float64",
                at=user_line(),
                created=False,
                hint=hint,
            )
        )
    return wanted


def _fitting(what: str, result: Any, drawn: Any) -> Any:
    """`result`, which parameters may have given another shape or dtype than what was drawn: an error."""
    if len(result.shape) == len(drawn.shape) and all(
        dims.equal(m, n) is not False for m, n in zip(result.shape, drawn.shape, strict=True)
    ):
        if result.dtype in (drawn.dtype, np.dtype("bool")):
            return result
        raise DTypeError(
            message(
                f"parameters of another dtype in {what}",
                got=str(result.dtype),
                expected=str(drawn.dtype),
                at=user_line(),
                created=False,
                hint=f"draw with dtype={str(result.dtype)!r}, or convert them with astype",
            )
        )
    raise ShapeError(
        message(
            f"parameters that do not fit in {what}",
            got=f"a result of shape {shape_text(tuple(result.shape))}",
            expected=f"the shape asked for, {shape_text(tuple(drawn.shape))}",
            at=user_line(),
            created=False,
            hint="give shape= that of the parameters, or what they broadcast to",
        )
    )


def _bad(what: str, got: str, expected: str, hint: str = "") -> InputError:
    return InputError(
        message(
            f"bad arguments of gc.random.{what}", got=got, expected=expected, at=user_line(), created=False, hint=hint
        )
    )


__all__ = ["bernoulli", "normal", "permutation", "randint", "uniform"]
