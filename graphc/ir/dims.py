"""Sizes of axes: ints, or integer expressions over named symbols, kept as canonical polynomials.

Equal expressions are equal objects in the sense of ``==``; sizes are known to be >= 0.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from typing import Any, Union

from ..errors import ShapeError, TraceError, message, shown, user_line

DimLike = Union[int, "Dim"]
Shape = tuple[DimLike, ...]
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


class Atom:
    """An indivisible factor: a named symbol, or floor(a / b), ceil(a / b), max(0, a)."""

    __slots__ = ("_hash", "args", "kind", "text")

    def __init__(self, kind: str, args: tuple[Any, ...]):
        self.kind, self.args = kind, args
        self.text = {
            "symbol": lambda: args[0],
            "floordiv": lambda: f"({_operand(args[0], True)} // {_operand(args[1], False)})",
            "ceildiv": lambda: f"ceildiv({args[0]}, {args[1]})",
            "max0": lambda: f"max(0, {args[0]})",
        }[kind]()
        self._hash = hash((kind, args))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Atom) and self.kind == other.kind and self.args == other.args

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> Any:
        return Atom, (self.kind, self.args)

    def evaluate(self, env: Mapping[str, int]) -> int:
        if self.kind == "symbol":
            return env[self.args[0]]
        values = [evaluate(a, env) for a in self.args]
        if self.kind == "floordiv":
            return values[0] // values[1]
        if self.kind == "ceildiv":
            return -(-values[0] // values[1])
        return max(0, values[0])


def _operand(dim: DimLike, left: bool) -> str:
    """`dim` as an operand of //: in brackets where Python would read it otherwise."""
    if not isinstance(dim, Dim) or (len(dim.terms) == 1 and (left or _is_atom(dim))):
        return str(dim)
    return f"({dim})"


def _is_atom(dim: Dim) -> bool:
    return dim.terms[0][1] == 1 and len(dim.terms[0][0]) == 1


Monomial = tuple[Atom, ...]  # sorted by text; a repeated atom is a power


class Dim:
    """A symbolic size: a sum of integer multiples of products of atoms. Build one with `symbol` and arithmetic."""

    __slots__ = ("_hash", "terms")

    def __init__(self, terms: tuple[tuple[Monomial, int], ...]):
        self.terms = terms
        self._hash = hash(terms)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dim) and self.terms == other.terms

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> Any:
        return Dim, (self.terms,)

    def __add__(self, other: DimLike) -> DimLike:
        return _combine(self, other, 1) if isinstance(other, (int, Dim)) else self._no_number(other)

    __radd__ = __add__

    def __sub__(self, other: DimLike) -> DimLike:
        return _combine(self, other, -1) if isinstance(other, (int, Dim)) else self._no_number(other)

    def __rsub__(self, other: DimLike) -> DimLike:
        return _combine(other, self, -1) if isinstance(other, (int, Dim)) else self._no_number(other)

    def __neg__(self) -> DimLike:
        return _combine(0, self, -1)

    def __mul__(self, other: DimLike) -> DimLike:
        return _multiply(self, other) if isinstance(other, (int, Dim)) else self._no_number(other)

    __rmul__ = __mul__

    def __floordiv__(self, other: DimLike) -> DimLike:
        return floordiv(self, other) if isinstance(other, (int, Dim)) else self._no_number(other)

    def __rfloordiv__(self, other: DimLike) -> DimLike:
        return floordiv(other, self) if isinstance(other, (int, Dim)) else self._no_number(other)

    def _no_number(self, other: Any) -> Any:
        if not isinstance(other, (int, float, Dim)):
            return NotImplemented
        raise TraceError(
            message(
                "a runtime size is no number in Python",
                got=f"dim {self}",
                expected="+, -, *, // with ints and sizes",
                at=user_line(),
                created=False,
                hint="gc.asarray(x.shape[0]) is the size as a tensor, for any arithmetic",
            )
        )

    __truediv__ = __rtruediv__ = __pow__ = __rpow__ = __mod__ = __rmod__ = _no_number

    def __index__(self) -> int:
        raise TraceError(
            message(
                "a runtime size is not known while building",
                got=f"dim {self}",
                at=user_line(),
                created=False,
                hint="use it as a dim or in an expression (x / x.shape[0]), or declare the input with an int size",
            )
        )

    __int__ = __index__

    def __bool__(self) -> bool:
        self.__index__()
        return False

    __lt__ = __le__ = __gt__ = __ge__ = lambda self, other: self.__index__()

    def __str__(self) -> str:
        parts = []
        for monomial, coefficient in self.terms:
            factors = [a.text for a in monomial]
            if not factors:
                parts.append(str(coefficient))
            elif coefficient == 1:
                parts.append("*".join(factors))
            elif coefficient == -1:
                parts.append("-" + "*".join(factors))
            else:
                parts.append("*".join([str(coefficient), *factors]))
        return " + ".join(parts).replace("+ -", "- ")

    __repr__ = __str__


def symbol(name: str) -> Dim:
    """The runtime dim called `name` (a Python identifier)."""
    if not _NAME.match(name):
        raise _bad("dim name", name, "a Python identifier such as 'batch'")
    return Dim((((Atom("symbol", (name,)),), 1),))


def as_dim(value: Any) -> DimLike:
    """An int >= 0, a `Dim`, or the symbol a string names."""
    if isinstance(value, Dim):
        return value
    if isinstance(value, str):
        return symbol(value)
    size = value.__index__() if hasattr(value, "__index__") and not isinstance(value, bool) else value
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise _bad("size", size, "an int >= 0 or a dim name")
    return size


def as_shape(spec: Any) -> Shape:
    """A shape from an int, a name, a dim, or a sequence of these."""
    if isinstance(spec, (str, Dim)) or (hasattr(spec, "__index__") and not getattr(spec, "ndim", 0)):
        return (as_dim(spec),)
    try:
        return tuple(as_dim(s) for s in spec)
    except TypeError as error:
        if isinstance(error, (ShapeError, TraceError)):
            raise
        raise _bad("shape", spec, "a tuple of ints and dim names") from None


def _bad(what: str, value: Any, expected: str) -> ShapeError:
    return ShapeError(message(f"bad {what}", got=shown(value), expected=expected, at=user_line(), created=False))


def _terms(value: DimLike) -> tuple[tuple[Monomial, int], ...]:
    if isinstance(value, Dim):
        return value.terms
    return (((), value),) if value else ()


def _make(terms: Mapping[Monomial, int]) -> DimLike:
    kept = sorted(((m, c) for m, c in terms.items() if c), key=lambda t: (not t[0], [a.text for a in t[0]]))
    if not kept:
        return 0
    if len(kept) == 1 and not kept[0][0]:
        return kept[0][1]
    return Dim(tuple(kept))


def _combine(a: DimLike, b: DimLike, sign: int) -> DimLike:
    terms = dict(_terms(a))
    for monomial, coefficient in _terms(b):
        terms[monomial] = terms.get(monomial, 0) + sign * coefficient
    return _make(terms)


def _multiply(a: DimLike, b: DimLike) -> DimLike:
    terms: dict[Monomial, int] = {}
    for m1, c1 in _terms(a):
        for m2, c2 in _terms(b):
            monomial = tuple(sorted(m1 + m2, key=lambda atom: atom.text))
            terms[monomial] = terms.get(monomial, 0) + c1 * c2
    return _make(terms)


def _exact_quotient(a: DimLike, b: DimLike) -> DimLike | None:
    """a / b where it is a polynomial with integer coefficients and b a single term; else None."""
    divisor = _terms(b)
    if len(divisor) != 1:
        return 1 if a == b else None
    factors, scale = divisor[0]
    result: dict[Monomial, int] = {}
    for monomial, coefficient in _terms(a):
        left = list(monomial)
        for factor in factors:
            if factor not in left:
                return None
            left.remove(factor)
        if coefficient % scale:
            return None
        result[tuple(left)] = coefficient // scale
    return _make(result)


def _division(kind: str, a: DimLike, b: DimLike) -> DimLike:
    if b == 0:
        raise ShapeError(message("division of a size by zero", got=f"{a} // {b}", at=user_line(), created=False))
    exact = _exact_quotient(a, b)
    if exact is not None:
        return exact
    if isinstance(a, int) and isinstance(b, int):
        return a // b if kind == "floordiv" else -(-a // b)
    return _atom(kind, (a, b))


def _atom(kind: str, args: tuple[Any, ...]) -> Dim:
    return Dim((((Atom(kind, args),), 1),))


def floordiv(a: DimLike, b: DimLike) -> DimLike:
    return _division("floordiv", a, b)


def ceildiv(a: DimLike, b: DimLike) -> DimLike:
    return _division("ceildiv", a, b)


def larger(a: DimLike, b: DimLike) -> DimLike:
    """max(a, b)."""
    return max(a, b) if isinstance(a, int) and isinstance(b, int) else b + max0(a - b)


def smaller(a: DimLike, b: DimLike) -> DimLike:
    """min(a, b)."""
    return min(a, b) if isinstance(a, int) and isinstance(b, int) else a - max0(a - b)


def max0(a: DimLike) -> DimLike:
    """max(0, a); `a` itself, or 0, where its sign is known."""
    if nonnegative(a):
        return a
    if nonnegative(-a):
        return 0
    assert isinstance(a, Dim)
    for monomial, coefficient in a.terms:
        if coefficient == 1 and len(monomial) == 1 and monomial[0].kind == "max0":
            rest = a - Dim(((monomial, 1),))
            if nonnegative(-rest):  # max0(max0(e) - r) is max0(e - r)
                return max0(monomial[0].args[0] + rest)
    return _atom("max0", (a,))


_EFFORT = 100
"""Expressions looked at before a sign is given up: slices of slices would take exponentially many."""


@functools.lru_cache(maxsize=4096)
def nonnegative(a: DimLike) -> bool:
    """Whether `a` >= 0 can be seen while building, whatever the sizes are.

    A term with a minus and ``max(0, e)`` is tried with 0 and with e (both must do), one with a quotient with its
    dividend, which is no smaller; a term with a plus and ``max(0, e)`` is at least e.
    """
    return _nonnegative(a, [_EFFORT])


def _nonnegative(a: DimLike, effort: list[int]) -> bool:
    if isinstance(a, int):
        return a >= 0
    effort[0] -= 1
    if effort[0] < 0:
        return False
    if all(c > 0 and all(_nonnegative_atom(atom, effort) for atom in m) for m, c in a.terms):
        return True
    for monomial, coefficient in a.terms:
        for k, atom in enumerate(monomial):
            others = monomial[:k] + monomial[k + 1 :]
            if atom.kind == "symbol" or (coefficient > 0 and atom.kind != "max0"):
                continue
            if not all(_nonnegative_atom(factor, effort) for factor in monomial):
                continue
            bounds = [atom.args[0]] if atom.kind != "max0" or coefficient > 0 else [0, atom.args[0]]
            rest, factor = a - Dim(((monomial, coefficient),)), _make({others: coefficient})
            if all(_nonnegative(rest + factor * bound, effort) for bound in bounds):
                return True
    return False


def _nonnegative_atom(atom: Atom, effort: list[int]) -> bool:
    return atom.kind in ("symbol", "max0") or all(_nonnegative(a, effort) for a in atom.args)


def minimum(a: DimLike, b: DimLike) -> DimLike:
    return a - max0(a - b)


def evaluate(dim: DimLike, env: Mapping[str, int]) -> int:
    """The value of `dim` where `env` gives the symbols' sizes."""
    if isinstance(dim, int):
        return dim
    total = 0
    for monomial, coefficient in dim.terms:
        product = coefficient
        for atom in monomial:
            product *= atom.evaluate(env)
        total += product
    return total


def symbols(dim: DimLike) -> list[str]:
    """Names of the symbols in `dim`, in order of first appearance."""
    found: dict[str, None] = {}
    stack: list[Any] = [dim]
    while stack:
        item = stack.pop()
        if isinstance(item, Dim):
            stack.extend(atom for monomial, _ in reversed(item.terms) for atom in reversed(monomial))
        elif isinstance(item, Atom):
            if item.kind == "symbol":
                found.setdefault(item.args[0])
            else:
                stack.extend(reversed(item.args))
    return list(found)


def equal(a: DimLike, b: DimLike) -> bool | None:
    """True or False where it can be decided while building, else None (then it is checked at call time)."""
    if a == b:
        return True
    difference = a - b
    if isinstance(difference, int):
        return False
    constant = sum(c for m, c in difference.terms if not m)
    signs = {c > 0 for m, c in difference.terms if m}
    if len(signs) == 1 and constant and (constant > 0) == signs.pop():
        return False  # every term pulls the same way and the constant is not 0
    return None


def substitute(dim: DimLike, env: Mapping[str, DimLike]) -> DimLike:
    """`dim` with symbols replaced by other dims."""
    if isinstance(dim, int):
        return dim
    total: DimLike = 0
    for monomial, coefficient in dim.terms:
        product: DimLike = coefficient
        for atom in monomial:
            product = product * _substitute_atom(atom, env)
        total = total + product
    return total


def _substitute_atom(atom: Atom, env: Mapping[str, DimLike]) -> DimLike:
    if atom.kind == "symbol":
        return env.get(atom.args[0], symbol(atom.args[0]))
    args = [substitute(a, env) for a in atom.args]
    if atom.kind == "max0":
        return max0(args[0])
    return floordiv(*args) if atom.kind == "floordiv" else ceildiv(*args)


def product(shape: Iterable[DimLike]) -> DimLike:
    size: DimLike = 1
    for dim in shape:
        size = size * dim
    return size


def shape_text(shape: Shape) -> str:
    """``[3, batch]``, as shapes are written in all of graphc's texts."""
    return "[" + ", ".join(str(s) for s in shape) + "]"
