"""DLPack capsules, made and taken: how libraries hand each other arrays without a copy.

The layout is that of ``dlpack.h`` (https://dmlc.github.io/dlpack/latest/c_api.html), unversioned as it is given, of
either kind as it is taken. A capsule is a pointer to a struct, with a function that says when it is done with.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

CUDA, MANAGED = 2, 13
"""Types of devices whose memory kernels can read."""
_CODES = {"i": 0, "u": 1, "f": 2, "b": 6}
_KINDS = {code: kind for kind, code in _CODES.items()}


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


_Deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class _Managed(ctypes.Structure):
    _fields_ = (("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", _Deleter))


class _Versioned(ctypes.Structure):
    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("context", ctypes.c_void_p),
        ("deleter", _Deleter),
        ("flags", ctypes.c_uint64),
        ("tensor", _Tensor),
    )


def _function(name: str, result: Any, *arguments: Any) -> Any:
    """A function of Python's own C API."""
    return ctypes.PYFUNCTYPE(result, *arguments)((name, ctypes.pythonapi))


_new = _function("PyCapsule_New", ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
_is_valid = _function("PyCapsule_IsValid", ctypes.c_int, ctypes.py_object, ctypes.c_char_p)
_pointer = _function("PyCapsule_GetPointer", ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
_rename = _function("PyCapsule_SetName", ctypes.c_int, ctypes.py_object, ctypes.c_char_p)
_is_valid_dying = _function("PyCapsule_IsValid", ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)
_pointer_dying = _function("PyCapsule_GetPointer", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)

_NAME, _VERSIONED = b"dltensor", b"dltensor_versioned"
_USED = {_NAME: b"used_dltensor", _VERSIONED: b"used_dltensor_versioned"}

_given: dict[int, Any] = {}
"""What capsules that were given keep alive, by the addresses of their structs."""


@_Deleter
def _delete(address: int) -> None:
    _given.pop(address, None)


@ctypes.CFUNCTYPE(None, ctypes.c_void_p)
def _drop(capsule: int) -> None:
    """A capsule goes: one that nobody took keeps nothing alive any more."""
    if _is_valid_dying(capsule, _NAME):
        _given.pop(_pointer_dying(capsule, _NAME), None)


def give(address: int, shape: Sequence[int], dtype: np.dtype, device: tuple[int, int], owner: object) -> Any:
    """A capsule for an array in C order; `owner` lives until whoever takes it is done with it."""
    ndim = len(shape)
    sizes = (ctypes.c_int64 * max(ndim, 1))(*shape)
    strides = (ctypes.c_int64 * max(ndim, 1))(*_c_order(shape))
    made = _Managed()
    made.tensor = _Tensor(address, *device, ndim, _CODES[dtype.kind], 8 * dtype.itemsize, 1, sizes, strides, 0)
    made.deleter = _delete
    place = ctypes.addressof(made)
    _given[place] = (made, sizes, strides, owner)
    return _new(place, _NAME, ctypes.cast(_drop, ctypes.c_void_p))


class Taken(NamedTuple):
    """An array of another library; `owner` keeps it alive. `strides` are in bytes; None means C order."""

    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None
    dtype: np.dtype
    device: tuple[int, int]
    owner: object


class _Owner:
    """Its end tells the other library that the array is not needed any more."""


def take(capsule: Any) -> Taken:
    """The array of a capsule, which is used up; `TypeError` where it is none, `ValueError` for a dtype NumPy lacks."""
    name = next((name for name in _USED if _is_valid(capsule, name)), None)
    if name is None:
        raise TypeError("no DLPack capsule, or one that has been used")
    place = _pointer(capsule, name)
    made = (_Managed if name == _NAME else _Versioned).from_address(place)
    tensor = made.tensor
    kind = _KINDS.get(tensor.code)
    if kind is None or tensor.lanes != 1 or tensor.bits % 8:
        raise ValueError(f"a dtype of DLPack's code {tensor.code} and {tensor.bits} bits")
    dtype = np.dtype(f"{kind}{tensor.bits // 8}")
    shape = tuple(tensor.shape[: tensor.ndim])
    strides = tuple(dtype.itemsize * s for s in tensor.strides[: tensor.ndim]) if tensor.strides else None
    _rename(capsule, _USED[name])
    owner = _Owner()
    if made.deleter:
        weakref.finalize(owner, made.deleter, place).atexit = False
    address = (tensor.data or 0) + tensor.byte_offset
    return Taken(address, shape, strides, dtype, (tensor.device_type, tensor.device_id), owner)


def _c_order(shape: Sequence[int]) -> list[int]:
    """Elements from one index to the next along each axis."""
    strides = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * shape[axis + 1]
    return strides
