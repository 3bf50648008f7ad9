"""Elementwise arithmetic, comparison, selection and conversion; more functions stand in the files beside this one.

Everywhere in these files operands are tensors, arrays or numbers; shapes broadcast (`ShapeError` where they do not) and
dtypes promote as NumPy's do, Python scalars being weak. A function that needs floats computes integers in float64.
int64 beside uint64 becomes float64; comparisons of the two are exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.apply import apply, cast, lift, lift_promoted, set_cast
from ..ir.dtypes import UINT64, as_dtype
from ..ir.expr import Expr, call, select
from ..ir.expr import cast as cast_expr
from ..ir.lowering import Map
from ..ir.op import Arr, Aval, Op, Require, Sample
from .batching import batch_elementwise
from .common import broadcast_all, comparison_infer, dtype_error, elementwise_infer, nary, refuse_bool, unary
from .cotangent import ZERO, ct_mul, zero_mul
from .forms import at_points, by_name, stepped

_INF, _NAN = float("inf"), float("nan")
_AB = (Sample((Arr(), Arr())), Sample((Arr((5,), dtype="float32"), Arr((5,), dtype="float32"))))
_EDGES = at_points((_INF, _NAN, 0.0, -0.0, 1.0, -1.0), (_INF, 1.0, _INF, 0.0, 0.0, _NAN))
_INTS = (
    Sample((Arr(dtype="int64", low=-9, high=9), Arr(dtype="int64", low=1, high=9)), differentiable=False),
    at_points((127, -128, 5), (1, -1, -7), dtype="int8"),
    at_points((0, 2**64 - 1, 7), (1, 2, 7), dtype="uint64"),
)
_BOOLS = at_points((False, False, True, True), (False, True, False, True), dtype="bool")
_COMMUTATIVE = frozenset({"commutative"})
_BOOLEAN = frozenset({"boolean"})


def _or_for_bools(scalar: str, of_bools: str) -> Map:
    """Lower to `scalar`; NumPy's sum and product of bools are the logical functions `of_bools`."""
    return Map(lambda x, y: call(of_bools if x.dtype.kind == "b" else scalar, x, y))


ADD = Op(
    "add",
    elementwise_infer,
    np.add,
    _or_for_bools("add", "logical_or"),
    vjp=(lambda ct, out, x, y: ct, lambda ct, out, x, y: ct),
    jvp=(lambda t, out, x, y: t, lambda t, out, x, y: t),
    batch=batch_elementwise,
    sympy=lambda sp, x, y: x + y,
    samples=(*_AB, *_INTS, _EDGES, _BOOLS),
    traits=frozenset({"commutative", "linear"}),
)
SUBTRACT = Op(
    "subtract",
    elementwise_infer,
    np.subtract,
    by_name("sub"),
    vjp=(lambda ct, out, x, y: ct, lambda ct, out, x, y: negative(ct)),
    jvp=(lambda t, out, x, y: t, lambda t, out, x, y: negative(t)),
    batch=batch_elementwise,
    sympy=lambda sp, x, y: x - y,
    samples=(*_AB, *_INTS, _EDGES),
    traits=frozenset({"linear"}),
)
MULTIPLY = Op(
    "multiply",
    elementwise_infer,
    np.multiply,
    _or_for_bools("mul", "logical_and"),
    vjp=(lambda ct, out, x, y: ct_mul(ct, y), lambda ct, out, x, y: ct_mul(ct, x)),
    jvp=(lambda t, out, x, y: zero_mul(t, y), lambda t, out, x, y: zero_mul(x, t)),
    batch=batch_elementwise,
    sympy=lambda sp, x, y: x * y,
    samples=(*_AB, *_INTS, _EDGES, _BOOLS),
    traits=_COMMUTATIVE,
)
DIVIDE = Op(
    "divide",
    elementwise_infer,
    np.divide,
    by_name("div"),
    vjp=(lambda ct, out, x, y: ct_mul(ct, divide(1.0, y)), lambda ct, out, x, y: ct_mul(ct, negative(divide(out, y)))),
    jvp=(
        lambda t, out, x, y: ct_mul(t, divide(1.0, y)),
        lambda t, out, x, y: negative(ct_mul(t, divide(out, y))),
    ),
    batch=batch_elementwise,
    sympy=lambda sp, x, y: x / y,
    samples=(
        Sample((Arr(), Arr(low=0.5, high=3.0))),
        Sample((Arr((5,), dtype="float32"), Arr((5,), low=-3.0, high=-0.5, dtype="float32"))),
        _EDGES,
    ),
)
NEGATIVE = Op(
    "negative",
    elementwise_infer,
    np.negative,
    by_name("neg"),
    vjp=(lambda ct, out, x: negative(ct),),
    jvp=(lambda t, out, x: negative(t),),
    batch=batch_elementwise,
    sympy=lambda sp, x: -x,
    samples=(
        Sample((Arr(),)),
        at_points((0.0, -0.0, _INF, _NAN), dtype="float32"),
        at_points((-128, 0, 127), dtype="int8"),
        at_points((0, 1, 255), dtype="uint8"),
    ),
    traits=frozenset({"linear"}),
)


def _comparison(name: str, scalar: str, meaning: Any, relation: str, traits: frozenset[str] = _BOOLEAN) -> Op:
    return stepped(
        name,
        meaning,
        operands=2,
        sympy=lambda sp, x, y: getattr(sp, relation)(x, y),
        samples=(Sample((Arr(), Arr()), differentiable=False), *_INTS, _EDGES, _BOOLS),
        infer=comparison_infer,
        lower=by_name(scalar),
        traits=traits,
    )


EQUAL = _comparison("equal", "eq", np.equal, "Eq", _BOOLEAN | _COMMUTATIVE)
NOT_EQUAL = _comparison("not_equal", "ne", np.not_equal, "Ne", _BOOLEAN | _COMMUTATIVE)
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
    vjp=(None, lambda ct, out, c, x, y: where(c, ct, 0.0), lambda ct, out, c, x, y: where(c, 0.0, ct)),
    jvp=(None, lambda t, out, c, x, y: where(c, t, 0.0), lambda t, out, c, x, y: where(c, 0.0, t)),
    batch=batch_elementwise,
    sympy=lambda sp, c, x, y: sp.Piecewise((x, c), (y, True)),
    samples=(
        Sample((Arr(dtype="bool"), Arr(), Arr())),
        Sample((Arr(dtype="bool"), Arr(dtype="int8"), Arr(dtype="int8")), differentiable=False),
        Sample((Arr(dtype="bool"), Arr(dtype="bool"), Arr(dtype="bool")), differentiable=False),
    ),
)


def _astype_lower(x: Expr, dtype: Any) -> Expr:
    return call("ne", x, 0) if dtype.kind == "b" and x.dtype.kind != "b" else cast_expr(x, dtype)


def _between_floats(t: Any, x: Any, dtype: Any) -> Any:
    """A cotangent or tangent through a conversion: zero unless both dtypes are floats."""
    return t if x.dtype.kind == "f" and dtype.kind == "f" else ZERO


def _astype_vjp(ct: Any, out: Any, x: Any, dtype: Any) -> Any:
    ct = _between_floats(ct, x, dtype)
    return ct if ct is ZERO else cast(ct, x.dtype)


def _astype_jvp(t: Any, out: Any, x: Any, dtype: Any) -> Any:
    t = _between_floats(t, x, dtype)
    return t if t is ZERO else cast(t, dtype)


def _astype_sympy(sp: Any, x: Any, dtype: Any) -> Any:
    if dtype.kind == "b":
        return sp.Ne(x, 0)
    return x if dtype.kind == "f" else sp.sign(x) * sp.floor(sp.Abs(x))


ASTYPE = Op(
    "astype",
    lambda require, x, dtype: Aval(x.shape, dtype),
    lambda x, dtype: x.astype(dtype),
    Map(_astype_lower),
    vjp=(_astype_vjp,),
    jvp=(_astype_jvp,),
    batch=batch_elementwise,
    sympy=_astype_sympy,
    samples=(
        Sample((Arr(),), {"dtype": np.dtype("float32")}),
        Sample((Arr(dtype="float32"),), {"dtype": np.dtype("float64")}),
        Sample((Arr(dtype="int32", low=-5, high=5),), {"dtype": np.dtype("float64")}, differentiable=False),
        Sample((Arr(dtype="int64", low=-500, high=500),), {"dtype": np.dtype("uint8")}, differentiable=False),
        Sample((Arr(dtype="bool"),), {"dtype": np.dtype("int8")}, differentiable=False),
        Sample((Arr(),), {"dtype": np.dtype("int64")}, differentiable=False),
        Sample((Arr(),), {"dtype": np.dtype("bool")}, differentiable=False),
    ),
    tolerance=1e-6,
)
set_cast(ASTYPE)

STOP_GRADIENT = Op(
    "stop_gradient",
    elementwise_infer,
    lambda x: x,
    Map(lambda x: x),
    vjp=(lambda ct, out, x: ZERO,),
    jvp=(lambda t, out, x: ZERO,),
    batch=batch_elementwise,
    sympy=lambda sp, x: x,
    samples=(Sample((Arr(),), differentiable=False), Sample((Arr(dtype="int64"),), differentiable=False)),
)


def add(x: Any, y: Any, /) -> Any:
    """Elementwise sum; of bools, their logical or (as NumPy has it).

    >>> import graphc as gc
    >>> float(gc.add(1, 0.5))
    1.5
    """
    return nary(ADD, x, y)


def subtract(x: Any, y: Any, /) -> Any:
    """Elementwise difference; bools are a `DTypeError`, and unsigned integers wrap.

    >>> import graphc as gc
    >>> float(gc.subtract(1, 0.5))
    0.5
    """
    x, y = lift_promoted(x, y)
    refuse_bool("subtract", x, y)
    return nary(SUBTRACT, x, y)


def multiply(x: Any, y: Any, /) -> Any:
    """Elementwise product; of bools, their logical and (as NumPy has it).

    >>> import graphc as gc
    >>> float(gc.multiply(3, 0.5))
    1.5
    """
    return nary(MULTIPLY, x, y)


def divide(x: Any, y: Any, /) -> Any:
    """Elementwise quotient; integers divide as float64, and a division by zero gives inf or nan.

    >>> import graphc as gc
    >>> float(gc.divide(1, 4))
    0.25
    """
    return nary(DIVIDE, x, y, to_float=True)


def negative(x: Any, /) -> Any:
    """Elementwise -x; a bool is a `DTypeError`, and unsigned integers wrap.

    >>> import graphc as gc
    >>> float(gc.negative(2.0))
    -2.0
    """
    (x,) = lift(x)
    refuse_bool("negative", x)
    return unary(NEGATIVE, x)


def positive(x: Any, /) -> Any:
    """Elementwise +x: `x` itself; a bool is a `DTypeError`.

    >>> import graphc as gc
    >>> float(gc.positive(2.0))
    2.0
    """
    (x,) = lift(x)
    refuse_bool("positive", x)
    return x


def _compared(op: Op, x: Any, y: Any) -> Any:
    """Apply a comparison. Integers with and without sign meet as uint64, for float64 would round them: behind a look at
    the sign, for what is below 0 is below all of the others."""
    if UINT64 not in [getattr(operand, "dtype", None) for operand in (x, y)]:
        return nary(op, x, y)
    listed = [lift(o, beside=(x, y))[0] if isinstance(o, (list, tuple)) else o for o in (x, y)]
    signed = [hasattr(operand, "dtype") and operand.dtype.kind == "i" for operand in listed]
    if not any(signed):
        return nary(op, x, y)
    x, y = lift(*listed)
    below = bool(op.numpy(*[-1 if is_signed else 0 for is_signed in signed]))
    same = nary(op, cast(x, UINT64), cast(y, UINT64))
    is_below = nary(LESS, x if signed[0] else y, 0)
    return where(is_below, below, same)


def equal(x: Any, y: Any, /) -> Any:
    """Elementwise x == y, a bool tensor.

    >>> import graphc as gc
    >>> bool(gc.equal(2, 2.0))
    True
    """
    return _compared(EQUAL, x, y)


def not_equal(x: Any, y: Any, /) -> Any:
    """Elementwise x != y, a bool tensor; nan differs from itself.

    >>> import graphc as gc
    >>> bool(gc.not_equal(2, 2.0))
    False
    """
    return _compared(NOT_EQUAL, x, y)


def less(x: Any, y: Any, /) -> Any:
    """Elementwise x < y, a bool tensor.

    >>> import graphc as gc
    >>> bool(gc.less(1, 2))
    True
    """
    return _compared(LESS, x, y)


def less_equal(x: Any, y: Any, /) -> Any:
    """Elementwise x <= y, a bool tensor.

    >>> import graphc as gc
    >>> bool(gc.less_equal(2, 2))
    True
    """
    return _compared(LESS_EQUAL, x, y)


def greater(x: Any, y: Any, /) -> Any:
    """Elementwise x > y, a bool tensor.

    >>> import graphc as gc
    >>> bool(gc.greater(1, 2))
    False
    """
    return _compared(GREATER, x, y)


def greater_equal(x: Any, y: Any, /) -> Any:
    """Elementwise x >= y, a bool tensor.

    >>> import graphc as gc
    >>> bool(gc.greater_equal(2, 2))
    True
    """
    return _compared(GREATER_EQUAL, x, y)


def where(condition: Any, x: Any, y: Any, /) -> Any:
    """`x` where `condition` (bool) holds, else `y`. The gradient of the branch not taken is exactly zero.

    All three broadcast; `x` and `y` promote to one dtype. A condition that is not bool is a `DTypeError`.

    >>> import graphc as gc
    >>> float(gc.where(True, 1.0, 2.0))
    1.0
    """
    (condition,) = lift(condition, beside=(x, y))
    if condition.dtype.kind != "b":
        raise dtype_error("where", (condition,), "a bool condition", "compare: where(c != 0, x, y)")
    x, y = lift_promoted(x, y, beside=(condition,))
    return apply(WHERE, *broadcast_all("where", condition, x, y))


def astype(x: Any, dtype: Any, /, *, copy: bool = True) -> Any:
    """`x` converted to `dtype`: floats to integers truncate, integers wrap, a bool says whether it was not 0.

    Gradients pass between float dtypes only. A tensor never shares memory it can change, so `copy` says nothing.

    >>> import graphc as gc
    >>> gc.astype(gc.input("x", (3,), "float64"), "float32")
    <Tensor astype float32[3]>
    """
    (x,) = lift(x)
    return cast(x, as_dtype(dtype))


def stop_gradient(x: Any, /) -> Any:
    """`x`, through which no derivative flows: its vjp and jvp are zero.

    >>> import graphc as gc
    >>> float(gc.stop_gradient(2.0))
    2.0
    """
    (x,) = lift(x)
    return apply(STOP_GRADIENT, x)


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
    STOP_GRADIENT,
)
