"""The dtypes graphc has, and how they combine: NumPy's rules, with weak Python scalars."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import DTypeError, message, shown, user_line

DType = np.dtype

BOOL = np.dtype("bool")
INT64 = np.dtype("int64")
UINT64 = np.dtype("uint64")
FLOAT32 = np.dtype("float32")
FLOAT64 = np.dtype("float64")
INTEGERS = tuple(np.dtype(n) for n in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"))
FLOATS = (FLOAT32, FLOAT64)
SUPPORTED = (BOOL, *INTEGERS, *FLOATS)
_SUPPORTED = frozenset(SUPPORTED)
_NAMES = "bool, int8..int64, uint8..uint64, float32, float64"

WeakScalar = (bool, int, float)
"""Python's own scalars: they take the dtype of what they meet. (NumPy scalars are strong.)"""


def as_dtype(spec: Any) -> DType:
    """The NumPy dtype for `spec`; `DTypeError` for one that graphc does not have."""
    try:
        dtype = np.dtype(spec)
    except TypeError:
        hint = "the sizes of a shape are one argument, a tuple: (2, 3)" if isinstance(spec, int) else ""
        raise _refused("unknown", shown(spec), hint) from None
    if spec is None or dtype not in _SUPPORTED:
        raise _refused("unsupported", str(spec))
    return dtype.newbyteorder("=")


def _refused(what: str, got: str, hint: str = "") -> DTypeError:
    text = message(f"{what} dtype", got=got, expected=f"one of {_NAMES}", at=user_line(), created=False, hint=hint)
    return DTypeError(text)


def is_float(dtype: DType) -> bool:
    return dtype.kind == "f"


def is_integer(dtype: DType) -> bool:
    return dtype.kind in "iu"


def promote(strong: list[DType], weak: list[Any]) -> DType:
    """The dtype of combining strong `dtypes` with weak Python scalars, as NumPy 2 has it.

    >>> promote([FLOAT32], [2.0])
    dtype('float32')
    >>> promote([INT64], [2.0])
    dtype('float64')
    """
    if strong:
        dtype = strong[0]
        for other in strong[1:]:
            dtype = np.promote_types(dtype, other)
    elif weak:
        return np.result_type(*(np.asarray(w).dtype for w in weak))
    else:
        raise ValueError("nothing to promote")
    for scalar in weak:
        dtype = _weak(dtype, scalar)
    return as_dtype(dtype)


def _weak(dtype: DType, scalar: Any) -> DType:
    if type(scalar) is float and dtype.kind != "f":
        return FLOAT64
    if type(scalar) is int and dtype.kind == "b":
        return INT64
    return dtype


def check_fits(value: Any, dtype: DType) -> None:
    """Refuse a Python int that `dtype` cannot hold (NumPy raises OverflowError for the same)."""
    if dtype.kind in "iu" and isinstance(value, int) and not isinstance(value, bool):
        info = np.iinfo(dtype)
        if not info.min <= value <= info.max:
            raise DTypeError(
                message(
                    "a Python int does not fit",
                    got=str(value),
                    expected=f"{dtype}: {info.min} .. {info.max}",
                    at=user_line(),
                    created=False,
                    hint="astype the tensor to a wider dtype first",
                )
            )


def to_float(dtype: DType) -> DType:
    """The float dtype in which a function such as exp computes: floats stay, others become float64."""
    return dtype if dtype.kind == "f" else FLOAT64
