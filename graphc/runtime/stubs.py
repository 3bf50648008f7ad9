"""The Python of a quick call, written out for a step: no loop, no attribute it could do without.

A stub takes a frame, checks what compiled code cannot (subclasses such as masked arrays, and 0-d inputs, which nothing
may narrow), runs one step under the guards, and puts the outputs into their structure. All else is `careful`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import GENERATED_CALL
from ..ir.dtypes import DType
from ..ir.guard import Guard
from ..ir.op import Aval
from ..ir.tree import Tree

_PYTHON = {"b": bool, "i": int, "u": int, "f": float}


def stub_source(inputs: Sequence[Aval], outputs: Sequence[Aval], tree: Tree, guards: str = "") -> str:
    """The text of `call(owner, values)`: `owner` has frames, `hot`, and methods `careful`, `failed` and `guarded`.

    guards  "writer" or "reader" of one guard, "several" guards, or "" where there are no params

    >>> scalar = Aval((), np.dtype("float64"))
    >>> from ..ir.tree import LEAF
    >>> print(stub_source([Aval((0,), scalar.dtype)], [scalar], LEAF, "writer"))
    def call(owner, values):
        hot = owner.hot
        try:
            x0, = values
            frame = hot.pop()
        except (ValueError, IndexError):
            return owner.careful(values)
        try:
            if type(x0) is ndarray:
                try:
                    with turn:
                        if readers:
                            drain()
                        writes[0] += 1
                        code = run(frame.m, x0)
                except TypeError:
                    code = -1
                if waiting:
                    give_way()
                if code == 0:
                    return frame.reads[0][0]
                if code > 0:
                    raise owner.failed(frame, code, values)
        finally:
            hot.append(frame)
        return owner.careful(values)
    <BLANKLINE>
    """
    names = [f"x{k}" for k in range(len(inputs))]
    conditions = [_accepts(k, aval) for k, aval in enumerate(inputs)]
    stores = [f"frame.scalars[{k}][0] = x{k}" for k, aval in enumerate(inputs) if not aval.shape]
    fresh = [k for k, aval in enumerate(outputs) if aval.shape]
    takes = [f"y{k} = frame.supplies[{i}].take()" for i, k in enumerate(fresh)]
    numbers = [k for k, aval in enumerate(outputs) if not aval.shape]
    results = [f"y{k}" if a.shape else f"frame.reads[{numbers.index(k)}][0]" for k, a in enumerate(outputs)]
    arguments = ["frame.m", *[n for n, a in zip(names, inputs, strict=True) if a.shape], *[f"y{k}" for k in fresh]]
    run = f"code = run({', '.join(arguments)})"
    if guards == "several":
        run = f"code = owner.guarded(frame, run, {', '.join(arguments)})"
    elif guards:
        run = _GUARDED[guards].replace("RUN", run)
    run = f"try:\n{_indented(run, 4)}\nexcept TypeError:\n    code = -1"  # numba has no code for these types
    after = ["if waiting:\n    give_way()"] if guards == "writer" else []
    body = "\n".join([*stores, *takes, run, *after, f"if code == 0:\n    return {_structure(tree, results)}"])
    return f"""\
def call(owner, values):
    hot = owner.hot
    try:
        {f"{', '.join(names)}{',' * (len(names) == 1)} = values" if names else "() = values"}
        frame = hot.pop()
    except (ValueError, IndexError):
        return owner.careful(values)
    try:
        if {" and ".join(conditions) or "True"}:
{_indented(body, 12)}
            if code > 0:
                raise owner.failed(frame, code, values)
    finally:
        hot.append(frame)
    return owner.careful(values)
"""


_GUARDED = {
    "writer": """\
with turn:
    if readers:
        drain()
    writes[0] += 1
    RUN""",
    "reader": """\
try:
    enter(frame)
    RUN
finally:
    readers.pop(frame, None)""",
}
"""What stands around the dispatch under one guard."""


def stub(source: str, names: dict[str, Any]) -> Callable[[Any, Sequence[Any]], Any]:
    """The function of a stub's text; `names` are `run` (see `drivers.call_source`), `build`, and those below."""
    space = {"ndarray": np.ndarray, **names}
    exec(compile(source, GENERATED_CALL, "exec"), space)
    return space["call"]


def guard_names(guard: Guard) -> dict[str, Any]:
    """What a stub knows of its one guard."""
    return {
        "turn": guard.turn,
        "enter": guard.enter,
        "readers": guard.readers,
        "drain": guard.drain,
        "waiting": guard.waiting,
        "writes": guard.writes,
        "give_way": guard.give_way,
    }


def scalar_names(inputs: Sequence[Aval]) -> dict[str, Any]:
    """The types of numbers that 0-d inputs take at once, and their dtypes."""
    scalars = [(k, a.dtype) for k, a in enumerate(inputs) if not a.shape]
    kinds = {f"kinds{k}": (dtype.type, _PYTHON[dtype.kind]) for k, dtype in scalars}
    return {**kinds, **{f"dtype{k}": dtype for k, dtype in scalars}}


def _accepts(k: int, aval: Aval) -> str:
    """The condition for value `k` to go the quick way."""
    if aval.shape:
        return f"type(x{k}) is ndarray"
    array = f"type(x{k}) is ndarray and x{k}.dtype is dtype{k} and not x{k}.shape"
    return f"(type(x{k}) in kinds{k}{_range(k, aval.dtype)} or {array})"


def _range(k: int, dtype: DType) -> str:
    """Whether storing a number as `dtype` keeps it (up to rounding); inf and nan are left to the careful way."""
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return f" and {info.min} <= x{k} <= {info.max}"
    return f" and -3.4e38 < x{k} < 3.4e38" if dtype == np.float32 else ""


def _structure(tree: Tree, results: Sequence[str]) -> str:
    """An expression for the outputs in their structure."""
    if tree.kind is None:
        return results[0]
    flat = all(c.kind is None for c in tree.children)
    if tree.kind is tuple and flat:
        return f"({', '.join(results)}{',' * (len(results) == 1)})"
    listed = f"[{', '.join(results)}]"
    return listed if tree.kind is list and flat else f"build({listed})"


def _indented(text: str, columns: int) -> str:
    return "\n".join(" " * columns + line for line in text.split("\n"))
