"""Tensors from sizes alone: `iota`, and full, zeros, ones composed of a 0-d constant and a broadcast.

No array of the full size ever becomes data in the graph.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ShapeError, message, user_line
from ..ir import dims
from ..ir.apply import cast, engine_of, lift, lift_promoted
from ..ir.dims import Shape
from ..ir.dtypes import DType, as_dtype
from ..ir.expr import cast as cast_expr
from ..ir.lowering import Generate, Refused
from ..ir.op import Aval, Op, Require, Sample
from .common import describe, dtype_error
from .movement import broadcast_to


def _iota_numpy(shape: Any, axis: int, dtype: DType) -> np.ndarray:
    line = np.arange(shape[axis]).astype(dtype)
    return np.broadcast_to(line.reshape([-1 if k == axis else 1 for k in range(len(shape))]), shape)


def _iota_infer(require: Require, shape: Shape, axis: int, dtype: DType) -> Aval:
    return Aval(shape, dtype)


IOTA = Op(
    "iota",
    _iota_infer,
    _iota_numpy,
    Generate(lambda index, shape, dtype, axis, **_: cast_expr(index[axis], dtype)),
    vjp=(),
    jvp=(),
    batch=Refused("it has no operands: it is the same for every sample"),
    sympy=lambda sp, **attrs: sp.Integer(0),
    samples=(
        Sample((), {"shape": (3, 4), "axis": 1, "dtype": np.dtype("int64")}, differentiable=False),
        Sample((), {"shape": (5,), "axis": 0, "dtype": np.dtype("float32")}, differentiable=False),
        Sample((), {"shape": (0, 2), "axis": 0, "dtype": np.dtype("uint8")}, differentiable=False),
    ),
)


def iota(shape: Any, axis: int = 0, dtype: Any = "int64", beside: tuple[Any, ...] = ()) -> Any:
    """The position along `axis`, as a tensor of `shape`, in the engine of the tensors `beside` it."""
    attrs = {"shape": dims.as_shape(shape), "axis": axis, "dtype": as_dtype(dtype)}
    return engine_of(*beside).apply(IOTA, (), attrs)


def full(shape: Any, fill_value: Any, dtype: Any = None) -> Any:
    """`fill_value` (a number or 0-d tensor) everywhere in a tensor of `shape`.

    shape  ints, dim names and dims
    dtype  that of `fill_value` unless given: float64, int64 or bool for a Python scalar

    Raises `ShapeError` if `fill_value` is not 0-d.

    >>> import graphc as gc
    >>> gc.full(("n", 2), 0.5, dtype="float32").shape
    (n, 2)
    """
    return filled(shape, fill_value, dtype)


def filled(shape: Any, value: Any, dtype: Any = None, beside: tuple[Any, ...] = ()) -> Any:
    """`full`, in the engine of the tensors `beside` it."""
    wanted = None if dtype is None else as_dtype(dtype)
    (lifted,) = lift(value, dtype=wanted, beside=beside)
    return broadcast_to(_scalar("full", lifted if wanted is None else cast(lifted, wanted)), dims.as_shape(shape))


def _scalar(op: str, value: Any) -> Any:
    if tuple(value.shape) != ():
        raise ShapeError(
            message(
                f"cannot {op}", got=describe(value), expected="a number or 0-d tensor", at=user_line(), created=False
            )
        )
    return value


def zeros(shape: Any, dtype: Any = "float64") -> Any:
    """Zeros of `shape` (ints, dim names and dims).

    >>> import graphc as gc
    >>> gc.zeros((2, 3)).dtype
    dtype('float64')
    """
    return full(shape, 0, dtype=dtype or "float64")


def ones(shape: Any, dtype: Any = "float64") -> Any:
    """Ones of `shape` (ints, dim names and dims).

    >>> import graphc as gc
    >>> gc.ones((2, "n"), dtype="int64").shape
    (2, n)
    """
    return full(shape, 1, dtype=dtype or "float64")


def empty(shape: Any, dtype: Any = "float64") -> Any:
    """Zeros of `shape` (ints, dim names and dims): a graph has no memory that nobody wrote.

    >>> import graphc as gc
    >>> gc.empty(2).tolist()
    [0.0, 0.0]
    """
    return zeros(shape, dtype)


def full_like(x: Any, /, fill_value: Any, dtype: Any = None) -> Any:
    """`fill_value` (a number or 0-d tensor) in the shape and, unless given, the dtype of `x`; in the engine of `x`.

    Raises `DTypeError` if the dtype of `x` cannot hold `fill_value` and no `dtype` was asked for.

    >>> import graphc as gc
    >>> gc.full_like(gc.input("x", (3,), "float32"), 2).dtype
    dtype('float32')
    """
    (x,) = lift(x, beside=(fill_value,))
    if dtype is None:
        promoted, value = lift_promoted(x, fill_value)
        if promoted.dtype != x.dtype:
            raise dtype_error("full_like", (x, value), f"a value that fits {x.dtype}", "give dtype= as well")
    else:
        return filled(x.shape, fill_value, dtype, beside=(x,))
    return broadcast_to(_scalar("full_like", value), tuple(x.shape))


def zeros_like(x: Any, /, dtype: Any = None) -> Any:
    """Zeros in the shape and, unless given, the dtype of `x`.

    >>> import graphc as gc
    >>> gc.zeros_like(gc.input("x", ("n", 2), "int32"))
    <Tensor broadcast_to int32[n, 2]>
    """
    return full_like(x, False, dtype)


def ones_like(x: Any, /, dtype: Any = None) -> Any:
    """Ones in the shape and, unless given, the dtype of `x`.

    >>> import graphc as gc
    >>> gc.ones_like(gc.asarray([1.5, 2.5]), "int64").tolist()
    [1, 1]
    """
    return full_like(x, True, dtype)


def empty_like(x: Any, /, dtype: Any = None) -> Any:
    """Zeros in the shape and, unless given, the dtype of `x`: a graph has no memory that nobody wrote.

    >>> import graphc as gc
    >>> gc.empty_like(gc.asarray([1, 2])).tolist()
    [0, 0]
    """
    return zeros_like(x, dtype)


ROWS = (IOTA,)
__all__ = ["empty", "empty_like", "full", "full_like", "ones", "ones_like", "zeros", "zeros_like"]
