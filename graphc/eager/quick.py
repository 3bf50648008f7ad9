"""The commonest operators without a detour: floats of one dtype and shape, or a float tensor and a Python number.

The op functions promote dtypes and stretch shapes first. Where there is nothing to promote or to stretch, these go
straight to the row, with the same values and the same node; everything else goes to the op function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..ir.op import Op
from ..ops.table import OPS
from .core import Tensor
from .engine import ENGINE

_ROWS = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "divide",
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
}


def _repeated(value: float, like: np.ndarray) -> Tensor:
    """A number in the dtype and shape of `like`, as ``broadcast_to`` would give it: one element in memory."""
    number = np.array(value, like.dtype)
    number.flags.writeable = False
    return Tensor(np.ndarray(like.shape, like.dtype, number, 0, (0,) * like.ndim) if like.ndim else number)


def _direct(op: Op, general: Callable[[Any, Any], Any], reflected: bool) -> Callable[[Any, Any], Any]:
    apply = ENGINE.apply

    def operator(self: Tensor, other: Any) -> Any:
        mine = self._array
        if mine.dtype.kind != "f":
            return general(self, other)
        kind = type(other)
        if kind is Tensor:
            theirs = other._array
            if theirs.dtype != mine.dtype or theirs.shape != mine.shape:
                return general(self, other)
        elif kind is float or kind is int:
            other = _repeated(other, mine)
        else:
            return general(self, other)
        return apply(op, (other, self) if reflected else (self, other), {})

    operator.__name__ = operator.__qualname__ = general.__name__
    operator.__doc__ = general.__doc__
    return operator


def _product(general: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    contract, apply = OPS["contract"], ENGINE.apply

    def matmul(self: Tensor, other: Any) -> Any:
        if type(other) is Tensor and type(self) is Tensor:
            x, y = self._array, other._array
            plain = x.ndim == y.ndim == 2 and x.dtype == y.dtype and x.dtype.kind == "f"
            if plain and x.shape[1] == y.shape[0] and 1 not in x.shape and 1 not in y.shape:
                return apply(contract, (self, other), {"spec": "mk,kn->mn"})
        return general(self, other)

    matmul.__name__ = matmul.__qualname__ = general.__name__
    matmul.__doc__ = general.__doc__
    return matmul


def install(cls: type) -> None:
    """Put the shortcuts before the operators that `cls` has."""
    for name, row in _ROWS.items():
        setattr(cls, f"__{name}__", _direct(OPS[row], cls.__dict__[f"__{name}__"], False))
        if f"__r{name}__" in cls.__dict__:
            setattr(cls, f"__r{name}__", _direct(OPS[row], cls.__dict__[f"__r{name}__"], True))
    product = "__matmul__"
    setattr(cls, product, _product(cls.__dict__[product]))
