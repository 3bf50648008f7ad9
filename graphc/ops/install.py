"""Operators, methods and the NumPy protocols on a tensor class, by name: the same for symbolic and eager tensors.

What a class defines itself is left alone. Everything calls the functions of `functions.PUBLIC`, so ``x + y``,
``np.add(x, y)`` and ``gc.add(x, y)`` are one node.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..errors import TraceError, UnsupportedError, count, message, user_line
from ..ir.dims import Dim, symbols
from ..ir.evaluate import value_hint
from ..ir.tensor import meaning
from .calls import refuse_misfit, renamed
from .common import describe, labels
from .functions import PUBLIC
from .hints import assignment_hint, fixed_size, int_hint, loop_hint, loop_size, number_hint, truth_hint
from .numpy_calls import array_function, array_ufunc

_BINARY = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "pow": "pow",
    "matmul": "matmul",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "lshift": "bitwise_left_shift",
    "rshift": "bitwise_right_shift",
}
_COMPARISONS = {
    "eq": "equal",
    "ne": "not_equal",
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
}
_UNARY = {
    "neg": "negative",
    "pos": "positive",
    "abs": "abs",
    "invert": "bitwise_invert",
    "floor": "floor",
    "ceil": "ceil",
    "trunc": "trunc",
}
_METHODS = (
    "all any argmax argmin argsort astype clip cumprod cumsum diagonal dot flatten max mean min prod ravel repeat "
    "squeeze std sum swapaxes take trace var"
)
_RENAMED = {"ddof": "correction"}


def _operand(other: Any) -> bool:
    """Whether an operator takes `other`; otherwise Python is told NotImplemented."""
    return isinstance(other, (numbers.Number, Dim, list, tuple)) or hasattr(other, "__array__")


def _named(function: Callable[..., Any], name: str, of: str) -> Callable[..., Any]:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"See `gc.{of}`."
    return function


def _binary(of: str) -> Callable[[Any, Any], Any]:
    return lambda self, other: PUBLIC[of](self, other) if _operand(other) else NotImplemented


def _reflected(of: str) -> Callable[[Any, Any], Any]:
    return lambda self, other: PUBLIC[of](other, self) if _operand(other) else NotImplemented


def _unary(of: str) -> Callable[[Any], Any]:
    return lambda self: PUBLIC[of](self)


def _method(of: str) -> Callable[..., Any]:
    function = PUBLIC[of]

    def method(self: Any, *args: Any, **named: Any) -> Any:
        named = renamed(named, _RENAMED, f"x.{of}") if named else named
        try:
            return function(self, *args, **named)
        except TypeError:
            refuse_misfit(function, f"x.{of}", (self, *args), named, bound=True)
            raise

    return method


def _operators() -> Iterator[tuple[str, Any]]:
    for name, of in _BINARY.items():
        yield f"__{name}__", _named(_binary(of), f"__{name}__", of)
        yield f"__r{name}__", _named(_reflected(of), f"__r{name}__", of)
    for name, of in _COMPARISONS.items():
        yield f"__{name}__", _named(_binary(of), f"__{name}__", of)
    for name, of in _UNARY.items():
        yield f"__{name}__", _named(_unary(of), f"__{name}__", of)


# subscripts and shapes


def _getitem(self: Any, key: Any) -> Any:
    """Basic slicing with steps and negative indices, integer arrays, None and ...: see `graphc.ops.subscript`."""
    from .subscript import getitem

    return getitem(self, key)


def _setitem(self: Any, key: Any, value: Any) -> None:
    raise TraceError(
        message(
            "cannot assign to elements of a tensor",
            got=describe(self),
            at=user_line(),
            created=False,
            hint=assignment_hint(self),
        )
    )


def _at(self: Any) -> Any:
    """``x.at[index].set(value)`` and ``.add(value)``: a copy with elements changed."""
    from .subscript import At

    return At(self)


def _iter(self: Any) -> Iterator[Any]:
    """The slices along the first axis; its size must be known while building."""
    if not self.shape:
        raise TraceError(
            message(
                "cannot iterate over a 0-d tensor",
                got=describe(self, inside=False),
                expected="an axis to go along",
                at=user_line(),
                created=False,
            )
        )
    if isinstance(self.shape[0], Dim):
        error = TraceError(
            message(
                "cannot iterate over a tensor",
                got=describe(self, inside=False),
                expected=loop_size(self),
                at=user_line(),
                created=False,
                hint=loop_hint(self),
            )
        )
        error.sizes = tuple(symbols(self.shape[0]))
        raise error
    parts = []
    for k in range(self.shape[0]):
        with meaning(str(k)):  # of ``a, b = x``: which of the names is meant
            parts.append(self[k])
    return iter(parts)


def _len(self: Any) -> int:
    """The size of the first axis, which must be known while building."""
    if not self.shape:
        raise TraceError(
            message("len() of a 0-d tensor", got=describe(self, inside=False), at=user_line(), created=False)
        )
    if isinstance(self.shape[0], Dim):
        label = labels(self, inside=False)[0] or "x"
        raise TraceError(
            message(
                "len() is not known while building",
                got=describe(self, inside=False),
                at=user_line(),
                created=False,
                hint=f"{label}.shape[0] is the size, as a dim: gc.sum({label}) / {label}.shape[0]; or "
                + fixed_size(self),
            )
        )
    return self.shape[0]


def _contains(self: Any, value: Any) -> bool:
    return bool(PUBLIC["any"](PUBLIC["equal"](self, value)))


def _shape_arguments(shape: tuple[Any, ...]) -> Any:
    """``(2, 3)`` from ``f(2, 3)`` and from ``f((2, 3))``."""
    return shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape


def _reshape(self: Any, *shape: Any) -> Any:
    """`gc.reshape`; the sizes in a tuple or one by one."""
    return PUBLIC["reshape"](self, _shape_arguments(shape))


def _transpose(self: Any, *axes: Any) -> Any:
    """The axes in another order (reversed if none is given), in a tuple or one by one."""
    chosen = _shape_arguments(axes)
    return PUBLIC["transpose"](self, chosen or None)


def _round(self: Any, ndigits: int | None = None) -> Any:
    """`gc.round`: to the nearest integer, halves to even, in the dtype of the tensor."""
    if ndigits:
        raise UnsupportedError(
            message(
                "no rounding to digits",
                got=count(ndigits, "digit"),
                expected="round(x)",
                at=user_line(),
                created=False,
                hint="scale first: round(x * 100) / 100",
            )
        )
    return PUBLIC["round"](self)


# values


def _scalars(value_of: Callable[[Any], np.ndarray]) -> dict[str, Any]:
    """What needs the data of the tensor: conversions to Python's types and to NumPy's."""

    def known(x: Any, failed: str, hint: Callable[[Any], str] = value_hint) -> np.ndarray:
        try:
            return value_of(x)
        except TraceError:
            text = message(failed, got=describe(x, inside=False), at=user_line(), created=False, hint=hint(x))
        raise TraceError(text)

    def one(x: Any, what: str) -> Any:
        value = known(x, f"a symbolic tensor has no {what} value", int_hint if what == "int" else number_hint)
        if value.size != 1:
            raise TraceError(
                message(
                    f"no {what} value",
                    got=describe(x, inside=False),
                    expected="one element",
                    at=user_line(),
                    created=False,
                )
            )
        return value.reshape(())[()]

    def truth(self: Any) -> bool:
        value = known(self, "a symbolic tensor has no truth value", truth_hint)
        if value.size != 1:
            raise TraceError(
                message(
                    "no truth value",
                    got=describe(self, inside=False),
                    expected="one element",
                    at=user_line(),
                    created=False,
                    hint="gc.any(x) or gc.all(x)",
                )
            )
        return bool(value.reshape(())[()])

    def to_index(self: Any) -> int:
        value = one(self, "int")
        if value.dtype.kind not in "iu":
            raise TraceError(
                message(
                    "not an index", got=describe(self, inside=False), expected="integers", at=user_line(), created=False
                )
            )
        return int(value)

    def to_array(self: Any, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        value = known(self, "a symbolic tensor is not an array", number_hint)
        return np.array(value, dtype=dtype, copy=True)

    def to_item(self: Any, *index: int) -> Any:
        """A Python number: of the only element, or of that at `index`."""
        if index:
            return known(self, "a symbolic tensor has no elements").item(*index)
        return one(self, "number").item()

    def to_format(self: Any, spec: str) -> str:
        return format(one(self, "number").item(), spec) if spec else str(self)

    def to_list(self: Any) -> Any:
        """The elements as nested lists of Python numbers."""
        return known(self, "a symbolic tensor has no elements").tolist()

    return {
        "__bool__": truth,
        "__int__": lambda self: int(one(self, "int")),
        "__float__": lambda self: float(one(self, "float")),
        "__complex__": lambda self: complex(one(self, "complex")),
        "__index__": to_index,
        "__array__": to_array,
        "__format__": to_format,
        "item": to_item,
        "tolist": to_list,
    }


def install(cls: type, value_of: Callable[[Any], np.ndarray], missing: Callable[[Any, str], Any] | None = None) -> None:
    """Set operators, methods and protocols on `cls`.

    value_of  gives a tensor's data or raises `TraceError`
    missing   is called for an attribute that a tensor does not have
    """
    members: dict[str, Any] = {
        **dict(_operators()),
        **_scalars(value_of),
        **{name: _named(_method(name), name, name) for name in _METHODS.split()},
        "__getitem__": _getitem,
        "__setitem__": _setitem,
        "__iter__": _iter,
        "__len__": _len,
        "__contains__": _contains,
        "__round__": _round,
        "__array_ufunc__": array_ufunc,
        "__array_function__": array_function,
        "__array_priority__": 1000,
        "at": property(_at),
        "T": property(lambda self: PUBLIC["transpose"](self), doc="The axes in reverse order."),
        "mT": property(lambda self: PUBLIC["matrix_transpose"](self), doc="The last two axes exchanged."),
        "reshape": _reshape,
        "transpose": _transpose,
        "round": _round,
    }
    if missing is not None:
        members["__getattr__"] = missing
    for name, member in members.items():
        if name not in cls.__dict__:
            setattr(cls, name, member)
