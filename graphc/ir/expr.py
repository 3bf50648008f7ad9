"""Typed scalar expressions: what one statement of a kernel computes at one point of its iteration space.

Op rows build them from operands (`call`, `select`, `cast`, Python operators); each target prints them.
A function name here is a scalar function every target knows: see `codegen.scalar`.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .dims import Dim, DimLike
from .dtypes import BOOL, INT64, DType

COMPARISONS = frozenset({"eq", "ne", "lt", "le", "gt", "ge"})
PREDICATES = frozenset({"isnan", "isinf", "isfinite", "logical_and", "logical_or", "logical_not", "logical_xor"})


class Expr:
    """Base of scalar expressions; `dtype` is the NumPy dtype of the value."""

    __slots__ = ()
    dtype: DType

    def __add__(self, other: Any) -> Expr:
        return call("add", self, other)

    def __radd__(self, other: Any) -> Expr:
        return call("add", other, self)

    def __sub__(self, other: Any) -> Expr:
        return call("sub", self, other)

    def __rsub__(self, other: Any) -> Expr:
        return call("sub", other, self)

    def __mul__(self, other: Any) -> Expr:
        return call("mul", self, other)

    def __rmul__(self, other: Any) -> Expr:
        return call("mul", other, self)

    def __truediv__(self, other: Any) -> Expr:
        return call("div", self, other)

    def __rtruediv__(self, other: Any) -> Expr:
        return call("div", other, self)

    def __neg__(self) -> Expr:
        return call("neg", self)

    def __lt__(self, other: Any) -> Expr:
        return call("lt", self, other)

    def __le__(self, other: Any) -> Expr:
        return call("le", self, other)

    def __gt__(self, other: Any) -> Expr:
        return call("gt", self, other)

    def __ge__(self, other: Any) -> Expr:
        return call("ge", self, other)


@dataclass(frozen=True, slots=True)
class Var(Expr):
    """A local variable: a statement's result or a loop variable."""

    name: str
    dtype: DType = INT64


@dataclass(frozen=True, slots=True)
class Lit(Expr):
    """A typed literal; keyed by its bits, so 0.0, -0.0 and nan stay themselves."""

    bits: bytes
    dtype: DType

    @property
    def value(self) -> Any:
        return np.frombuffer(self.bits, self.dtype)[0]


@dataclass(frozen=True, slots=True)
class Size(Expr):
    """The runtime value of a dim, an int64."""

    dim: DimLike
    dtype: DType = INT64


@dataclass(frozen=True, slots=True)
class Call(Expr):
    """A scalar function of `args`."""

    fn: str
    args: tuple[Expr, ...]
    dtype: DType


@dataclass(frozen=True, slots=True)
class Load(Expr):
    """An element of a kernel's array argument."""

    array: str
    index: tuple[Expr, ...]
    dtype: DType


def lit(value: Any, dtype: DType) -> Lit:
    """A literal of `dtype`.

    >>> lit(0.5, np.dtype("float32")).value
    np.float32(0.5)
    """
    return Lit(np.asarray(value).astype(dtype).tobytes(), dtype)


def index(value: DimLike | Expr) -> Expr:
    """An index expression from an int, a dim or an expression."""
    if isinstance(value, Expr):
        return value
    if isinstance(value, Dim):
        return Size(value)
    return lit(value, INT64)


def _operands(args: tuple[Any, ...]) -> tuple[Expr, ...]:
    """Python scalars take the dtype of the first expression beside them."""
    dtype = next(a.dtype for a in args if isinstance(a, Expr))
    return tuple(a if isinstance(a, Expr) else Size(a) if isinstance(a, Dim) else lit(a, dtype) for a in args)


def call(fn: str, *args: Any) -> Expr:
    """`fn` of `args`; the dtype is bool for a comparison or predicate, else that of the first operand."""
    operands = _operands(args)
    fold = {INT64: _fold_index, BOOL: _fold_condition}.get(operands[0].dtype)
    folded = fold(fn, operands) if fold is not None else None
    if folded is not None:
        return folded
    dtype = BOOL if fn in COMPARISONS or fn in PREDICATES else operands[0].dtype
    return Call(fn, operands, dtype)


def cast(x: Expr, dtype: DType) -> Expr:
    """`x` converted to `dtype`."""
    return x if x.dtype == dtype else Call("cast", (x,), dtype)


def select(condition: Expr, x: Any, y: Any) -> Expr:
    """`x` where `condition` holds, else `y`; both are evaluated."""
    x, y = _operands((x, y))
    if isinstance(condition, Lit):
        return x if condition.value else y
    return Call("select", (condition, x, y), x.dtype)


def _int_value(e: Expr) -> int | None:
    return int(e.value) if isinstance(e, Lit) else None


def _fold_index(fn: str, args: tuple[Expr, ...]) -> Expr | None:
    """Keep index arithmetic tidy: fold integer literals and neutral elements."""
    if len(args) != 2:
        return None
    a, b = args
    x, y = _int_value(a), _int_value(b)
    if x is not None and y is not None:
        if fn == "add":
            return lit(x + y, INT64)
        if fn == "sub":
            return lit(x - y, INT64)
        if fn == "mul":
            return lit(x * y, INT64)
        if fn in COMPARISONS:
            return lit(getattr(operator, fn)(x, y), BOOL)
    if (fn == "add" and x == 0) or (fn == "mul" and x == 1):
        return b
    if (fn in ("add", "sub") and y == 0) or (fn == "mul" and y == 1):
        return a
    if isinstance(a, (Size, Lit)) and isinstance(b, (Size, Lit)) and fn in ("add", "sub", "mul"):
        u = a.dim if isinstance(a, Size) else x
        v = b.dim if isinstance(b, Size) else y
        assert u is not None and v is not None
        return index(u + v if fn == "add" else u - v if fn == "sub" else u * v)
    return None


def _fold_condition(fn: str, args: tuple[Expr, ...]) -> Expr | None:
    """The same for conditions, of which one is known."""
    if fn in ("logical_and", "logical_or"):
        for known, other in (args, args[::-1]):
            if isinstance(known, Lit):
                return other if bool(known.value) == (fn == "logical_and") else known
    return None


def children(e: Expr) -> tuple[Expr, ...]:
    """The expressions directly below `e`."""
    if isinstance(e, Call):
        return e.args
    if isinstance(e, Load):
        return e.index
    return ()


def variables(e: Expr) -> frozenset[str]:
    """Names of the variables that `e` reads."""
    found: set[str] = set()
    stack = [e]
    while stack:
        item = stack.pop()
        if isinstance(item, Var):
            found.add(item.name)
        stack.extend(children(item))
    return frozenset(found)
