"""What elements of arrays are while a graph is evaluated: SymPy expressions, or real numbers of 50 digits.

Both read the op table: a row's `sympy` is its meaning on one element. In the reals nothing is nan or infinite, and
a cotangent of zero makes a product zero.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import UnsupportedError, UserLine, message
from ..ir.lowering import Map, Refused
from ..ir.op import Op
from ..ir.tensor import intern_key
from .numbers import exact

DIGITS = 50


class BudgetError(Exception):
    """An expression grew, or a computation took, more than was allowed."""


def _real(op: str) -> Callable[..., Any] | None:
    """The meaning over the reals of rows that are about machine numbers."""
    return {
        "isnan": lambda sp, x: sp.false,
        "isinf": lambda sp, x: sp.false,
        "isfinite": lambda sp, x: sp.true,
        "signbit": lambda sp, x: sp.Lt(x, 0),
    }.get(op)


def meaning_of(op: Op, at: UserLine | None = None) -> Callable[..., Any]:
    """A row's `sympy`; `UnsupportedError`, naming the op, where it has none."""
    found = _real(op.name) or op.sympy
    if isinstance(found, Refused):
        raise UnsupportedError(
            message(f"{op.name} has no meaning in SymPy", expected=f"an op that has one: {found.reason}", at=at)
        )
    return found


class Symbols:
    """Elements are SymPy expressions. `limit` bounds the size of each, counted as a tree.

    With `freeze`, what passes through ``stop_gradient`` becomes a symbol of its own: nothing is differentiated
    through it. `thaw` puts its value back.
    """

    def __init__(self, limit: int = 4000, freeze: bool = False, deadline: float = float("inf")):
        import sympy

        self.sp = sympy
        self.limit, self.freezing, self.deadline = limit, freeze, deadline
        self.frozen: dict[Any, Any] = {}
        self._sizes: dict[Any, int] = {}

    def number(self, value: Any) -> Any:
        return exact(value)

    def truth(self, condition: Any) -> Any:
        return self.sp.true if condition else self.sp.false

    def freeze(self, element: Any) -> Any:
        if not self.freezing or not element.free_symbols:
            return element
        symbol = self.sp.Dummy("held", real=True)
        self.frozen[symbol] = element
        return symbol

    def thaw(self, expression: Any) -> Any:
        for symbol, value in reversed(self.frozen.items()):
            expression = expression.xreplace({symbol: value})
        return expression

    def map(self, op: Op, attrs: Mapping[str, Any], at: UserLine | None) -> Callable[..., Any]:
        """The elementwise meaning of a row."""
        sp = self.sp
        if op.name == "ct_mul":
            return lambda ct, d: sp.S.Zero if ct == 0 else ct * d
        if op.name == "zero_mul":
            return lambda a, b: sp.S.Zero if a == 0 or b == 0 else a * b
        if op.name == "stop_gradient":
            return self.freeze
        meaning = meaning_of(op, at)
        if op.name == "where":
            return lambda c, x, y: x if c == True else y if c == False else meaning(sp, c, x, y)  # noqa: E712
        if op.name == "astype":
            return lambda x: meaning(sp, self._counted(x), **attrs)
        return lambda *xs: self.bounded(meaning(sp, *xs, **attrs))

    def _counted(self, x: Any) -> Any:
        """A truth value as 1 or 0, anything else as it is."""
        is_truth = isinstance(x, self.sp.logic.boolalg.Boolean) and not isinstance(x, self.sp.Symbol)
        return self.sp.Piecewise((1, x), (0, True)) if is_truth else x

    def reduce(self, op: Op, attrs: Mapping[str, Any]) -> Callable[[Sequence[Any]], Any]:
        """The meaning of a reduction of a list."""
        meaning = meaning_of(op)
        return lambda xs: self.bounded(meaning(self.sp, xs, **attrs))

    def bounded(self, expression: Any) -> Any:
        size = self.size(expression)
        if size > self.limit:
            raise BudgetError(f"an expression of {size} terms, more than {self.limit}")
        if time.monotonic() > self.deadline:
            raise BudgetError("no time left")
        return expression

    def size(self, expression: Any) -> int:
        """The number of nodes of an expression, as a tree."""
        known = self._sizes.get(expression)
        if known is None:
            known = 1 + sum(self.size(a) for a in expression.args)
            self._sizes[expression] = known
        return known


class Digits:
    """Elements are mpmath numbers of `DIGITS` digits; what is not a real number is nan."""

    def __init__(self) -> None:
        import mpmath

        self.mp = mpmath.mp.clone()
        self.mp.dps = DIGITS
        self._maps: dict[Any, Callable[..., Any]] = {}
        self._numbers: dict[Any, Any] = {}

    def number(self, value: Any) -> Any:
        value = np.asarray(value)[()]
        key = (value.dtype.str, value.tobytes())
        if key not in self._numbers:
            self._numbers[key] = self.of_sympy(exact(value))
        return self._numbers[key]

    def of_sympy(self, value: Any) -> Any:
        """A SymPy number in 50 digits."""
        import sympy as sp

        if value in (sp.true, sp.false):
            return bool(value)
        if value is sp.nan or value in (sp.oo, -sp.oo):
            return self.mp.mpf(str(value).replace("oo", "inf"))
        return self.mp.mpf(str(sp.N(value, DIGITS + 5)))

    def truth(self, condition: Any) -> bool:
        return bool(condition)

    def freeze(self, element: Any) -> Any:
        return element

    def map(self, op: Op, attrs: Mapping[str, Any], at: UserLine | None) -> Callable[..., Any]:
        direct: dict[str, Callable[..., Any]] = {
            "ct_mul": lambda ct, d: ct if ct == 0 else ct * d,
            "zero_mul": lambda a, b: a if a == 0 else b if b == 0 else a * b,
            "where": lambda c, x, y: x if c else y,
            "stop_gradient": lambda x: x,
            "add": lambda x, y: x + y,
            "subtract": lambda x, y: x - y,
            "multiply": lambda x, y: x * y,
            "logical_and": lambda x, y: x and y,
            "logical_or": lambda x, y: x or y,
            "logical_not": lambda x: not x,
        }
        if op.name == "astype" and attrs["dtype"].kind == "f":
            return lambda x: self.mp.mpf(x)
        return direct.get(op.name) or self._compiled(op, attrs, at)

    def _compiled(self, op: Op, attrs: Mapping[str, Any], at: UserLine | None) -> Callable[..., Any]:
        """A row's meaning as a Python function of mpmath numbers, made once."""
        key = (op.name, tuple((k, intern_key(attrs[k])) for k in sorted(attrs)))

        def call(*xs: Any) -> Any:
            if (*key, len(xs)) not in self._maps:
                import sympy as sp

                names = [sp.Symbol(f"x{k}", real=True) for k in range(len(xs))]
                meaning = meaning_of(op, at)(sp, *names, **attrs)
                self._maps[(*key, len(xs))] = sp.lambdify(names, meaning, modules=[functions(self.mp), "mpmath"])
            return self.real(self._maps[(*key, len(xs))], *xs)

        return call

    def real(self, function: Callable[..., Any], *xs: Any) -> Any:
        """The value of `function`; nan where it has no real one."""
        try:
            value = function(*xs)
        except (ArithmeticError, ValueError, TypeError):
            return self.mp.nan
        if isinstance(value, bool):
            return value
        if isinstance(value, self.mp.mpc):
            return value.real if value.imag == 0 else self.mp.nan
        return self.mp.mpf(value)

    def reduce(self, op: Op, attrs: Mapping[str, Any]) -> Callable[[Sequence[Any]], Any]:
        """The meaning of a reduction of a list."""
        found: dict[str, Callable[[Sequence[Any]], Any]] = {
            "sum": self.mp.fsum,
            "prod": self.mp.fprod,
            "max": max,
            "min": min,
            "first_max": max,
            "supremum": lambda xs: max(xs, default=-self.mp.inf),
            "any": any,
            "all": all,
        }
        return found[op.name]


def functions(mp: Any) -> dict[str, Any]:
    """The functions of a context by the names that SymPy's printer calls them by."""
    own = {name: getattr(mp, name) for name in dir(mp) if not name.startswith("_")}
    return {**own, "Heaviside": lambda x, half=0.5: mp.mpf(1) if x > 0 else mp.mpf(0) if x < 0 else mp.mpf(half)}


@functools.cache
def is_map(op: Op) -> bool:
    """Whether a row is elementwise."""
    return isinstance(op.lower, Map)


__all__ = ["DIGITS", "BudgetError", "Digits", "Symbols", "functions", "is_map", "meaning_of"]
