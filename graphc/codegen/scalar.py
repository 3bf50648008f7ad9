"""Scalar expressions as Python text, the same for every target: typed literals, minimal parentheses.

Integer arithmetic is wrapped in its own dtype, since numba widens small integers and NumPy does not.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..ir.dims import DimLike
from ..ir.dtypes import BOOL, FLOAT64, INT64, DType
from ..ir.expr import Call, Expr, Lit, Load, Size, Var
from .intmath import FUNCTIONS as INTEGER_FUNCTIONS
from .vecmath import FUNCTIONS as FLOAT_FUNCTIONS

_BINARY = {
    "add": ("+", 60), "sub": ("-", 60), "mul": ("*", 70), "div": ("/", 70),
    "floordiv_nonneg": ("//", 70), "mod_nonneg": ("%", 70),
    "bitwise_and": ("&", 50), "bitwise_xor": ("^", 46), "bitwise_or": ("|", 45),
    "eq": ("==", 40), "ne": ("!=", 40), "lt": ("<", 40), "le": ("<=", 40), "gt": (">", 40), "ge": (">=", 40),
    "logical_and": ("&", 50), "logical_or": ("|", 45),
}  # fmt: skip
_ATOM, _UNARY = 100, 80
_WRAPPING = frozenset({"add", "sub", "mul", "neg", "bitwise_and", "bitwise_xor", "bitwise_or", "bitwise_not"})

FunctionKey = tuple[str, str]


class Printer:
    """Prints expressions; collects the helper functions and runtime dims they mention.

    dim_name    the local name of a runtime dim, given by the kernel's printer
    named       whether known sizes have such names, too
    functions   helpers used so far, keys into the function tables
    elements    what stands for elements of arrays that have been read already
    """

    def __init__(self, dim_name: Callable[[DimLike], str], named: bool = False):
        self.dim_name, self.named = dim_name, named
        self.functions: dict[FunctionKey, str] = {}
        self.elements: dict[Load, str] = {}

    def text(self, e: Expr, minimum: int = 0) -> str:
        """`e` as Python, in parentheses if it binds less tightly than `minimum`."""
        text, strength = self._print(e)
        return f"({text})" if strength < minimum else text

    def literal(self, e: Lit, typed: bool = False) -> str:
        """A literal of its exact dtype; int64 and float64 need no mark unless `typed`."""
        return literal_text(e.value, e.dtype, typed)

    def typed(self, e: Expr) -> str:
        """`e` as an operand that must be a NumPy scalar: functions ask for its dtype, plain Python too."""
        return self.literal(e, typed=True) if isinstance(e, Lit) else self.text(e)

    def size(self, dim: DimLike) -> str:
        return str(dim) if isinstance(dim, int) and not self.named else self.dim_name(dim)

    def index(self, index: tuple[Expr, ...]) -> str:
        return ", ".join(self.text(i) for i in index) if index else "0"

    def _print(self, e: Expr) -> tuple[str, int]:
        if isinstance(e, Var):
            return e.name, _ATOM
        if isinstance(e, Lit):
            text = self.literal(e)
            return text, _UNARY if text.startswith("-") else _ATOM
        if isinstance(e, Size):
            return self.size(e.dim), _ATOM
        if isinstance(e, Load):
            return self.elements.get(e) or f"{e.array}[{self.index(e.index)}]", _ATOM
        assert isinstance(e, Call)
        return self._call(e)

    def _call(self, e: Call) -> tuple[str, int]:
        fn, args = e.fn, e.args
        if fn == "select":
            condition, x, y = args
            return f"select({self.text(condition)}, {self.text(x)}, {self.text(y)})", _ATOM
        if fn == "cast":
            return f"{e.dtype.name if e.dtype != BOOL else 'bool_'}({self.text(args[0])})", _ATOM
        if e.dtype == BOOL and args[0].dtype == BOOL and fn in ("add", "mul"):
            fn = "logical_or" if fn == "add" else "logical_and"
        special = getattr(self, f"_{fn}", None)
        if special is not None:
            return special(*args)
        if fn in _BINARY:
            operator, strength = _BINARY[fn]
            if all(isinstance(a, Lit) for a in args):  # untyped, Python would compute it by its own rules
                return f"{self.typed(args[0])} {operator} {self.typed(args[1])}", strength
            text = f"{self.text(args[0], strength)} {operator} {self.text(args[1], strength + 1)}"
            return self._narrow(e, text, strength)
        return self._function(e)

    def _narrow(self, e: Call, text: str, strength: int) -> tuple[str, int]:
        """Integer results are converted back where numba would have widened them."""
        if e.fn in _WRAPPING and e.dtype.kind in "iu" and e.dtype != INT64:
            return f"{e.dtype.name}({text})", _ATOM
        return text, strength

    def _function(self, e: Call) -> tuple[str, int]:
        dtype = e.args[-1].dtype.name  # polygamma(n, x) begins with an integer
        if e.fn == "wrap":
            return f"wrap({', '.join(self.text(a) for a in e.args)}, m)", _ATOM
        for table, key in ((FLOAT_FUNCTIONS, (e.fn, dtype)), (INTEGER_FUNCTIONS, (e.fn, dtype)),
                           (INTEGER_FUNCTIONS, (e.fn, "int"))):  # fmt: skip
            if key in table:
                self.functions[key] = table[key].name
                return self._narrow_call(e, f"{table[key].name}({', '.join(map(self.typed, e.args))})"), _ATOM
        raise KeyError(f"no scalar function {e.fn} for {dtype}")

    def _narrow_call(self, e: Call, text: str) -> str:
        return f"{e.dtype.name}({text})" if e.dtype.kind in "iu" and e.dtype != INT64 else text

    # functions printed in place

    def _neg(self, x: Expr) -> tuple[str, int]:
        return self._narrow(Call("neg", (x,), x.dtype), f"-{self.text(x, _UNARY + 1)}", _UNARY)

    def _bitwise_not(self, x: Expr) -> tuple[str, int]:
        if x.dtype == BOOL:
            return self._logical_not(x)
        return self._narrow(Call("bitwise_not", (x,), x.dtype), f"~{self.text(x, _UNARY + 1)}", _UNARY)

    def _logical_not(self, x: Expr) -> tuple[str, int]:
        return f"not {self.text(x, 36)}", 35

    def _logical_xor(self, x: Expr, y: Expr) -> tuple[str, int]:
        return f"{self.text(x, 41)} != {self.text(y, 41)}", 40

    def _ct_mul(self, ct: Expr, d: Expr) -> tuple[str, int]:
        return f"ct_mul({self.text(ct)}, {self.text(d)})", _ATOM

    def _zero_mul(self, a: Expr, b: Expr) -> tuple[str, int]:
        return f"zero_mul({self.text(a)}, {self.text(b)})", _ATOM

    def _extremum(self, fn: str, x: Expr, y: Expr) -> tuple[str, int]:
        if x.dtype.kind == "f":
            return f"{fn}({self.text(x)}, {self.text(y)})", _ATOM
        return self._function(Call(fn, (x, y), x.dtype))

    def _maximum(self, x: Expr, y: Expr) -> tuple[str, int]:
        return self._extremum("maximum", x, y)

    def _minimum(self, x: Expr, y: Expr) -> tuple[str, int]:
        return self._extremum("minimum", x, y)

    def _isnan(self, x: Expr) -> tuple[str, int]:
        a = self.text(x, 41)
        return f"{a} != {a}", 40

    def _isinf(self, x: Expr) -> tuple[str, int]:
        return f"abs({self.text(x)}) == {literal_text(np.inf, x.dtype)}", 40

    def _isfinite(self, x: Expr) -> tuple[str, int]:
        return f"abs({self.text(x)}) < {literal_text(np.inf, x.dtype)}", 40

    def _abs(self, x: Expr) -> tuple[str, int]:
        if x.dtype.kind == "f":
            return f"abs({self.text(x)})", _ATOM
        return self._function(Call("abs", (x,), x.dtype))


def literal_text(value: object, dtype: DType, typed: bool = False) -> str:
    """A literal of `dtype` as Python text.

    >>> literal_text(0.5, np.dtype("float32"))
    'float32(0.5)'
    """
    if dtype == BOOL:
        return str(bool(value))
    if dtype.kind == "f":
        number = float(value)  # type: ignore[arg-type]
        text = "nan" if number != number else ("inf" if number > 0 else "-inf") if number in (np.inf, -np.inf) else ""
        if not text:
            text = (
                repr(number)
                if dtype == FLOAT64
                else np.format_float_positional(np.float32(number), unique=True, trim="0")
                if 1e-4 <= abs(number) < 1e7 or number == 0
                else str(np.float32(number))
            )
        return text if dtype == FLOAT64 and not typed else f"{dtype.name}({text})"
    text = str(int(value))  # type: ignore[call-overload]
    return text if dtype == INT64 and not typed else f"{dtype.name}({text})"
