"""``python -m graphc ops``: every public function, with its other names, what it does, if it has a derivative."""

from __future__ import annotations

import inspect
import shutil
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import graphc as gc
from graphc.ops.functions import GROUPS, PUBLIC

BUILDING = ("input", "param", "constant", "compile", "trace", "to_device")
DERIVATIVES = ("grad", "value_and_grad", "vjp", "jvp", "jacobian", "hessian", "hvp", "vmap")
CHECKING = ("verify", "contrast", "to_sympy", "from_sympy")
KEEPING = ("save", "load")
PIECEWISE_CONSTANT = frozenset({"ceil", "floor", "floor_divide", "round", "sign", "stop_gradient", "trunc"})
"""Functions whose derivative is 0 where there is one, and by definition 0 elsewhere."""
WITHOUT = frozenset(
    {
        *("all", "any", "argmax", "argmin", "argsort", "count_nonzero", "one_hot"),
        *("equal", "greater", "greater_equal", "less", "less_equal", "not_equal"),
        *GROUPS["logic and bits"],
        *("arange", "empty", "empty_like", "eye", "ones", "ones_like", "zeros", "zeros_like"),
    }
)
"""Functions whose results are no floats, or do not depend on floats."""

_LEGEND = """\
Functions of gc. Those of elements broadcast shapes and promote dtypes as NumPy does, Python numbers adapt; exp, log,
sin and their kin compute integers in float64. NumPy's functions of these names work on tensors too. In the first
column: d has a derivative, to any order; 0 has one that is 0; - has none. help(gc.exp) says more, with an example.
"""
_WIDTH = 26


def derivative(name: str) -> str:
    """``d``, ``0`` or ``-``: whether the function has a derivative, one that is 0, or none."""
    return "-" if name in WITHOUT else "0" if name in PIECEWISE_CONSTANT else "d"


def listing(part: str = "", width: int | None = None) -> str:
    """The list as text, of functions that have `part` in one of their names; all by default.

    >>> print(listing("tanh", width=80).split("\\n\\n")[1])
    trigonometric and hyperbolic
      d tanh                     sinh(x) / cosh(x); the derivative is ``1 -
                                 tanh(x)**2``.
      d atanh, arctanh           The inverse of `tanh`: infinite at -1 and 1, nan
                                 outside.
    """
    columns = width or min(shutil.get_terminal_size((120, 24)).columns, 120)
    own = {"building and compiling": BUILDING, "derivatives": DERIVATIVES, "checking": CHECKING, "keeping": KEEPING}
    groups = {**own, **GROUPS}
    parts = [textwrap.fill(_LEGEND, columns)]
    for title, names in groups.items():
        table = PUBLIC if title in GROUPS else {name: getattr(gc, name) for name in names}
        rows = [row for name in names for row in _rows(name, table, part, columns)]
        if rows:
            parts.append("\n".join([title, *rows]))
    return "\n\n".join(parts)


def _one(function: Any, other: Any) -> bool:
    """Whether two are one function, be it as `gc` has it or as it stands below: see `graphc.ops.calls`."""
    return inspect.unwrap(function) is inspect.unwrap(other) if callable(function) else function is other


def _rows(name: str, table: Mapping[str, Any], part: str, columns: int) -> Iterator[str]:
    """The lines about one function of `table`: its names, and the first paragraph of its documentation."""
    names = [name, *[other for other in gc.__all__ if other != name and _one(getattr(gc, other), table[name])]]
    if not any(part in one for one in names):
        return
    if not _one(getattr(gc, name), table[name]):
        names[0] = f"x.{name}()"  # the name is taken by another function: it is a method only
    mark = derivative(name) if table is PUBLIC else " "
    head = f"  {mark} {', '.join(names)}"
    if len(head) > _WIDTH:
        yield head
        head = ""
    about = (table[name].__doc__ or "").split("\n\n")[0]
    yield textwrap.fill(
        " ".join(about.split()),
        columns,
        initial_indent=f"{head:<{_WIDTH}}   ",
        subsequent_indent=" " * (_WIDTH + 3),
    )
