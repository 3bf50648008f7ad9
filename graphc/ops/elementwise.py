"""Arithmetic, comparison, logic and selection, elementwise."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.apply import apply, cast, lift, lift_promoted, set_cast
from ..ir.dtypes import as_dtype
from ..ir.expr import Expr, call, select
from ..ir.expr import cast as cast_expr
from ..ir.lowering import Map
from ..ir.op import Arr, Aval, Op, Require, Sample
from .common import broadcast_all, comparison_infer, dtype_error, elementwise_infer, nary, refuse_bool, unary
from .cotangent import ZERO, ct_mul, zero_almost_everywhere

_AB = (Sample((Arr(), Arr())), Sample((Arr((5,), dtype="float32"), Arr((5,), dtype="float32"))))
_INTS = Sample((Arr(dtype="int64", low=-9, high=9), Arr(dtype="int64", low=1, high=9)), differentiable=False)
_POSITIVE = Sample((Arr(), Arr(low=0.5, high=3.0)))


def _wrap(name: str) -> Map:
    """Lower to the scalar function of the same name."""
    return Map(lambda *xs: call(name, *xs))


ADD = Op(
    "add",
    elementwise_infer,
    np.add,
    _wrap("add"),
    vjp=(lambda ct, out, x, y: ct, lambda ct, out, x, y: ct),
    jvp=(lambda t, out, x, y: t, lambda t, out, x, y: t),
    sympy=lambda sp, x, y: x + y,
    samples=(*_AB, _INTS),
    traits=frozenset({"commutative", "linear"}),
)
SUBTRACT = Op(
    "subtract",
    elementwise_infer,
    np.subtract,
    _wrap("sub"),
    vjp=(lambda ct, out, x, y: ct, lambda ct, out, x, y: negative(ct)),
    jvp=(lambda t, out, x, y: t, lambda t, out, x, y: negative(t)),
    sympy=lambda sp, x, y: x - y,
    samples=(*_AB, _INTS),
    traits=frozenset({"linear"}),
)
MULTIPLY = Op(
    "multiply",
    elementwise_infer,
    np.multiply,
    _wrap("mul"),
    vjp=(lambda ct, out, x, y: ct_mul(ct, y), lambda ct, out, x, y: ct_mul(ct, x)),
    jvp=(lambda t, out, x, y: multiply(t, y), lambda t, out, x, y: multiply(x, t)),
    sympy=lambda sp, x, y: x * y,
    samples=(*_AB, _INTS),
    traits=frozenset({"commutative"}),
)
DIVIDE = Op(
    "divide",
    elementwise_infer,
    np.divide,
    _wrap("div"),
    vjp=(lambda ct, out, x, y: ct_mul(ct, divide(1.0, y)), lambda ct, out, x, y: ct_mul(ct, negative(divide(out, y)))),
    jvp=(lambda t, out, x, y: divide(t, y), lambda t, out, x, y: negative(divide(multiply(x, t), multiply(y, y)))),
    sympy=lambda sp, x, y: x / y,
    samples=(_POSITIVE,),
)
NEGATIVE = Op(
    "negative",
    elementwise_infer,
    np.negative,
    _wrap("neg"),
    vjp=(lambda ct, out, x: negative(ct),),
    jvp=(lambda t, out, x: negative(t),),
    sympy=lambda sp, x: -x,
    samples=(Sample((Arr(),)),),
    traits=frozenset({"linear"}),
)


def _comparison(name: str, scalar: str, meaning: Any, relation: str) -> Op:
    return Op(
        name,
        comparison_infer,
        meaning,
        _wrap(scalar),
        vjp=(zero_almost_everywhere, zero_almost_everywhere),
        jvp=(zero_almost_everywhere, zero_almost_everywhere),
        sympy=lambda sp, x, y: getattr(sp, relation)(x, y),
        samples=(Sample((Arr(), Arr()), differentiable=False), _INTS),
        traits=frozenset({"boolean"}),
    )


EQUAL = _comparison("equal", "eq", np.equal, "Eq")
NOT_EQUAL = _comparison("not_equal", "ne", np.not_equal, "Ne")
LESS = _comparison("less", "lt", np.less, "Lt")
LESS_EQUAL = _comparison("less_equal", "le", np.less_equal, "Le")
GREATER = _comparison("greater", "gt", np.greater, "Gt")
GREATER_EQUAL = _comparison("greater_equal", "ge", np.greater_equal, "Ge")


def _where_infer(require: Require, condition: Aval, x: Aval, y: Aval) -> Aval:
    return elementwise_infer(require, x, y)


WHERE = Op(
    "where",
    _where_infer,
    np.where,
    Map(lambda c, x, y: select(c, x, y)),
    vjp=(None, lambda ct, out, c, x, y: where(c, ct, 0.0), lambda ct, out, c, x, y: where(c, 0.0, ct)),  # type: ignore
    jvp=(None, lambda t, out, c, x, y: where(c, t, 0.0), lambda t, out, c, x, y: where(c, 0.0, t)),  # type: ignore
    sympy=lambda sp, c, x, y: sp.Piecewise((x, c), (y, True)),
    samples=(Sample((Arr(dtype="bool"), Arr(), Arr())),),
)


def _astype_lower(x: Expr, dtype: Any) -> Expr:
    return call("ne", x, 0) if dtype.kind == "b" and x.dtype.kind != "b" else cast_expr(x, dtype)


def _astype_vjp(ct: Any, out: Any, x: Any, dtype: Any) -> Any:
    return cast(ct, x.dtype) if x.dtype.kind == "f" and dtype.kind == "f" else ZERO


ASTYPE = Op(
    "astype",
    lambda require, x, dtype: Aval(x.shape, dtype),
    lambda x, dtype: x.astype(dtype),
    Map(_astype_lower),
    vjp=(_astype_vjp,),
    jvp=(lambda t, out, x, dtype: cast(t, dtype) if x.dtype.kind == "f" and dtype.kind == "f" else ZERO,),
    sympy=lambda sp, x, dtype: x,
    samples=(
        Sample((Arr(),), {"dtype": np.dtype("float32")}),
        Sample((Arr(dtype="int32", low=-5, high=5),), {"dtype": np.dtype("float64")}, differentiable=False),
        Sample((Arr(),), {"dtype": np.dtype("int64")}, differentiable=False),
        Sample((Arr(),), {"dtype": np.dtype("bool")}, differentiable=False),
    ),
    tolerance=1e-6,
)
set_cast(ASTYPE)


def add(x: Any, y: Any, /) -> Any:
    """Elementwise sum."""
    return nary(ADD, x, y)


def subtract(x: Any, y: Any, /) -> Any:
    """Elementwise difference."""
    x, y = lift_promoted(x, y)
    refuse_bool("subtract", x, y)
    return nary(SUBTRACT, x, y)


def multiply(x: Any, y: Any, /) -> Any:
    """Elementwise product."""
    return nary(MULTIPLY, x, y)


def divide(x: Any, y: Any, /) -> Any:
    """Elementwise quotient; integers divide as float64."""
    return nary(DIVIDE, x, y, to_float=True)


def negative(x: Any, /) -> Any:
    """Elementwise -x."""
    (x,) = lift(x)
    refuse_bool("negative", x)
    return unary(NEGATIVE, x)


def equal(x: Any, y: Any, /) -> Any:
    """Elementwise x == y, a bool tensor."""
    return nary(EQUAL, x, y)


def not_equal(x: Any, y: Any, /) -> Any:
    """Elementwise x != y, a bool tensor."""
    return nary(NOT_EQUAL, x, y)


def less(x: Any, y: Any, /) -> Any:
    """Elementwise x < y, a bool tensor."""
    return nary(LESS, x, y)


def less_equal(x: Any, y: Any, /) -> Any:
    """Elementwise x <= y, a bool tensor."""
    return nary(LESS_EQUAL, x, y)


def greater(x: Any, y: Any, /) -> Any:
    """Elementwise x > y, a bool tensor."""
    return nary(GREATER, x, y)


def greater_equal(x: Any, y: Any, /) -> Any:
    """Elementwise x >= y, a bool tensor."""
    return nary(GREATER_EQUAL, x, y)


def where(condition: Any, x: Any, y: Any, /) -> Any:
    """`x` where `condition` (bool) holds, else `y`. The gradient of the branch not taken is exactly zero."""
    (condition,) = lift(condition, beside=(x, y))
    if condition.dtype.kind != "b":
        raise dtype_error("where", (condition,), "a bool condition", "compare: where(c != 0, x, y)")
    x, y = lift_promoted(x, y, beside=(condition,))
    return apply(WHERE, *broadcast_all("where", condition, x, y))


def astype(x: Any, dtype: Any, /, *, copy: bool = True) -> Any:
    """`x` converted to `dtype` (floats to integers truncate, as NumPy does)."""
    (x,) = lift(x)
    return cast(x, as_dtype(dtype))


ROWS = (
    ADD,
    SUBTRACT,
    MULTIPLY,
    DIVIDE,
    NEGATIVE,
    EQUAL,
    NOT_EQUAL,
    LESS,
    LESS_EQUAL,
    GREATER,
    GREATER_EQUAL,
    WHERE,
    ASTYPE,
)
