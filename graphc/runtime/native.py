"""Calls of a step as CPython makes them: a built-in function for each step, over one compiled function for all.

A built-in function gets its arguments as C has them. `native_text` looks at them there, runs the step, and
makes the results by the C functions of CPython and NumPy; addresses of those, of the objects it needs, and what the
inputs and outputs are, stand in a table that the function owns. What it does not take (lists, strided arrays, other
sizes, mistakes, a second thread) is left to Python.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import config
from ..ir.dtypes import DType
from ..ir.guard import Guard
from ..ir.op import Aval
from ..ir.tree import Tree
from . import files, native_text
from .supply import address

_FUNCTIONS = {
    "incref": "Py_IncRef",
    "decref": "Py_DecRef",
    "call_no_args": "PyObject_CallNoArgs",
    "call_one_arg": "PyObject_CallOneArg",
    "call_with": "PyObject_Vectorcall",
    "append": "PyList_Append",
    "dict_size": "PyDict_Size",
    "as_integer": "PyLong_AsLongLongAndOverflow",
    "new_tuple": "PyTuple_New",
    "set_of_tuple": "PyTuple_SetItem",
    "new_list": "PyList_New",
    "set_of_list": "PyList_SetItem",
    "let_others_run": "PyEval_SaveThread",
    "run_again": "PyEval_RestoreThread",
    "fetch_error": "PyErr_Fetch",
    "restore_error": "PyErr_Restore",
    "forget_error": "PyErr_Clear",
    "this_thread": "PyThread_get_thread_ident",
    "see_to_signals": "PyErr_CheckSignals",
    "new_integer": "PyLong_FromUnsignedLong",
    "new_dict": "PyDict_New",
    "set_of_dict": "PyDict_SetItem",
}
_OF_NUMPY = {"scalar": 60, "empty": 184}
"""Positions of PyArray_Scalar and PyArray_Empty in the table of NumPy's C interface, which does not change."""
_WITH_NAMES = 0x0080 | 0x0002
"""METH_FASTCALL | METH_KEYWORDS: arguments as an array, names of the last of them as a tuple."""

_DOCUMENTATION = b"step($self, /, *inputs, **named)\n--\n\nOne step: see the documentation of graphc.Step.__call__."


class _Method(ctypes.Structure):
    """CPython's PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


def available() -> bool:
    """Whether this Python has arguments and objects as `native_text` takes them to be."""
    return (
        sys.implementation.name == "cpython"
        and sys.byteorder == "little"
        and ctypes.sizeof(ctypes.c_void_p) == 8
        and object.__basicsize__ == 16
        and not config.jit_disabled()
    )


@functools.cache
def source(frame: type) -> str:
    """The file with the function that all of them share; `frame` is the class of its frames."""
    return native_text.source(_place(frame, "m"), _place(frame, "takes"))


@functools.cache
def _method(frame: type) -> _Method:
    return _Method(b"step", files.load(source(frame)).call.address, _WITH_NAMES, _DOCUMENTATION)


def _place(kind: type, slot: str) -> int:
    """At which word an object has a slot."""
    thing: Any = object.__new__(kind)
    mark = object()
    setattr(thing, slot, mark)
    words = (ctypes.c_size_t * (kind.__basicsize__ // 8)).from_address(id(thing))
    return list(words).index(id(mark))


@functools.cache
def _known() -> dict[str, Any]:
    """The addresses of C functions, and what all steps know of Python's objects."""
    from numpy._core import _multiarray_umath  # type: ignore[attr-defined]

    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    interface = get(_multiarray_umath._ARRAY_API, None)
    numpy = {name: ctypes.c_size_t.from_address(interface + 8 * k).value for name, k in _OF_NUMPY.items()}
    python = {
        name: ctypes.cast(getattr(ctypes.pythonapi, function), ctypes.c_void_p).value or 0
        for name, function in _FUNCTIONS.items()
    }
    return {**numpy, **python, "ndarray": np.ndarray, "none": None, "true": True, "false": False}


def built_in(
    frame: type,
    positions: dict[str, int],
    inputs: Sequence[Aval],
    outputs: Sequence[Aval],
    tree: Tree,
    guards: Sequence[tuple[Guard, bool]],
    around: Callable[[Any], int],
    free: list[Any],
    careful: Callable[..., Any],
    fail: Callable[..., Any],
) -> Callable[..., Any]:
    """The built-in function of a step, which takes one argument per input.

    frame      the class of the frames in `free[0]`: those that no call uses, for the sizes last used
    positions  where a frame's table has what: see `native_text.OWNER`
    guards     those of the params, and whether the step writes
    around     ``around(frame)`` runs one step under several guards
    careful    ``careful(*args, **named)``: the same call in Python
    fail       ``fail(frame, values)`` raises the error of the step just run
    """
    structure = _structure(tree)
    row: dict[str, Any] = {
        **_known(),
        **positions,
        "free": free,
        "inputs": len(inputs),
        "outputs": len(outputs),
        "structure": structure,
        "build": tree.build,
        "careful": careful,
        "fail": fail,
        "guard": native_text.KINDS["no_guard"],
    }
    if len(guards) == 1:
        row |= _guarded(*guards[0])
    elif guards:
        row |= {"guard": native_text.KINDS["several"], "around": around}
    labels = tree.names if structure == native_text.KINDS["dict"] else [None] * len(outputs)
    types = (
        [_input(aval) for aval in inputs],
        [
            {"dtype": _the(aval.dtype), "rank": len(aval.shape), "name": label}
            for aval, label in zip(outputs, labels, strict=True)
        ],
    )
    rows = [row, *types[0], *types[1]]
    names = [native_text.OWNER, *[native_text.INPUT] * len(inputs), *[native_text.OUTPUT] * len(outputs)]
    table, kept = np.zeros(sum(map(len, names)), np.int64), []
    starts = np.cumsum([0, *map(len, names)])
    row["input_types"] = address(table) + 8 * int(starts[1])
    row["output_types"] = address(table) + 8 * int(starts[1 + len(inputs)])
    for start, words, values in zip(starts, names, rows, strict=False):
        for k, label in enumerate(words):
            if label in values:
                kept.append(values[label])
                table[start + k] = id(kept[-1]) if label in native_text.OBJECTS else kept[-1]
    create = ctypes.pythonapi.PyCFunction_NewEx
    create.restype, create.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p]
    method = _method(frame)  # of which the function has the address; threads may make one each, and only one is cached
    return create(ctypes.byref(method), (table, kept, guards, method), None)


def _guarded(guard: Guard, writes: bool) -> dict[str, Any]:
    """What stands around a step under one guard."""
    turn = {"acquire": guard.turn.acquire, "release": guard.turn.release, "readers": guard.readers}
    if not writes:
        reader = {"enter": guard.enter, "leave": guard.readers.pop, "away": guard.away}
        return {"guard": native_text.KINDS["reader"], **turn, **reader}
    counter: dict[str, Any] = {"writes": guard.writes.buffer_info()[0]}
    writer = {"drain": guard.drain, "waiting": guard.waiting, "give_way": guard.give_way}
    return {"guard": native_text.KINDS["writer"], **turn, **writer, **counter}


def _structure(tree: Tree) -> int:
    if tree.kind is None:
        return native_text.KINDS["leaf"]
    flat = all(child.kind is None for child in tree.children)
    kind = tree.kind if flat and tree.kind in (tuple, list, dict) else None
    return native_text.KINDS["other" if kind is None else kind.__name__]


def _the(dtype: DType) -> DType:
    """The object that NumPy's arrays of a dtype have: others may be equal."""
    return np.dtype(dtype.type)


def _input(aval: Aval) -> dict[str, Any]:
    """What is taken for an input: arrays of its dtype, and for one without axes numbers of its kind that fit."""
    dtype = aval.dtype
    row: dict[str, Any] = {"dtype": _the(dtype), "rank": len(aval.shape), "size": dtype.itemsize, "numpy": dtype.type}
    if dtype.kind == "f":
        highest = np.float64(3.4e38 if dtype.itemsize == 4 else np.inf).view(np.int64)
        return row | {"kind": native_text.KINDS["floats"], "python": float, "highest": int(highest)}
    if dtype.kind == "b":
        return row | {"kind": native_text.KINDS["bools"], "python": bool}
    info = np.iinfo(dtype)
    bounds = {"lowest": int(info.min), "highest": min(int(info.max), 2**63 - 1)}
    return row | {"kind": native_text.KINDS["integers"], "python": int, **bounds}
