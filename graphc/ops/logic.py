"""Logic, bits, and predicates about floating-point values. None has a derivative other than zero."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np

from ..ir.apply import apply, lift, lift_promoted
from ..ir.expr import call
from ..ir.lowering import Map, Refused
from ..ir.op import Arr, Op, Sample
from .common import broadcast_all, comparison_infer, dtype_error
from .elementwise import equal, less, not_equal
from .forms import EXTREMES, at_points, by_name, stepped

_BITS = Refused("it is about the bits of machine integers")
_FLOATING = Refused("it tells values apart that real numbers do not have")
_COMMUTATIVE = frozenset({"commutative"})
_BOOLEAN = frozenset({"boolean"})


# logic


def _logical(name: str, meaning: Any, sympy_name: str) -> Op:
    return stepped(
        name,
        meaning,
        operands=2,
        sympy=lambda sp, x, y: getattr(sp, sympy_name)(x, y),
        infer=comparison_infer,
        samples=(at_points((False, False, True, True), (False, True, False, True), dtype="bool"),),
        traits=_BOOLEAN | _COMMUTATIVE,
    )


LOGICAL_AND = _logical("logical_and", np.logical_and, "And")
LOGICAL_OR = _logical("logical_or", np.logical_or, "Or")
LOGICAL_XOR = _logical("logical_xor", np.logical_xor, "Xor")
LOGICAL_NOT = stepped(
    "logical_not",
    np.logical_not,
    operands=1,
    sympy=lambda sp, x: sp.Not(x),
    samples=(at_points((False, True), dtype="bool"),),
    traits=_BOOLEAN,
)


def _truth(op: Op, *operands: Any) -> Any:
    """Apply a logical op; numbers count as true unless they are 0."""
    bools = [o if o.dtype.kind == "b" else not_equal(o, 0) for o in lift(*operands)]
    return apply(op, *broadcast_all(op.name, *bools))


def logical_and(x: Any, y: Any, /) -> Any:
    """Whether both hold, elementwise; numbers hold unless they are 0 (nan holds).

    >>> import graphc as gc
    >>> bool(gc.logical_and(True, 0))
    False
    """
    return _truth(LOGICAL_AND, x, y)


def logical_or(x: Any, y: Any, /) -> Any:
    """Whether at least one holds, elementwise; numbers hold unless they are 0 (nan holds).

    >>> import graphc as gc
    >>> bool(gc.logical_or(True, 0))
    True
    """
    return _truth(LOGICAL_OR, x, y)


def logical_xor(x: Any, y: Any, /) -> Any:
    """Whether exactly one holds, elementwise; numbers hold unless they are 0 (nan holds).

    >>> import graphc as gc
    >>> bool(gc.logical_xor(True, 1))
    False
    """
    return _truth(LOGICAL_XOR, x, y)


def logical_not(x: Any, /) -> Any:
    """Whether x does not hold, elementwise; numbers hold unless they are 0 (nan holds).

    >>> import graphc as gc
    >>> bool(gc.logical_not(0))
    True
    """
    return _truth(LOGICAL_NOT, x)


# bits

_PAIRS = (
    Sample((Arr(dtype="int64", low=-99, high=99), Arr(dtype="int64", low=-99, high=99)), differentiable=False),
    at_points((-128, 127, 5, 0), (127, -1, 3, 0), dtype="int8"),
    at_points((2**64 - 1, 5), (2**63, 3), dtype="uint64"),
)
_SHIFTS = (
    at_points((1, -1, 100, -100, 5, -5, 3, -3), (7, 3, 1, 2, 8, 9, -1, -1), dtype="int8"),
    at_points((1, -1, 100, -100, 5, -5), (63, 3, 1, 2, 64, 70), dtype="int64"),
    at_points((1, 200, 255), (7, 1, 8), dtype="uint8"),
    at_points((1, 2**64 - 1, 3), (63, 1, 64), dtype="uint64"),
)


def _bits(name: str, meaning: Any) -> Op:
    return stepped(name, meaning, operands=2, sympy=_BITS, samples=_PAIRS, traits=_COMMUTATIVE)


BITWISE_AND = _bits("bitwise_and", np.bitwise_and)
BITWISE_OR = _bits("bitwise_or", np.bitwise_or)
BITWISE_XOR = _bits("bitwise_xor", np.bitwise_xor)
BITWISE_INVERT = stepped(
    "bitwise_invert",
    np.bitwise_invert,
    operands=1,
    sympy=_BITS,
    samples=(at_points((-128, 0, 127), dtype="int8"), at_points((0, 255), dtype="uint8")),
    lower=by_name("bitwise_not"),
)
BITWISE_LEFT_SHIFT = stepped(
    "bitwise_left_shift", np.left_shift, operands=2, sympy=_BITS, samples=_SHIFTS, lower=by_name("shift_left")
)
BITWISE_RIGHT_SHIFT = stepped(
    "bitwise_right_shift", np.right_shift, operands=2, sympy=_BITS, samples=_SHIFTS, lower=by_name("shift_right")
)


_SIGNS = MappingProxyType({"bitwise_and": "&", "bitwise_or": "|", "bitwise_xor": "^"})


def _of_integers(op: Op, *operands: Any, of_bools: Op | None = None) -> Any:
    """Apply an op of integers, or of bools by `of_bools`; anything else is a `DTypeError`."""
    lifted = lift_promoted(*operands)
    kind = lifted[0].dtype.kind
    if kind == "b" and of_bools is not None:
        op = of_bools
    elif kind not in "iu":
        expected = "integers" if of_bools is None else "integers or bools"
        hint = "convert with astype(x, 'int64')"
        if of_bools is not None:
            hint = f"comparisons need parentheses, (x > 0) {_SIGNS[op.name]} (x < 1); else {hint}"
        raise dtype_error(op.name, lift(*operands), expected, hint)
    return apply(op, *broadcast_all(op.name, *lifted))


def bitwise_and(x: Any, y: Any, /) -> Any:
    """The bits set in both, elementwise; for bools `logical_and`. Floats are a `DTypeError`.

    >>> import graphc as gc
    >>> int(gc.bitwise_and(6, 3))
    2
    """
    return _of_integers(BITWISE_AND, x, y, of_bools=LOGICAL_AND)


def bitwise_or(x: Any, y: Any, /) -> Any:
    """The bits set in at least one, elementwise; for bools `logical_or`. Floats are a `DTypeError`.

    >>> import graphc as gc
    >>> int(gc.bitwise_or(6, 3))
    7
    """
    return _of_integers(BITWISE_OR, x, y, of_bools=LOGICAL_OR)


def bitwise_xor(x: Any, y: Any, /) -> Any:
    """The bits set in exactly one, elementwise; for bools `logical_xor`. Floats are a `DTypeError`.

    >>> import graphc as gc
    >>> int(gc.bitwise_xor(6, 3))
    5
    """
    return _of_integers(BITWISE_XOR, x, y, of_bools=LOGICAL_XOR)


def bitwise_invert(x: Any, /) -> Any:
    """Every bit changed, elementwise; for bools `logical_not`. Floats are a `DTypeError`.

    >>> import graphc as gc
    >>> int(gc.bitwise_invert(6))
    -7
    """
    return _of_integers(BITWISE_INVERT, x, of_bools=LOGICAL_NOT)


def bitwise_left_shift(x: Any, y: Any, /) -> Any:
    """x * 2**y in the bits of the dtype; 0 for shifts outside 0 .. bits - 1. Floats and bools are a `DTypeError`.

    >>> import graphc as gc
    >>> int(gc.bitwise_left_shift(3, 2))
    12
    """
    return _of_integers(BITWISE_LEFT_SHIFT, x, y)


def bitwise_right_shift(x: Any, y: Any, /) -> Any:
    """floor(x / 2**y); 0, or -1 below 0, for shifts outside 0 .. bits - 1. Floats and bools are a `DTypeError`.

    >>> import graphc as gc
    >>> int(gc.bitwise_right_shift(12, 2))
    3
    """
    return _of_integers(BITWISE_RIGHT_SHIFT, x, y)


# predicates


def _predicate(name: str, meaning: Any, lower: Map | None = None) -> Op:
    return stepped(
        name,
        meaning,
        operands=1,
        sympy=_FLOATING,
        samples=(at_points(EXTREMES), at_points(EXTREMES, dtype="float32")),
        infer=comparison_infer,
        lower=lower,
        traits=_BOOLEAN,
    )


ISNAN = _predicate("isnan", np.isnan)
ISINF = _predicate("isinf", np.isinf)
ISFINITE = _predicate("isfinite", np.isfinite)
SIGNBIT = _predicate("signbit", np.signbit, Map(lambda x: call("copysign", 1.0, x) < 0.0))


def _of_float(op: Op, x: Any, otherwise: Callable[[Any], Any]) -> Any:
    """Apply a predicate about floats; ``otherwise(x)`` is what holds for integers and bools."""
    (x,) = lift(x)
    return apply(op, x) if x.dtype.kind == "f" else otherwise(x)


def isnan(x: Any, /) -> Any:
    """Whether x is nan, elementwise; an integer never is.

    >>> import graphc as gc
    >>> bool(gc.isnan(float("nan")))
    True
    """
    return _of_float(ISNAN, x, lambda x: not_equal(x, x))


def isinf(x: Any, /) -> Any:
    """Whether x is infinite, elementwise; an integer never is.

    >>> import graphc as gc
    >>> bool(gc.isinf(float("inf")))
    True
    """
    return _of_float(ISINF, x, lambda x: not_equal(x, x))


def isfinite(x: Any, /) -> Any:
    """Whether x is neither infinite nor nan, elementwise; an integer always is.

    >>> import graphc as gc
    >>> bool(gc.isfinite(1.0))
    True
    """
    return _of_float(ISFINITE, x, lambda x: equal(x, x))


def signbit(x: Any, /) -> Any:
    """Whether the sign bit is set, elementwise: for x < 0, -0.0, and some nan.

    >>> import graphc as gc
    >>> bool(gc.signbit(-0.0))
    True
    """
    return _of_float(SIGNBIT, x, lambda x: less(x, 0))


ROWS = (
    *(LOGICAL_AND, LOGICAL_OR, LOGICAL_XOR, LOGICAL_NOT),
    *(BITWISE_AND, BITWISE_OR, BITWISE_XOR, BITWISE_INVERT, BITWISE_LEFT_SHIFT, BITWISE_RIGHT_SHIFT),
    *(ISNAN, ISINF, ISFINITE, SIGNBIT),
)
