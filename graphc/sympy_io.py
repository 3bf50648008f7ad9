"""`to_sympy` and `from_sympy`: graphs as SymPy expressions, and back. SymPy is imported when they are called."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .errors import UnsupportedError, message, shown, user_line
from .ir.apply import is_tensor
from .ir.dims import Dim
from .ir.leaves import INPUT, PARAM, constant
from .ir.tensor import Tensor
from .ir.traversal import topological
from .ops import elementwise, exponential, logic, piecewise, power, rounding, special, trigonometry
from .sympy_matrices import fits, is_matrix, operands, stacked, supported, tensor_of
from .verify.domains import Symbols
from .verify.symbolic import BudgetError, evaluate_elements

_MAX_TERMS = 200_000
_HALVES = 16
"""Up to this many halves as exponent a power is one of the square root."""


# to_sympy


def to_sympy(tensor: Tensor, names: Mapping[Tensor, Any] | None = None) -> Any:
    """What a tensor means, as a SymPy expression of symbols for the inputs and params it depends on.

    A 0-d tensor gives an expression, a 2-d one of numbers a `sympy.Matrix`, others a `sympy.Array`. A 0-d input is a
    `Symbol` of its name, another one has elements ``x[0, 1]`` of an `IndexedBase`; all are real, or integer. A float
    is the well-known number (pi, log 2) that it is the nearest double of, else the decimal as written.

    `lgamma` of what may be negative is the real part of SymPy's `loggamma`, which is complex there.

    names  {input or param: a name, a SymPy expression, or an array of expressions}, in place of its own name

    Raises `UnsupportedError` for an op that has no meaning in SymPy, naming it, for sizes that are not ints, and for
    two leaves of one name, unless `names` gives both.

    >>> import graphc as gc
    >>> x, y = gc.input("x"), gc.input("y", (2,))
    >>> gc.to_sympy(gc.exp(-x) * gc.sum(y))
    (y[0] + y[1])*exp(-x)
    """
    import sympy as sp

    leaves = _leaves(tensor)
    _check_names(leaves, names or {})
    given = {leaf: _symbols(leaf, (names or {}).get(leaf, leaf.name)) for leaf in leaves}
    try:
        array = evaluate_elements([tensor], given, Symbols(_MAX_TERMS))[tensor]
    except BudgetError as error:
        raise UnsupportedError(message("cannot convert to SymPy", got=str(error), at=_line(tensor))) from None
    if array.dtype != np.dtype(object):
        array = np.vectorize(sp.sympify, otypes=[object])(array)
    if array.ndim == 0:
        return array[()]
    numbers = tensor.dtype.kind != "b"
    return (
        sp.Matrix(array.tolist())
        if array.ndim == 2 and array.size and numbers
        else sp.Array(list(array.ravel()), array.shape)
    )


def _line(node: Tensor) -> Any:
    return node.origin.latest


def _leaves(tensor: Tensor) -> list[Tensor]:
    if not isinstance(tensor, Tensor):
        raise UnsupportedError(
            message("cannot convert to SymPy", got=shown(tensor), expected="a tensor", at=user_line(), created=False)
        )
    order = topological([tensor])
    for node in order:
        for aval in node.avals:
            if any(isinstance(s, Dim) for s in aval.shape):
                raise UnsupportedError(
                    message(
                        "cannot convert to SymPy",
                        got=str(aval),
                        expected="sizes that are ints",
                        at=_line(node),
                        hint="declare the inputs with int sizes",
                    )
                )
    return [n for n in order if n.op in (INPUT, PARAM)]


def _check_names(leaves: list[Tensor], names: Mapping[Tensor, Any]) -> None:
    """Refuse two leaves of one name: they would be one symbol."""
    first: dict[str, Tensor] = {}
    for leaf in leaves:
        name = names.get(leaf, leaf.name)
        if not isinstance(name, str):
            continue
        other = first.setdefault(name, leaf)
        if other is not leaf and not (leaf in names and other in names):
            raise UnsupportedError(
                message(
                    "cannot convert to SymPy",
                    got=f"two leaves named {name!r}",
                    expected="a name for each",
                    at=_line(leaf),
                    hint="give names, such as gc.to_sympy(y, {a: 'a', b: 'b'})",
                )
            )


def _symbols(leaf: Tensor, name: Any) -> np.ndarray:
    """The elements that stand for a leaf."""
    import sympy as sp

    shape = tuple(int(s) for s in leaf.shape)
    if not isinstance(name, str):
        elements = np.empty(shape, object)
        given = np.array(name.tolist() if hasattr(name, "tolist") else name, dtype=object)
        elements[...] = given
        return elements
    assume = {"integer": True} if leaf.dtype.kind in "iu" else {} if leaf.dtype.kind == "b" else {"real": True}
    array = np.empty(shape, object)
    if shape == ():
        array[()] = sp.Symbol(name, **assume)
        return array
    base = sp.IndexedBase(name, shape=shape, **assume)
    for place in np.ndindex(shape):
        array[place] = base[place]
    return array


# from_sympy


def from_sympy(expr: Any, symbols: Mapping[Any, Any]) -> Any:
    """The tensor that a SymPy expression, or a Matrix or Array of them, means for given tensors.

    symbols  {Symbol (or IndexedBase, MatrixSymbol, or any other expression): tensor, array or number}; an IndexedBase
             stands for a tensor of its rank, a MatrixSymbol for one whose last two axes are the matrix. The tensors
             broadcast

    Numbers become float64 constants (rationals, pi and E to the last bit), integer powers ``integer_pow``, Piecewise
    `where`, Min and Max `minimum` and `maximum`. A Matrix gives a 2-d tensor. Products of matrices are `matmul`, their
    whole positive powers repeated ones; transposes, traces and Hadamard products are converted too, inverses and
    determinants are not. ``loggamma(x)`` is `lgamma`, its real part: the two differ where x is negative. What occurs
    twice is computed once.

    Raises `UnsupportedError` naming a symbol without a tensor, or what graphc has no function for.

    >>> import graphc as gc, sympy as sp
    >>> a, t = sp.symbols("a t")
    >>> x = gc.input("x", ("n",))
    >>> gc.from_sympy(sp.exp(-a * t) * sp.cos(t), {a: 0.5, t: x}).shape
    (n,)
    """
    import sympy as sp

    if not isinstance(symbols, Mapping):
        raise _unknown(symbols, "symbols as {Symbol: tensor}")
    known = {key: _given(sp, key, v) for k, v in symbols.items() for key in [_sympified(sp, k, "a symbol")]}
    expr = _sympified(sp, expr, "an expression, a Matrix or an Array")
    if isinstance(expr, sp.NDimArray):
        return stacked([_converted(sp, sp.sympify(e), known) for e in sp.flatten(expr.tolist())], expr.shape)
    return _tensor(_converted(sp, expr, known))


def _sympified(sp: Any, value: Any, expected: str) -> Any:
    """`value` as an immutable SymPy object."""
    try:
        found = sp.sympify(value)
    except sp.SympifyError:
        raise _unknown(value, expected) from None
    if not isinstance(found, (sp.Basic, sp.MatrixBase)):
        raise _unknown(value, expected)
    return found.as_immutable() if isinstance(found, (sp.MatrixBase, sp.NDimArray)) else found


def _given(sp: Any, symbol: Any, value: Any) -> Any:
    """What stands for a symbol: a tensor, or a Python number."""
    if not is_tensor(value) and not isinstance(value, (bool, int, float)):
        value = constant(value)
    if getattr(symbol, "is_Matrix", False) and not fits(symbol, value):
        got = str(value.aval) if isinstance(value, Tensor) else shown(value)
        expected = f"a tensor whose last two axes are {symbol} of {' x '.join(map(str, symbol.shape))}"
        raise UnsupportedError(
            message("cannot convert from SymPy", got=got, expected=expected, at=user_line(), created=False)
        )
    return value


def _tensor(value: Any) -> Any:
    return value if is_tensor(value) else constant(value)


def _converted(sp: Any, expr: Any, known: dict[Any, Any]) -> Any:
    """The tensor (or Python number) of an expression; operands first, without recursion."""
    stack = [expr]
    while stack:
        e = stack[-1]
        if e in known:
            stack.pop()
            continue
        _check(sp, e)
        missing = [a for a in _operands(sp, e) if a not in known]
        if missing:
            stack += missing
            continue
        known[e] = _node(sp, e, known)
        stack.pop()
    return known[expr]


def _check(sp: Any, e: Any) -> None:
    """Refuse what is not among the functions, before its arguments are looked at."""
    if is_matrix(sp, e):
        if not supported(sp, e):
            named = isinstance(e, sp.MatrixSymbol)
            raise _unknown(e, "a tensor for it in symbols" if named else "a function of matrices that graphc has")
        return
    if e.is_Mul and not e.is_commutative:
        raise _unknown(e, "factors that commute, or MatrixSymbols")
    special_forms = (sp.Mul, sp.Pow, sp.Piecewise, sp.Indexed, sp.logic.boolalg.BooleanAtom)
    if (
        _real_part(sp, e)
        or isinstance(e, special_forms)
        or type(e) in _functions()
        or (e.is_number and e.is_real and e.is_finite)
    ):
        return
    raise _unknown(e, "a tensor for it in symbols" if e.is_Symbol else "a function that graphc has")


def _operands(sp: Any, e: Any) -> tuple[Any, ...]:
    """The expressions that must be tensors before `e` can be one."""
    if is_matrix(sp, e):
        return operands(sp, e)
    if e.is_number and not e.has(sp.Function) and e.is_real:
        return ()
    if isinstance(e, sp.Piecewise):
        return tuple(a for pair in e.args for a in pair.args)
    if isinstance(e, sp.Indexed):
        return ()
    if isinstance(e, sp.Pow) and (e.exp.is_Integer or _is_half(e.exp)):
        return (e.base,)
    return e.args


def _node(sp: Any, e: Any, known: Mapping[Any, Any]) -> Any:
    if e in (sp.true, sp.false):
        return bool(e)
    if is_matrix(sp, e):
        return tensor_of(sp, e, known)
    if _real_part(sp, e):
        return known[e.args[0]]
    if e.is_number and e.is_real and e.is_finite:
        return float(sp.N(e, 30))
    if isinstance(e, sp.Indexed):
        return _element(sp, e, known)
    if isinstance(e, sp.Pow):
        return _power(sp, e, known)
    if isinstance(e, sp.Piecewise):
        return _pieces(sp, e, known)
    if isinstance(e, sp.Mul):
        return _quotient(sp, e, known)
    function = _functions()[type(e)]
    arguments = [known[a] for a in e.args]
    if isinstance(e, (sp.Add, sp.Max, sp.Min, sp.And, sp.Or, sp.Xor)):
        return functools.reduce(function, arguments)
    return function(*arguments)


def _real_part(sp: Any, e: Any) -> bool:
    """Whether `e` is the real part of a function that graphc has as its real part."""
    return isinstance(e, sp.re) and isinstance(e.args[0], (sp.loggamma, sp.polygamma))


def _unknown(e: Any, expected: str) -> UnsupportedError:
    return UnsupportedError(
        message(
            "cannot convert from SymPy",
            got=f"{type(e).__name__} {str(e)[:80]}",
            expected=expected,
            at=user_line(),
            created=False,
        )
    )


def _element(sp: Any, e: Any, known: Mapping[Any, Any]) -> Any:
    base = known.get(e.base, known.get(e.base.label))
    if base is None or not all(i.is_Integer for i in e.indices):
        raise _unknown(e, "a tensor for its base in symbols, and integer indices")
    return _tensor(base)[tuple(int(i) for i in e.indices)]


def _power(sp: Any, e: Any, known: Mapping[Any, Any]) -> Any:
    """x**y; halves of integers by the square root, which is faster than a power and has a simpler derivative."""
    if e.base == sp.E:
        return exponential.exp(known[e.exp])
    base = known[e.base]
    if e.exp.is_Integer:
        return _whole_power(base, int(e.exp))
    if not _is_half(e.exp):
        return power.pow(base, known[e.exp])
    whole = int(abs(e.exp))
    above = elementwise.multiply(power.sqrt(base), _whole_power(base, whole)) if whole else power.sqrt(base)
    return above if e.exp > 0 else elementwise.divide(1.0, above)


def _whole_power(base: Any, exponent: int) -> Any:
    """For numbers too as floats have it: 0.0 to the power of -1 is inf."""
    if is_tensor(base):
        below = exponent < 0 and base.dtype.kind != "f"  # integers have no negative powers
        return elementwise.divide(1.0, power.pow(base, -exponent)) if below else power.pow(base, exponent)
    with np.errstate(all="ignore"):
        return float(np.float64(base) ** exponent)


def _is_half(exponent: Any) -> bool:
    return bool(exponent.is_Rational and exponent.q == 2 and abs(exponent.p) <= _HALVES)


def _pieces(sp: Any, e: Any, known: Mapping[Any, Any]) -> Any:
    """Nested `where`, the last piece innermost; nan where no condition holds, as SymPy has it."""
    pairs = list(e.args)
    result = float("nan") if pairs[-1].cond != True else known[pairs.pop().expr]  # noqa: E712 - a SymPy object
    for piece in reversed(pairs):
        result = elementwise.where(known[piece.cond], known[piece.expr], result)
    return result


def _quotient(sp: Any, e: Any, known: Mapping[Any, Any]) -> Any:
    """A product: what has a negative integer power goes below the line."""
    above: Any = None
    below: Any = None
    for a in e.args:
        if a.is_Pow and a.exp.is_Integer and a.exp < 0:
            factor = _whole_power(known[a.base], -int(a.exp))
            below = factor if below is None else elementwise.multiply(below, factor)
        else:
            above = known[a] if above is None else elementwise.multiply(above, known[a])
    return above if below is None else elementwise.divide(1.0 if above is None else above, below)


_SAME_NAME = {
    exponential: ("exp", "log"),
    trigonometry: (
        *("sin", "cos", "tan", "asin", "acos", "atan", "atan2"),
        *("sinh", "cosh", "tanh", "asinh", "acosh", "atanh"),
    ),
    special: ("erf", "erfc", "digamma"),
    rounding: ("floor", "sign"),
}


@functools.cache
def _functions() -> dict[Any, Callable[..., Any]]:
    """graphc's function for each kind of SymPy expression."""
    import sympy as sp

    same = {getattr(sp, n): getattr(module, n) for module, names in _SAME_NAME.items() for n in names}
    return {
        **same,
        sp.Add: elementwise.add,
        sp.Abs: piecewise.abs,
        sp.Max: piecewise.maximum,
        sp.Min: piecewise.minimum,
        sp.ceiling: rounding.ceil,
        sp.loggamma: special.lgamma,
        sp.polygamma: lambda n, x: special.polygamma(int(n), x),
        sp.Heaviside: _heaviside,
        sp.Mod: rounding.remainder,
        sp.sec: lambda x: elementwise.divide(1.0, trigonometry.cos(x)),
        sp.csc: lambda x: elementwise.divide(1.0, trigonometry.sin(x)),
        sp.cot: lambda x: elementwise.divide(1.0, trigonometry.tan(x)),
        sp.Eq: elementwise.equal,
        sp.Ne: elementwise.not_equal,
        sp.Lt: elementwise.less,
        sp.Le: elementwise.less_equal,
        sp.Gt: elementwise.greater,
        sp.Ge: elementwise.greater_equal,
        sp.ITE: elementwise.where,
        sp.Xor: logic.logical_xor,
        sp.And: logic.logical_and,
        sp.Or: logic.logical_or,
        sp.Not: logic.logical_not,
    }


def _heaviside(x: Any, half: Any = 0.5) -> Any:
    step = elementwise.where(elementwise.less(x, 0.0), 0.0, half)
    return elementwise.where(elementwise.greater(x, 0.0), 1.0, step)


__all__ = ["from_sympy", "to_sympy"]
