"""Tensors from sizes alone: `iota`, and arange, zeros, ones, full, eye composed of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir import dims
from ..ir.apply import apply, engine_of
from ..ir.dims import Shape
from ..ir.dtypes import DType, as_dtype
from ..ir.expr import cast
from ..ir.lowering import Generate
from ..ir.op import Aval, Op, Require, Sample
from .movement import broadcast_to


def _iota_infer(require: Require, shape: Shape, axis: int, dtype: DType) -> Aval:
    return Aval(shape, dtype)


def _iota_numpy(shape: Any, axis: int, dtype: DType) -> np.ndarray:
    line = np.arange(shape[axis]).astype(dtype)
    return np.broadcast_to(line.reshape([-1 if k == axis else 1 for k in range(len(shape))]), shape)


IOTA = Op(
    "iota",
    _iota_infer,
    _iota_numpy,
    Generate(lambda index, shape, dtype, axis, **_: cast(index[axis], dtype)),
    vjp=(),
    jvp=(),
    sympy=lambda sp, **attrs: sp.Integer(0),
    samples=(Sample((), {"shape": (3, 4), "axis": 1, "dtype": np.dtype("int64")}, differentiable=False),),
)


def iota(shape: Any, axis: int = 0, dtype: Any = "int64") -> Any:
    """The position along `axis`, as a tensor of `shape`."""
    return apply(IOTA, shape=dims.as_shape(shape), axis=axis, dtype=as_dtype(dtype))


def full(shape: Any, fill_value: Any, *, dtype: Any = None) -> Any:
    """`fill_value` (a number or 0-d tensor) everywhere in a tensor of `shape`."""
    engine = engine_of(fill_value)
    value = (
        fill_value
        if hasattr(fill_value, "op")
        else engine.constant(fill_value, None if dtype is None else as_dtype(dtype))
    )
    return broadcast_to(value, dims.as_shape(shape))


def zeros(shape: Any, *, dtype: Any = "float64") -> Any:
    """Zeros of `shape`."""
    return full(shape, 0, dtype=dtype)


def ones(shape: Any, *, dtype: Any = "float64") -> Any:
    """Ones of `shape`."""
    return full(shape, 1, dtype=dtype)


def full_like(x: Any, /, fill_value: Any, *, dtype: Any = None) -> Any:
    """`fill_value` in the shape (and, unless given, dtype) of `x`, in the engine of `x`."""
    value = engine_of(x).constant(fill_value, as_dtype(dtype or x.dtype))
    return broadcast_to(value, tuple(x.shape))


def zeros_like(x: Any, /, *, dtype: Any = None) -> Any:
    """Zeros in the shape and dtype of `x`."""
    return full_like(x, 0, dtype=dtype)


def ones_like(x: Any, /, *, dtype: Any = None) -> Any:
    """Ones in the shape and dtype of `x`."""
    return full_like(x, 1, dtype=dtype)


ROWS = (IOTA,)
